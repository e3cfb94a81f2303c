// Package identity says who somebody is: it checks passwords and tokens and
// yields a quire.Caller. It decides nothing about what a caller may do; that is
// package library's.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Authority checks credentials against the catalog. It is safe for concurrent
// use. What it keeps between calls it uses only while nothing in the catalog
// has changed, so a token that was revoked or a user who was disabled is
// refused at once, on every node.
type Authority struct {
	cat  *catalog.Store
	ring keyring

	bearers catalog.Cached[bearerKey, bearer]
	grants  catalog.Cached[AuthorizationID, found]
}

// New returns an authority over a catalog.
func New(cat *catalog.Store) *Authority { return &Authority{cat: cat} }

// CacheUse tells how often a token was known from before, and how often not.
func (a *Authority) CacheUse() (hits, misses uint64) {
	hits, misses = a.bearers.Use()
	h, m := a.grants.Use()
	return hits + h, misses + m
}

// A token is "qt_" + its id + "_" + its secret. The prefix lets people and
// secret scanners recognise one.
const tokenPrefix = "qt_"

// maxTokenLife is the longest life of a token that expires.
const maxTokenLife = 10 * 365 * 24 * time.Hour

// CreateToken makes a personal access token. Its text is returned once and
// cannot be had again. A life of 0 does not expire.
func (a *Authority) CreateToken(ctx context.Context, user quire.UserID, label string, scope quire.Scope, life time.Duration) (text string, k quire.Token, err error) {
	if !scope.Allows(quire.ScopeRead) {
		return "", k, &quire.Invalid{What: "scope", Reason: "use read, write or admin"}
	}
	if life < 0 || life > maxTokenLife {
		return "", k, &quire.Invalid{What: "life", Reason: "use up to ten years, or none"}
	}
	if len(label) > 200 {
		return "", k, &quire.Invalid{What: "label", Reason: "use at most 200 bytes"}
	}
	id, secret := strings.ToLower(rand.Text()), rand.Text()
	sum := sha256.Sum256([]byte(secret))
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		if scope == quire.ScopeAdmin && u.Role != quire.RoleAdmin {
			return &quire.Invalid{What: "scope", Reason: "only administrators can have an admin token: use write"}
		}
		k = quire.Token{ID: quire.TokenID(id), User: u.ID, Label: label, Scope: scope, Hash: sum[:], Created: tx.Now()}
		if life > 0 {
			k.Expires = tx.Now().Add(life)
		}
		if err := tx.InsertToken(&k); err != nil {
			return err
		}
		return record(ctx, tx, u, quire.EventToken, map[string]any{"made": string(k.ID), "label": label, "scope": string(scope)})
	})
	return tokenPrefix + id + "_" + secret, k, err
}

// Tokens returns a user's tokens in the order they were made; an empty user is
// everybody.
func (a *Authority) Tokens(ctx context.Context, user quire.UserID) (list []quire.Token, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		list, err = tx.Tokens(user)
		return err
	})
	return list, err
}

// RevokeToken ends a token at once. An owner that is not empty must be the
// token's.
func (a *Authority) RevokeToken(ctx context.Context, id quire.TokenID, owner quire.UserID) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		k, err := tx.Token(id)
		if err != nil {
			return err
		}
		if owner != "" && k.User != owner {
			return quire.ErrNotFound
		}
		if err := tx.DeleteToken(id); err != nil {
			return err
		}
		return recordOf(ctx, tx, k.User, quire.EventToken, map[string]any{"revoked": string(k.ID), "label": k.Label})
	})
}

// Bearer returns the caller that a personal access token or an OAuth access
// token stands for: quire.ErrUnauthenticated if it is not a live token of a user
// who may sign in. The caller has no Door, Editor or Addr yet.
func (a *Authority) Bearer(ctx context.Context, text string) (quire.Caller, error) {
	if strings.HasPrefix(text, accessPrefix) {
		access, err := a.OAuth(ctx, text)
		if err != nil {
			return quire.Caller{}, err
		}
		return access.Caller()
	}
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(rest) > 100 {
		return quire.Caller{}, quire.ErrUnauthenticated
	}
	id, secret, ok := strings.Cut(rest, "_")
	if !ok {
		return quire.Caller{}, quire.ErrUnauthenticated
	}
	sum := sha256.Sum256([]byte(secret))
	known, err := a.bearers.Get(ctx, a.cat, bearerKey{quire.TokenID(id), sum}, func() (bearer, error) {
		return a.lookUp(ctx, quire.TokenID(id), sum)
	})
	switch now := time.Now(); {
	case errors.Is(err, quire.ErrNotFound):
		return quire.Caller{}, quire.ErrUnauthenticated
	case err != nil:
		return quire.Caller{}, err
	case !known.token.Expires.IsZero() && !now.Before(known.token.Expires):
		return quire.Caller{}, quire.ErrUnauthenticated
	case now.Sub(known.token.Used) > time.Hour:
		a.touch(ctx, known.token.ID)
	}
	return known.caller, nil
}

// bearerKey names a token together with what was presented as its secret.
type bearerKey struct {
	id   quire.TokenID
	hash [sha256.Size]byte
}

// bearer is a token that is right, and whose it is.
type bearer struct {
	token  quire.Token
	caller quire.Caller
}

func (a *Authority) lookUp(ctx context.Context, id quire.TokenID, hash [sha256.Size]byte) (b bearer, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		if b.token, err = tx.Token(id); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(hash[:], b.token.Hash) != 1 {
			return quire.ErrUnauthenticated
		}
		u, err := tx.User(b.token.User)
		if err != nil {
			return err
		}
		if u.Disabled {
			return quire.ErrUnauthenticated
		}
		b.caller = CallerOf(u, b.token.Scope)
		return nil
	})
	return b, err
}

// touch notes that a token was used. It is for people to look at, so a failure
// is of no consequence.
func (a *Authority) touch(ctx context.Context, id quire.TokenID) {
	_ = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		k, err := tx.Token(id)
		if err != nil {
			return err
		}
		k.Used = tx.Now()
		return tx.UpdateToken(&k)
	})
}

// CallerOf returns a user as a caller with a scope. The scope of
// administration is only for administrators.
func CallerOf(u quire.User, scope quire.Scope) quire.Caller {
	if scope == quire.ScopeAdmin && u.Role != quire.RoleAdmin {
		scope = quire.ScopeWrite
	}
	return quire.Caller{User: u.ID, Site: u.Site, Name: u.Name, Role: u.Role, Scope: scope}
}
