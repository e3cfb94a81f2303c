package library

import (
	"context"
	"errors"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// passOver forgives that something has gone in the meantime.
func passOver(err error) error {
	if errors.Is(err, quire.ErrNotFound) {
		return nil
	}
	return err
}

// People returns the users of the caller's site whose name or login contains a
// text, for sharing with them: their ids, logins and names, and nothing else.
// Those who may not sign in are left out. A guest knows nobody.
func (l *Library) People(ctx context.Context, c quire.Caller, text string, limit int) (list []quire.User, err error) {
	if c.User == "" || c.Within != "" || !c.Scope.Allows(quire.ScopeRead) {
		return nil, quire.ErrForbidden
	}
	if limit, err = pageSize(limit, 20); err != nil {
		return nil, err
	}
	text = foldName(strings.TrimSpace(text))
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list = nil
		for after := ""; ; {
			page, err := tx.Users(c.Site, after, 500)
			if err != nil {
				return err
			}
			for _, u := range page {
				after = u.Login
				if u.Disabled || !strings.Contains(foldName(u.Login), text) && !strings.Contains(foldName(u.Name), text) {
					continue
				}
				if list = append(list, quire.User{ID: u.ID, Login: u.Login, Name: u.Name}); len(list) == limit {
					return nil
				}
			}
			if len(page) < 500 {
				return nil
			}
		}
	})
	return list, err
}

// UserChange says what is to become of a user; nil keeps what there is.
type UserChange struct {
	Name     *string
	Email    *string
	Role     *quire.Role
	Disabled *bool
	Password *string // an encoded hash
}

func (w UserChange) apply(u *quire.User) error {
	if w.Name != nil {
		if strings.TrimSpace(*w.Name) == "" {
			return &quire.Invalid{What: "name", Reason: "it is empty: give one"}
		}
		u.Name = *w.Name
	}
	if w.Email != nil {
		u.Email = *w.Email
	}
	if w.Role != nil {
		u.Role = *w.Role
	}
	if w.Disabled != nil {
		u.Disabled = *w.Disabled
	}
	if w.Password != nil {
		u.Password = *w.Password
	}
	if u.Role != quire.RoleMember && u.Role != quire.RoleAdmin {
		return &quire.Invalid{What: "role", Reason: "use member or admin"}
	}
	if err := checkText("name", u.Name, 200); err != nil {
		return err
	}
	return checkText("email", u.Email, 320)
}

// ChangeSelf changes the caller's own name, address or password. Nobody gives
// themselves another role.
func (l *Library) ChangeSelf(ctx context.Context, c quire.Caller, w UserChange) (u quire.User, err error) {
	if !c.Scope.Allows(quire.ScopeWrite) || c.Within != "" || w.Role != nil || w.Disabled != nil {
		return u, quire.ErrForbidden
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if u, err = tx.User(c.User); err != nil {
			return err
		}
		old := u
		if err := w.apply(&u); err != nil {
			return err
		}
		if err := tx.UpdateUser(&u); err != nil {
			return err
		}
		ev := adminEvent(tx, c, changedUser(old, u))
		if w.Password != nil {
			ev.Kind = quire.EventPassword
		}
		return tx.AddEvent(ev)
	})
	return u, err
}

// SiteUsers returns a page of the users of the caller's site in order of their
// logins, after one of them. Administrators only.
func (l *Library) SiteUsers(ctx context.Context, c quire.Caller, after string, limit int) (list []quire.User, err error) {
	if err := admin(c); err != nil {
		return nil, err
	}
	if limit, err = pageSize(limit, 100); err != nil {
		return nil, err
	}
	list, err = l.Users(ctx, c.Site, after, limit)
	for i := range list {
		list[i].Password, list[i].Info = "", ""
	}
	return list, err
}

// AddUser adds a user to the caller's site. Administrators only.
func (l *Library) AddUser(ctx context.Context, c quire.Caller, n NewUser) (u quire.User, err error) {
	if err := admin(c); err != nil {
		return u, err
	}
	n.Site = c.Site
	return l.CreateUser(quire.WithActor(ctx, c), n)
}

// ChangeMember changes a user of the caller's site. Administrators only; the
// site keeps at least one administrator who can sign in.
func (l *Library) ChangeMember(ctx context.Context, c quire.Caller, id quire.UserID, w UserChange) (u quire.User, err error) {
	if err := admin(c); err != nil {
		return u, err
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if u, err = tx.User(id); err == nil && u.Site != c.Site {
			err = quire.ErrNotFound
		}
		if err != nil {
			return err
		}
		old := u
		if err := w.apply(&u); err != nil {
			return err
		}
		if err := tx.UpdateUser(&u); err != nil {
			return err
		}
		left, err := activeAdmins(tx, c.Site)
		if err != nil {
			return err
		}
		if left == 0 {
			return &quire.Invalid{What: "role", Reason: "nobody would be left to administer the site: make somebody else an administrator first"}
		}
		return tx.AddEvent(adminEvent(tx, c, changedUser(old, u)))
	})
	u.Password, u.Info = "", ""
	return u, err
}

func activeAdmins(tx *catalog.Tx, site quire.SiteID) (n int, err error) {
	for after := ""; ; {
		page, err := tx.Users(site, after, 500)
		if err != nil {
			return 0, err
		}
		for _, u := range page {
			after = u.Login
			if u.Role == quire.RoleAdmin && !u.Disabled {
				n++
			}
		}
		if len(page) < 500 {
			return n, nil
		}
	}
}

func adminEvent(tx *catalog.Tx, c quire.Caller, detail map[string]any) *quire.Event {
	return &quire.Event{
		Site: c.Site, Kind: quire.EventAdmin, Time: tx.Now(), User: c.User, Name: c.Name,
		Door: c.Door, Addr: c.Addr, Detail: detail,
	}
}

// operates says whether the caller runs the whole server: an administrator of
// the site that it has had from its first start. Other sites' administrators
// do not set their own quotas.
func operates(tx *catalog.Tx, c quire.Caller) error {
	if err := admin(c); err != nil {
		return err
	}
	s, err := tx.Site(c.Site)
	if err != nil {
		return err
	}
	if s.Account != DefaultAccount || s.Instance != DefaultInstance {
		return quire.ErrForbidden
	}
	return nil
}

// SiteUse is a site with how many bytes it holds.
type SiteUse struct {
	quire.Site
	Used int64
}

// SitesFor returns the sites that an administrator may see, without their
// secrets: all of them for who runs the server, else their own. Operator tells
// which of the two it is.
func (l *Library) SitesFor(ctx context.Context, c quire.Caller) (list []SiteUse, operator bool, err error) {
	if err := admin(c); err != nil {
		return nil, false, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list = nil
		all, err := tx.Sites()
		if err != nil {
			return err
		}
		operator = operates(tx, c) == nil
		for _, s := range all {
			if s.ID != c.Site && !operator {
				continue
			}
			s.Viewer = quire.ViewerSecrets{}
			used, err := tx.Usage(s.ID)
			if err != nil {
				return err
			}
			list = append(list, SiteUse{s, used})
		}
		return nil
	})
	return list, operator, err
}

// LimitSite changes how many bytes a site may hold; 0 is no limit. Only who
// runs the server can.
func (l *Library) LimitSite(ctx context.Context, c quire.Caller, id quire.SiteID, quota int64) error {
	if quota < 0 {
		return &quire.Invalid{What: "quota", Reason: "it is negative"}
	}
	return l.update(ctx, func(tx *catalog.Tx) error {
		if err := operates(tx, c); err != nil {
			return err
		}
		s, err := tx.Site(id)
		if err != nil {
			return err
		}
		s.Quota = quota
		if err := tx.UpdateSite(&s); err != nil {
			return err
		}
		return tx.AddEvent(adminEvent(tx, c, map[string]any{"site": s.Account + "/" + s.Instance, "quota": quota}))
	})
}

// Record returns a site's events of all kinds, the newest first, a page at a
// time; before is the sequence number of the last one seen, or 0.
// Administrators only.
func (l *Library) Record(ctx context.Context, c quire.Caller, before int64, limit int) (list []quire.Event, err error) {
	if err := admin(c); err != nil {
		return nil, err
	}
	if limit, err = pageSize(limit, 100); err != nil {
		return nil, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, err = tx.SiteEventsBefore(c.Site, before, limit)
		return err
	})
	return list, err
}
