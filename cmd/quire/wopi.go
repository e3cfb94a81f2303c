package main

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/identity"
)

type wopiCmd struct {
	URL wopiURLCmd `cmd:"" name:"url" help:"Print a file's WopiSrc with a token, for an editor, a checking program or a support engineer."`
}

type wopiURLCmd struct {
	storage
	Path      string `arg:"" help:"The file or folder's path in the user's site."`
	User      string `help:"For whom the token is." required:""`
	PublicURL string `help:"The URL that the server is reached by." name:"public-url" env:"QUIRE_PUBLIC_URL" default:"http://127.0.0.1:8080"`
	Editor    string `help:"The configured editor that it is for."`
	Revision  int64  `help:"An old revision, to be read only."`
}

// Run prints the three values as JSON, whether or not --json is given: this is
// what programs read.
func (c *wopiURLCmd) Run(a *app) error {
	public, err := url.Parse(c.PublicURL)
	if err != nil || public.Host == "" {
		return &settingError{"public-url", "it is not a URL"}
	}
	return c.with(a, func(o *opened) error {
		u, err := o.library.User(a.ctx, c.User)
		if err != nil {
			return fmt.Errorf("user %s: %w", c.User, err)
		}
		caller := identity.CallerOf(u, quire.ScopeWrite)
		caller.Door = quire.DoorCommand
		e, err := o.library.Lookup(a.ctx, caller, remotePath(c.Path))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
		door := wopi.New(o.library, o.ids, wopi.Options{PublicURL: public})
		access, err := door.Grant(a.ctx, caller, e.ID, c.Revision, c.Editor, false)
		if err != nil {
			return err
		}
		return json.NewEncoder(a.out).Encode(access)
	})
}
