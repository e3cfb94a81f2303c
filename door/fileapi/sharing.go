package fileapi

import (
	"net/http"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// access reads the parameter of that name.
func (c *call) access(byDefault string) (quire.Access, error) {
	text := c.q.Get("access")
	if text == "" {
		text = byDefault
	}
	a, ok := quire.ParseAccess(text)
	if !ok {
		return a, badParam("access", "use none, viewer, editor or owner")
	}
	return a, nil
}

// sharing is GET sharing: who can reach a file or folder.
func sharing(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	s, err := c.lib.Sharing(c.ctx, c.caller, e.ID)
	if err != nil {
		return err
	}
	type person struct {
		User   quire.UserID `json:"user"`
		Name   string       `json:"name"`
		Login  string       `json:"login"`
		Access string       `json:"access"`
		Here   bool         `json:"here"` // granted on this itself, not on a folder above it
	}
	type link struct {
		ID       quire.LinkID `json:"id"`
		URL      string       `json:"url"`
		Access   string       `json:"access"`
		By       string       `json:"by,omitempty"`
		Created  float64      `json:"created"`
		Expires  float64      `json:"expires,omitempty"`
		Password bool         `json:"password"`
	}
	out := struct {
		description
		People []person `json:"people"`
		Links  []link   `json:"links"`
	}{describe(e), []person{}, []link{}}
	for _, g := range s.Grants {
		p := person{User: g.User, Access: g.Access.String(), Here: g.Node == e.ID}
		if u, err := c.lib.UserByID(c.ctx, c.caller, g.User); err == nil {
			p.Name, p.Login = u.Name, u.Login
		}
		out.People = append(out.People, p)
	}
	for _, k := range s.Links {
		l := link{ID: k.ID, URL: c.shareURL(k.ID), Access: k.Access.String(), Created: unix(k.Created), Password: k.Password != ""}
		if names := c.names([]quire.UserID{k.By}); len(names) > 0 {
			l.By = names[0]
		}
		if !k.Expires.IsZero() {
			l.Expires = unix(k.Expires)
		}
		out.Links = append(out.Links, l)
	}
	return c.answer(http.StatusOK, out)
}

// grant is POST grant: it gives a user access, or with none takes it away.
func grant(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	access, err := c.access("viewer")
	if err != nil {
		return err
	}
	user := quire.UserID(c.q.Get("user"))
	if user == "" {
		return badParam("user", "say whose access: account/people lists users")
	}
	if access == quire.NoAccess {
		err = c.lib.Unshare(c.ctx, c.caller, e.ID, user)
	} else {
		err = c.lib.Share(c.ctx, c.caller, e.ID, user, access)
	}
	if err != nil {
		return err
	}
	return c.done()
}

// unshare is POST unshare: it ends a share link.
func unshare(c *call) error {
	if err := c.lib.RevokeLink(c.ctx, c.caller, quire.LinkID(c.q.Get("id"))); err != nil {
		return err
	}
	return c.done()
}

// entries is a list of files and folders.
type entries struct {
	Entries  []description `json:"entries"`
	Complete bool          `json:"complete"`
}

func describeAll(list []library.Entry) []description {
	out := make([]description, len(list))
	for i, e := range list {
		out[i] = describe(e)
	}
	return out
}

// ancestors is GET ancestors: the folders above a file or folder, the topmost
// first, as far as the caller may know of them.
func ancestors(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	list, complete, err := c.lib.Ancestors(c.ctx, c.caller, e.ID)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, entries{describeAll(list), complete})
}

// sharedWithMe is GET shared: what was granted to the caller.
func sharedWithMe(c *call) error {
	list, err := c.lib.SharedWith(c.ctx, c.caller)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, entries{describeAll(list), true})
}
