package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/quire-docs/quire"
	check "github.com/quire-docs/quire/client/wopi"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/identity"
)

type wopiCmd struct {
	URL   wopiURLCmd   `cmd:"" name:"url" help:"Print a file's WopiSrc with a token, for an editor, a checking program or a support engineer."`
	Check wopiCheckCmd `cmd:"" help:"Check a WOPI host, this or any other, against the protocol's rules. It makes files of its own beside the given one and deletes them."`
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

type wopiCheckCmd struct {
	URL     string        `arg:"" help:"The WopiSrc of a file in a folder where the token's user may write. It may carry the access_token."`
	Token   string        `help:"The access token for the file; else it is taken from the URL."`
	Only    string        `help:"Make only the checks with this text in their name."`
	Verbose bool          `help:"Tell also what passed." short:"v"`
	Timeout time.Duration `help:"How long one request may take." default:"30s"`
}

// Run prints the checks that failed, each with its rule, and how many passed.
func (c *wopiCheckCmd) Run(a *app) error {
	file, err := check.File(c.URL, c.Token, &http.Client{Timeout: c.Timeout})
	if err != nil {
		return &settingError{"url", err.Error()}
	}
	if file.Token == "" {
		return &settingError{"token", "give the access token, here or in the URL"}
	}
	var results []check.Result
	passed := 0
	failed := check.Run(a.ctx, file, c.Only, func(r check.Result) {
		results = append(results, r)
		if r.Passed() {
			passed++
		}
		if a.json {
			return
		}
		switch {
		case len(r.Broken) > 0:
			fmt.Fprintf(a.out, "FAIL  %s\n      the rule: %s\n", r.Name, r.Rule)
			for _, b := range r.Broken {
				fmt.Fprintf(a.out, "      %s\n", b)
			}
		case r.Skipped != "" && c.Verbose:
			fmt.Fprintf(a.out, "skip  %s: %s\n", r.Name, r.Skipped)
		case c.Verbose:
			fmt.Fprintf(a.out, "ok    %s\n", r.Name)
		}
	})
	if a.json {
		if err := json.NewEncoder(a.out).Encode(results); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "%d passed, %d failed, %d skipped\n", passed, failed, len(results)-passed-failed)
	}
	switch {
	case len(results) == 0:
		return &settingError{"only", "no check has that in its name"}
	case failed > 0:
		return exitError(exitProblem)
	}
	return a.ctx.Err()
}
