package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/fileapi"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/transform"
	"github.com/quire-docs/quire/transform/libreoffice"
	"github.com/quire-docs/quire/transform/service"
	"github.com/quire-docs/quire/transform/webhook"
)

// convertSettings are what an operator may say about conversions.
type convertSettings struct {
	LibreOffice  string        `help:"The program soffice. Empty looks for it in the usual places; 'off' uses none." name:"libreoffice" env:"QUIRE_LIBREOFFICE"`
	Collabora    string        `help:"Convert with the Collabora Online at this URL instead." name:"convert-collabora" env:"QUIRE_CONVERT_COLLABORA"`
	Gotenberg    string        `help:"Make PDF with the Gotenberg at this URL instead." name:"convert-gotenberg" env:"QUIRE_CONVERT_GOTENBERG"`
	Converters   int           `help:"How many conversions run at the same time on this node; 0 is half the processors." name:"converters" env:"QUIRE_CONVERTERS" default:"0"`
	ConvertLimit time.Duration `help:"How long one conversion may take." name:"convert-limit" env:"QUIRE_CONVERT_LIMIT" default:"2m"`
	ConvertRAM   int64         `help:"The most memory that one LibreOffice may take, in MiB." name:"convert-memory" env:"QUIRE_CONVERT_MEMORY" default:"4096"`
	Callbacks    []string      `help:"Networks that callbacks may go to although they are not open to everybody, for example 10.1.0.0/16." name:"callback-networks" env:"QUIRE_CALLBACK_NETWORKS" sep:","`
	Thumbnails   bool          `help:"Make small pictures of new files in the background." env:"QUIRE_THUMBNAILS" default:"true" negatable:""`
}

// engines are what conversions are made with.
type engines struct {
	set    transform.Set
	office bool
	local  *libreoffice.Engine
	hooks  *webhook.Client
}

func (e *engines) close(log *slog.Logger) {
	if e.local == nil {
		return
	}
	if err := e.local.Close(); err != nil {
		log.Warn("LibreOffice's folder was not removed", "error", err)
	}
}

func (s *convertSettings) workers() int {
	if s.Converters > 0 {
		return s.Converters
	}
	return max(1, runtime.NumCPU()/2)
}

func (s *convertSettings) engines(log *slog.Logger) (*engines, error) {
	e := &engines{set: transform.Set{transform.Native{}}}
	if s.Converters < 0 || s.ConvertLimit <= 0 || s.ConvertRAM < 256 {
		return nil, &settingError{"converters, convert-limit, convert-memory", "use numbers above 0, and at least 256 MiB"}
	}
	networks, err := parseProxies(s.Callbacks)
	if err != nil {
		return nil, &settingError{"callback-networks", "write networks like 10.1.0.0/16"}
	}
	e.hooks = webhook.New(networks)
	client := &http.Client{Timeout: s.ConvertLimit}
	for name, text := range map[string]string{"convert-collabora": s.Collabora, "convert-gotenberg": s.Gotenberg} {
		if text == "" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &settingError{name, "it is no URL: write it like https://office.example.org"}
		}
		e.office = true
		if name == "convert-collabora" {
			e.set = append(e.set, service.NewCollabora(u, client))
		} else {
			e.set = append(e.set, service.NewGotenberg(u, client))
		}
	}
	if strings.EqualFold(s.LibreOffice, "off") {
		return e, nil
	}
	e.local, err = libreoffice.New(libreoffice.Options{Program: s.LibreOffice, Workers: s.workers(), Memory: s.ConvertRAM << 20})
	switch {
	case errors.Is(err, libreoffice.ErrNotFound) && s.LibreOffice == "":
		return e, nil
	case err != nil:
		return nil, &settingError{"libreoffice", err.Error()}
	}
	if !e.local.Offline() {
		log.Warn("LibreOffice runs with the network: this system lets no process do without")
	}
	e.set, e.office = append(e.set, e.local), true
	return e, nil
}

type linkCmd struct {
	Create linkCreateCmd `cmd:"" help:"Print a signed link to a file, for people without an account."`
	Revoke linkRevokeCmd `cmd:"" help:"End a signed link, or all of them to a site's files."`
}

type linkCreateCmd struct {
	storage
	Path       string        `arg:"" help:"The file's path in the user's site."`
	User       string        `help:"An administrator of the site." default:"admin"`
	Permission string        `help:"What it gives: preview (pictures, text, pages), print (also the PDF), download (the file itself)." enum:"preview,print,download" default:"download"`
	Mime       string        `help:"The type that it gives, for example application/pdf. Preview and print need one."`
	Life       time.Duration `help:"How long it is good for; 0 is for ever." default:"168h"`
	App        string        `help:"An app's id, which is only recorded."`
	Viewer     string        `help:"Whom it is for, which is only recorded."`
	PublicURL  string        `help:"The URL that the server is reached by." name:"public-url" env:"QUIRE_PUBLIC_URL" default:"http://127.0.0.1:8080"`
}

// operator returns a site's administrator as a caller.
func operator(ctx context.Context, o *opened, login string) (quire.Caller, error) {
	u, err := o.library.User(ctx, login)
	if err != nil {
		return quire.Caller{}, fmt.Errorf("user %s: %w", login, err)
	}
	c := identity.CallerOf(u, quire.ScopeAdmin)
	c.Door = quire.DoorCommand
	return c, nil
}

func (c *linkCreateCmd) Run(a *app) error {
	public, err := url.Parse(c.PublicURL)
	if err != nil || public.Host == "" {
		return &settingError{"public-url", "it is no URL"}
	}
	if c.Permission != "download" && c.Mime == "" {
		return &settingError{"mime", "say what the link is to give, for example application/pdf or image/png"}
	}
	return c.with(a, func(o *opened) error {
		caller, err := operator(a.ctx, o, c.User)
		if err != nil {
			return err
		}
		secret, err := o.library.ViewerSecret(a.ctx, caller)
		if err != nil {
			return err
		}
		path := remotePath(c.Path)
		if _, err := o.library.Lookup(a.ctx, caller, path); err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
		site, _, err := o.library.SiteOf(a.ctx, caller)
		if err != nil {
			return err
		}
		u, err := fileapi.ViewerURL(public, site, secret, path, c.Permission, c.Mime, c.App, c.Viewer, c.Life)
		if err != nil {
			return err
		}
		return a.print(map[string]string{"url": u}, "%s\n", u)
	})
}

type linkRevokeCmd struct {
	storage
	Link string `arg:"" optional:"" help:"The link that is to end."`
	All  bool   `help:"End all links to the site's files: its viewer secret is made anew."`
	User string `help:"An administrator of the site." default:"admin"`
}

func (c *linkRevokeCmd) Run(a *app) error {
	if c.All == (c.Link != "") {
		return &settingError{"link", "give one link, or --all to end all of them"}
	}
	return c.with(a, func(o *opened) error {
		caller, err := operator(a.ctx, o, c.User)
		if err != nil {
			return err
		}
		if c.Link != "" {
			secret, err := o.library.ViewerSecret(a.ctx, caller)
			if err != nil {
				return err
			}
			site, _, err := o.library.SiteOf(a.ctx, caller)
			if err != nil {
				return err
			}
			signature, end, err := fileapi.ReadViewerURL(c.Link, site, secret)
			if err != nil {
				return err
			}
			if err := o.library.RevokeViewerLink(a.ctx, caller, signature, end); err != nil {
				return err
			}
			return a.print(map[string]bool{"revoked": true}, "the link has ended\n")
		}
		if _, err := o.library.RefreshViewerSecret(a.ctx, caller); err != nil {
			return err
		}
		return a.print(map[string]bool{"revoked": true}, "all signed links to the site's files have ended\n")
	})
}
