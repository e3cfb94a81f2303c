package library

import (
	"context"
	"errors"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/lock"
)

// refusal says whether an error is that somebody else has the file or changed
// it.
func refusal(err error) bool {
	var locked *quire.Locked
	var conflict *quire.Conflict
	return errors.As(err, &locked) || errors.As(err, &conflict)
}

// rescue keeps content that a file refused, in a file beside it that says whose
// it is. Saves of one person on one day become revisions of one copy.
func (l *Library) rescue(ctx context.Context, c quire.Caller, id quire.NodeID, in *incoming, o Save) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		in.used = false
		e, err := l.find(tx, c, id, quire.Editor)
		if err != nil {
			return err
		}
		n, err := tx.Node(e.Parent)
		if err != nil {
			return err
		}
		if err := l.fit(tx, e.Site, in); err != nil {
			return err
		}
		// Who may change the file may leave a copy beside it, whatever they may
		// do to the folder.
		parent := Entry{Node: n, Path: pathUp(e.Path), Access: quire.Editor}
		o := Save{Authors: o.Authors, Kind: quire.SaveConflict}
		name := conflictName(e.Name, c.Name, tx.Now())
		there, err := tx.Child(parent.ID, foldName(name))
		switch {
		case err == nil && !there.IsContainer() && lock.What(live(there, tx.Now())) == lock.None:
			there.Lock = live(there, tx.Now()) // a change is stored with what of its lock is still in force
			kept := Entry{Node: there, Path: joinPath(parent.Path, there.Name), Access: quire.Editor}
			kept, _, err = l.revise(tx, c, kept, time.Time{}, in, o)
			if err != nil {
				return err
			}
			return l.recordConflict(tx, c, e, kept)
		case err == nil:
			if name, err = l.freeIn(tx, parent.ID, name); err != nil {
				return err
			}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		kept, _, err := l.create(tx, c, parent, name, time.Time{}, in, o)
		if err != nil {
			return err
		}
		return l.recordConflict(tx, c, e, kept)
	})
}

func (l *Library) recordConflict(tx *catalog.Tx, c quire.Caller, e, kept Entry) error {
	return l.record(tx, c, quire.EventConflict, e, map[string]any{"copy": string(kept.ID), "name": kept.Name, "revision": kept.Revision})
}

// conflictName names the copy of a file that somebody's changes are kept in.
func conflictName(name, who string, when time.Time) string {
	stem, ext := splitExt(name)
	tail := SanitizeName(" (conflict, " + clip(who, 60) + ", " + when.Format(time.DateOnly) + ")" + ext)
	return SanitizeName(clip(stem, quire.MaxNameBytes-len(tail)-1) + " " + tail)
}
