package fileapi

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// dropboxShape writes {"error"}.
type dropboxShape struct{}

func (dropboxShape) fail(c *call, err error) {
	w := c.translate(err)
	var offset *quire.OffsetMismatch
	switch {
	case w.status == 0:
		return
	case errors.As(err, &offset):
		_ = c.answer(http.StatusBadRequest, misaligned(offset))
		return
	case errors.Is(err, quire.ErrUploadGone):
		w.status, w.msg = http.StatusNotFound, "No upload with upload_id found."
	case w.status == http.StatusLocked:
		w.status = http.StatusConflict // the shape has no other status for it
	case w.code == "exists":
		w.status = http.StatusForbidden // as the original answers to a taken name
	}
	c.head(w)
	_ = c.answer(w.status, map[string]string{"error": w.msg})
}

// dropboxCalls has the calls by what follows /1/. Those that end in a slash
// take a root and a path after it.
var dropboxCalls = map[string]struct {
	methods string
	do      func(c *call, p string) error
}{
	"files/":                 {"GET HEAD", dropboxGet},
	"files_put/":             {"PUT POST", dropboxPut},
	"chunked_upload":         {"PUT POST", func(c *call, _ string) error { return chunkedUpload(c) }},
	"commit_chunked_upload/": {"POST", dropboxCommit},
	"metadata/":              {"GET", dropboxMetadata},
	"revisions/":             {"GET", dropboxRevisions},
	"restore/":               {"POST", dropboxRestore},
	"search/":                {"GET POST", dropboxSearch},
	"shares/":                {"POST GET", dropboxShare},
	"fileops/copy":           {"POST", dropboxFileop(copyEntry)},
	"fileops/move":           {"POST", dropboxFileop(moveEntry)},
	"fileops/delete":         {"POST", dropboxDelete},
	"fileops/create_folder":  {"POST", dropboxCreateFolder},
	"delta":                  {"POST", dropboxDelta},
	"account/info":           {"GET", dropboxAccount},
}

func serveDropbox(c *call, rest string) error {
	rest = strings.TrimSuffix(rest, "/")
	name, p := rest, ""
	if _, ok := dropboxCalls[name]; !ok {
		first, after, _ := strings.Cut(rest, "/")
		root, tail, _ := strings.Cut(after, "/")
		if !slices.Contains([]string{"auto", "dropbox", "sandbox"}, root) {
			return &statusError{http.StatusNotFound, "not_found", "there is no such call"}
		}
		name, p = first+"/", "/"+tail
	}
	way, ok := dropboxCalls[name]
	if !ok {
		return &statusError{http.StatusNotFound, "not_found", "there is no such call"}
	}
	if err := c.method(way.methods); err != nil {
		return err
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.params(); err != nil {
		return err
	}
	return way.do(c, p)
}

// boxMeta is metadata in this shape.
type boxMeta struct {
	Size        string    `json:"size"`
	Rev         string    `json:"rev,omitempty"`
	ThumbExists bool      `json:"thumb_exists"`
	Bytes       int64     `json:"bytes"`
	Modified    string    `json:"modified,omitempty"`
	ClientMtime string    `json:"client_mtime,omitempty"`
	Path        string    `json:"path"`
	IsDir       bool      `json:"is_dir"`
	IsDeleted   bool      `json:"is_deleted,omitempty"`
	Icon        string    `json:"icon"`
	Root        string    `json:"root"`
	MimeType    string    `json:"mime_type,omitempty"`
	Revision    int64     `json:"revision"`
	Hash        string    `json:"hash,omitempty"`
	Contents    []boxMeta `json:"contents,omitempty"`
}

func box(e library.Entry) boxMeta {
	m := boxMeta{
		Size: humanSize(e.Size), Bytes: e.Size, Modified: e.Modified.Format(time.RFC1123Z), Path: e.Path,
		IsDir: e.IsContainer(), Icon: icon(e), Root: "dropbox", Revision: e.Revision,
	}
	if m.IsDir {
		return m
	}
	m.Rev, m.MimeType = boxRev(e.ID, e.Revision), contentType(e.Name)
	m.MimeType, _, _ = strings.Cut(m.MimeType, ";")
	if !e.Client.IsZero() {
		m.ClientMtime = e.Client.Format(time.RFC1123Z)
	} else {
		m.ClientMtime = m.Modified
	}
	return m
}

func humanSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, unit := float64(n)/1024, "KB"
	for _, next := range []string{"MB", "GB", "TB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, next
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + unit
}

func icon(e library.Entry) string {
	if e.IsContainer() {
		return "folder"
	}
	switch strings.ToLower(path.Ext(e.Name)) {
	case ".pdf":
		return "page_white_acrobat"
	case ".doc", ".docx", ".odt":
		return "page_white_word"
	case ".xls", ".xlsx", ".ods":
		return "page_white_excel"
	case ".ppt", ".pptx", ".odp":
		return "page_white_powerpoint"
	case ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp":
		return "page_white_picture"
	case ".txt", ".md":
		return "page_white_text"
	case ".zip":
		return "page_white_compressed"
	}
	return "page_white"
}

// A rev names a revision of one file: the number, and what tells the file from
// others that stood at the same path.
func boxRev(id quire.NodeID, revision int64) string {
	return strconv.FormatInt(revision, 16) + "0" + fmt.Sprintf("%x", string(id)[:6])
}

// revNumber reads a rev of a file.
func revNumber(e library.Entry, rev string) (int64, bool) {
	n, ok := strings.CutSuffix(rev, "0"+fmt.Sprintf("%x", string(e.ID)[:6]))
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(n, 16, 64)
	return v, err == nil && v > 0
}

// revParam reads the rev of a request; 0 if it has none.
func (c *call) revParam(e library.Entry, name string) (int64, error) {
	text := c.q.Get(name)
	if text == "" {
		return 0, nil
	}
	n, ok := revNumber(e, text)
	if !ok {
		return 0, quire.ErrNotFound
	}
	return n, nil
}

// boxHead puts metadata in a header.
func (c *call) boxHead(e library.Entry) error {
	text, err := ascii(box(e))
	if err == nil {
		c.w.Header().Set("x-dropbox-metadata", text)
	}
	return err
}

func dropboxGet(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	rev, err := c.revParam(e, "rev")
	if err != nil {
		return err
	}
	in, err := c.lib.Open(c.ctx, c.caller, e.ID, rev)
	if err != nil {
		return err
	}
	defer in.Close()
	e = in.Entry
	e.Revision, e.Size = in.Revision, in.Size
	if err := c.boxHead(e); err != nil {
		return err
	}
	c.content(in)
	return nil
}

// dropboxSave reads how files_put and commit_chunked_upload save, which differs
// from the native calls: overwrite is the default, and a parent_rev that is not
// the latest keeps both.
func (c *call) dropboxSave(p string) (quire.Target, library.Save, error) {
	t := quire.Target{Path: p, OnConflict: quire.Replace}
	var o library.Save
	overwrite, err := c.flag("overwrite", true)
	if err != nil {
		return t, o, err
	}
	autorename, err := c.flag("autorename", true)
	if err != nil {
		return t, o, err
	}
	aside := quire.Reject
	if autorename {
		aside = quire.Rename
	}
	if !overwrite {
		t.OnConflict = aside
	}
	parent := c.q.Get("parent_rev")
	if parent == "" {
		return t, o, nil
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil && !errors.Is(err, quire.ErrNotFound) {
		return t, o, err
	}
	n, ok := int64(0), false
	if err == nil && !e.IsContainer() {
		n, ok = revNumber(e, parent)
	}
	if !ok || n > e.Revision {
		return t, o, badParam("parent_rev", "there is no such revision of the file")
	}
	switch {
	case n == e.Revision:
		t.OnConflict, o.Revision = quire.Replace, &n
	case !autorename:
		return t, o, &quire.Conflict{Current: e.Node}
	default:
		ext := path.Ext(p)
		t.Path, t.OnConflict = strings.TrimSuffix(p, ext)+" (conflicted copy)"+ext, quire.Rename
	}
	return t, o, nil
}

func dropboxPut(c *call, p string) error {
	n, err := c.length()
	if err != nil {
		return err
	}
	t, o, err := c.dropboxSave(p)
	if err != nil {
		return err
	}
	o.Length, o.Sized, o.Max = n, true, maxBody
	e, _, err := c.lib.Save(c.ctx, c.caller, t, c.r.Body, o)
	if err != nil {
		return boxTaken(err)
	}
	return c.answer(http.StatusOK, box(e))
}

// boxTaken is 409 where autorename was turned off.
func boxTaken(err error) error {
	var exists *quire.Exists
	if errors.As(err, &exists) {
		return &statusError{http.StatusConflict, "conflict", err.Error()}
	}
	return err
}

func dropboxCommit(c *call, p string) error {
	t, o, err := c.dropboxSave(p)
	if err != nil {
		return err
	}
	e, _, err := c.lib.CommitUpload(c.ctx, c.caller, quire.UploadID(c.q.Get("upload_id")), t, o)
	if err != nil {
		return boxTaken(err)
	}
	return c.answer(http.StatusOK, box(e))
}

func dropboxMetadata(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	m := box(e)
	if !e.IsContainer() {
		rev, err := c.revParam(e, "rev")
		if err != nil {
			return err
		}
		if rev == 0 {
			return c.answer(http.StatusOK, m)
		}
		_, r, err := c.lib.Revision(c.ctx, c.caller, e.ID, rev)
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, pastBox(e, r))
	}
	wanted, err := c.flag("list", true)
	if err != nil {
		return err
	}
	limit, err := c.number(10000, "file_limit")
	if err != nil {
		return err
	}
	if limit < 1 || limit > library.MaxPage {
		return badParam("file_limit", "use a number from 1 to 25000")
	}
	if wanted {
		page, next, err := c.lib.List(c.ctx, c.caller, e.ID, library.Listing{Limit: int(limit)})
		if err != nil {
			return err
		}
		if next != "" {
			return &statusError{http.StatusNotAcceptable, "too_many", "the folder has more entries than file_limit: ask for more, or list it with the content API"}
		}
		m.Contents = make([]boxMeta, len(page))
		for i, x := range page {
			m.Contents[i] = box(x)
		}
		m.Hash = folderHash(page)
		if h := c.q.Get("hash"); h != "" && h == m.Hash {
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	return c.answer(http.StatusOK, m)
}

func pastBox(e library.Entry, r quire.Revision) boxMeta {
	e.Revision, e.Size, e.Modified = r.Number, r.Size, r.Created
	return box(e)
}

func dropboxRevisions(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	limit, err := c.number(10, "rev_limit")
	if err != nil {
		return err
	}
	page, err := c.lib.Revisions(c.ctx, c.caller, e.ID, 0, int(min(max(limit, 1), 1000)), false)
	if err != nil {
		return err
	}
	out := make([]boxMeta, len(page))
	for i, r := range page {
		out[i] = pastBox(e, r)
	}
	return c.answer(http.StatusOK, out)
}

func dropboxRestore(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	rev, err := c.revParam(e, "rev")
	if err == nil && rev == 0 {
		err = badParam("rev", "say which one")
	}
	if err != nil {
		return err
	}
	if e, _, err = c.lib.RestoreRevision(c.ctx, c.caller, e.ID, rev, quire.Precondition{}); err != nil {
		return err
	}
	return c.answer(http.StatusOK, box(e))
}

func dropboxSearch(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	limit, err := c.number(1000, "file_limit")
	if err != nil {
		return err
	}
	if len(c.q.Get("query")) < 3 {
		return badParam("query", "use at least three characters")
	}
	found, _, err := c.lib.Search(c.ctx, c.caller, e.ID, c.q.Get("query"), "", int(min(max(limit, 1), 1000)))
	if err != nil {
		return err
	}
	out := make([]boxMeta, len(found))
	for i, x := range found {
		out[i] = box(x)
	}
	return c.answer(http.StatusOK, out)
}

func dropboxShare(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	k, err := c.lib.StandingLink(c.ctx, c.caller, e.ID, quire.Viewer)
	if err != nil {
		return err
	}
	// The shape has no link without an end: this one is as good as that.
	return c.answer(http.StatusOK, map[string]any{"url": c.shareURL(k.ID), "expires": time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC1123Z)})
}

func copyEntry(c *call, e library.Entry, t quire.Target) (library.Entry, error) {
	return c.lib.Copy(c.ctx, c.caller, e.ID, t)
}

func moveEntry(c *call, e library.Entry, t quire.Target) (library.Entry, error) {
	return c.lib.Move(c.ctx, c.caller, e.ID, t, quire.Precondition{}, nil)
}

// dropboxFileop is a call with from_path and to_path.
func dropboxFileop(do func(*call, library.Entry, quire.Target) (library.Entry, error)) func(*call, string) error {
	return func(c *call, _ string) error {
		if c.q.Get("from_path") == "" || c.q.Get("to_path") == "" {
			return badParam("from_path, to_path", "give both")
		}
		e, err := c.lib.Lookup(c.ctx, c.caller, c.q.Get("from_path"))
		if err != nil {
			return err
		}
		if e, err = do(c, e, quire.Target{Path: c.q.Get("to_path"), OnConflict: quire.Reject}); err != nil {
			return err
		}
		return c.answer(http.StatusOK, box(e))
	}
}

func dropboxDelete(c *call, _ string) error {
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
	e, _, err := c.lib.CreateContainer(c.ctx, c.caller, quire.Target{Path: c.q.Get("path"), OnConflict: quire.Reject})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, box(e))
}

// deltaPage is how many changes one answer of delta looks at.
const deltaPage = 1000

// dropboxDelta tells what has changed since a cursor. Without one, the client
// is to forget what it has and is told everything that is there.
func dropboxDelta(c *call, _ string) error {
	prefix := c.q.Get("path_prefix")
	if prefix == "" {
		prefix = "/"
	}
	top, err := c.lib.Lookup(c.ctx, c.caller, prefix)
	if err != nil {
		return err
	}
	out := struct {
		Entries [][2]any `json:"entries"`
		Reset   bool     `json:"reset"`
		Cursor  string   `json:"cursor"`
		HasMore bool     `json:"has_more"`
	}{Entries: [][2]any{}}
	var after int64
	if text := c.q.Get("cursor"); text != "" {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			after, err = strconv.ParseInt(string(b), 10, 64)
		}
		if err != nil || after < 0 {
			return badParam("cursor", "it is not one that delta gave: start again without it")
		}
	} else {
		out.Reset = true
	}
	changes, cursor, more, err := c.lib.Changes(c.ctx, c.caller, top.ID, after, time.Time{}, deltaPage)
	if err != nil {
		return err
	}
	said := make(map[string]bool)
	for _, ch := range slices.Backward(changes) {
		// What stood at the path when it happened may be elsewhere by now.
		e, err := c.lib.Lookup(c.ctx, c.caller, ch.Path)
		switch {
		case errors.Is(err, quire.ErrNotFound):
			if where := strings.ToLower(ch.Path); !said[where] {
				said[where] = true
				out.Entries = append(out.Entries, [2]any{where, nil})
			}
		case err != nil:
			return err
		default:
			// A folder that came brings what is in it along.
			deep := e.IsContainer() && (ch.Kind == quire.EventMoveIn || ch.Kind == quire.EventRename || ch.Kind == quire.EventNew)
			if err := c.tell(e, deep, said, &out.Entries); err != nil {
				return err
			}
		}
	}
	slices.Reverse(out.Entries)
	out.Cursor = base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, cursor, 10))
	out.HasMore = more
	return c.answer(http.StatusOK, out)
}

// tell adds what is at a path, after what is below it if that is wanted: the
// list is turned round in the end, so that containers come first.
func (c *call) tell(e library.Entry, deep bool, said map[string]bool, list *[][2]any) error {
	if deep {
		for after := ""; ; {
			page, next, err := c.lib.List(c.ctx, c.caller, e.ID, library.Listing{After: after, Limit: deltaPage})
			if err != nil {
				return err
			}
			for _, x := range page {
				if err := c.tell(x, x.IsContainer(), said, list); err != nil {
					return err
				}
			}
			if after = next; after == "" {
				break
			}
		}
	}
	if where := strings.ToLower(e.Path); !said[where] {
		said[where] = true
		*list = append(*list, [2]any{where, box(e)})
	}
	return nil
}

func dropboxAccount(c *call, _ string) error {
	s, used, err := c.lib.SiteOf(c.ctx, c.caller)
	if err != nil {
		return err
	}
	u, err := c.lib.UserByID(c.ctx, c.caller, c.caller.User)
	if err != nil {
		return err
	}
	quota := s.Quota
	if quota == 0 {
		quota = 1 << 50
	}
	return c.answer(http.StatusOK, map[string]any{
		"uid": u.ID, "display_name": u.Name, "email": u.Email, "country": "", "referral_link": c.opt.PublicURL.String(),
		"quota_info": map[string]int64{"normal": used, "shared": 0, "quota": quota},
	})
}

// folderHash tells one state of a folder from another.
func folderHash(page []library.Entry) string {
	h := sha256.New()
	for _, e := range page {
		fmt.Fprintf(h, "%s\x00%s\x00%d\x00%d\n", e.ID, e.Name, e.Revision, e.Size)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}
