package library

import (
	"context"
	"errors"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// liveLink returns a share link that has not expired.
func (l *Library) liveLink(tx *catalog.Tx, id quire.LinkID) (quire.Link, error) {
	k, err := tx.Link(id)
	if err == nil && !k.Expires.IsZero() && !tx.Now().Before(k.Expires) {
		return quire.Link{}, quire.ErrNotFound
	}
	return k, err
}

// Link returns a share link that has not expired, with the site of its node.
// Holding the id is the permission to see it.
func (l *Library) Link(ctx context.Context, id quire.LinkID) (k quire.Link, site quire.SiteID, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		if k, err = l.liveLink(tx, id); err != nil {
			return err
		}
		n, err := tx.Node(k.Node)
		site = n.Site
		return err
	})
	return k, site, err
}

// mayShare decides who may give an access: editors up to their own, owners
// all.
func mayShare(e Entry, access quire.Access) error {
	if access < quire.Viewer || access > quire.Owner {
		return &quire.Invalid{What: "access", Reason: "use viewer, editor or owner"}
	}
	if access > e.Access {
		return quire.ErrForbidden
	}
	return nil
}

// Share gives a user of the same site access to a node and all below it, or
// changes what they have.
func (l *Library) Share(ctx context.Context, c quire.Caller, id quire.NodeID, user quire.UserID, access quire.Access) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Editor)
		if err != nil {
			return err
		}
		if err := mayShare(e, access); err != nil {
			return err
		}
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		if u.Site != e.Site {
			return quire.ErrNotFound
		}
		if err := l.mayReplaceGrant(tx, e, user); err != nil {
			return err
		}
		if err := tx.PutGrant(&quire.Grant{Node: id, User: user, Access: access, By: c.User, Created: tx.Now()}); err != nil {
			return err
		}
		return l.record(tx, c, quire.EventGrant, e, map[string]any{"user": string(user), "access": access.String()})
	})
}

// mayReplaceGrant keeps editors from taking away what an owner has.
func (l *Library) mayReplaceGrant(tx *catalog.Tx, e Entry, user quire.UserID) error {
	given, err := tx.Grants(e.ID)
	if err != nil {
		return err
	}
	for _, g := range given {
		if g.User == user && g.Access > e.Access {
			return quire.ErrForbidden
		}
	}
	return nil
}

// Unshare takes away what a user was granted on a node itself. Users may give
// up their own.
func (l *Library) Unshare(ctx context.Context, c quire.Caller, id quire.NodeID, user quire.UserID) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		needs := quire.Editor
		if user == c.User && user != "" {
			needs = quire.Viewer
		}
		e, err := l.find(tx, c, id, needs)
		if err != nil {
			return err
		}
		if !c.Scope.Allows(quire.ScopeWrite) {
			return quire.ErrForbidden
		}
		if err := l.mayReplaceGrant(tx, e, user); err != nil {
			return err
		}
		if err := tx.DeleteGrant(id, user); err != nil {
			return err
		}
		return l.record(tx, c, quire.EventGrant, e, map[string]any{"user": string(user), "access": quire.NoAccess.String()})
	})
}

// Sharing is who can reach a node, and through which node.
type Sharing struct {
	Grants []quire.Grant
	Links  []quire.Link // that have not expired; only for those who may share
}

// Sharing returns what was granted on a node and the containers above it, and
// the share links of the node itself.
func (l *Library) Sharing(ctx context.Context, c quire.Caller, id quire.NodeID) (s Sharing, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		s = Sharing{}
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		up, err := tx.Ancestry(id, "")
		if err != nil {
			return err
		}
		for _, a := range up {
			given, err := tx.Grants(a.ID)
			if err != nil {
				return err
			}
			s.Grants = append(s.Grants, given...)
		}
		if e.Access < quire.Editor {
			return nil
		}
		all, err := tx.Links(id)
		for _, k := range all {
			if k.Expires.IsZero() || tx.Now().Before(k.Expires) {
				s.Links = append(s.Links, k)
			}
		}
		return err
	})
	return s, err
}

// Shared says whether anybody but a node's owner can reach it: by a grant on
// it or above it, or by a link.
func (l *Library) Shared(ctx context.Context, c quire.Caller, id quire.NodeID) (shared bool, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		shared = false
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		up, err := tx.Ancestry(id, "")
		if err != nil {
			return err
		}
		for _, a := range up {
			given, err := tx.Grants(a.ID)
			if err != nil {
				return err
			}
			for _, g := range given {
				if g.User != e.Owner && g.Access > quire.NoAccess {
					shared = true
				}
			}
			links, err := tx.Links(a.ID)
			if err != nil {
				return err
			}
			for _, k := range links {
				shared = shared || k.Expires.IsZero() || tx.Now().Before(k.Expires)
			}
		}
		return nil
	})
	return shared, err
}

// CreateLink makes a share link to a node. Password is an encoded hash, or
// empty; life is 0 for a link that does not expire.
func (l *Library) CreateLink(ctx context.Context, c quire.Caller, id quire.NodeID, access quire.Access, life time.Duration, password string) (k quire.Link, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.mayLink(tx, c, id, access)
		if err != nil {
			return err
		}
		k, err = l.addLink(tx, c, e, access, life, password)
		return err
	})
	return k, err
}

// StandingLink returns a link to a node with an access, without a password or
// an end, that the caller made before, or makes one: asking twice gives the
// same.
func (l *Library) StandingLink(ctx context.Context, c quire.Caller, id quire.NodeID, access quire.Access) (k quire.Link, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.mayLink(tx, c, id, access)
		if err != nil {
			return err
		}
		all, err := tx.Links(id)
		if err != nil {
			return err
		}
		for _, have := range all {
			if have.By == c.User && have.Access == access && have.Expires.IsZero() && have.Password == "" {
				k = have
				return nil
			}
		}
		k, err = l.addLink(tx, c, e, access, 0, "")
		return err
	})
	return k, err
}

func (l *Library) mayLink(tx *catalog.Tx, c quire.Caller, id quire.NodeID, access quire.Access) (Entry, error) {
	e, err := l.find(tx, c, id, quire.Editor)
	if err != nil {
		return e, err
	}
	if access > quire.Editor {
		return e, &quire.Invalid{What: "access", Reason: "a link can make viewers or editors"}
	}
	return e, mayShare(e, access)
}

func (l *Library) addLink(tx *catalog.Tx, c quire.Caller, e Entry, access quire.Access, life time.Duration, password string) (quire.Link, error) {
	k := quire.Link{ID: quire.LinkID(NewID()), Node: e.ID, Access: access, By: c.User, Created: tx.Now(), Password: password}
	if life > 0 {
		k.Expires = tx.Now().Add(life)
	}
	if err := tx.PutLink(&k); err != nil {
		return k, err
	}
	return k, l.record(tx, c, quire.EventLink, e, map[string]any{"access": access.String()})
}

// RevokeLink ends a share link. Who made it and who may share the node can.
func (l *Library) RevokeLink(ctx context.Context, c quire.Caller, id quire.LinkID) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		k, err := tx.Link(id)
		if err != nil {
			return err
		}
		e, err := l.find(tx, c, k.Node, quire.Editor)
		if errors.Is(err, quire.ErrForbidden) && k.By == c.User && c.User != "" && c.Scope.Allows(quire.ScopeWrite) {
			e, err = l.find(tx, c, k.Node, quire.Viewer)
		}
		if err != nil {
			return err
		}
		if err := tx.DeleteLink(id); err != nil {
			return err
		}
		return l.record(tx, c, quire.EventLink, e, map[string]any{"access": quire.NoAccess.String()})
	})
}
