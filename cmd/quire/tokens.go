package main

import (
	"fmt"
	"time"

	"github.com/quire-docs/quire"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it. It cannot be shown again."`
	List   tokenListCmd   `cmd:"" help:"List tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token at once."`
}

// tokenView is a token as commands print one.
type tokenView struct {
	ID      quire.TokenID `json:"id"`
	User    string        `json:"user"`
	Label   string        `json:"label,omitempty"`
	Scope   quire.Scope   `json:"scope"`
	Created time.Time     `json:"created"`
	Expires *time.Time    `json:"expires,omitempty"`
	Used    *time.Time    `json:"used,omitempty"`
	Token   string        `json:"token,omitempty"`
}

func viewToken(k quire.Token, user, text string) tokenView {
	return tokenView{k.ID, user, k.Label, k.Scope, k.Created, optional(k.Expires), optional(k.Used), text}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type tokenCreateCmd struct {
	storage
	User  string        `help:"Whose token it is." required:""`
	Scope string        `help:"What it may be used for: read, write or admin." enum:"read,write,admin" default:"write"`
	Label string        `help:"A note that tells what it is for."`
	Life  time.Duration `help:"How long it lives, for example 720h; 0 does not expire." default:"0"`
}

func (c *tokenCreateCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		u, err := o.library.User(a.ctx, c.User)
		if err != nil {
			return fmt.Errorf("user %s: %w", c.User, err)
		}
		text, k, err := o.ids.CreateToken(a.ctx, u.ID, c.Label, quire.Scope(c.Scope), c.Life)
		if err != nil {
			return err
		}
		return a.print(viewToken(k, u.Login, text), "%s\n", text)
	})
}

type tokenListCmd struct {
	storage
	User string `help:"Only this user's."`
}

func (c *tokenListCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		var owner quire.UserID
		if c.User != "" {
			u, err := o.library.User(a.ctx, c.User)
			if err != nil {
				return fmt.Errorf("user %s: %w", c.User, err)
			}
			owner = u.ID
		}
		names := make(map[quire.UserID]string)
		users, err := o.library.Users(a.ctx, "", "", 1<<30)
		if err != nil {
			return err
		}
		for _, u := range users {
			names[u.ID] = u.Login
		}
		tokens, err := o.ids.Tokens(a.ctx, owner)
		if err != nil {
			return err
		}
		list := []tokenView{}
		for _, k := range tokens {
			list = append(list, viewToken(k, names[k.User], ""))
		}
		return a.table(list, "ID\tUSER\tSCOPE\tLABEL\tCREATED\tEXPIRES\tUSED", len(list), func(i int) []any {
			k := list[i]
			return []any{k.ID, k.User, k.Scope, k.Label, k.Created.Format(time.RFC3339), dateOrNever(k.Expires), dateOrNever(k.Used)}
		})
	})
}

func dateOrNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}

type tokenRevokeCmd struct {
	storage
	ID string `arg:"" help:"The token's id, as 'quire token list' shows it."`
}

func (c *tokenRevokeCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		if err := o.ids.RevokeToken(a.ctx, quire.TokenID(c.ID), ""); err != nil {
			return fmt.Errorf("token %s: %w", c.ID, err)
		}
		return a.print(map[string]string{"revoked": c.ID}, "revoked %s\n", c.ID)
	})
}
