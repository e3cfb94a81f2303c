package wopi

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// resource is a kind of thing that a URL below /wopi/ names.
type resource string

// The kinds, as they stand in URLs.
const (
	aFile        resource = "files"
	aContainer   resource = "containers"
	theEcosystem resource = "ecosystem"
)

// tokenPurpose is what WOPI tokens are signed for. Other doors' tokens are
// nothing here, and these are nothing there.
const tokenPurpose = "wopi"

// token is what a WOPI access token carries: one user, or the holder of one
// share link, and one resource. What they may do is looked up at each request.
type token struct {
	Kind     resource     `json:"k"`
	Node     quire.NodeID `json:"n,omitempty"` // empty for the ecosystem
	Revision int64        `json:"r,omitempty"` // 0 is the current one
	User     quire.UserID `json:"u,omitempty"`
	Link     quire.LinkID `json:"l,omitempty"`
	Editor   string       `json:"e,omitempty"` // the configured editor that it was made for
	ReadOnly bool         `json:"v,omitempty"`
	Guest    string       `json:"g,omitempty"` // tells guests of a link apart

	expires time.Time
}

// mint signs a token that expires at a time.
func (d *Door) mint(ctx context.Context, t token, expires time.Time) (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return d.ids.Sign(ctx, tokenPurpose, b, expires)
}

// authenticate finds out who calls. The token must be for the resource of the
// URL; it is in the query, or else in the Authorization header.
func (c *call) authenticate(kind resource) error {
	text := c.r.URL.Query().Get("access_token")
	if text == "" {
		if scheme, rest, ok := strings.Cut(c.r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
			text = strings.TrimSpace(rest)
		}
	}
	payload, expires, err := c.ids.Open(c.ctx, tokenPurpose, text)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, &c.tok); err != nil {
		return quire.ErrUnauthenticated
	}
	c.tok.expires = expires
	if c.tok.Kind != kind || c.tok.Node != c.id || c.tok.Revision != c.rev {
		return quire.ErrUnauthenticated
	}
	c.caller, err = c.callerOf(c.ctx, c.tok)
	return err
}

// trade makes a token for another resource that expires when the caller's
// does: only a host page or an OAuth call starts a new lifetime (WOPI §1).
func (c *call) trade(kind resource, id quire.NodeID) (string, error) {
	t := c.tok
	t.Kind, t.Node, t.Revision = kind, id, 0
	return c.mint(c.ctx, t, c.tok.expires)
}

// pointer returns the URL of another resource with a traded token.
func (c *call) pointer(kind resource, id quire.NodeID) (string, error) {
	text, err := c.trade(kind, id)
	if err != nil {
		return "", err
	}
	return c.resourceURL(kind, id) + "?access_token=" + url.QueryEscape(text), nil
}

// resourceURL is the URL of a resource without a token: for a file, its
// WopiSrc.
func (d *Door) resourceURL(kind resource, id quire.NodeID) string {
	u := d.base() + "/wopi/" + string(kind)
	if id != "" {
		u += "/" + string(id)
	}
	return u
}

// Access is what an editor needs to open a file.
type Access struct {
	WopiSrc string `json:"wopisrc"`
	Token   string `json:"access_token"`
	TTL     int64  `json:"access_token_ttl"` // when the token expires, in ms since 1970 UTC
}

// Grant makes a token with a lifetime of its own for a file, a container or an
// old revision. It is for callers who have shown who they are: a host page, an
// OAuth call, the operator.
func (d *Door) Grant(ctx context.Context, caller quire.Caller, id quire.NodeID, revision int64, editor string, readOnly bool) (Access, error) {
	e, err := d.lib.Stat(ctx, caller, id)
	if err != nil {
		return Access{}, err
	}
	kind := aFile
	if e.IsContainer() {
		kind = aContainer
	}
	expires := time.Now().Add(d.opt.TokenLife).Truncate(time.Millisecond)
	t := token{Kind: kind, Node: id, Revision: revision, User: caller.User, Link: caller.Link, Editor: editor, ReadOnly: readOnly}
	if t.User == "" {
		t.Guest = library.NewID()[:12]
	}
	text, err := d.mint(ctx, t, expires)
	if err != nil {
		return Access{}, err
	}
	src := d.resourceURL(kind, quire.NodeID(fileID(id, revision)))
	return Access{WopiSrc: src, Token: text, TTL: expires.UnixMilli()}, nil
}

// URL is the WopiSrc with its token.
func (a Access) URL() string {
	return a.WopiSrc + "?access_token=" + url.QueryEscape(a.Token) + "&access_token_ttl=" + strconv.FormatInt(a.TTL, 10)
}
