package library

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// The site that a server has from its first start.
const (
	DefaultAccount  = "main"
	DefaultInstance = "default"
)

var siteName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CreateSite makes a tenant with an empty tree and a random viewer secret, so
// that nothing is public by default. Quota is in bytes; 0 is no limit. It is
// the operator's call: no caller is asked for.
func (l *Library) CreateSite(ctx context.Context, account, instance string, quota int64) (s quire.Site, err error) {
	if !siteName.MatchString(account) || !siteName.MatchString(instance) {
		return s, &quire.Invalid{What: "site", Reason: "use 1 to 63 letters, digits, dots, dashes and underscores for account and instance"}
	}
	if quota < 0 {
		return s, &quire.Invalid{What: "quota", Reason: "it is negative"}
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		switch _, err := tx.SiteNamed(account, instance); {
		case err == nil:
			return &quire.Exists{Name: account + "/" + instance, Free: account + "/" + instance + "-2"}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		s = quire.Site{
			ID: quire.SiteID(NewID()), Account: account, Instance: instance,
			Root: quire.NodeID(NewID()), Trash: quire.NodeID(NewID()), Quota: quota, Created: tx.Now(),
			Viewer: quire.ViewerSecrets{Current: NewID() + NewID()},
		}
		if err := tx.InsertSite(&s); err != nil {
			return err
		}
		for _, top := range []quire.NodeID{s.Root, s.Trash} {
			n := quire.Node{ID: top, Site: s.ID, NameKey: "/" + string(top), Kind: quire.Container, Created: tx.Now(), Modified: tx.Now()}
			if err := tx.InsertNode(&n); err != nil {
				return err
			}
		}
		return tx.AddEvent(operatorEvent(ctx, tx, s.ID, map[string]any{"site": account + "/" + instance, "added": true, "quota": quota}))
	})
	return s, err
}

// Site returns the site of an account and instance. It is the operator's call.
func (l *Library) Site(ctx context.Context, account, instance string) (s quire.Site, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		s, err = tx.SiteNamed(account, instance)
		return err
	})
	return s, err
}

// SiteOf returns the caller's site and how many bytes it holds.
func (l *Library) SiteOf(ctx context.Context, c quire.Caller) (s quire.Site, used int64, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		if s, err = tx.Site(c.Site); err != nil {
			return err
		}
		used, err = tx.Usage(c.Site)
		return err
	})
	if c.Role != quire.RoleAdmin || !c.Scope.Allows(quire.ScopeAdmin) {
		s.Viewer = quire.ViewerSecrets{}
	}
	return s, used, err
}

// Sites returns all sites. It is the operator's call.
func (l *Library) Sites(ctx context.Context) (list []quire.Site, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, err = tx.Sites()
		return err
	})
	return list, err
}

// SetQuota changes how many bytes a site may hold; 0 is no limit. It is the
// operator's call.
func (l *Library) SetQuota(ctx context.Context, id quire.SiteID, quota int64) error {
	if quota < 0 {
		return &quire.Invalid{What: "quota", Reason: "it is negative"}
	}
	return l.update(ctx, func(tx *catalog.Tx) error {
		s, err := tx.Site(id)
		if err != nil {
			return err
		}
		s.Quota = quota
		if err := tx.UpdateSite(&s); err != nil {
			return err
		}
		return tx.AddEvent(operatorEvent(ctx, tx, s.ID, map[string]any{"site": s.Account + "/" + s.Instance, "quota": quota}))
	})
}

// NewUser says who is to be added to a site.
type NewUser struct {
	Site     quire.SiteID
	Login    string
	Name     string // what others see; empty is the login
	Email    string
	Role     quire.Role
	Password string       // encoded hash
	Access   quire.Access // what is granted on the site's root; administrators own it anyway
}

// CreateUser adds a user. It is the operator's call; doors ask
// Library.mayAdminister first through their own calls.
func (l *Library) CreateUser(ctx context.Context, n NewUser) (u quire.User, err error) {
	if err := checkLogin(n.Login); err != nil {
		return u, err
	}
	if n.Name == "" {
		n.Name = n.Login
	}
	if err := checkText("name", n.Name, 200); err != nil {
		return u, err
	}
	if err := checkText("email", n.Email, 320); err != nil {
		return u, err
	}
	if n.Role == "" {
		n.Role = quire.RoleMember
	}
	if n.Role != quire.RoleMember && n.Role != quire.RoleAdmin {
		return u, &quire.Invalid{What: "role", Reason: "use member or admin"}
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		s, err := tx.Site(n.Site)
		if err != nil {
			return err
		}
		switch _, err := tx.UserByLogin(n.Login); {
		case err == nil:
			return &quire.Exists{Name: n.Login, Free: n.Login + "2"}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
		u = quire.User{
			ID: quire.UserID(NewID()), Site: s.ID, Login: n.Login, Name: n.Name, Email: n.Email,
			Role: n.Role, Password: n.Password, Created: tx.Now(),
		}
		if err := tx.InsertUser(&u); err != nil {
			return err
		}
		if err := tx.AddEvent(operatorEvent(ctx, tx, s.ID, map[string]any{"added": u.Login, "role": string(u.Role), "access": n.Access.String()})); err != nil {
			return err
		}
		if n.Access == quire.NoAccess {
			return nil
		}
		return tx.PutGrant(&quire.Grant{Node: s.Root, User: u.ID, Access: n.Access, Created: tx.Now()})
	})
	return u, err
}

func checkLogin(login string) error {
	if login == "" || len(login) > 100 || strings.TrimSpace(login) != login {
		return &quire.Invalid{What: "login", Reason: "use 1 to 100 characters without spaces around them"}
	}
	return checkText("login", login, 100)
}

func checkText(what, s string, limit int) error {
	if len(s) > limit {
		return &quire.Invalid{What: what, Reason: "it is too long"}
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return &quire.Invalid{What: what, Reason: "it has a control character or is not valid UTF-8: leave that out"}
		}
	}
	return nil
}

// User returns the user of a login. It is the operator's call.
func (l *Library) User(ctx context.Context, login string) (u quire.User, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		u, err = tx.UserByLogin(login)
		return err
	})
	return u, err
}

// UserByID returns what others may know of a user of the caller's site.
func (l *Library) UserByID(ctx context.Context, c quire.Caller, id quire.UserID) (u quire.User, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		u, err = tx.User(id)
		if err == nil && u.Site != c.Site {
			err = quire.ErrNotFound
		}
		return err
	})
	u.Password = ""
	if err == nil && c.Role != quire.RoleAdmin && c.User != id {
		u.Info, u.Email = "", ""
	}
	return u, err
}

// Users returns a page of all users in order of their logins, after one of
// them. It is the operator's call.
func (l *Library) Users(ctx context.Context, site quire.SiteID, after string, limit int) (list []quire.User, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, err = tx.Users(site, after, limit)
		return err
	})
	return list, err
}

// ChangeUser changes what is stored of a user. It is the operator's call.
func (l *Library) ChangeUser(ctx context.Context, login string, change func(*quire.User)) (u quire.User, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if u, err = tx.UserByLogin(login); err != nil {
			return err
		}
		old := u
		change(&u)
		if err := tx.UpdateUser(&u); err != nil {
			return err
		}
		return tx.AddEvent(operatorEvent(ctx, tx, u.Site, changedUser(old, u)))
	})
	return u, err
}

// changedUser tells what has changed of a user, without any secret.
func changedUser(old, u quire.User) map[string]any {
	detail := map[string]any{"changed": u.Login}
	if old.Role != u.Role {
		detail["role"] = string(u.Role)
	}
	if old.Disabled != u.Disabled {
		detail["disabled"] = u.Disabled
	}
	if old.Password != u.Password {
		detail["password"] = "new"
	}
	if old.Name != u.Name {
		detail["name"] = u.Name
	}
	if old.Email != u.Email {
		detail["email"] = u.Email
	}
	return detail
}

// SetUserInfo keeps an opaque text for the caller (WOPI PutUserInfo: at most
// 1024 ASCII characters).
func (l *Library) SetUserInfo(ctx context.Context, c quire.Caller, info string) error {
	if len(info) > quire.MaxUserInfo {
		return &quire.TooLarge{Limit: quire.MaxUserInfo}
	}
	for i := range len(info) {
		if info[i] >= 0x80 || info[i] < 0x20 && info[i] != '\t' && info[i] != '\n' && info[i] != '\r' {
			return &quire.Invalid{What: "user info", Reason: "use ASCII characters only"}
		}
	}
	return l.update(ctx, func(tx *catalog.Tx) error {
		u, err := tx.User(c.User)
		if err != nil {
			return err
		}
		if u.Info == info {
			return nil
		}
		u.Info = info
		return tx.UpdateUser(&u)
	})
}
