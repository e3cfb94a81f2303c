package fileapi

import (
	"net/http"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// FormHeader carries the session's form token with a browser's call that
// changes something; a form that is posted has it in the field "form".
const FormHeader = "X-Quire-Form"

// signedIn makes the call one of a browser's session.
func (c *call) signedIn(cookie string) error {
	s, err := c.ids.Session(c.ctx, cookie)
	if err != nil {
		return err
	}
	c.caller = s.Caller
	c.caller.Door, c.caller.Addr = quire.DoorWeb, server.ClientAddr(c.ctx)
	c.session = &s
	return nil
}

// vouched refuses a session's call that a page of another site may have sent: a
// browser adds the cookie by itself, so what changes something must come from
// our own origin and carry the session's form token.
func (c *call) vouched(w way) error {
	if c.session == nil {
		if w.signed {
			return &statusError{status: http.StatusForbidden, code: "forbidden", msg: "not with a token: sign in with a browser"}
		}
		return nil
	}
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return nil
	}
	token := c.r.Header.Get(FormHeader)
	if token == "" && !w.content {
		token = c.q.Get("form")
	}
	if !server.SameOrigin(c.r, c.opt.PublicURL) || !c.session.ValidForm(token) {
		return &statusError{status: http.StatusForbidden, code: "bad_form", msg: "the request did not come from one of this server's pages, or the page is old: load it again"}
	}
	return nil
}

// names returns the names of users, where they are known.
func (c *call) names(ids []quire.UserID) []string {
	var out []string
	for _, id := range ids {
		if u, err := c.lib.UserByID(c.ctx, c.caller, id); err == nil {
			out = append(out, u.Name)
		}
	}
	return out
}

// account is GET account: who calls, and how full their site is.
func account(c *call) error {
	s, used, err := c.lib.SiteOf(c.ctx, c.caller)
	if err != nil {
		return err
	}
	u, err := c.lib.UserByID(c.ctx, c.caller, c.caller.User)
	if err != nil {
		return err
	}
	out := map[string]any{
		"uid": u.ID, "login": u.Login, "name": u.Name, "email": u.Email, "role": u.Role, "scope": c.caller.Scope,
		"account": s.Account, "instance": s.Instance, "quota": s.Quota, "used": used, "root": s.Root,
	}
	if c.session != nil {
		out["form"] = c.session.FormToken()
	}
	return c.answer(http.StatusOK, out)
}

// people is GET account/people: whom something can be shared with.
func people(c *call) error {
	limit, err := c.limit(20)
	if err != nil {
		return err
	}
	list, err := c.lib.People(c.ctx, c.caller, c.q.Get("query"), limit)
	if err != nil {
		return err
	}
	type person struct {
		UID   quire.UserID `json:"uid"`
		Login string       `json:"login"`
		Name  string       `json:"name"`
	}
	out := struct {
		People []person `json:"people"`
	}{[]person{}}
	for _, u := range list {
		out.People = append(out.People, person{u.ID, u.Login, u.Name})
	}
	return c.answer(http.StatusOK, out)
}

// text returns a parameter, or nil if it is not given.
func (c *call) text(name string) *string {
	if !c.has(name) {
		return nil
	}
	s := c.q.Get(name)
	return &s
}

// done answers a call that has nothing to tell.
func (c *call) done() error { return c.answer(http.StatusOK, map[string]bool{"ok": true}) }

// hash reads a new password.
func (c *call) hash(name string) (string, error) {
	return identity.HashPassword(c.ctx, c.q.Get(name))
}
