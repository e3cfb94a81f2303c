package fileapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// profile is POST account/profile.
func profile(c *call) error {
	u, err := c.lib.ChangeSelf(c.ctx, c.caller, library.UserChange{Name: c.text("name"), Email: c.text("email")})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"uid": u.ID, "login": u.Login, "name": u.Name, "email": u.Email})
}

// confirm asks for the user's password, so that an unattended browser is not
// enough.
func (c *call) confirm(name string) error {
	me, err := c.lib.UserByID(c.ctx, c.caller, c.caller.User)
	if err != nil {
		return err
	}
	_, err = c.ids.SignIn(c.ctx, me.Login, c.q.Get(name), c.caller.Addr)
	if errors.Is(err, quire.ErrUnauthenticated) {
		return &statusError{status: http.StatusForbidden, code: "wrong_password", msg: "the password is wrong: try again"}
	}
	return err
}

// password is POST account/password: with the old one. It signs the user out
// everywhere else.
func password(c *call) error {
	if err := c.confirm("old"); err != nil {
		return err
	}
	hash, err := c.hash("new")
	if err != nil {
		return err
	}
	if _, err := c.lib.ChangeSelf(c.ctx, c.caller, library.UserChange{Password: &hash}); err != nil {
		return err
	}
	return endSessions(c)
}

// sessions is GET account/sessions: where the user is signed in.
func sessions(c *call) error {
	list, err := c.ids.Sessions(c.ctx, c.caller.User)
	if err != nil {
		return err
	}
	type session struct {
		ID      string  `json:"id"`
		Created float64 `json:"created"`
		Used    float64 `json:"used"`
		Agent   string  `json:"agent"`
		Addr    string  `json:"addr"`
		This    bool    `json:"this"`
	}
	out := struct {
		Sessions []session `json:"sessions"`
	}{[]session{}}
	for _, s := range list {
		if time.Now().Before(s.Expires) {
			out.Sessions = append(out.Sessions, session{s.ID, unix(s.Created), unix(s.Used), s.Agent, s.Addr, s.ID == c.session.ID})
		}
	}
	return c.answer(http.StatusOK, out)
}

// endSession is POST account/end_session.
func endSession(c *call) error {
	if err := c.ids.EndSession(c.ctx, c.caller.User, c.q.Get("id")); err != nil {
		return err
	}
	return c.done()
}

// endSessions is POST account/end_sessions: it signs the user out of all browsers
// but this one, and of all apps.
func endSessions(c *call) error {
	if err := c.ids.EndSessions(c.ctx, c.caller.User, c.session.ID); err != nil {
		return err
	}
	return c.done()
}

// tokenView is a personal access token as its owner sees it.
type tokenView struct {
	ID      quire.TokenID `json:"id"`
	Label   string        `json:"label"`
	Scope   quire.Scope   `json:"scope"`
	Created float64       `json:"created"`
	Used    float64       `json:"used,omitempty"`
	Expires float64       `json:"expires,omitempty"`
	Text    string        `json:"token,omitempty"` // once, when it is made
}

func viewToken(k quire.Token) tokenView {
	v := tokenView{ID: k.ID, Label: k.Label, Scope: k.Scope, Created: unix(k.Created)}
	if !k.Used.IsZero() {
		v.Used = unix(k.Used)
	}
	if !k.Expires.IsZero() {
		v.Expires = unix(k.Expires)
	}
	return v
}

// tokens is GET account/tokens.
func tokens(c *call) error {
	list, err := c.ids.Tokens(c.ctx, c.caller.User)
	if err != nil {
		return err
	}
	out := struct {
		Tokens []tokenView `json:"tokens"`
	}{[]tokenView{}}
	for _, k := range list {
		out.Tokens = append(out.Tokens, viewToken(k))
	}
	return c.answer(http.StatusOK, out)
}

// createToken is POST account/create_token. Its text is told this once.
func createToken(c *call) error {
	life, err := c.life()
	if err != nil {
		return err
	}
	text, k, err := c.ids.CreateToken(c.ctx, c.caller.User, c.q.Get("label"), quire.Scope(c.q.Get("scope")), life)
	if err != nil {
		return err
	}
	v := viewToken(k)
	v.Text = text
	return c.answer(http.StatusOK, v)
}

// revokeToken is POST account/revoke_token.
func revokeToken(c *call) error {
	if err := c.ids.RevokeToken(c.ctx, quire.TokenID(c.q.Get("id")), c.caller.User); err != nil {
		return err
	}
	return c.done()
}
