package fileapi

import (
	"net/http"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
)

// operator refuses who may not administer the server.
func (c *call) operator() error {
	if c.caller.Role != quire.RoleAdmin || !c.caller.Scope.Allows(quire.ScopeAdmin) {
		return quire.ErrForbidden
	}
	return nil
}

// clientView is an OAuth client as administrators see it.
type clientView struct {
	ID        identity.ClientID `json:"id"`
	Name      string            `json:"name"`
	Redirects []string          `json:"redirects"`
	Scope     string            `json:"scope"`
	Public    bool              `json:"public"`
	Trusted   bool              `json:"trusted"`
	Office    bool              `json:"office"`
	Created   float64           `json:"created"`
	Secret    string            `json:"secret,omitempty"` // once, when it is made
}

func viewClient(k identity.Client) clientView {
	return clientView{ID: k.ID, Name: k.Name, Redirects: k.Redirects, Scope: k.Scope, Public: len(k.Hash) == 0, Trusted: k.Trusted, Office: k.Office, Created: unix(k.Created)}
}

// adminClients is GET admin/clients.
func adminClients(c *call) error {
	if err := c.operator(); err != nil {
		return err
	}
	list, err := c.ids.Clients(c.ctx)
	if err != nil {
		return err
	}
	out := struct {
		Clients []clientView `json:"clients"`
	}{[]clientView{}}
	for _, k := range list {
		out.Clients = append(out.Clients, viewClient(k))
	}
	return c.answer(http.StatusOK, out)
}

// addClient is POST admin/add_client: with name, redirect (lines), scope, and
// public, trusted and office as true or nothing. Its secret is told this once.
func addClient(c *call) error {
	if err := c.operator(); err != nil {
		return err
	}
	yes := func(name string) bool { return c.q.Get(name) == "true" }
	k, secret, err := c.ids.CreateClient(c.ctx, identity.NewClient{
		Name: c.q.Get("name"), Redirects: strings.Fields(c.q.Get("redirect")), Scope: strings.Fields(c.q.Get("scope")),
		Public: yes("public"), Trusted: yes("trusted"), Office: yes("office"),
	})
	if err != nil {
		return err
	}
	v := viewClient(k)
	v.Secret = secret
	return c.answer(http.StatusOK, v)
}

// removeClient is POST admin/remove_client.
func removeClient(c *call) error {
	if err := c.operator(); err != nil {
		return err
	}
	if err := c.ids.DeleteClient(c.ctx, identity.ClientID(c.q.Get("id"))); err != nil {
		return err
	}
	return c.done()
}
