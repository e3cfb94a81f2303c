package library

import (
	"context"
	"errors"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Trash returns a page of what a caller may restore: what they deleted
// themselves or own; for administrators, everything. Next continues a listing;
// it is empty on the last page.
func (l *Library) Trash(ctx context.Context, c quire.Caller, after string, limit int) (list []Entry, next string, err error) {
	if limit, err = pageSize(limit, 100); err != nil {
		return nil, "", err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, next = nil, ""
		if !c.Scope.Allows(quire.ScopeRead) {
			return quire.ErrForbidden
		}
		t, err := l.siteTops(tx, c.Site)
		if err != nil {
			return err
		}
		for len(list) < limit {
			page, err := tx.Children(t.trash, after, limit)
			if err != nil {
				return err
			}
			for _, n := range page {
				after = n.NameKey
				if !mayUntrash(c, n) {
					continue
				}
				if list = append(list, Entry{Node: n, Path: "/" + n.Name, Access: quire.Owner}); len(list) == limit {
					next = after
					return nil
				}
			}
			if len(page) < limit {
				return nil
			}
		}
		return nil
	})
	return list, next, err
}

func mayUntrash(c quire.Caller, n quire.Node) bool {
	if n.Trashed == nil || n.Trashed.Parent == "" || // a copy in the making
		n.Site != c.Site || c.Within != "" {
		return false
	}
	return c.Role == quire.RoleAdmin || c.User != "" && (n.Trashed.By == c.User || n.Owner == c.User)
}

// trashed returns the top of a deleted tree that the caller may restore.
func (l *Library) trashed(tx *catalog.Tx, c quire.Caller, id quire.NodeID) (quire.Node, error) {
	n, err := tx.Node(id)
	if err != nil {
		return n, err
	}
	if !mayUntrash(c, n) {
		return n, quire.ErrNotFound
	}
	if !c.Scope.Allows(quire.ScopeWrite) {
		return n, quire.ErrForbidden
	}
	return n, nil
}

// Trashed returns a deleted node that the caller may restore, with the path that
// it had in its container as that is now; the path is empty if that container is
// gone too.
func (l *Library) Trashed(ctx context.Context, c quire.Caller, id quire.NodeID) (e Entry, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		n, err := l.trashed(tx, c, id)
		if err != nil {
			return err
		}
		e = Entry{Node: n, Access: quire.Owner}
		parent, err := l.find(tx, c, n.Trashed.Parent, quire.Editor)
		if errors.Is(err, quire.ErrNotFound) {
			return nil
		}
		e.Path = joinPath(parent.Path, n.Name)
		return err
	})
	return e, err
}

// Untrash brings a deleted node back to where it was, or to the root if that
// container is gone. If its name has been taken meanwhile it gets a free one.
func (l *Library) Untrash(ctx context.Context, c quire.Caller, id quire.NodeID) (e Entry, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		n, err := l.trashed(tx, c, id)
		if err != nil {
			return err
		}
		parent, err := l.find(tx, c, n.Trashed.Parent, quire.Editor)
		if errors.Is(err, quire.ErrNotFound) {
			t, err2 := l.siteTops(tx, c.Site)
			if err2 != nil {
				return err2
			}
			parent, err = l.find(tx, c, t.root, quire.Editor)
		}
		if err != nil {
			return err
		}
		e = Entry{Node: n, Access: parent.Access}
		if err := l.fits(tx, e, parent); err != nil {
			return err
		}
		name := n.Name
		switch _, err := tx.Child(parent.ID, foldName(name)); {
		case err == nil:
			if name, err = l.freeIn(tx, parent.ID, name); err != nil {
				return err
			}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		e.Trashed, e.Parent, e.Name, e.NameKey = nil, parent.ID, name, foldName(name)
		e.Path = joinPath(parent.Path, name)
		if err := tx.UpdateNode(&e.Node); err != nil {
			return err
		}
		if err := tx.DeleteChore(chorePurge, string(id)); err != nil {
			return err
		}
		return l.record(tx, c, quire.EventNew, e, map[string]any{"from": "trash"})
	})
	return e, err
}

// Purge deletes a trashed node for good, with all below it.
func (l *Library) Purge(ctx context.Context, c quire.Caller, id quire.NodeID) error {
	err := l.update(ctx, func(tx *catalog.Tx) error {
		n, err := l.trashed(tx, c, id)
		if err != nil {
			return err
		}
		return l.record(tx, c, quire.EventPurge, Entry{Node: n, Path: n.Name}, nil)
	})
	if err != nil {
		return err
	}
	return l.purge(ctx, id)
}

// EmptyTrash purges all that Trash lists for the caller, and tells how many
// nodes that were.
func (l *Library) EmptyTrash(ctx context.Context, c quire.Caller) (int, error) {
	n, after := 0, ""
	for {
		list, next, err := l.Trash(ctx, c, after, 100)
		if err != nil {
			return n, err
		}
		for _, e := range list {
			if err := l.Purge(ctx, c, e.ID); err != nil && !errors.Is(err, quire.ErrNotFound) {
				return n, err
			}
			n++
		}
		if next == "" {
			return n, nil
		}
		after = next
	}
}

// purgeBatch is how many nodes are deleted in one transaction, so that a large
// tree does not hold up other writers.
const purgeBatch = 200

// purge deletes a trashed tree from the leaves up. If it is interrupted, what
// is left is still in the trash, with its chore.
func (l *Library) purge(ctx context.Context, id quire.NodeID) error {
	for {
		done := false
		err := l.update(ctx, func(tx *catalog.Tx) error {
			done = false
			top, err := tx.Node(id)
			if errors.Is(err, quire.ErrNotFound) {
				done = true
				return nil
			}
			if err != nil {
				return err
			}
			if top.Trashed == nil {
				done = true // it was restored meanwhile
				return nil
			}
			left := purgeBatch
			done, err = purgeBelow(tx, &top, &left)
			return err
		})
		if err != nil || done {
			return err
		}
	}
}

// purgeBelow deletes a node after all below it, as far as left goes, and says
// whether it came to the end.
func purgeBelow(tx *catalog.Tx, n *quire.Node, left *int) (bool, error) {
	if n.IsContainer() {
		for {
			if *left <= 0 {
				return false, nil
			}
			page, err := tx.Children(n.ID, "", *left)
			if err != nil {
				return false, err
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				done, err := purgeBelow(tx, &page[i], left)
				if err != nil || !done {
					return false, err
				}
			}
		}
	}
	if *left <= 0 {
		return false, nil
	}
	*left--
	return true, tx.DeleteNode(n)
}
