package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Signed tokens carry what they stand for: a purpose, a payload and an expiry,
// under an HMAC-SHA256. Keys are kept in the catalog, so every node accepts
// what another one signed; they rotate, and old keys verify until everything
// that they signed has expired.
//
// A token is base64url(key id, 8 bytes · expiry, Unix ms, 8 bytes big-endian ·
// MAC, 32 bytes · payload), without padding: it can stand in a URL as it is.
const (
	keyIDBytes    = 8
	signedHead    = keyIDBytes + 8 + sha256.Size
	maxSigned     = 4096
	keyRotation   = 30 * 24 * time.Hour
	maxSignedLife = 60 * 24 * time.Hour
)

// keyring caches a purpose's keys. A key never changes once it is made, so a
// cached one is right; one that is not cached is looked up.
type keyring struct {
	mu   sync.RWMutex
	keys map[string]map[string]catalog.Key // by purpose and id
	best map[string]catalog.Key            // by purpose: the key to sign with
}

// Sign makes a token for one purpose. It can be opened, by every node, until
// it expires, at most 60 days from now.
func (a *Authority) Sign(ctx context.Context, purpose string, payload []byte, expires time.Time) (string, error) {
	if time.Until(expires) > maxSignedLife {
		expires = time.Now().Add(maxSignedLife)
	}
	k, err := a.signingKey(ctx, purpose)
	if err != nil {
		return "", err
	}
	b := make([]byte, signedHead, signedHead+len(payload))
	copy(b, k.ID)
	binary.BigEndian.PutUint64(b[keyIDBytes:], uint64(expires.UnixMilli()))
	b = append(b, payload...)
	copy(b[keyIDBytes+8:], seal(k, purpose, b[:keyIDBytes+8], payload))
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Open returns what a token of a purpose carries: quire.ErrUnauthenticated if
// it was not signed for that purpose, was tampered with, or has expired.
func (a *Authority) Open(ctx context.Context, purpose, token string) (payload []byte, expires time.Time, err error) {
	if len(token) > maxSigned {
		return nil, time.Time{}, quire.ErrUnauthenticated
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < signedHead {
		return nil, time.Time{}, quire.ErrUnauthenticated
	}
	k, err := a.key(ctx, purpose, string(b[:keyIDBytes]))
	if err != nil {
		return nil, time.Time{}, err
	}
	payload = b[signedHead:]
	if !hmac.Equal(b[keyIDBytes+8:signedHead], seal(k, purpose, b[:keyIDBytes+8], payload)) {
		return nil, time.Time{}, quire.ErrUnauthenticated
	}
	expires = time.UnixMilli(int64(binary.BigEndian.Uint64(b[keyIDBytes:]))).UTC()
	if !time.Now().Before(expires) {
		return nil, time.Time{}, quire.ErrUnauthenticated
	}
	return payload, expires, nil
}

// seal works out the MAC. The purpose is part of it, so that a token for one
// thing is nothing for another even if two purposes ever shared a key.
func seal(k catalog.Key, purpose string, head, payload []byte) []byte {
	m := hmac.New(sha256.New, k.Secret)
	m.Write([]byte(purpose))
	m.Write([]byte{0})
	m.Write(head)
	m.Write(payload)
	return m.Sum(nil)
}

// key returns a key by its id.
func (a *Authority) key(ctx context.Context, purpose, id string) (catalog.Key, error) {
	if strings.ContainsFunc(id, func(r rune) bool { return r < '0' || r > 'z' }) {
		return catalog.Key{}, quire.ErrUnauthenticated
	}
	a.ring.mu.RLock()
	k, ok := a.ring.keys[purpose][id]
	a.ring.mu.RUnlock()
	if ok {
		return k, nil
	}
	if err := a.loadKeys(ctx, purpose); err != nil {
		return catalog.Key{}, err
	}
	a.ring.mu.RLock()
	defer a.ring.mu.RUnlock()
	if k, ok := a.ring.keys[purpose][id]; ok {
		return k, nil
	}
	return catalog.Key{}, quire.ErrUnauthenticated
}

func (a *Authority) loadKeys(ctx context.Context, purpose string) error {
	return a.cat.View(ctx, func(tx *catalog.Tx) error {
		list, err := tx.Keys(purpose)
		if err == nil {
			a.remember(purpose, list)
		}
		return err
	})
}

func (a *Authority) remember(purpose string, list []catalog.Key) {
	a.ring.mu.Lock()
	defer a.ring.mu.Unlock()
	if a.ring.keys == nil {
		a.ring.keys = make(map[string]map[string]catalog.Key)
		a.ring.best = make(map[string]catalog.Key)
	}
	byID := make(map[string]catalog.Key, len(list))
	for _, k := range list {
		byID[k.ID] = k
		if k.Created.After(a.ring.best[purpose].Created) {
			a.ring.best[purpose] = k
		}
	}
	a.ring.keys[purpose] = byID
}

// signingKey returns the newest key of a purpose, and makes a new one when
// that is old. Keys that nothing can need any more are deleted.
func (a *Authority) signingKey(ctx context.Context, purpose string) (catalog.Key, error) {
	a.ring.mu.RLock()
	k := a.ring.best[purpose]
	a.ring.mu.RUnlock()
	if k.ID != "" && time.Since(k.Created) < keyRotation {
		return k, nil
	}
	var list []catalog.Key
	err := a.cat.Update(ctx, func(tx *catalog.Tx) error {
		var err error
		if list, err = tx.Keys(purpose); err != nil {
			return err
		}
		if len(list) > 0 && tx.Now().Sub(list[0].Created) < keyRotation {
			return nil
		}
		fresh := catalog.Key{ID: strings.ToLower(rand.Text()[:keyIDBytes]), Purpose: purpose, Secret: make([]byte, 32), Created: tx.Now()}
		rand.Read(fresh.Secret)
		if err := tx.PutKey(&fresh); err != nil {
			return err
		}
		kept := []catalog.Key{fresh}
		for _, old := range list {
			if tx.Now().Sub(old.Created) > keyRotation+maxSignedLife+24*time.Hour {
				if err := tx.DeleteKey(old.ID); err != nil {
					return err
				}
				continue
			}
			kept = append(kept, old)
		}
		list = kept
		return nil
	})
	if err != nil {
		return catalog.Key{}, err
	}
	a.remember(purpose, list)
	return list[0], nil
}

// Caller returns a user as a caller with a scope, as things are now:
// quire.ErrUnauthenticated if the user is gone or may not sign in.
func (a *Authority) Caller(ctx context.Context, id quire.UserID, scope quire.Scope) (c quire.Caller, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		u, err := tx.User(id)
		if err != nil {
			return err
		}
		if u.Disabled {
			return quire.ErrUnauthenticated
		}
		c = CallerOf(u, scope)
		return nil
	})
	if errors.Is(err, quire.ErrNotFound) {
		err = quire.ErrUnauthenticated
	}
	return c, err
}
