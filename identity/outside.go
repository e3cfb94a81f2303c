package identity

import (
	"context"
	"errors"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// OutsideUser returns the user that somebody at an outside provider is, by the
// provider's iss and sub: quire.ErrNotFound if they have not been here,
// quire.ErrUnauthenticated if they may not sign in.
func (a *Authority) OutsideUser(ctx context.Context, issuer, subject string) (u quire.User, err error) {
	err = a.cat.View(ctx, func(tx *catalog.Tx) error {
		o, err := tx.OutsideIdentity(issuer, subject)
		if err != nil {
			return err
		}
		u, err = tx.User(o.Owner)
		if err == nil && u.Disabled {
			err = quire.ErrUnauthenticated
		}
		return err
	})
	return u, err
}

// LinkOutside records who a user is at an outside provider. Nobody is two users:
// quire.Exists if that person is another one already.
func (a *Authority) LinkOutside(ctx context.Context, user quire.UserID, issuer, subject string) error {
	return a.cat.Update(ctx, func(tx *catalog.Tx) error {
		switch o, err := tx.OutsideIdentity(issuer, subject); {
		case err == nil && o.Owner == user:
			return nil
		case err == nil:
			return &quire.Exists{Name: subject}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		if err := tx.PutOutsideIdentity(&catalog.OutsideIdentity{Issuer: issuer, Subject: subject, Owner: user, Created: tx.Now()}); err != nil {
			return err
		}
		return recordOf(ctx, tx, user, quire.EventAdmin, map[string]any{"linked": issuer, "subject": subject})
	})
}
