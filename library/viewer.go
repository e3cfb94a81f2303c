package library

import (
	"context"
	"errors"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// viewerGrace is how long the secret before the current one still signs
// callbacks, so that who verifies them has time to learn the new one.
const viewerGrace = 24 * time.Hour

// ViewerSecret returns the key that the caller's site signs views and callbacks
// with: empty if an administrator has cleared it. Administrators only.
func (l *Library) ViewerSecret(ctx context.Context, c quire.Caller) (secret string, err error) {
	if err := admin(c); err != nil {
		return "", err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		s, err := tx.Site(c.Site)
		secret = s.Viewer.Current
		return err
	})
	return secret, err
}

// RefreshViewerSecret makes a new key. Links that the old one signed end at once;
// it signs callbacks beside the new one for a day. Administrators only.
func (l *Library) RefreshViewerSecret(ctx context.Context, c quire.Caller) (string, error) {
	return l.changeViewer(ctx, c, "refreshed", NewID()+NewID())
}

// ClearViewerSecret takes the key away: links to the site's files then need no
// signature, and everybody may read them. Administrators only.
func (l *Library) ClearViewerSecret(ctx context.Context, c quire.Caller) error {
	_, err := l.changeViewer(ctx, c, "cleared: everybody may read the site's files", "")
	return err
}

func (l *Library) changeViewer(ctx context.Context, c quire.Caller, what, secret string) (string, error) {
	if err := admin(c); err != nil {
		return "", err
	}
	if !c.Scope.Allows(quire.ScopeAdmin) {
		return "", quire.ErrForbidden
	}
	return secret, l.update(ctx, func(tx *catalog.Tx) error {
		s, err := tx.Site(c.Site)
		if err != nil {
			return err
		}
		if s.Viewer.Current != "" {
			s.Viewer.Previous, s.Viewer.Until = s.Viewer.Current, tx.Now().Add(viewerGrace)
		}
		s.Viewer.Current = secret
		if err := tx.UpdateSite(&s); err != nil {
			return err
		}
		if err := tx.DeleteRevokedLinks(s.ID); err != nil { // no link has those signatures now
			return err
		}
		return tx.AddEvent(adminEvent(tx, c, map[string]any{"viewer_secret": what}))
	})
}

// RevokeViewerLink ends one signed link, which is known by its signature, before its own
// end; the zero time is that of a link without one. Administrators only.
func (l *Library) RevokeViewerLink(ctx context.Context, c quire.Caller, signature string, end time.Time) error {
	if err := admin(c); err != nil {
		return err
	}
	if !c.Scope.Allows(quire.ScopeAdmin) {
		return quire.ErrForbidden
	}
	return l.update(ctx, func(tx *catalog.Tx) error {
		if err := tx.PutRevokedLink(&catalog.RevokedLink{Site: c.Site, Signature: signature, Expires: end}); err != nil {
			return err
		}
		return tx.AddEvent(adminEvent(tx, c, map[string]any{"viewer_link": "revoked"}))
	})
}

// ViewerLinkRevoked says whether a signed link of a site was ended by RevokeViewerLink.
func (l *Library) ViewerLinkRevoked(ctx context.Context, site quire.SiteID, signature string) (revoked bool, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		_, err := tx.RevokedLink(site, signature)
		revoked = err == nil
		if errors.Is(err, quire.ErrNotFound) {
			return nil
		}
		return err
	})
	return revoked, err
}

// RefuseMD5 sets whether links to the site's files may be signed with MD5.
// Administrators only.
func (l *Library) RefuseMD5(ctx context.Context, c quire.Caller, refuse bool) error {
	if err := admin(c); err != nil {
		return err
	}
	return l.update(ctx, func(tx *catalog.Tx) error {
		s, err := tx.Site(c.Site)
		if err != nil {
			return err
		}
		s.Viewer.NoMD5 = refuse
		if err := tx.UpdateSite(&s); err != nil {
			return err
		}
		return tx.AddEvent(adminEvent(tx, c, map[string]any{"viewer_md5_refused": refuse}))
	})
}

// Viewers is the caller that a link to a site's files stands for: it may read
// them, or one of them, and nothing else.
func Viewers(s quire.Site, name string, within quire.NodeID) quire.Caller {
	if name == "" {
		name = "Viewer link"
	}
	return quire.Caller{Site: s.ID, Name: name, Role: quire.RoleAdmin, Scope: quire.ScopeRead, Within: within}
}
