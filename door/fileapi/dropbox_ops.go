package fileapi

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// dropboxRestore makes an old revision current, also of a file that has been
// deleted: a rev names the file.
func dropboxRestore(c *call, p string) error {
	id, n, ok := parseBoxRev(c.q.Get("rev"))
	if c.q.Get("rev") == "" {
		return badParam("rev", "say which one")
	}
	if !ok {
		return quire.ErrNotFound
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if errors.Is(err, quire.ErrNotFound) {
		e, err = c.undelete(id, p)
	}
	if err != nil {
		return err
	}
	if e.ID != id {
		return quire.ErrNotFound
	}
	if n != e.Revision {
		if e, _, err = c.lib.RestoreRevision(c.ctx, c.caller, id, n, quire.Precondition{}); err != nil {
			return err
		}
	}
	return c.answer(http.StatusOK, box(e))
}

// undelete brings a deleted file back to the path where it was.
func (c *call) undelete(id quire.NodeID, p string) (library.Entry, error) {
	e, err := c.lib.Trashed(c.ctx, c.caller, id)
	if err != nil {
		return e, err
	}
	if e.IsContainer() || !strings.EqualFold(e.Path, strings.TrimSuffix(p, "/")) {
		return e, quire.ErrNotFound
	}
	return c.lib.Untrash(c.ctx, c.caller, id)
}

// boxForever is when something ends that does not.
var boxForever = stamp(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC))

func dropboxShare(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	k, err := c.lib.StandingLink(c.ctx, c.caller, e.ID, quire.Viewer)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"url": c.shareURL(k.ID), "expires": boxForever, "visibility": "PUBLIC"})
}

// dropboxCopyRef names a file or folder for fileops/copy. It is the id, which
// opens nothing by itself: who copies must have access.
func dropboxCopyRef(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"copy_ref": e.ID, "expires": boxForever})
}

func dropboxCopy(c *call, _ string) error {
	from, ref := c.q.Get("from_path"), c.q.Get("from_copy_ref")
	if (from == "") == (ref == "") {
		return badParam("from_path, from_copy_ref", "give one of them")
	}
	var e library.Entry
	var err error
	if ref != "" {
		e, err = c.lib.Stat(c.ctx, c.caller, quire.NodeID(ref))
	} else {
		e, err = c.lib.Lookup(c.ctx, c.caller, from)
	}
	if err != nil {
		return err
	}
	t, err := c.boxTarget()
	if err != nil {
		return err
	}
	if e, err = c.lib.Copy(c.ctx, c.caller, e.ID, t); err != nil {
		return err
	}
	return c.answer(http.StatusOK, box(e))
}

func dropboxMove(c *call, _ string) error {
	if c.q.Get("from_path") == "" {
		return badParam("from_path", "say what is to be moved")
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, c.q.Get("from_path"))
	if err != nil {
		return err
	}
	t, err := c.boxTarget()
	if err != nil {
		return err
	}
	if e, err = c.lib.Move(c.ctx, c.caller, e.ID, t, quire.Precondition{}, nil); err != nil {
		return err
	}
	return c.answer(http.StatusOK, box(e))
}

// boxTarget reads to_path.
func (c *call) boxTarget() (quire.Target, error) {
	to := c.q.Get("to_path")
	if to == "" {
		return quire.Target{}, badParam("to_path", "say where to")
	}
	return quire.Target{Path: to, OnConflict: quire.Reject}, c.root()
}

func dropboxDelete(c *call, _ string) error {
	if c.q.Get("path") == "" {
		return badParam("path", "say what is to be deleted")
	}
	if err := c.root(); err != nil {
		return err
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, c.q.Get("path"))
	if err != nil {
		return err
	}
	if err := c.lib.Delete(c.ctx, c.caller, e.ID, quire.Precondition{}, nil); err != nil {
		return err
	}
	m := box(e)
	m.IsDeleted, m.Bytes, m.Size = true, 0, humanSize(0)
	return c.answer(http.StatusOK, m)
}

func dropboxCreateFolder(c *call, _ string) error {
	if c.q.Get("path") == "" {
		return badParam("path", "say where")
	}
	if err := c.root(); err != nil {
		return err
	}
	e, _, err := c.lib.CreateContainer(c.ctx, c.caller, quire.Target{Path: c.q.Get("path"), OnConflict: quire.Reject})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, box(e))
}
