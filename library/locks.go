package library

import (
	"context"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/lock"
)

// live returns a file's lock state without what has expired.
func live(n quire.Node, now time.Time) quire.LockState { return lock.At(n.Lock, now, n.Sequence) }

// Lock takes, refreshes, swaps or releases a lock on a file: one atomic step,
// durable when it returns. The entry that is returned has the lock state after
// it. A refusal is a *quire.Locked with the state that refused.
func (l *Library) Lock(ctx context.Context, c quire.Caller, id quire.NodeID, r lock.Request) (e Entry, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if e, err = l.find(tx, c, id, quire.Editor); err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		next, err := lock.Apply(e.Lock, r, e.Sequence, tx.Now())
		if err != nil {
			return err
		}
		e.Lock = next
		return tx.UpdateNode(&e.Node)
	})
	return e, err
}

// ForceUnlock drops every lock on a file, whoever holds it. Only owners and
// administrators may, and it is recorded.
func (l *Library) ForceUnlock(ctx context.Context, c quire.Caller, id quire.NodeID) (e Entry, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if e, err = l.find(tx, c, id, quire.Owner); err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		held := e.Lock
		next, err := lock.Apply(e.Lock, lock.Request{Op: lock.ForceUnlock}, e.Sequence, tx.Now())
		if err != nil {
			return err
		}
		e.Lock = next
		if err := tx.UpdateNode(&e.Node); err != nil {
			return err
		}
		return l.record(tx, c, quire.EventForceUnlock, e, map[string]any{"holders": holders(held)})
	})
	return e, err
}

// holders names who holds a lock, for the record.
func holders(s quire.LockState) []string {
	var names []string
	if s.WOPI != nil {
		names = append(names, s.WOPI.Name)
	}
	for _, c := range s.Coauth {
		names = append(names, c.Name)
	}
	return names
}
