package fileapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// past is an entry of a file's history.
type past struct {
	description
	Authors []quire.UserID `json:"authors"`
	Door    quire.Door     `json:"door"`
	Kind    quire.SaveKind `json:"kind,omitempty"`
	Label   string         `json:"label,omitempty"`
	From    int64          `json:"restores,omitempty"`
}

// revisions is GET revisions: a file's history, the newest first.
func revisions(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	limit, err := c.number(100, "limit")
	if err != nil {
		return err
	}
	before, err := c.number(0, "before")
	if err != nil {
		return err
	}
	all, err := c.flag("all", false)
	if err != nil {
		return err
	}
	page, err := c.lib.Revisions(c.ctx, c.caller, e.ID, before, int(limit), all)
	if err != nil {
		return err
	}
	out := struct {
		Revisions []past `json:"revisions"`
	}{[]past{}}
	for _, r := range page {
		d := describe(e)
		d.Revision, d.Bytes, d.Modified = r.Number, r.Size, float64(r.Created.UnixMilli())/1000
		out.Revisions = append(out.Revisions, past{d, r.Authors, r.Door, r.Kind, r.Label, r.From})
	}
	return c.answer(http.StatusOK, out)
}

// restore is POST restore: it makes an old revision current again.
func restore(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	rev, err := c.number(0, "revision", "rev")
	if err != nil {
		return err
	}
	if rev == 0 {
		return badParam("revision", "say which one")
	}
	e, _, err = c.lib.RestoreRevision(c.ctx, c.caller, e.ID, rev, quire.Precondition{})
	if err != nil {
		return err
	}
	return c.saved(e)
}

// target reads where something is to go: to_path, or to_uid (a folder) with
// to_name.
func (c *call) target() (quire.Target, error) {
	t := quire.Target{Path: c.q.Get("to_path"), Parent: quire.NodeID(c.q.Get("to_uid")), Name: c.q.Get("to_name"), OnConflict: quire.Reject}
	if t.Path != "" && (t.Parent != "" || t.Name != "") {
		return t, badParam("to_path", "give it, or to_uid and to_name, not both")
	}
	rename, err := c.flag("autorename", false)
	if rename {
		t.OnConflict = quire.Rename
	}
	return t, err
}

// copyNode is POST fileops/copy.
func copyNode(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	t, err := c.target()
	if err != nil {
		return err
	}
	if t.Path == "" && t.Parent == "" {
		t.Parent = e.Parent
	}
	if e, err = c.lib.Copy(c.ctx, c.caller, e.ID, t); err != nil {
		return err
	}
	return c.answer(http.StatusOK, describe(e))
}

// moveNode is POST fileops/move.
func moveNode(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	t, err := c.target()
	if err != nil {
		return err
	}
	if e, err = c.lib.Move(c.ctx, c.caller, e.ID, t, quire.Precondition{}, nil); err != nil {
		return err
	}
	return c.answer(http.StatusOK, describe(e))
}

// deleteNode is POST fileops/delete: into the trash.
func deleteNode(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	var pre quire.Precondition
	if c.q.Get("parent_revision") != "" {
		rev, err := c.number(0, "parent_revision")
		if err != nil {
			return err
		}
		pre.Revision = &rev
	}
	if err := c.lib.Delete(c.ctx, c.caller, e.ID, pre, nil); err != nil {
		return err
	}
	return c.answer(http.StatusOK, struct {
		description
		Deleted bool `json:"is_deleted"`
	}{describe(e), true})
}

// createFolder is POST fileops/create_folder: by path, or by the parent's uid
// and a name.
func createFolder(c *call) error {
	t := quire.Target{Path: c.q.Get("path"), Parent: quire.NodeID(c.q.Get("uid")), Name: c.q.Get("name"), OnConflict: quire.Reject}
	if (t.Path == "") == (t.Parent == "") {
		return badParam("uid, path", "give exactly one of them: the parent's uid with name, or a path")
	}
	e, _, err := c.lib.CreateContainer(c.ctx, c.caller, t)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, describe(e))
}

// trash is GET trash: what the caller can restore.
func trash(c *call) error {
	limit, err := c.number(1000, "limit")
	if err != nil {
		return err
	}
	if limit < 1 || limit > library.MaxPage {
		return badParam("limit", "use a number from 1 to 25000")
	}
	page, next, err := c.lib.Trash(c.ctx, c.caller, c.q.Get("cursor"), int(limit))
	if err != nil {
		return err
	}
	type item struct {
		description
		Deleted float64 `json:"deleted"` // seconds since 1970
	}
	out := struct {
		Contents []item `json:"contents"`
		Cursor   string `json:"cursor,omitempty"`
		HasMore  bool   `json:"has_more"`
	}{[]item{}, next, next != ""}
	for _, e := range page {
		out.Contents = append(out.Contents, item{describe(e), float64(e.Trashed.At.UnixMilli()) / 1000})
	}
	return c.answer(http.StatusOK, out)
}

// untrash is POST untrash: it brings a deleted file or folder back.
func untrash(c *call) error {
	e, err := c.lib.Untrash(c.ctx, c.caller, quire.NodeID(c.q.Get("uid")))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, describe(e))
}

// share is POST shares: a link that opens a file or folder for whoever holds
// it.
func share(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	text := c.q.Get("access")
	if text == "" {
		text = quire.Viewer.String()
	}
	access, ok := quire.ParseAccess(text)
	if !ok {
		return badParam("access", "use viewer or editor")
	}
	seconds, err := c.number(0, "expires_in")
	if err != nil {
		return err
	}
	if seconds > 10*365*24*3600 {
		return badParam("expires_in", "use at most ten years, in seconds")
	}
	k, err := c.lib.CreateLink(c.ctx, c.caller, e.ID, access, time.Duration(seconds)*time.Second, "")
	if err != nil {
		return err
	}
	out := map[string]any{"url": c.shareURL(k.ID), "access": k.Access.String()}
	if !k.Expires.IsZero() {
		out["expires"] = k.Expires.Format(time.RFC1123Z)
	}
	return c.answer(http.StatusOK, out)
}

func (d *Door) shareURL(id quire.LinkID) string {
	return strings.TrimSuffix(d.opt.PublicURL.String(), "/") + "/s/" + string(id)
}
