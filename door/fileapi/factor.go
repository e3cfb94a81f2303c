package fileapi

import (
	"errors"
	"net/http"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
)

// apps is GET account/apps: what the user has allowed programs.
func apps(c *call) error {
	list, err := c.ids.Apps(c.ctx, c.caller.User)
	if err != nil {
		return err
	}
	type app struct {
		ID      identity.AuthorizationID `json:"id"`
		Client  string                   `json:"client"`
		Scope   string                   `json:"scope"`
		Created float64                  `json:"created"`
		Used    float64                  `json:"used"`
		Agent   string                   `json:"agent"`
		Addr    string                   `json:"addr"`
	}
	out := struct {
		Apps []app `json:"apps"`
	}{[]app{}}
	for _, a := range list {
		g := a.Authorization
		out.Apps = append(out.Apps, app{g.ID, a.Client, g.Scope, unix(g.Created), unix(g.Used), g.Agent, g.Addr})
	}
	return c.answer(http.StatusOK, out)
}

// endApp is POST account/end_app.
func endApp(c *call) error {
	if err := c.ids.EndApp(c.ctx, c.caller.User, identity.AuthorizationID(c.q.Get("id"))); err != nil {
		return err
	}
	return c.done()
}

// factor is GET account/factor: whether a second factor is asked for.
func factor(c *call) error {
	has, left, err := c.ids.HasFactor(c.ctx, c.caller.User)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"on": has, "recovery": left})
}

// beginFactor is POST account/begin_factor, with the password: a new secret, told
// this once, that confirm_factor puts into force.
func beginFactor(c *call) error {
	if err := c.confirm("password"); err != nil {
		return err
	}
	n, err := c.ids.BeginFactor(c.ctx, c.caller.User, "Quire "+c.opt.PublicURL.Host)
	var exists *quire.Exists
	if errors.As(err, &exists) {
		return &statusError{status: http.StatusConflict, code: "exists", msg: "there is a second factor: take it off first"}
	}
	if err != nil {
		return err
	}
	path, size, err := n.Picture()
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{
		"secret": n.Secret, "url": n.URL, "recovery": n.Recovery, "qr": map[string]any{"path": path, "size": size},
	})
}

// confirmFactor is POST account/confirm_factor, with a code of the new secret.
func confirmFactor(c *call) error {
	err := c.ids.ConfirmFactor(c.ctx, c.caller.User, c.q.Get("code"), c.caller.Addr)
	var exists *quire.Exists
	switch {
	case errors.Is(err, quire.ErrUnauthenticated):
		return &statusError{status: http.StatusForbidden, code: "wrong_code", msg: "the code is wrong: see that the clocks are right, and enter the next one"}
	case errors.As(err, &exists):
		return &statusError{status: http.StatusConflict, code: "exists", msg: "the second factor is in force already"}
	case err != nil:
		return err
	}
	return c.done()
}

// endFactor is POST account/end_factor, with the password.
func endFactor(c *call) error {
	if err := c.confirm("password"); err != nil {
		return err
	}
	if err := c.ids.EndFactor(c.ctx, c.caller.User); err != nil {
		return err
	}
	return c.done()
}
