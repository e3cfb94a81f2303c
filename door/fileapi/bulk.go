package fileapi

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blank"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// createDocument is POST create_document: an empty office document in a folder.
func createDocument(c *call) error {
	kind := strings.ToLower(strings.TrimPrefix(c.q.Get("type"), "."))
	content, err := blank.New(kind)
	if err != nil {
		return badParam("type", "use one of "+strings.Join(blank.Extensions(), ", "))
	}
	t := quire.Target{Parent: quire.NodeID(c.q.Get("uid")), Name: c.q.Get("name"), OnConflict: quire.Reject}
	if t.Parent == "" {
		return badParam("uid", "say in which folder")
	}
	if t.Name == "" {
		t.Name = "New document." + kind
	}
	if !strings.HasSuffix(strings.ToLower(t.Name), "."+kind) {
		t.Name += "." + kind
	}
	if rename, err := c.flag("autorename", false); err != nil {
		return err
	} else if rename {
		t.OnConflict = quire.Rename
	}
	e, _, err := c.lib.Save(c.ctx, c.caller, t, bytes.NewReader(content), library.Save{})
	if err != nil {
		return err
	}
	return c.saved(e)
}

// maxSelection is how many entries one archive may be asked for by name.
const maxSelection = 10_000

// zipped is GET or POST zip: files and folders as one archive, which is made
// while it is sent. What disappears meanwhile is left out; if the archive cannot
// be finished, the connection breaks, so that nobody takes half of it for all.
func zipped(c *call) error {
	var ids []quire.NodeID
	for id := range strings.SplitSeq(c.q.Get("uids"), ",") {
		if id = strings.TrimSpace(id); id != "" {
			ids = append(ids, quire.NodeID(id))
		}
	}
	if len(ids) == 0 || len(ids) > maxSelection {
		return badParam("uids", fmt.Sprintf("give 1 to %d, separated by commas", maxSelection))
	}
	name := "files.zip"
	for i, id := range ids { // refused before the first byte, if at all
		e, err := c.lib.Stat(c.ctx, c.caller, id)
		if err != nil {
			return err
		}
		if i == 0 && len(ids) == 1 && e.Name != "" {
			name = e.Name + ".zip"
		}
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", disposition("attachment", name))
	c.w.WriteHeader(http.StatusOK)
	z := zip.NewWriter(c.w)
	err := c.lib.Walk(c.ctx, c.caller, ids, func(rel string, e library.Entry) error { return c.pack(z, rel, e) })
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		if c.ctx.Err() == nil {
			c.log.Error("an archive could not be finished", "request", server.RequestID(c.ctx), "error", err)
		}
		panic(http.ErrAbortHandler) // the status is sent: only a broken connection tells
	}
	return nil
}

// packed are the kinds of file that do not get smaller.
var packed = map[string]bool{
	".zip": true, ".gz": true, ".7z": true, ".rar": true, ".docx": true, ".xlsx": true, ".pptx": true, ".odt": true, ".ods": true, ".odp": true,
	".jpg": true, ".jpeg": true, ".png": true, ".gif": true, ".webp": true, ".avif": true, ".heic": true,
	".mp3": true, ".m4a": true, ".ogg": true, ".flac": true, ".mp4": true, ".m4v": true, ".mov": true, ".webm": true, ".mkv": true,
}

// pack adds one entry to an archive.
func (c *call) pack(z *zip.Writer, rel string, e library.Entry) error {
	// The names of nodes hold no slash and no "..", so none leads out of where
	// it is unpacked.
	head := &zip.FileHeader{Name: rel, Modified: e.Modified, Method: zip.Deflate}
	if e.IsContainer() {
		head.Name += "/"
		head.Method = zip.Store
		_, err := z.CreateHeader(head)
		return err
	}
	in, err := c.lib.Open(c.ctx, c.caller, e.ID, e.Revision)
	if err != nil {
		if errors.Is(err, quire.ErrNotFound) {
			return nil
		}
		return err
	}
	defer in.Close()
	dot := strings.LastIndexByte(rel, '.')
	if dot >= 0 && packed[strings.ToLower(rel[dot:])] {
		head.Method = zip.Store
	}
	w, err := z.CreateHeader(head)
	if err != nil {
		return err
	}
	_, err = in.WriteRange(w, 0, in.Size)
	return err
}

// label is POST label: it names a revision, so that it is kept for good; an
// empty label takes the name away.
func label(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	rev, err := c.revisionNumber()
	if err != nil {
		return err
	}
	if rev == 0 {
		rev = e.Revision
	}
	r, err := c.lib.LabelRevision(c.ctx, c.caller, e.ID, rev, c.q.Get("label"))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, past{describe(asOf(e, r)), r.Authors, c.names(r.Authors), r.Door, r.Kind, r.Label, r.From})
}

// purge is POST purge: it deletes what is in the trash for good.
func purge(c *call) error {
	uid := c.q.Get("uid")
	if uid == "" {
		return badParam("uid", "say which one: file/trash lists them")
	}
	if err := c.lib.Purge(c.ctx, c.caller, quire.NodeID(uid)); err != nil {
		return err
	}
	return c.done()
}

// emptyTrash is POST empty_trash: it purges all that file/trash lists.
func emptyTrash(c *call) error {
	n, err := c.lib.EmptyTrash(c.ctx, c.caller)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]int{"purged": n})
}
