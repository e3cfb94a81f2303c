package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// How guessing is slowed down. The count is in the catalog, so it holds on all
// nodes and over restarts. One address trying one name is stopped early; one
// address trying many names, and many addresses trying one name, later, since
// the one may be an office and the other would let anybody lock anybody out.
const (
	freePair     = 5
	freeAddress  = 50
	freeLogin    = 100
	firstPause   = 15 * time.Second
	longestPause = 15 * time.Minute
)

// guess is something that guesses are counted by.
type guess struct {
	what string
	free int64
}

func guesses(login, addr string) []guess {
	login = strings.ToLower(strings.TrimSpace(login))
	name := func(kind, text string) string {
		sum := sha256.Sum256([]byte(text))
		return kind + ":" + hex.EncodeToString(sum[:16])
	}
	return []guess{
		{name("pair", login+"\x00"+addr), freePair},
		{name("addr", addr), freeAddress},
		{name("login", login), freeLogin},
	}
}

// mayTry returns quire.Unavailable while the next attempt must wait.
func (a *Authority) mayTry(ctx context.Context, list []guess) error {
	return a.cat.View(ctx, func(tx *catalog.Tx) error {
		var wait time.Duration
		for _, g := range list {
			f, err := tx.Failure(g.what)
			if errors.Is(err, quire.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if f.Count < g.free {
				continue
			}
			pause := min(longestPause, firstPause<<min(f.Count-g.free, 10))
			wait = max(wait, pause-tx.Now().Sub(f.Last))
		}
		if wait > 0 {
			return &quire.Unavailable{Reason: "too many wrong attempts: wait and try again", After: wait, Excess: true}
		}
		return nil
	})
}

// failed counts a wrong attempt of a user, and records it. A user without an id is
// nobody here: what was typed as the name is not kept, since it may be a password.
// A count that has rested for a day begins anew.
func (a *Authority) failed(ctx context.Context, list []guess, u quire.User, kind quire.EventKind, why string) error {
	return a.cat.Update(context.WithoutCancel(ctx), func(tx *catalog.Tx) error {
		for _, g := range list {
			f, err := tx.Failure(g.what)
			if err != nil && !errors.Is(err, quire.ErrNotFound) {
				return err
			}
			if tx.Now().Sub(f.Last) > 24*time.Hour {
				f.Count = 0
			}
			f = catalog.Failure{What: g.what, Count: f.Count + 1, Last: tx.Now()}
			if err := tx.PutFailure(&f); err != nil {
				return err
			}
		}
		detail := map[string]any{quire.RefusedDetail: why}
		by, _ := quire.ActorOf(ctx)
		if u.ID != "" {
			by.Site, detail["user"] = u.Site, u.Login
		}
		return recordServer(quire.WithActor(ctx, by), tx, kind, detail)
	})
}

// succeeded forgets the wrong attempts of one name from one address.
func (a *Authority) succeeded(ctx context.Context, list []guess) error {
	known := false
	err := a.cat.View(ctx, func(tx *catalog.Tx) error {
		_, err := tx.Failure(list[0].what)
		if errors.Is(err, quire.ErrNotFound) {
			return nil
		}
		known = err == nil
		return err
	})
	if err != nil || !known {
		return err
	}
	return a.cat.Update(ctx, func(tx *catalog.Tx) error { return tx.DeleteFailure(list[0].what) })
}

// SignIn checks a login and a password that came from an address:
// quire.ErrUnauthenticated if they are not those of a user who may sign in, and
// quire.Unavailable after too many wrong ones. It takes as long for a login that
// does not exist. Who has a second factor must present that too: see Factor.
func (a *Authority) SignIn(ctx context.Context, login, password, addr string) (quire.User, error) {
	tries := guesses(login, addr)
	if err := a.mayTry(ctx, tries); err != nil {
		return quire.User{}, err
	}
	var u quire.User
	err := a.cat.View(ctx, func(tx *catalog.Tx) (err error) {
		u, err = tx.UserByLogin(login)
		return err
	})
	if err != nil && !errors.Is(err, quire.ErrNotFound) {
		return quire.User{}, err
	}
	ok, err := VerifyPassword(ctx, u.Password, password)
	if err != nil {
		return quire.User{}, err
	}
	if !ok || u.Disabled {
		why := "password"
		switch {
		case u.ID == "":
			why = "login"
		case ok:
			why = "disabled"
		}
		if err := a.failed(ctx, tries, u, quire.EventSignIn, why); err != nil {
			return quire.User{}, err
		}
		return quire.User{}, quire.ErrUnauthenticated
	}
	return u, a.succeeded(ctx, tries)
}
