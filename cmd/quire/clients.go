package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/quire-docs/quire/identity"
)

type clientCmd struct {
	Add    clientAddCmd    `cmd:"" help:"Add an OAuth client and print its id, and its secret, which cannot be shown again."`
	List   clientListCmd   `cmd:"" help:"List OAuth clients, without their secrets."`
	Remove clientRemoveCmd `cmd:"" help:"Remove an OAuth client. All that people have allowed it ends at once."`
}

// clientView is a client as commands print one.
type clientView struct {
	ID        identity.ClientID `json:"client_id"`
	Secret    string            `json:"client_secret,omitempty"`
	Name      string            `json:"name"`
	Redirects []string          `json:"redirect_uris"`
	Scope     string            `json:"scope"`
	Public    bool              `json:"public"`
	Trusted   bool              `json:"trusted"`
	Office    bool              `json:"office"`
	Created   time.Time         `json:"created"`
}

func viewClient(c identity.Client, secret string) clientView {
	return clientView{c.ID, secret, c.Name, c.Redirects, c.Scope, len(c.Hash) == 0, c.Trusted, c.Office, c.Created}
}

type clientAddCmd struct {
	storage
	Name     string   `arg:"" help:"What people are shown when they are asked whether they agree."`
	ID       string   `help:"The client id; empty makes a random one."`
	Redirect []string `help:"A URL that browsers may be sent back to, exactly. May be given several times." required:"" sep:"none"`
	Scope    []string `help:"What it may ask for: openid, profile, email, offline_access, read, write. Empty is all of them." sep:","`
	Public   bool     `help:"An app on people's devices, which can keep no secret. It must use PKCE."`
	Trusted  bool     `help:"One of your own: people are not asked whether they agree."`
	Office   bool     `help:"Office on mobile and desktop: answers carry its parameters sc and tk."`
}

func (c *clientAddCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		k, secret, err := o.ids.CreateClient(a.ctx, identity.NewClient{
			ID: identity.ClientID(c.ID), Name: c.Name, Redirects: c.Redirect, Scope: c.Scope, Public: c.Public, Trusted: c.Trusted, Office: c.Office,
		})
		if err != nil {
			return err
		}
		text := "client id:     " + string(k.ID) + "\n"
		if secret != "" {
			text += "client secret: " + secret + "\n"
		}
		return a.print(viewClient(k, secret), "%s", text)
	})
}

type clientListCmd struct{ storage }

func (c *clientListCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		clients, err := o.ids.Clients(a.ctx)
		if err != nil {
			return err
		}
		list := []clientView{}
		for _, k := range clients {
			list = append(list, viewClient(k, ""))
		}
		return a.table(list, "ID\tNAME\tKIND\tSCOPE\tREDIRECTS", len(list), func(i int) []any {
			k := list[i]
			kind := "confidential"
			if k.Public {
				kind = "public"
			}
			return []any{k.ID, k.Name, kind, k.Scope, strings.Join(k.Redirects, " ")}
		})
	})
}

type clientRemoveCmd struct {
	storage
	ID string `arg:"" help:"The client's id, as 'quire client list' shows it."`
}

func (c *clientRemoveCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		if err := o.ids.DeleteClient(a.ctx, identity.ClientID(c.ID)); err != nil {
			return fmt.Errorf("client %s: %w", c.ID, err)
		}
		return a.print(map[string]string{"removed": c.ID}, "removed %s\n", c.ID)
	})
}
