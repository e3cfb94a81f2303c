package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// How long what OAuth hands out lives. A code is for the next request; a
// refresh token lives on with each use.
const (
	CodeLife    = 2 * time.Minute
	AccessLife  = time.Hour
	RefreshLife = 30 * 24 * time.Hour
)

// What signed tokens are for. None is anything at another place.
const (
	codePurpose    = "oauth-code"
	accessPurpose  = "oauth-access"
	refreshPurpose = "oauth-refresh"
)

// The prefixes let people and secret scanners recognise tokens, and the doors
// tell them apart.
const (
	accessPrefix  = "qo_"
	refreshPrefix = "qr_"
)

// Authorization is what a user has allowed a client.
type Authorization = catalog.Authorization

// AuthorizationID names an authorization.
type AuthorizationID = catalog.AuthorizationID

// grantToken is what codes and tokens carry: which authorization they are of,
// and at which of its exchanges they were made.
type grantToken struct {
	ID         AuthorizationID `json:"a"`
	Generation int64           `json:"g"`
	Scope      string          `json:"s,omitempty"` // of an access token, when it has less than the authorization
}

// Request is what a client asked for at the authorization endpoint, after it
// was checked.
type Request struct {
	Client    Client
	Scope     []string
	Redirect  string
	Challenge string // of PKCE, S256; empty without
	Nonce     string
}

// GrantedScope returns what a client gets of what it asks for: all that it may
// ask for if it names nothing (Office may name nothing), and never more.
// quire.Invalid if nothing is left.
func GrantedScope(c Client, asked []string) ([]string, error) {
	may := strings.Fields(c.Scope)
	if len(asked) == 0 {
		return may, nil
	}
	var out []string
	for _, s := range asked {
		if slices.Contains(may, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, &quire.Invalid{What: "scope", Reason: "the client may ask for " + c.Scope}
	}
	return out, nil
}

// NeedsConsent says whether a user is to be asked if they agree to what a
// client wants.
func (a *Authority) NeedsConsent(ctx context.Context, user quire.UserID, r Request) (needs bool, err error) {
	if r.Client.Trusted {
		return false, nil
	}
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		c, err := tx.Consent(user, r.Client.ID)
		if errors.Is(err, quire.ErrNotFound) {
			needs = true
			return nil
		}
		given := strings.Fields(c.Scope)
		needs = slices.ContainsFunc(r.Scope, func(s string) bool { return !slices.Contains(given, s) })
		return err
	})
	return needs, err
}

// Authorize records that a session's user allows a client what it asks for, and
// returns the code for it, which is good once and for CodeLife (RFC 6749
// §4.1.2).
func (a *Authority) Authorize(ctx context.Context, s Session, r Request, agent, addr string) (code string, err error) {
	g := Authorization{
		ID: AuthorizationID(strings.ToLower(rand.Text())), Client: r.Client.ID, Owner: s.Owner, Scope: strings.Join(r.Scope, " "),
		Redirect: r.Redirect, Challenge: r.Challenge, Nonce: r.Nonce, SignedIn: s.Created, Methods: s.Methods,
		Agent: agent[:min(len(agent), 200)], Addr: addr,
	}
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		g.Created, g.Used, g.Expires = tx.Now(), tx.Now(), tx.Now().Add(CodeLife)
		consent := catalog.Consent{Owner: s.Owner, Client: r.Client.ID, Scope: g.Scope, Created: tx.Now()}
		switch old, err := tx.Consent(s.Owner, r.Client.ID); {
		case err == nil:
			for f := range strings.FieldsSeq(old.Scope) {
				if !slices.Contains(r.Scope, f) {
					consent.Scope += " " + f
				}
			}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		if err := tx.PutConsent(&consent); err != nil {
			return err
		}
		if err := tx.InsertAuthorization(&g); err != nil {
			return err
		}
		return recordOf(ctx, tx, s.Owner, quire.EventApp, map[string]any{"allowed": string(g.Client), "scope": g.Scope, "agent": g.Agent})
	})
	if err != nil {
		return "", err
	}
	return a.signGrant(ctx, codePurpose, grantToken{ID: g.ID}, time.Now().Add(CodeLife))
}

func (a *Authority) signGrant(ctx context.Context, purpose string, t grantToken, expires time.Time) (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return a.Sign(ctx, purpose, b, expires)
}

func (a *Authority) openGrant(ctx context.Context, purpose, text string) (t grantToken, expires time.Time, err error) {
	b, expires, err := a.Open(ctx, purpose, text)
	if err != nil {
		return t, expires, err
	}
	if json.Unmarshal(b, &t) != nil {
		return t, expires, quire.ErrUnauthenticated
	}
	return t, expires, nil
}

// Grant is what a client gets for a code or a refresh token.
type Grant struct {
	Access        string
	AccessLife    time.Duration
	Refresh       string // empty if the scope has no offline_access
	Scope         []string
	Authorization Authorization
	User          quire.User
}

// Redeem exchanges a code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.6). Redirect
// and verifier must be those of the authorization request.
//
// quire.ErrUnauthenticated if the code is not good. A code that comes a second
// time ends all that came of the first: one of the two was a thief's.
func (a *Authority) Redeem(ctx context.Context, c Client, code, redirect, verifier string) (Grant, error) {
	t, _, err := a.openGrant(ctx, codePurpose, code)
	if err != nil {
		return Grant{}, err
	}
	return a.exchange(ctx, c, t, func(g *Authorization) bool {
		if g.Redirect != redirect {
			return false
		}
		if g.Challenge == "" {
			return verifier == "" && len(c.Hash) > 0
		}
		sum := sha256.Sum256([]byte(verifier))
		return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.Challenge)) == 1
	}, nil)
}

// Refresh exchanges a refresh token for new tokens (RFC 6749 §6). The old one is
// used up: if it comes again, the whole family ends, since one of the two who
// had it was a thief. A scope asks for less in the access token; empty is all.
func (a *Authority) Refresh(ctx context.Context, c Client, refresh string, scope []string) (Grant, error) {
	text, ok := strings.CutPrefix(refresh, refreshPrefix)
	if !ok {
		return Grant{}, quire.ErrUnauthenticated
	}
	t, _, err := a.openGrant(ctx, refreshPurpose, text)
	if err != nil {
		return Grant{}, err
	}
	return a.exchange(ctx, c, t, func(*Authorization) bool { return true }, scope)
}

// exchange raises an authorization's generation and makes tokens of the new
// one. Fits is what else must hold.
func (a *Authority) exchange(ctx context.Context, c Client, t grantToken, fits func(*Authorization) bool, scope []string) (out Grant, err error) {
	refused := false
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		refused = false
		g, err := tx.Authorization(t.ID)
		if err != nil {
			return err
		}
		if g.Client != c.ID {
			return quire.ErrUnauthenticated // of another client: its owner is no worse off
		}
		if g.Generation != t.Generation || !fits(&g) {
			// A second use, or a code that somebody tries who does not know what its
			// owner knows. This commits the end of all that came of it.
			refused = true
			if err := tx.DeleteAuthorization(g.ID); err != nil {
				return err
			}
			return recordOf(ctx, tx, g.Owner, quire.EventApp, map[string]any{"ended": string(g.Client), quire.RefusedDetail: "a code or token that was used up"})
		}
		if !tx.Now().Before(g.Expires) {
			return quire.ErrUnauthenticated
		}
		u, err := tx.User(g.Owner)
		if err != nil {
			return err
		}
		if u.Disabled {
			return quire.ErrUnauthenticated
		}
		has := strings.Fields(g.Scope)
		out.Scope = has
		if len(scope) > 0 {
			for _, s := range scope {
				if !slices.Contains(has, s) {
					return &quire.Invalid{What: "scope", Reason: "it was not granted: ask the user again"}
				}
			}
			out.Scope = scope
		}
		g.Generation++
		g.Used = tx.Now()
		g.Expires = tx.Now().Add(AccessLife)
		if slices.Contains(has, ScopeOffline) {
			g.Expires = tx.Now().Add(RefreshLife)
		}
		out.Authorization, out.User = g, u
		return tx.UpdateAuthorization(&g)
	})
	switch {
	case errors.Is(err, quire.ErrNotFound) || err == nil && refused:
		return Grant{}, quire.ErrUnauthenticated
	case err != nil:
		return Grant{}, err
	}
	out.AccessLife = AccessLife
	g := out.Authorization
	text, err := a.signGrant(ctx, accessPurpose, grantToken{ID: g.ID, Generation: g.Generation, Scope: strings.Join(out.Scope, " ")}, time.Now().Add(AccessLife))
	if err != nil {
		return Grant{}, err
	}
	out.Access = accessPrefix + text
	if slices.Contains(strings.Fields(g.Scope), ScopeOffline) {
		if text, err = a.signGrant(ctx, refreshPurpose, grantToken{ID: g.ID, Generation: g.Generation}, g.Expires); err != nil {
			return Grant{}, err
		}
		out.Refresh = refreshPrefix + text
	}
	return out, nil
}

// Access is what an OAuth token stands for.
type Access struct {
	Authorization Authorization
	User          quire.User
	Scope         []string
	Expires       time.Time
	Refresh       bool // it is a refresh token
}

// Has says whether the token may be used for something.
func (a Access) Has(scope string) bool { return slices.Contains(a.Scope, scope) }

// Caller returns the caller that the token stands for: quire.ErrForbidden if its
// scope has neither read nor write. The caller has no Door, Editor or Addr yet.
func (a Access) Caller() (quire.Caller, error) {
	switch {
	case a.Has(ScopeWrite):
		return CallerOf(a.User, quire.ScopeWrite), nil
	case a.Has(ScopeRead):
		return CallerOf(a.User, quire.ScopeRead), nil
	}
	return quire.Caller{}, quire.ErrForbidden
}

// OAuth returns what an access token stands for, as things are now:
// quire.ErrUnauthenticated if it is none, has expired or was revoked, or if its
// user may not sign in.
func (a *Authority) OAuth(ctx context.Context, text string) (Access, error) {
	rest, ok := strings.CutPrefix(text, accessPrefix)
	if !ok {
		return Access{}, quire.ErrUnauthenticated
	}
	return a.oauth(ctx, accessPurpose, rest)
}

func (a *Authority) oauth(ctx context.Context, purpose, rest string) (out Access, err error) {
	t, expires, err := a.openGrant(ctx, purpose, rest)
	if err != nil {
		return out, err
	}
	found, err := a.grants.Get(ctx, a.cat, t.ID, func() (f found, err error) {
		err = a.cat.View(ctx, func(tx *catalog.Tx) error {
			if f.grant, err = tx.Authorization(t.ID); err != nil {
				return err
			}
			f.user, err = tx.User(f.grant.Owner)
			return err
		})
		return f, err
	})
	if errors.Is(err, quire.ErrNotFound) {
		return out, quire.ErrUnauthenticated
	}
	if err != nil {
		return out, err
	}
	g := found.grant
	refresh := purpose == refreshPurpose
	if found.user.Disabled || t.Generation < 1 || t.Generation > g.Generation || refresh && t.Generation != g.Generation {
		return out, quire.ErrUnauthenticated
	}
	scope := t.Scope
	if refresh {
		scope = g.Scope
	}
	return Access{Authorization: g, User: found.user, Scope: strings.Fields(scope), Expires: expires, Refresh: refresh}, nil
}

// found is an authorization and whose it is.
type found struct {
	grant Authorization
	user  quire.User
}

// Introspect returns what an access or refresh token stands for (RFC 7662).
func (a *Authority) Introspect(ctx context.Context, text string) (Access, error) {
	if rest, ok := strings.CutPrefix(text, refreshPrefix); ok {
		return a.oauth(ctx, refreshPurpose, rest)
	}
	return a.OAuth(ctx, text)
}

// Revoke ends the authorization that an access or refresh token of a client is
// of, with all its tokens (RFC 7009). What is no such token is no error.
func (a *Authority) Revoke(ctx context.Context, c Client, text string) error {
	purpose := accessPurpose
	rest, ok := strings.CutPrefix(text, accessPrefix)
	if !ok {
		if rest, ok = strings.CutPrefix(text, refreshPrefix); !ok {
			return nil
		}
		purpose = refreshPurpose
	}
	t, _, err := a.openGrant(ctx, purpose, rest)
	if errors.Is(err, quire.ErrUnauthenticated) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		g, err := tx.Authorization(t.ID)
		if errors.Is(err, quire.ErrNotFound) || err == nil && g.Client != c.ID {
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteAuthorization(g.ID); err != nil {
			return err
		}
		return recordOf(ctx, tx, g.Owner, quire.EventApp, map[string]any{"ended": string(g.Client), "by": "the app"})
	})
}

// App is a client that a user has allowed something, for people to look at.
type App struct {
	Client        string
	Authorization Authorization
}

// Apps returns what a user has allowed and has not ended, in the order it was
// allowed.
func (a *Authority) Apps(ctx context.Context, user quire.UserID) (list []App, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		list = nil
		grants, err := tx.Authorizations(user)
		if err != nil {
			return err
		}
		for _, g := range grants {
			if g.Generation == 0 || !tx.Now().Before(g.Expires) {
				continue
			}
			c, err := tx.Client(g.Client)
			if err != nil {
				return err
			}
			list = append(list, App{c.Name, g})
		}
		return nil
	})
	return list, err
}

// EndApp ends one authorization of a user, and forgets that they agreed.
func (a *Authority) EndApp(ctx context.Context, user quire.UserID, id AuthorizationID) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		g, err := tx.Authorization(id)
		if err == nil && g.Owner != user {
			err = quire.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteConsent(user, g.Client); err != nil {
			return err
		}
		if err := tx.DeleteAuthorization(id); err != nil {
			return err
		}
		return recordOf(ctx, tx, user, quire.EventApp, map[string]any{"ended": string(g.Client)})
	})
}
