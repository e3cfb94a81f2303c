package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// The scopes that a client can ask for. Read and write are those of personal
// access tokens; there is none for administration, which is for people and the
// tokens that they make themselves.
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopeOffline = "offline_access"
	ScopeRead    = string(quire.ScopeRead)
	ScopeWrite   = string(quire.ScopeWrite)
)

// Scopes are all scopes, in the order in which they are listed.
func Scopes() []string {
	return []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeOffline, ScopeRead, ScopeWrite}
}

// Client is a program that may ask people for access (RFC 6749 §2).
type Client = catalog.Client

// ClientID names a client.
type ClientID = catalog.ClientID

// NewClient says what client is to be added.
type NewClient struct {
	ID        ClientID // empty makes a random one
	Name      string   // what people are shown
	Redirects []string // where browsers may be sent back to: exactly these
	Scope     []string // what it may ask for; empty is everything
	Public    bool     // it has no secret: an app on people's devices, which must use PKCE
	Trusted   bool     // it is our own: people are not asked whether they agree
	Office    bool     // answers carry the parameters sc and tk (WOPI §6)
}

// CreateClient adds a client. Its secret is returned once and cannot be had
// again; a public client has none. It is the operator's call.
func (a *Authority) CreateClient(ctx context.Context, n NewClient) (c Client, secret string, err error) {
	if n.ID == "" {
		n.ID = ClientID(strings.ToLower(rand.Text()[:16]))
	}
	if len(n.ID) > 100 || strings.ContainsFunc(string(n.ID), func(r rune) bool { return !plain(r) }) {
		return c, "", &quire.Invalid{What: "client id", Reason: "use up to 100 letters, digits and - . _ ~"}
	}
	if n.Name == "" || len(n.Name) > 100 || strings.ContainsFunc(n.Name, unicode.IsControl) {
		return c, "", &quire.Invalid{What: "client name", Reason: "use 1 to 100 characters: people are shown it"}
	}
	if len(n.Redirects) == 0 {
		return c, "", &quire.Invalid{What: "redirect", Reason: "give at least one URL"}
	}
	for _, r := range n.Redirects {
		if err := CheckRedirect(r); err != nil {
			return c, "", err
		}
	}
	if len(n.Scope) == 0 {
		n.Scope = Scopes()
	}
	for _, s := range n.Scope {
		if !slices.Contains(Scopes(), s) {
			return c, "", &quire.Invalid{What: "scope", Reason: s + " is none: use " + strings.Join(Scopes(), ", ")}
		}
	}
	c = Client{ID: n.ID, Name: n.Name, Redirects: n.Redirects, Scope: strings.Join(n.Scope, " "), Trusted: n.Trusted, Office: n.Office}
	if !n.Public {
		secret = rand.Text() + rand.Text()
		sum := sha256.Sum256([]byte(secret))
		c.Hash = sum[:]
	}
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		switch _, err := tx.Client(c.ID); {
		case err == nil:
			return &quire.Exists{Name: string(c.ID), Free: string(c.ID) + "-2"}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		c.Created = tx.Now()
		if err := tx.InsertClient(&c); err != nil {
			return err
		}
		return recordServer(ctx, tx, quire.EventAdmin, map[string]any{"client_added": string(c.ID), "client_name": c.Name, "redirects": c.Redirects, "scope": c.Scope})
	})
	return c, secret, err
}

// plain are the characters that mean nothing else in a URL (RFC 3986 §2.3).
func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r)
}

// CheckRedirect says whether a browser may be sent to a URL with a code. Plain
// HTTP is for programs on the user's own machine only (RFC 8252 §7.3).
func CheckRedirect(text string) error {
	bad := func(why string) error { return &quire.Invalid{What: "redirect " + text, Reason: why} }
	u, err := url.Parse(text)
	if err != nil || len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return bad("it is no URL")
	}
	switch {
	case strings.Contains(text, "#"):
		return bad("it must have no fragment")
	case u.User != nil:
		return bad("it must have no user name")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return !plain(r) && !strings.ContainsRune(":[]", r) }):
		return bad("its host has a character that no host has")
	case strings.Contains(u.Path, "/../") || strings.HasSuffix(u.Path, "/.."):
		return bad("it must have no .. in its path")
	}
	switch u.Scheme {
	case "https":
		if u.Host == "" {
			return bad("it has no host")
		}
	case "http":
		if h := u.Hostname(); h != "localhost" && h != "127.0.0.1" && h != "::1" {
			return bad("use https: plain http is for localhost only")
		}
	case "javascript", "data", "vbscript", "file", "blob", "about", "":
		return bad("use https, or an app's own scheme")
	}
	return nil
}

// Clients returns all clients in order of their names.
func (a *Authority) Clients(ctx context.Context) (list []Client, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		list, err = tx.Clients()
		return err
	})
	return list, err
}

// Client returns the client of an id.
func (a *Authority) Client(ctx context.Context, id ClientID) (c Client, err error) {
	if len(id) > 100 {
		return c, quire.ErrNotFound
	}
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		c, err = tx.Client(id)
		return err
	})
	return c, err
}

// DeleteClient removes a client. All that people have allowed it ends at once.
func (a *Authority) DeleteClient(ctx context.Context, id ClientID) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		c, err := tx.Client(id)
		if err != nil {
			return err
		}
		if err := tx.DeleteClient(id); err != nil {
			return err
		}
		return recordServer(ctx, tx, quire.EventAdmin, map[string]any{"client_removed": string(id), "client_name": c.Name})
	})
}

// VerifyClient returns the client that an id and a secret are those of;
// quire.ErrUnauthenticated if there is none. A public client has no secret, and
// must give none (RFC 6749 §2.3).
func (a *Authority) VerifyClient(ctx context.Context, id ClientID, secret string) (Client, error) {
	c, err := a.Client(ctx, id)
	if errors.Is(err, quire.ErrNotFound) {
		return Client{}, quire.ErrUnauthenticated
	}
	if err != nil {
		return Client{}, err
	}
	if len(c.Hash) == 0 {
		if secret != "" {
			return Client{}, quire.ErrUnauthenticated
		}
		return c, nil
	}
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], c.Hash) != 1 {
		return Client{}, quire.ErrUnauthenticated
	}
	return c, nil
}
