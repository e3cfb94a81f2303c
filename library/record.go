package library

import (
	"context"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// record adds to the site's record of events, in the transaction of what it
// tells of.
func (l *Library) record(tx *catalog.Tx, c quire.Caller, kind quire.EventKind, e Entry, detail map[string]any) error {
	site := e.Site
	if site == "" {
		site = c.Site
	}
	return tx.AddEvent(&quire.Event{
		Site: site, Node: e.ID, Kind: kind, Path: e.Path, Time: tx.Now(),
		User: c.User, Name: c.Name, Door: c.Door, Addr: c.Addr, Detail: detail,
	})
}

// Change is one entry of the change feed.
type Change struct {
	quire.Event
	Entry *Entry // the node as it is now; nil if it is gone
}

// Changes returns what happened to the tree below a container after a cursor
// (0 is the beginning) and not before a time, the oldest first, a page at a
// time. The next call goes on from cursor; more says whether there is any yet.
// An empty container is the whole site.
func (l *Library) Changes(ctx context.Context, c quire.Caller, container quire.NodeID, after int64, since time.Time, limit int) (list []Change, cursor int64, more bool, err error) {
	if limit, err = pageSize(limit, 1000); err != nil {
		return nil, after, false, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, cursor, more = nil, after, false
		t, err := l.siteTops(tx, c.Site)
		if err != nil {
			return err
		}
		if container == "" {
			container = t.root
		}
		top, err := l.find(tx, c, container, quire.Viewer)
		if err != nil {
			return err
		}
		for {
			page, err := tx.SiteEvents(c.Site, cursor, since, limit)
			if err != nil {
				return err
			}
			for _, ev := range page {
				if len(list) == limit {
					more = true
					return nil
				}
				cursor = ev.Seq
				if !ev.Kind.IsChange() || !below(top.Path, ev.Path) {
					continue
				}
				ch := Change{Event: ev}
				e, err := l.find(tx, c, ev.Node, quire.Viewer)
				switch {
				case err == nil:
					ch.Entry = &e
				case top.Access == quire.NoAccess:
					continue
				}
				list = append(list, ch)
			}
			if len(page) < limit {
				return nil
			}
		}
	})
	return list, cursor, more, err
}

// EventLife returns how long events are kept. What happened after a cursor that
// is older may have been forgotten.
func (l *Library) EventLife() time.Duration { return l.opt.EventLife }

// LatestChange returns the cursor of what happened last in the caller's site.
func (l *Library) LatestChange(ctx context.Context, c quire.Caller) (cursor int64, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		cursor, err = tx.LastEvent(c.Site)
		return err
	})
	return cursor, err
}

// below says whether a path is the container's or leads through it.
func below(container, path string) bool {
	if container == "/" || container == path {
		return true
	}
	return len(path) > len(container) && path[:len(container)] == container && path[len(container)] == '/'
}

// Activities returns what happened to a node, the newest first, a page at a
// time; before is the sequence number of the last one seen, or 0.
func (l *Library) Activities(ctx context.Context, c quire.Caller, id quire.NodeID, before int64, limit int) (list []quire.Event, err error) {
	if limit, err = pageSize(limit, 100); err != nil {
		return nil, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		if _, err := l.find(tx, c, id, quire.Viewer); err != nil {
			return err
		}
		list, err = tx.NodeEvents(id, before, limit)
		return err
	})
	return list, err
}

// AddActivity records what an editor tells of a file: a comment, say. Detail
// is kept as it comes.
func (l *Library) AddActivity(ctx context.Context, c quire.Caller, id quire.NodeID, kind quire.EventKind, detail map[string]any) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		if !c.Scope.Allows(quire.ScopeWrite) {
			return quire.ErrForbidden
		}
		return l.record(tx, c, kind, e, detail)
	})
}

// Audit returns a site's events of all kinds, the oldest first, a page at a
// time. Administrators only.
func (l *Library) Audit(ctx context.Context, c quire.Caller, after int64, since time.Time, limit int) (list []quire.Event, err error) {
	if err := admin(c); err != nil {
		return nil, err
	}
	if limit, err = pageSize(limit, 1000); err != nil {
		return nil, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, err = tx.SiteEvents(c.Site, after, since, limit)
		return err
	})
	return list, err
}
