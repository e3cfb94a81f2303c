package library

import (
	"context"
	"errors"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/lock"
)

// find returns a node with the caller's access to it, which must be at least
// needs. It is the one place where access is decided:
//
//   - a node of another site, in the trash, or that the caller has no access
//     to is not found: its existence is not told;
//   - access is the most of what was granted on the node or a container above
//     it, of what a presented share link gives there, and, for the site's
//     administrators, owner;
//   - a credential for one resource reaches that resource and what is below;
//   - a read-only credential cannot change anything.
func (l *Library) find(tx *catalog.Tx, c quire.Caller, id quire.NodeID, needs quire.Access) (Entry, error) {
	e, top, err := l.locate(tx, c, id)
	return l.inTree(tx, c, e, top, needs, err)
}

// findNode is find for a node that was read in this transaction.
func (l *Library) findNode(tx *catalog.Tx, c quire.Caller, n quire.Node, needs quire.Access) (Entry, error) {
	e, top, err := l.locateNode(tx, c, n)
	return l.inTree(tx, c, e, top, needs, err)
}

// inTree is the rest of find: the node must be in the site's tree, not in the
// trash, and the access enough.
func (l *Library) inTree(tx *catalog.Tx, c quire.Caller, e Entry, top quire.NodeID, needs quire.Access, err error) (Entry, error) {
	if err != nil {
		return Entry{}, err
	}
	t, err := l.siteTops(tx, e.Site)
	if err != nil {
		return Entry{}, err
	}
	if top != t.root {
		return Entry{}, quire.ErrNotFound
	}
	return e, allow(c, e, needs)
}

// locate is find without a look at which tree the node is in, and without a
// minimum of access but some.
func (l *Library) locate(tx *catalog.Tx, c quire.Caller, id quire.NodeID) (e Entry, top quire.NodeID, err error) {
	if id == "" {
		return Entry{}, "", quire.ErrNotFound
	}
	n, err := tx.Node(id)
	if err != nil {
		return Entry{}, "", err
	}
	return l.locateNode(tx, c, n)
}

// locateNode is locate for a node that was read in this transaction.
func (l *Library) locateNode(tx *catalog.Tx, c quire.Caller, n quire.Node) (e Entry, top quire.NodeID, err error) {
	if n.Site != c.Site {
		return Entry{}, "", quire.ErrNotFound
	}
	up, err := tx.Ancestry(n.ID, c.User)
	if err != nil {
		return Entry{}, "", err
	}
	if len(up) == 0 {
		return Entry{}, "", quire.ErrNotFound
	}
	e = Entry{Node: n, Path: pathOf(up)}
	e.Lock = lock.At(e.Lock, tx.Now(), e.Sequence)
	if e.Access, err = l.accessAlong(tx, c, up); err != nil {
		return Entry{}, "", err
	}
	if e.Access == quire.NoAccess {
		return Entry{}, "", refuse(c, e, quire.Viewer, quire.ErrNotFound)
	}
	return e, up[len(up)-1].ID, nil
}

// accessAlong returns the caller's access to the first node of a way up.
func (l *Library) accessAlong(tx *catalog.Tx, c quire.Caller, up []catalog.Ancestor) (quire.Access, error) {
	within := c.Within == ""
	var linked quire.Link
	if c.Link != "" {
		link, err := l.liveLink(tx, c.Link)
		if err != nil && !errors.Is(err, quire.ErrNotFound) {
			return quire.NoAccess, err
		}
		linked = link
	}
	access := quire.NoAccess
	for _, a := range up {
		within = within || a.ID == c.Within
		if c.User != "" {
			access = max(access, a.Access)
		}
		if linked.ID != "" && linked.Node == a.ID {
			access = max(access, linked.Access)
		}
	}
	if c.Role == quire.RoleAdmin {
		access = quire.Owner
	}
	if !within {
		access = quire.NoAccess
	}
	return access, nil
}

// allow says whether the access to an entry is enough for what a call needs.
func allow(c quire.Caller, e Entry, needs quire.Access) error {
	switch {
	case e.Access == quire.NoAccess:
		return refuse(c, e, needs, quire.ErrNotFound)
	case e.Access < needs:
		return refuse(c, e, needs, quire.ErrForbidden)
	case needs > quire.Viewer && !c.Scope.Allows(quire.ScopeWrite):
		return refuse(c, e, needs, quire.ErrForbidden)
	case !c.Scope.Allows(quire.ScopeRead):
		return refuse(c, e, needs, quire.ErrForbidden)
	}
	return nil
}

// admin refuses everybody but the administrators of the caller's site.
func admin(c quire.Caller) error {
	if c.Role != quire.RoleAdmin || !c.Scope.Allows(quire.ScopeAdmin) || c.Within != "" {
		return quire.ErrForbidden
	}
	return nil
}

func (l *Library) siteTops(tx *catalog.Tx, id quire.SiteID) (tops, error) {
	if t, ok := l.tops.Load(id); ok {
		return t.(tops), nil
	}
	s, err := tx.Site(id)
	if err != nil {
		return tops{}, err
	}
	t := tops{root: s.Root, trash: s.Trash}
	l.tops.Store(id, t)
	return t, nil
}

// pathOf joins the names on a way up. The top has none.
func pathOf(up []catalog.Ancestor) string {
	if len(up) == 1 {
		return "/"
	}
	var b strings.Builder
	for i := len(up) - 2; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(up[i].Name)
	}
	return b.String()
}

// joinPath appends a name to a container's path.
func joinPath(container, name string) string { return strings.TrimSuffix(container, "/") + "/" + name }

// Stat returns a node.
func (l *Library) Stat(ctx context.Context, c quire.Caller, id quire.NodeID) (e Entry, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		e, err = l.find(tx, c, id, quire.Viewer)
		return err
	})
	return e, err
}

// Lookup returns the node at a path in the caller's site. Names match without
// regard to case.
func (l *Library) Lookup(ctx context.Context, c quire.Caller, path string) (e Entry, err error) {
	names, err := SplitPath(path)
	if err != nil {
		return Entry{}, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		id, rest, err := l.walk(tx, c.Site, names)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return quire.ErrNotFound
		}
		e, err = l.find(tx, c, id, quire.Viewer)
		return err
	})
	return e, err
}

// walk follows names from a site's root as far as there are nodes, and returns
// the last one with the names that are left.
func (l *Library) walk(tx *catalog.Tx, site quire.SiteID, names []string) (quire.NodeID, []string, error) {
	t, err := l.siteTops(tx, site)
	if err != nil {
		return "", nil, err
	}
	id := t.root
	for i, name := range names {
		n, err := tx.Child(id, foldName(name))
		if errors.Is(err, quire.ErrNotFound) {
			return id, names[i:], nil
		}
		if err != nil {
			return "", nil, err
		}
		id = n.ID
	}
	return id, nil, nil
}

// Ancestors returns the containers above a node, the root first, without the
// node itself. Only those that the caller has access to are told; complete
// says whether that is all of them.
func (l *Library) Ancestors(ctx context.Context, c quire.Caller, id quire.NodeID) (list []Entry, complete bool, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, complete = nil, true
		if _, err := l.find(tx, c, id, quire.Viewer); err != nil {
			return err
		}
		up, err := tx.Ancestry(id, c.User)
		if err != nil {
			return err
		}
		for i := len(up) - 1; i > 0; i-- {
			access, err := l.accessAlong(tx, withoutLimit(c), up[i:])
			if err != nil {
				return err
			}
			if access == quire.NoAccess {
				complete = false
				continue
			}
			n, err := tx.Node(up[i].ID)
			if err != nil {
				return err
			}
			list = append(list, Entry{Node: n, Path: pathOf(up[i:]), Access: access})
		}
		return nil
	})
	return list, complete, err
}

// withoutLimit lifts a credential's limit to one resource. Doors that trade
// one resource's token for another's ask what its user may reach.
func withoutLimit(c quire.Caller) quire.Caller {
	c.Within = ""
	return c
}
