package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	check "github.com/quire-docs/quire/client/wopi"
)

type bootstrapCmd struct {
	URL      string        `arg:"" help:"The host, or its bootstrapper: https://docs.example.org/wopibootstrapper."`
	Client   string        `help:"The OAuth client id." required:""`
	Secret   string        `help:"The OAuth client's secret; none for a public client." env:"QUIRE_CLIENT_SECRET"`
	Redirect string        `help:"The client's redirect URI. Without --user it must be http on localhost, where this command waits for the browser." default:"http://127.0.0.1:8411/"`
	Scope    string        `help:"The scope to ask for. Empty is what the client was registered with."`
	User     string        `help:"Sign in as this user by the host's own forms, instead of in a browser."`
	Password string        `help:"The user's password; else it is asked for." env:"QUIRE_PASSWORD"`
	Timeout  time.Duration `help:"How long the whole may take, the sign-in in the browser included." default:"5m"`
}

// Run walks the way of a mobile app and prints each step.
func (c *bootstrapCmd) Run(a *app) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return &settingError{"url", "it is no URL: write it like https://docs.example.org"}
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/wopibootstrapper"
	}
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	type step struct {
		Step string `json:"step"`
		What string `json:"what"`
	}
	walk := check.App{
		ClientID: c.Client, ClientSecret: c.Secret, Redirect: c.Redirect, Scope: c.Scope,
		Tell: func(name, what string) { _ = a.print(step{name, what}, "%-22s %s\n", name, what) },
	}
	if c.User == "" {
		walk.SignIn = c.inBrowser(a)
	} else {
		if c.Password == "" {
			if c.Password, err = password(a, c.User); err != nil {
				return err
			}
		}
		walk.SignIn = check.FormSignIn(nil, c.User, c.Password, func() (string, error) { return password(a, "the second step (the code)") })
	}
	return walk.Walk(ctx, u.String())
}

// inBrowser prints where to sign in, and waits on the redirect URI's port for the
// browser to come back.
func (c *bootstrapCmd) inBrowser(a *app) func(context.Context, string) (string, error) {
	return func(ctx context.Context, authorize string) (string, error) {
		u, err := url.Parse(c.Redirect)
		if err != nil || u.Scheme != "http" || u.Port() == "" || u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost" {
			return "", &settingError{"redirect", "to sign in with a browser it must be like http://127.0.0.1:8411/; else give --user"}
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", u.Port()))
		if err != nil {
			return "", err
		}
		back := make(chan string, 1)
		s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != u.Path && u.Path != "" || r.URL.RawQuery == "" {
				http.NotFound(w, r)
				return
			}
			select {
			case back <- c.Redirect + "?" + r.URL.RawQuery:
			default:
			}
			fmt.Fprintln(w, "You are signed in. Close this page and go back to the command line.")
		})}
		go func() { _ = s.Serve(l) }() // until it is shut down, below
		defer func() {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = s.Shutdown(stop) // the process ends soon
		}()
		fmt.Fprintf(a.errOut, "Open this in a browser:\n%s\n", authorize)
		select {
		case text := <-back:
			return text, nil
		case <-ctx.Done():
			return "", errors.New("nobody signed in in time")
		}
	}
}
