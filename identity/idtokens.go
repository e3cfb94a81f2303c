package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/quire-docs/quire/catalog"
)

// The keys that id tokens are signed with: RS256, which every client of OpenID
// Connect must know. A new one is made each keyRotation; older ones are
// published for as long as anything that they signed is looked at.
const (
	idKeyPurpose = "oidc-rs256"
	idKeyBits    = 2048
	idKeyKept    = keyRotation + 24*time.Hour
)

// SignIDToken signs claims as a JSON Web Token (OpenID Connect Core §2).
func (a *Authority) SignIDToken(ctx context.Context, claims any) (string, error) {
	k, err := a.idKey(ctx)
	if err != nil {
		return "", err
	}
	private, err := x509.ParsePKCS8PrivateKey(k.Secret)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: k.ID}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(b)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// IDKeys returns the public keys that id tokens are verified with (RFC 7517).
func (a *Authority) IDKeys(ctx context.Context) (jose.JSONWebKeySet, error) {
	if _, err := a.idKey(ctx); err != nil { // there is always one to show
		return jose.JSONWebKeySet{}, err
	}
	var set jose.JSONWebKeySet
	err := a.cat.View(ctx, func(tx *catalog.Tx) error {
		set.Keys = nil
		list, err := tx.Keys(idKeyPurpose)
		if err != nil {
			return err
		}
		for _, k := range list {
			private, err := x509.ParsePKCS8PrivateKey(k.Secret)
			if err != nil {
				return err
			}
			pair, ok := private.(*rsa.PrivateKey)
			if !ok {
				return fmt.Errorf("key %s is no RSA key", k.ID)
			}
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &pair.PublicKey, KeyID: k.ID, Algorithm: string(jose.RS256), Use: "sig"})
		}
		return nil
	})
	return set, err
}

// VerifyIDToken returns the claims of a token that this server signed, whether
// or not it has expired: a hint of who is meant (OpenID Connect Core §3.1.2.1).
func (a *Authority) VerifyIDToken(ctx context.Context, token string, claims any) error {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return err
	}
	set, err := a.IDKeys(ctx)
	if err != nil {
		return err
	}
	b, err := signed.Verify(set)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, claims)
}

// idKey returns the key to sign with, and makes a new one when that is old.
func (a *Authority) idKey(ctx context.Context) (catalog.Key, error) {
	var list []catalog.Key
	fresh := func(tx *catalog.Tx) bool { return len(list) > 0 && tx.Now().Sub(list[0].Created) < keyRotation }
	good := false
	read := func(tx *catalog.Tx) (err error) {
		list, err = tx.Keys(idKeyPurpose)
		good = fresh(tx)
		return err
	}
	if err := a.cat.View(ctx, read); err != nil {
		return catalog.Key{}, err
	}
	if good {
		return list[0], nil
	}
	pair, err := rsa.GenerateKey(rand.Reader, idKeyBits)
	if err != nil {
		return catalog.Key{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		return catalog.Key{}, err
	}
	err = a.cat.Update(ctx, func(tx *catalog.Tx) error {
		if err := read(tx); err != nil || good {
			return err // another node was first
		}
		for _, old := range list {
			if tx.Now().Sub(old.Created) > keyRotation+idKeyKept {
				if err := tx.DeleteKey(old.ID); err != nil {
					return err
				}
			}
		}
		k := catalog.Key{ID: strings.ToLower(rand.Text()[:12]), Purpose: idKeyPurpose, Secret: secret, Created: tx.Now()}
		list = []catalog.Key{k}
		return tx.PutKey(&k)
	})
	if err != nil {
		return catalog.Key{}, err
	}
	return list[0], nil
}
