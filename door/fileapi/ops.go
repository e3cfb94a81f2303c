package fileapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
)

// past is an entry of a file's history.
type past struct {
	description
	Authors []quire.UserID `json:"authors"`
	Names   []string       `json:"names,omitempty"` // of the authors, where they are known
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
	limit, err := c.limit(100)
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
	page, err := c.lib.Revisions(c.ctx, c.caller, e.ID, before, limit, all)
	if err != nil {
		return err
	}
	out := struct {
		Revisions []past `json:"revisions"`
	}{[]past{}}
	for _, r := range page {
		out.Revisions = append(out.Revisions, past{describe(asOf(e, r)), r.Authors, c.names(r.Authors), r.Door, r.Kind, r.Label, r.From})
	}
	return c.answer(http.StatusOK, out)
}

// restore is POST restore: it makes an old revision current again.
func restore(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	rev, err := c.revisionNumber()
	if err != nil {
		return err
	}
	if rev == 0 {
		return badParam("revision", "say which one")
	}
	pre, err := c.precondition()
	if err != nil {
		return err
	}
	e, _, err = c.lib.RestoreRevision(c.ctx, c.caller, e.ID, rev, pre)
	if err != nil {
		return c.conditional(err)
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
	pre, err := c.precondition()
	if err != nil {
		return err
	}
	if e, err = c.lib.Move(c.ctx, c.caller, e.ID, t, pre, nil); err != nil {
		return c.refused(err)
	}
	return c.answer(http.StatusOK, describe(e))
}

// deleteNode is POST fileops/delete: into the trash.
func deleteNode(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	pre, err := c.precondition()
	if err != nil {
		return err
	}
	if err := c.lib.Delete(c.ctx, c.caller, e.ID, pre, nil); err != nil {
		return c.refused(err)
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
	limit, err := c.limit(1000)
	if err != nil {
		return err
	}
	page, next, err := c.lib.Trash(c.ctx, c.caller, c.q.Get("cursor"), limit)
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
		out.Contents = append(out.Contents, item{describe(e), unix(e.Trashed.At)})
	}
	return c.answer(http.StatusOK, out)
}

// untrash is POST untrash: it brings a deleted file or folder back.
func untrash(c *call) error {
	uid := c.q.Get("uid")
	if uid == "" {
		return badParam("uid", "say which one: file/trash lists them")
	}
	e, err := c.lib.Untrash(c.ctx, c.caller, quire.NodeID(uid))
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
	life, err := c.life()
	if err != nil {
		return err
	}
	hash := ""
	if text := c.q.Get("password"); text != "" {
		if hash, err = identity.HashPassword(c.ctx, text); err != nil {
			return err
		}
	}
	k, err := c.lib.CreateLink(c.ctx, c.caller, e.ID, access, life, hash)
	if err != nil {
		return err
	}
	out := map[string]any{"url": c.shareURL(k.ID), "access": k.Access.String(), "password": hash != ""}
	if !k.Expires.IsZero() {
		out["expires"] = stamp(k.Expires)
	}
	return c.answer(http.StatusOK, out)
}

// maxLinkLife is the longest life of a link that ends.
const maxLinkLife = 10 * 365 * 24 * time.Hour

// life reads how long a link lives: until expires, or for expires_in seconds; 0
// if it does not end.
func (c *call) life() (time.Duration, error) {
	if c.has("expires") && c.has("expires_in") {
		return 0, badParam("expires, expires_in", "give one of them")
	}
	if c.has("expires") {
		end, err := c.seconds("expires")
		if err != nil {
			return 0, err
		}
		life := time.Until(end)
		if life <= 0 || life > maxLinkLife {
			return 0, badParam("expires", "use a time to come, within ten years")
		}
		return life, nil
	}
	n, ok, err := c.given("expires_in")
	if err == nil && ok && (n == 0 || n > int64(maxLinkLife/time.Second)) {
		err = badParam("expires_in", "use seconds, from 1 to ten years")
	}
	return time.Duration(n) * time.Second, err
}

func (d *Door) shareURL(id quire.LinkID) string {
	return strings.TrimSuffix(d.opt.PublicURL.String(), "/") + "/s/" + string(id)
}
