package wopi

import (
	"errors"
	"net/http"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// A visitor who gave a link's password gets a cookie that says so, for that
// link only and for a working day.
const (
	sharePurpose = "share-link"
	shareLife    = 12 * time.Hour
	shareCookie  = "quire-link"
)

// guest returns a visit of whoever holds a share link. If the link asks for a
// password that has not been given, it sends the form and returns nil.
func (d *Door) guest(w http.ResponseWriter, r *http.Request) (*visit, quire.Link) {
	v := &visit{Door: d, w: w, r: r}
	k, site, err := d.lib.Link(r.Context(), quire.LinkID(r.PathValue("link")))
	if err != nil {
		v.problem(err)
		return nil, k
	}
	v.caller = quire.Caller{Site: site, Name: "Guest", Scope: quire.ScopeWrite, Link: k.ID, Door: quire.DoorWeb, Addr: server.ClientAddr(r.Context())}
	if k.Password != "" && !d.knowsPassword(r, k) {
		if r.Method == http.MethodPost {
			return v, k
		}
		if err := v.send(http.StatusOK, "password", page{Title: "This link has a password", Href: r.URL.EscapedPath()}); err != nil {
			v.problem(err)
		}
		return nil, k
	}
	return v, k
}

func (d *Door) knowsPassword(r *http.Request, k quire.Link) bool {
	c, err := r.Cookie(shareCookie + "-" + string(k.ID))
	if err != nil {
		return false
	}
	payload, _, err := d.ids.Open(r.Context(), sharePurpose, c.Value)
	return err == nil && string(payload) == string(k.ID)
}

// sharePage opens what a share link leads to.
func (d *Door) sharePage(w http.ResponseWriter, r *http.Request) {
	v, k := d.guest(w, r)
	if v == nil {
		return
	}
	node := k.Node
	if id := r.PathValue("id"); id != "" {
		node = quire.NodeID(id)
	}
	if err := v.show(node, 0, "edit"); err != nil {
		v.problem(err)
	}
}

// openShare takes a link's password.
func (d *Door) openShare(w http.ResponseWriter, r *http.Request) {
	v, k := d.guest(w, r)
	if v == nil {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	ok, err := identity.VerifyPassword(r.Context(), k.Password, r.PostFormValue("password"))
	if err == nil && !ok {
		err = &statusError{http.StatusUnauthorized, "The password is wrong: go back and try again."}
	}
	if err != nil {
		v.problem(err)
		return
	}
	text, err := d.ids.Sign(r.Context(), sharePurpose, []byte(k.ID), time.Now().Add(shareLife))
	if err != nil {
		v.problem(errors.Join(errors.New("the link could not be opened"), err))
		return
	}
	path := "/s/" + string(k.ID)
	http.SetCookie(w, &http.Cookie{
		Name: shareCookie + "-" + string(k.ID), Value: text, Path: path, HttpOnly: true,
		Secure: d.opt.PublicURL.Scheme == "https", SameSite: http.SameSiteLaxMode, MaxAge: int(shareLife.Seconds()),
	})
	http.Redirect(w, r, path, http.StatusSeeOther)
}
