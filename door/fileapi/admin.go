package fileapi

import (
	"net/http"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// member is a user as administrators see one.
type member struct {
	UID      quire.UserID `json:"uid"`
	Login    string       `json:"login"`
	Name     string       `json:"name"`
	Email    string       `json:"email"`
	Role     quire.Role   `json:"role"`
	Disabled bool         `json:"disabled"`
	Created  float64      `json:"created"`
}

func viewMember(u quire.User) member {
	return member{u.ID, u.Login, u.Name, u.Email, u.Role, u.Disabled, unix(u.Created)}
}

// adminUsers is GET admin/users.
func adminUsers(c *call) error {
	limit, err := c.limit(100)
	if err != nil {
		return err
	}
	list, err := c.lib.SiteUsers(c.ctx, c.caller, c.q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	out := struct {
		Users   []member `json:"users"`
		Cursor  string   `json:"cursor,omitempty"`
		HasMore bool     `json:"has_more"`
	}{Users: []member{}, HasMore: len(list) == limit}
	for _, u := range list {
		out.Users = append(out.Users, viewMember(u))
	}
	if out.HasMore {
		out.Cursor = list[len(list)-1].Login
	}
	return c.answer(http.StatusOK, out)
}

// addUser is POST admin/add_user.
func addUser(c *call) error {
	access, err := c.access("editor")
	if err != nil {
		return err
	}
	hash, err := c.hash("password")
	if err != nil {
		return err
	}
	u, err := c.lib.AddUser(c.ctx, c.caller, library.NewUser{
		Login: c.q.Get("login"), Name: c.q.Get("name"), Email: c.q.Get("email"),
		Role: quire.Role(c.q.Get("role")), Password: hash, Access: access,
	})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, viewMember(u))
}

// changeUser is POST admin/change_user. A new password, and disabling, sign
// the user out everywhere.
func changeUser(c *call) error {
	w := library.UserChange{Name: c.text("name"), Email: c.text("email")}
	if c.has("role") {
		role := quire.Role(c.q.Get("role"))
		w.Role = &role
	}
	if c.has("disabled") {
		off, err := c.flag("disabled", false)
		if err != nil {
			return err
		}
		w.Disabled = &off
	}
	if c.q.Get("password") != "" {
		hash, err := c.hash("password")
		if err != nil {
			return err
		}
		w.Password = &hash
	}
	u, err := c.lib.ChangeMember(c.ctx, c.caller, quire.UserID(c.q.Get("uid")), w)
	if err != nil {
		return err
	}
	if w.Password != nil && u.ID != c.caller.User || u.Disabled {
		if err := c.ids.EndSessions(c.ctx, u.ID); err != nil {
			return err
		}
	}
	return c.answer(http.StatusOK, viewMember(u))
}

// siteView is a site as administrators see one.
type siteView struct {
	ID       quire.SiteID `json:"id"`
	Account  string       `json:"account"`
	Instance string       `json:"instance"`
	Quota    int64        `json:"quota"` // bytes; 0 is no limit
	Used     int64        `json:"used"`  // bytes
	Created  float64      `json:"created"`
}

// adminSites is GET admin/sites.
func adminSites(c *call) error {
	list, operator, err := c.lib.SitesFor(c.ctx, c.caller)
	if err != nil {
		return err
	}
	out := struct {
		Sites    []siteView `json:"sites"`
		Operator bool       `json:"operator"` // may change quotas
	}{[]siteView{}, operator}
	for _, s := range list {
		out.Sites = append(out.Sites, siteView{s.ID, s.Account, s.Instance, s.Quota, s.Used, unix(s.Created)})
	}
	return c.answer(http.StatusOK, out)
}

// setQuota is POST admin/quota.
func setQuota(c *call) error {
	n, ok, err := c.given("quota")
	if err == nil && !ok {
		err = badParam("quota", "say how many bytes; 0 is no limit")
	}
	if err != nil {
		return err
	}
	if err := c.lib.LimitSite(c.ctx, c.caller, quire.SiteID(c.q.Get("id")), n); err != nil {
		return err
	}
	return c.done()
}

// adminUploads is GET admin/uploads: everybody's open uploads.
func adminUploads(c *call) error {
	list, err := c.lib.Uploads(c.ctx, c.caller, true)
	if err != nil {
		return err
	}
	type session struct {
		ID       quire.UploadID `json:"id"`
		User     string         `json:"user"`
		Name     string         `json:"name,omitempty"`
		Door     quire.Door     `json:"door"`
		Received int64          `json:"received"`
		Size     int64          `json:"size,omitempty"`
		Created  float64        `json:"created"`
		Expires  float64        `json:"expires"`
		Complete bool           `json:"complete"`
	}
	out := struct {
		Uploads []session `json:"uploads"`
	}{[]session{}}
	for _, u := range list {
		s := session{ID: u.ID, Name: u.Target.Name, Door: u.Door, Received: u.Received, Size: max(0, u.Declared), Created: unix(u.Created), Expires: unix(u.Expires), Complete: u.Done != nil}
		if names := c.names([]quire.UserID{u.Owner}); len(names) > 0 {
			s.User = names[0]
		}
		if s.Name == "" {
			s.Name = u.Target.Path
		}
		out.Uploads = append(out.Uploads, s)
	}
	return c.answer(http.StatusOK, out)
}

// adminEvents is GET admin/events: what happened, the newest first; with after
// or since (Unix seconds) the oldest first, for a program that keeps a copy.
func adminEvents(c *call) error {
	limit, err := c.limit(100)
	if err != nil {
		return err
	}
	before, err := c.number(0, "before")
	if err != nil {
		return err
	}
	after, err := c.number(-1, "after")
	if err != nil {
		return err
	}
	since, err := c.number(-1, "since")
	if err != nil {
		return err
	}
	oldest := after >= 0 || since >= 0
	if oldest && before > 0 {
		return badParam("before", "not together with after and since: they go the other way")
	}
	var list []quire.Event
	if oldest {
		var from time.Time
		if since > 0 {
			from = time.Unix(since, 0)
		}
		list, err = c.lib.Audit(c.ctx, c.caller, max(0, after), from, limit)
	} else {
		list, err = c.lib.Record(c.ctx, c.caller, before, limit)
	}
	if err != nil {
		return err
	}
	type event struct {
		Seq     int64           `json:"seq"`
		Time    float64         `json:"time"`
		Kind    quire.EventKind `json:"kind"`
		Refused bool            `json:"refused,omitempty"` // it was not let happen
		User    quire.UserID    `json:"user,omitempty"`
		Name    string          `json:"name"`
		Path    string          `json:"path,omitempty"`
		UID     quire.NodeID    `json:"uid,omitempty"`
		Door    quire.Door      `json:"door"`
		Addr    string          `json:"addr,omitempty"`
		Detail  map[string]any  `json:"detail,omitempty"`
	}
	out := struct {
		Events  []event `json:"events"`
		HasMore bool    `json:"has_more"`
	}{[]event{}, len(list) == limit}
	for _, e := range list {
		out.Events = append(out.Events, event{e.Seq, unix(e.Time), e.Kind, e.Refused(), e.User, e.Name, e.Path, e.Node, e.Door, e.Addr, e.Detail})
	}
	return c.answer(http.StatusOK, out)
}
