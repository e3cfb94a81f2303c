package catalog

import (
	"time"

	"github.com/quire-docs/quire"
)

// ClientID names a program that asks people for access.
type ClientID string

// Client is a program that may ask people for access by OAuth 2.0.
type Client struct {
	ID        ClientID
	Name      string   // what people are shown
	Hash      []byte   // of its secret; empty is a public client, which has none
	Redirects []string // where a browser may be sent back to, exactly
	Scope     string   // what it may ask for, separated by spaces
	Trusted   bool     // people are not asked whether they agree
	Office    bool     // the answer carries Office's parameters sc and tk (WOPI §6)
	Created   time.Time
}

var clients = newRecord("clients", "id name hash redirects scope trusted office created", 1,
	func(c *Client) []any {
		return []any{&c.ID, &c.Name, &c.Hash, asJSON{&c.Redirects}, &c.Scope, &c.Trusted, &c.Office, &c.Created}
	})

// Client returns the client of that id.
func (t *Tx) Client(id ClientID) (Client, error) { return clients.one(t, "WHERE id = $1", id) }

// Clients returns all clients in order of their names.
func (t *Tx) Clients() ([]Client, error) { return clients.all(t, "ORDER BY name, id") }

// InsertClient adds a client.
func (t *Tx) InsertClient(c *Client) error { return clients.insert(t, c) }

// DeleteClient removes a client with all that people have allowed it.
func (t *Tx) DeleteClient(id ClientID) error {
	for _, table := range []string{"authorizations", "consents"} {
		if _, err := t.c.Exec("DELETE FROM "+table+" WHERE client = $1", string(id)); err != nil {
			return err
		}
	}
	return clients.remove(t, id)
}

// AuthorizationID names an authorization.
type AuthorizationID string

// Authorization is what a user has allowed a client: it begins with a code, and
// goes on as a family of refresh tokens, of which only the newest is good.
type Authorization struct {
	ID        AuthorizationID
	Client    ClientID
	Owner     quire.UserID
	Scope     string
	Redirect  string // that the code was sent to
	Challenge string // of PKCE, S256; empty without
	Nonce     string // for the id token
	SignedIn  time.Time
	Methods   string // how the user signed in
	Created   time.Time
	Used      time.Time
	Expires   time.Time
	// Generation counts the exchanges: 0 until the code is used.
	Generation int64
	Agent      string
	Addr       string
	Epoch      int64
}

var authorizations = newRecord("authorizations", "id client owner scope redirect challenge nonce signed_in methods created used expires generation agent addr epoch", 1,
	func(a *Authorization) []any {
		return []any{&a.ID, &a.Client, &a.Owner, &a.Scope, &a.Redirect, &a.Challenge, &a.Nonce, &a.SignedIn, &a.Methods, &a.Created, &a.Used, &a.Expires, &a.Generation, &a.Agent, &a.Addr, &a.Epoch}
	})

// Authorization returns the authorization of that id.
func (t *Tx) Authorization(id AuthorizationID) (Authorization, error) {
	return authorizations.one(t, "WHERE id = $1", id)
}

// Authorizations returns a user's authorizations in the order they were made.
func (t *Tx) Authorizations(owner quire.UserID) ([]Authorization, error) {
	return authorizations.all(t, "WHERE owner = $1 ORDER BY created, id", owner)
}

// InsertAuthorization adds an authorization.
func (t *Tx) InsertAuthorization(a *Authorization) error { return authorizations.insert(t, a) }

// UpdateAuthorization writes an authorization that was read in this
// transaction.
func (t *Tx) UpdateAuthorization(a *Authorization) error { return authorizations.update(t, a) }

// DeleteAuthorization removes an authorization; it is no error if there is
// none.
func (t *Tx) DeleteAuthorization(id AuthorizationID) error { return authorizations.remove(t, id) }

// DeleteAuthorizationsOf removes all that a user has allowed.
func (t *Tx) DeleteAuthorizationsOf(owner quire.UserID) error {
	_, err := t.c.Exec("DELETE FROM authorizations WHERE owner = $1", string(owner))
	return err
}

// DeleteAuthorizationsBefore removes the authorizations that expired before a
// time.
func (t *Tx) DeleteAuthorizationsBefore(when time.Time) error {
	_, err := t.c.Exec("DELETE FROM authorizations WHERE expires < $1", millis(when))
	return err
}

// Consent is what a user need not be asked again for a client.
type Consent struct {
	Owner   quire.UserID
	Client  ClientID
	Scope   string
	Created time.Time
}

var consents = newRecord("consents", "owner client scope created", 2,
	func(c *Consent) []any { return []any{&c.Owner, &c.Client, &c.Scope, &c.Created} })

// Consent returns what a user has allowed a client.
func (t *Tx) Consent(owner quire.UserID, client ClientID) (Consent, error) {
	return consents.one(t, "WHERE owner = $1 AND client = $2", owner, client)
}

// PutConsent adds or replaces a consent.
func (t *Tx) PutConsent(c *Consent) error { return consents.upsert(t, c) }

// DeleteConsent removes a consent; it is no error if there is none.
func (t *Tx) DeleteConsent(owner quire.UserID, client ClientID) error {
	return consents.remove(t, owner, client)
}

// Factor is a user's second factor: a secret for one-time passwords by time
// (RFC 6238), and codes for when that is lost.
type Factor struct {
	Owner     quire.UserID
	Secret    []byte
	Confirmed bool     // a code was entered, so it is asked for from now on
	Step      int64    // the time step of the last code that was taken: none is taken twice
	Recovery  []string // hashes of the recovery codes that are left
	Created   time.Time
	Epoch     int64
}

var factors = newRecord("factors", "owner secret confirmed step recovery created epoch", 1,
	func(f *Factor) []any {
		return []any{&f.Owner, &f.Secret, &f.Confirmed, &f.Step, asJSON{&f.Recovery}, &f.Created, &f.Epoch}
	})

// Factor returns a user's second factor.
func (t *Tx) Factor(owner quire.UserID) (Factor, error) {
	return factors.one(t, "WHERE owner = $1", owner)
}

// PutFactor adds or replaces a second factor.
func (t *Tx) PutFactor(f *Factor) error { return factors.upsert(t, f) }

// UpdateFactor writes a factor that was read in this transaction.
func (t *Tx) UpdateFactor(f *Factor) error { return factors.update(t, f) }

// DeleteFactor removes a second factor; it is no error if there is none.
func (t *Tx) DeleteFactor(owner quire.UserID) error { return factors.remove(t, owner) }

// OutsideIdentity says who a user is at an outside provider (OpenID Connect:
// iss and sub).
type OutsideIdentity struct {
	Issuer, Subject string
	Owner           quire.UserID
	Created         time.Time
}

var outsideIdentities = newRecord("outside_identities", "issuer subject owner created", 2,
	func(o *OutsideIdentity) []any { return []any{&o.Issuer, &o.Subject, &o.Owner, &o.Created} })

// OutsideIdentity returns the user that somebody at an outside provider is.
func (t *Tx) OutsideIdentity(issuer, subject string) (OutsideIdentity, error) {
	return outsideIdentities.one(t, "WHERE issuer = $1 AND subject = $2", issuer, subject)
}

// OutsideIdentities returns who a user is elsewhere.
func (t *Tx) OutsideIdentities(owner quire.UserID) ([]OutsideIdentity, error) {
	return outsideIdentities.all(t, "WHERE owner = $1 ORDER BY created", owner)
}

// PutOutsideIdentity adds or replaces an outside identity.
func (t *Tx) PutOutsideIdentity(o *OutsideIdentity) error { return outsideIdentities.upsert(t, o) }

// Failure counts what went wrong lately under one name.
type Failure struct {
	What  string
	Count int64
	Last  time.Time
}

var failures = newRecord("failures", "what count last", 1,
	func(f *Failure) []any { return []any{&f.What, &f.Count, &f.Last} })

// Failure returns what is counted under a name.
func (t *Tx) Failure(what string) (Failure, error) { return failures.one(t, "WHERE what = $1", what) }

// PutFailure adds or replaces a count.
func (t *Tx) PutFailure(f *Failure) error { return failures.upsert(t, f) }

// DeleteFailure removes a count; it is no error if there is none.
func (t *Tx) DeleteFailure(what string) error { return failures.remove(t, what) }

// DeleteFailuresBefore removes the counts whose last failure was before a
// time.
func (t *Tx) DeleteFailuresBefore(when time.Time) error {
	_, err := t.c.Exec("DELETE FROM failures WHERE last < $1", millis(when))
	return err
}
