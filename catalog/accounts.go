package catalog

import (
	"hash/fnv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
)

var sites = newRecord("sites", "id account instance root trash quota created viewer epoch", 1,
	func(s *quire.Site) []any {
		return []any{&s.ID, &s.Account, &s.Instance, &s.Root, &s.Trash, &s.Quota, &s.Created, asJSON{&s.Viewer}, &s.Epoch}
	})

// Site returns the site of that id.
func (t *Tx) Site(id quire.SiteID) (quire.Site, error) { return sites.one(t, "WHERE id = $1", id) }

// SiteNamed returns the site of that account and instance.
func (t *Tx) SiteNamed(account, instance string) (quire.Site, error) {
	return sites.one(t, "WHERE account = $1 AND instance = $2", account, instance)
}

// Sites returns all sites in order of their names.
func (t *Tx) Sites() ([]quire.Site, error) { return sites.all(t, "ORDER BY account, instance") }

// InsertSite adds a site.
func (t *Tx) InsertSite(s *quire.Site) error { return sites.insert(t, s) }

// UpdateSite writes a site that was read in this transaction.
func (t *Tx) UpdateSite(s *quire.Site) error { return sites.update(t, s) }

// usageShards is over how many rows the count of a site's bytes is spread, so that
// those who save at the same time seldom change the same one. Only their sum has a
// meaning.
const usageShards = 64

// usageShard is the row that counts a holder's bytes. Some characters of an id are
// not random, so all have a part in it.
func usageShard(holder string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(holder)) // never fails
	return int64(h.Sum32() % usageShards)
}

// Usage returns how many bytes the site's files and uploads hold.
func (t *Tx) Usage(site quire.SiteID) (int64, error) {
	return t.number("SELECT COALESCE(SUM(bytes), 0) FROM usage WHERE site = $1", site)
}

func (t *Tx) addUsage(site quire.SiteID, holder string, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	_, err := t.c.Exec("INSERT INTO usage (site, shard, bytes) VALUES ($1, $2, $3) ON CONFLICT (site, shard) DO UPDATE SET bytes = usage.bytes + excluded.bytes",
		string(site), usageShard(holder), bytes)
	return err
}

// user adds the folded login, which the domain has no use for.
type user struct {
	quire.User
	key string
}

var users = newRecord("users", "id site login name email role password disabled created info login_key epoch", 1,
	func(u *user) []any {
		return []any{&u.ID, &u.Site, &u.Login, &u.Name, &u.Email, &u.Role, &u.Password, &u.Disabled, &u.Created, &u.Info, &u.key, &u.Epoch}
	})

func loginKey(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

// User returns the user of that id.
func (t *Tx) User(id quire.UserID) (quire.User, error) {
	u, err := users.one(t, "WHERE id = $1", id)
	return u.User, err
}

// UserByLogin returns the user who signs in with that name, without regard to
// case.
func (t *Tx) UserByLogin(login string) (quire.User, error) {
	u, err := users.one(t, "WHERE login_key = $1", loginKey(login))
	return u.User, err
}

// Users returns a page of a site's users in order of their logins, after the
// login of that name; an empty site is all sites.
func (t *Tx) Users(site quire.SiteID, after string, limit int) ([]quire.User, error) {
	rest, args := "WHERE login_key > $1 ORDER BY login_key LIMIT $2", []any{loginKey(after), int64(limit)}
	if site != "" {
		rest, args = "WHERE site = $1 AND login_key > $2 ORDER BY login_key LIMIT $3", []any{site, loginKey(after), int64(limit)}
	}
	list, err := users.all(t, rest, args...)
	out := make([]quire.User, len(list))
	for i := range list {
		out[i] = list[i].User
	}
	return out, err
}

// CountUsers returns how many users there are on the server.
func (t *Tx) CountUsers() (int64, error) { return t.number("SELECT COUNT(*) FROM users") }

// InsertUser adds a user. The login must be free.
func (t *Tx) InsertUser(u *quire.User) error {
	return users.insert(t, &user{*u, loginKey(u.Login)})
}

// UpdateUser writes a user that was read in this transaction.
func (t *Tx) UpdateUser(u *quire.User) error {
	r := user{*u, loginKey(u.Login)}
	err := users.update(t, &r)
	u.Epoch = r.Epoch
	return err
}

var tokens = newRecord("tokens", "id owner label scope hash created expires used", 1,
	func(k *quire.Token) []any {
		return []any{&k.ID, &k.User, &k.Label, &k.Scope, &k.Hash, &k.Created, &k.Expires, &k.Used}
	})

// Token returns the personal access token of that id.
func (t *Tx) Token(id quire.TokenID) (quire.Token, error) { return tokens.one(t, "WHERE id = $1", id) }

// Tokens returns a user's tokens in the order they were made; an empty user is
// everybody.
func (t *Tx) Tokens(owner quire.UserID) ([]quire.Token, error) {
	if owner == "" {
		return tokens.all(t, "ORDER BY owner, created")
	}
	return tokens.all(t, "WHERE owner = $1 ORDER BY created", owner)
}

// InsertToken adds a token.
func (t *Tx) InsertToken(k *quire.Token) error { return tokens.insert(t, k) }

// UpdateToken writes a token.
func (t *Tx) UpdateToken(k *quire.Token) error { return tokens.update(t, k) }

// DeleteToken removes a token; it is no error if there is none.
func (t *Tx) DeleteToken(id quire.TokenID) error { return tokens.remove(t, id) }

// Key is a secret that the server signs with. Keys of one purpose rotate: the
// newest signs, and older ones verify until they retire.
type Key struct {
	ID      string
	Purpose string
	Secret  []byte
	Created time.Time
	Retires time.Time // zero: it has not been replaced
}

var keys = newRecord("keys", "id purpose secret created retires", 1,
	func(k *Key) []any { return []any{&k.ID, &k.Purpose, &k.Secret, &k.Created, &k.Retires} })

// Keys returns the keys of a purpose, the newest first.
func (t *Tx) Keys(purpose string) ([]Key, error) {
	return keys.all(t, "WHERE purpose = $1 ORDER BY created DESC, id", purpose)
}

// PutKey adds or replaces a key.
func (t *Tx) PutKey(k *Key) error { return keys.upsert(t, k) }

// DeleteKey removes a key.
func (t *Tx) DeleteKey(id string) error { return keys.remove(t, id) }

// Session is somebody signed in with a browser. Its id is the hash of what the
// cookie carries.
type Session struct {
	ID      string
	Owner   quire.UserID
	Created time.Time
	Used    time.Time
	Expires time.Time
	Agent   string // what the browser calls itself
	Addr    string
	Secret  []byte // keys the session's form tokens
	Methods string // how the user signed in, as in RFC 8176, separated by spaces
}

var sessions = newRecord("sessions", "id owner created used expires agent addr secret methods", 1,
	func(s *Session) []any {
		return []any{&s.ID, &s.Owner, &s.Created, &s.Used, &s.Expires, &s.Agent, &s.Addr, &s.Secret, &s.Methods}
	})

// Session returns the session of that id.
func (t *Tx) Session(id string) (Session, error) { return sessions.one(t, "WHERE id = $1", id) }

// Sessions returns a user's sessions in the order they began.
func (t *Tx) Sessions(owner quire.UserID) ([]Session, error) {
	return sessions.all(t, "WHERE owner = $1 ORDER BY created", owner)
}

// PutSession adds or replaces a session.
func (t *Tx) PutSession(s *Session) error { return sessions.upsert(t, s) }

// DeleteSession removes a session; it is no error if there is none.
func (t *Tx) DeleteSession(id string) error { return sessions.remove(t, id) }

// DeleteSessionsBefore removes the sessions that expired before a time.
func (t *Tx) DeleteSessionsBefore(when time.Time) error {
	_, err := t.c.Exec("DELETE FROM sessions WHERE expires < $1", millis(when))
	return err
}

// RevokedLink is a signed link that an administrator ended before its time.
type RevokedLink struct {
	Site      quire.SiteID
	Signature string    // that of the link, by the site's viewer secret
	Expires   time.Time // the link's own end; the zero time if it has none
}

var revokedLinks = newRecord("revoked_links", "site signature expires", 2,
	func(r *RevokedLink) []any { return []any{&r.Site, &r.Signature, &r.Expires} })

// RevokedLink returns what is recorded of a revoked link.
func (t *Tx) RevokedLink(site quire.SiteID, signature string) (RevokedLink, error) {
	return revokedLinks.one(t, "WHERE site = $1 AND signature = $2", site, signature)
}

// PutRevokedLink adds a revoked link, or replaces what is recorded of it.
func (t *Tx) PutRevokedLink(r *RevokedLink) error { return revokedLinks.upsert(t, r) }

// DeleteRevokedLinks removes what is recorded of a site's revoked links.
func (t *Tx) DeleteRevokedLinks(site quire.SiteID) error {
	_, err := t.c.Exec("DELETE FROM revoked_links WHERE site = $1", string(site))
	return err
}

// DeleteRevokedLinksBefore removes links that came to their own end before a time.
func (t *Tx) DeleteRevokedLinksBefore(when time.Time) error {
	_, err := t.c.Exec("DELETE FROM revoked_links WHERE expires > 0 AND expires < $1", millis(when))
	return err
}
