package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
)

type userCmd struct {
	Add     userAddCmd     `cmd:"" help:"Add a user."`
	List    userListCmd    `cmd:"" help:"List users."`
	Passwd  userPasswdCmd  `cmd:"" help:"Set a user's password."`
	Disable userDisableCmd `cmd:"" help:"Keep a user from signing in; their tokens stop at once."`
	Enable  userEnableCmd  `cmd:"" help:"Let a disabled user sign in again."`
	Factor  userFactorCmd  `cmd:"" name:"reset-factor" help:"Take a user's second factor off, when the phone and the recovery codes are lost."`
}

// with opens the store for a command that works on it directly.
func (s *storage) with(a *app, f func(*opened) error) error {
	store, err := s.open(a.ctx, nil, slog.New(slog.NewTextHandler(a.errOut, nil)), library.Options{})
	if err != nil {
		return err
	}
	a.ctx = quire.WithActor(a.ctx, console())
	return errors.Join(f(store), store.close())
}

// console is who works on the store by the command line, for the record.
func console() quire.Caller {
	name := "command line"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name += " (" + u.Username + ")"
	}
	return quire.Caller{Name: name, Door: quire.DoorCommand}
}

// password is how commands get one: from standard input, or asked for on a
// terminal. It is never an argument, which other users of the machine see.
func password(a *app, who string) (string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, identity.MaxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	fmt.Fprintf(a.errOut, "Password for %s: ", who)
	b, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(a.errOut)
	return string(b), err
}

// userView is a user as commands print one.
type userView struct {
	ID       quire.UserID `json:"id"`
	Login    string       `json:"login"`
	Name     string       `json:"name"`
	Email    string       `json:"email,omitempty"`
	Role     quire.Role   `json:"role"`
	Site     string       `json:"site"`
	Disabled bool         `json:"disabled"`
	Created  time.Time    `json:"created"`
}

func viewUser(u quire.User, site string) userView {
	return userView{u.ID, u.Login, u.Name, u.Email, u.Role, site, u.Disabled, u.Created}
}

type userAddCmd struct {
	storage
	Login    string `arg:"" help:"The name to sign in with."`
	Name     string `help:"The name that others see; the login if empty."`
	Email    string `help:"An e-mail address."`
	Role     string `help:"member or admin." enum:"member,admin" default:"member"`
	Access   access `help:"What the user may do to the site's files: none, viewer, editor or owner." default:"editor"`
	Account  string `help:"The site's account." default:"main"`
	Instance string `help:"The site's instance." default:"default"`
}

func (c *userAddCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		site, err := o.library.Site(a.ctx, c.Account, c.Instance)
		if err != nil {
			return fmt.Errorf("site %s/%s: %w", c.Account, c.Instance, err)
		}
		pass, err := password(a, c.Login)
		if err != nil {
			return err
		}
		hash, err := identity.HashPassword(a.ctx, pass)
		if err != nil {
			return err
		}
		u, err := o.library.CreateUser(a.ctx, library.NewUser{
			Site: site.ID, Login: c.Login, Name: c.Name, Email: c.Email,
			Role: quire.Role(c.Role), Password: hash, Access: quire.Access(c.Access),
		})
		if err != nil {
			return err
		}
		return a.print(viewUser(u, site.Account+"/"+site.Instance), "added %s (%s)\n", u.Login, u.ID)
	})
}

type userListCmd struct{ storage }

func (c *userListCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		sites, err := o.library.Sites(a.ctx)
		if err != nil {
			return err
		}
		names := make(map[quire.SiteID]string)
		for _, s := range sites {
			names[s.ID] = s.Account + "/" + s.Instance
		}
		list := []userView{}
		for after := ""; ; {
			page, err := o.library.Users(a.ctx, "", after, 500)
			if err != nil {
				return err
			}
			for _, u := range page {
				list = append(list, viewUser(u, names[u.Site]))
			}
			if len(page) < 500 {
				break
			}
			after = page[len(page)-1].Login
		}
		return a.table(list, "LOGIN\tNAME\tROLE\tSITE\tDISABLED\tID", len(list), func(i int) []any {
			u := list[i]
			return []any{u.Login, u.Name, u.Role, u.Site, u.Disabled, u.ID}
		})
	})
}

// table prints a list: as JSON if that was asked for, else in columns.
func (a *app) table(v any, head string, n int, row func(int) []any) error {
	if a.json {
		return a.print(v, "")
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for i := range n {
		for j, v := range row(i) {
			if j > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, v)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

type userPasswdCmd struct {
	storage
	Login string `arg:"" help:"Whose password to set. The new one is read from standard input or asked for."`
}

func (c *userPasswdCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		if _, err := o.library.User(a.ctx, c.Login); err != nil {
			return fmt.Errorf("user %s: %w", c.Login, err)
		}
		pass, err := password(a, c.Login)
		if err != nil {
			return err
		}
		hash, err := identity.HashPassword(a.ctx, pass)
		if err != nil {
			return err
		}
		u, err := o.library.ChangeUser(a.ctx, c.Login, func(u *quire.User) { u.Password = hash })
		if err != nil {
			return err
		}
		// Whoever knew the old one may still be in.
		if err := o.ids.EndSessions(a.ctx, u.ID); err != nil {
			return err
		}
		return a.print(viewUser(u, ""), "password of %s set\n", u.Login)
	})
}

type userDisableCmd struct {
	storage
	Login string `arg:"" help:"Whom to disable."`
}

func (c *userDisableCmd) Run(a *app) error { return setDisabled(a, &c.storage, c.Login, true) }

type userEnableCmd struct {
	storage
	Login string `arg:"" help:"Whom to enable."`
}

func (c *userEnableCmd) Run(a *app) error { return setDisabled(a, &c.storage, c.Login, false) }

func setDisabled(a *app, s *storage, login string, disabled bool) error {
	return s.with(a, func(o *opened) error {
		u, err := o.library.ChangeUser(a.ctx, login, func(u *quire.User) { u.Disabled = disabled })
		if err != nil {
			return fmt.Errorf("user %s: %w", login, err)
		}
		word := map[bool]string{true: "disabled", false: "enabled"}[disabled]
		return a.print(viewUser(u, ""), "%s %s\n", u.Login, word)
	})
}

type userFactorCmd struct {
	storage
	Login string `arg:"" help:"Whose second factor to take off."`
}

func (c *userFactorCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		u, err := o.library.User(a.ctx, c.Login)
		if err != nil {
			return fmt.Errorf("user %s: %w", c.Login, err)
		}
		if err := o.ids.EndFactor(a.ctx, u.ID); errors.Is(err, quire.ErrNotFound) {
			return fmt.Errorf("user %s has no second factor", u.Login)
		} else if err != nil {
			return err
		}
		return a.print(viewUser(u, ""), "%s signs in with the password alone\n", u.Login)
	})
}
