package identity

import (
	"context"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// record adds to the record of events that something happened to a user's account
// or credentials, in the transaction in which it happens. Who did it is who
// quire.WithActor named, or the user. Nothing in detail may be worth anything to
// who reads it: ids and labels, never a token, a code or what somebody typed.
func record(ctx context.Context, tx *catalog.Tx, u quire.User, kind quire.EventKind, detail map[string]any) error {
	by, _ := quire.ActorOf(ctx)
	switch {
	case by.User == "" && by.Name == "":
		by.User, by.Name = u.ID, u.Name
	case by.User != u.ID:
		detail["user"] = u.Login
	}
	return tx.AddEvent(&quire.Event{
		Site: u.Site, Kind: kind, Time: tx.Now(), User: by.User, Name: by.Name, Door: by.Door, Addr: by.Addr, Detail: detail,
	})
}

// recordOf is record for a user who is known by id.
func recordOf(ctx context.Context, tx *catalog.Tx, user quire.UserID, kind quire.EventKind, detail map[string]any) error {
	u, err := tx.User(user)
	if err != nil {
		return err
	}
	return record(ctx, tx, u, kind, detail)
}

// recordServer is record for what concerns the whole server and no one user. It
// is in the site of who did it, or else in the first one.
func recordServer(ctx context.Context, tx *catalog.Tx, kind quire.EventKind, detail map[string]any) error {
	by, _ := quire.ActorOf(ctx)
	if by.Site == "" {
		list, err := tx.Sites()
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return nil // a server without a site has nobody who could ask for its record
		}
		by.Site = list[0].ID
		for _, s := range list[1:] {
			if s.Created.Before(list[0].Created) {
				list[0], by.Site = s, s.ID
			}
		}
	}
	return tx.AddEvent(&quire.Event{
		Site: by.Site, Kind: kind, Time: tx.Now(), User: by.User, Name: by.Name, Door: by.Door, Addr: by.Addr, Detail: detail,
	})
}
