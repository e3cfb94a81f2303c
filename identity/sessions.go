package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// SessionLife is how long somebody stays signed in with a browser that they do
// not use.
const SessionLife = 7 * 24 * time.Hour

// How somebody signed in (RFC 8176; outside providers have no name there).
const (
	MethodPassword = "pwd"
	MethodOTP      = "otp"
	MethodOutside  = "fed"
)

// Session is somebody signed in with a browser, as the request that carries
// its cookie sees it.
type Session struct {
	catalog.Session
	Caller quire.Caller
}

// sessionID is what is stored of a cookie: who reads the catalog cannot sign
// in with it.
func sessionID(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

// StartSession signs a user in and returns what the cookie is to carry. Each
// sign-in gets a cookie of its own, so one that was planted before is worth
// nothing. Methods says how they signed in (RFC 8176); none is by password.
func (a *Authority) StartSession(ctx context.Context, user quire.UserID, agent, addr string, methods ...string) (cookie string, err error) {
	if len(methods) == 0 {
		methods = []string{MethodPassword}
	}
	cookie = rand.Text() + rand.Text()
	secret := make([]byte, 32)
	rand.Read(secret)
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		s := catalog.Session{
			ID: sessionID(cookie), Owner: user, Created: tx.Now(), Used: tx.Now(), Expires: tx.Now().Add(SessionLife),
			Agent: agent[:min(len(agent), 200)], Addr: addr, Secret: secret, Methods: strings.Join(methods, " "),
		}
		if err := tx.PutSession(&s); err != nil {
			return err
		}
		return recordOf(ctx, tx, user, quire.EventSignIn, map[string]any{"methods": s.Methods, "agent": s.Agent})
	})
	return cookie, err
}

// Session returns who a cookie signs in: quire.ErrUnauthenticated if it is not
// that of a live session.
func (a *Authority) Session(ctx context.Context, cookie string) (s Session, err error) {
	if cookie == "" || len(cookie) > 200 {
		return s, quire.ErrUnauthenticated
	}
	stale := false
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		if s.Session, err = tx.Session(sessionID(cookie)); err != nil {
			return err
		}
		if !tx.Now().Before(s.Expires) {
			return quire.ErrUnauthenticated
		}
		u, err := tx.User(s.Owner)
		if err != nil {
			return err
		}
		if u.Disabled {
			return quire.ErrUnauthenticated
		}
		s.Caller = CallerOf(u, quire.ScopeAdmin)
		stale = tx.Now().Sub(s.Used) > time.Hour
		return nil
	})
	if errors.Is(err, quire.ErrNotFound) {
		return Session{}, quire.ErrUnauthenticated
	}
	if err == nil && stale {
		// Only how long it lives on depends on this.
		_ = a.cat.Update(ctx, func(tx *catalog.Tx) error {
			now, err := tx.Session(s.ID)
			if err != nil {
				return err
			}
			now.Used, now.Expires = tx.Now(), tx.Now().Add(SessionLife)
			return tx.PutSession(&now)
		})
	}
	return s, err
}

// FormToken returns what a form of the session must carry, so that another
// site cannot send it.
func (s Session) FormToken() string {
	m := hmac.New(sha256.New, s.Secret)
	m.Write([]byte("form"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// ValidForm says whether a form carries the session's token.
func (s Session) ValidForm(token string) bool {
	return len(s.Secret) > 0 && hmac.Equal([]byte(token), []byte(s.FormToken()))
}

// Sessions returns a user's sessions in the order they began.
func (a *Authority) Sessions(ctx context.Context, user quire.UserID) (list []catalog.Session, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		list, err = tx.Sessions(user)
		return err
	})
	return list, err
}

// EndSession signs one session of a user out, by its id.
func (a *Authority) EndSession(ctx context.Context, user quire.UserID, id string) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		s, err := tx.Session(id)
		if err == nil && s.Owner != user {
			err = quire.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteSession(id); err != nil {
			return err
		}
		return recordOf(ctx, tx, user, quire.EventSignOut, map[string]any{"began": s.Created, "from": s.Addr})
	})
}

// EndSessions signs a user out everywhere: of all browsers but those whose
// sessions are named, and of the apps that they have allowed something. Personal
// access tokens stay.
func (a *Authority) EndSessions(ctx context.Context, user quire.UserID, but ...string) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		if err := tx.DeleteAuthorizationsOf(user); err != nil {
			return err
		}
		list, err := tx.Sessions(user)
		if err != nil {
			return err
		}
		for _, s := range list {
			if slices.Contains(but, s.ID) {
				continue
			}
			if err := tx.DeleteSession(s.ID); err != nil {
				return err
			}
		}
		return recordOf(ctx, tx, user, quire.EventSignOut, map[string]any{"everywhere": true})
	})
}
