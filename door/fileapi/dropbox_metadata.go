package fileapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// boxMeta is metadata in the Dropbox shape.
type boxMeta struct {
	Size        string `json:"size"`
	Rev         string `json:"rev,omitempty"`
	ThumbExists bool   `json:"thumb_exists"`
	Bytes       int64  `json:"bytes"`
	Modified    string `json:"modified,omitempty"`
	ClientMtime string `json:"client_mtime,omitempty"`
	Path        string `json:"path"`
	IsDir       bool   `json:"is_dir"`
	IsDeleted   bool   `json:"is_deleted,omitempty"`
	Icon        string `json:"icon"`
	Root        string `json:"root"`
	MimeType    string `json:"mime_type,omitempty"`
	Revision    int64  `json:"revision"`
}

// boxFolder is a folder's metadata with what is in it.
type boxFolder struct {
	boxMeta
	Hash     string    `json:"hash"`
	Contents []boxMeta `json:"contents"`
}

func box(e library.Entry) boxMeta {
	m := boxMeta{
		Size: humanSize(e.Size), Bytes: e.Size, Modified: stamp(e.Modified), Path: e.Path,
		IsDir: e.IsContainer(), Icon: icon(e), Root: "dropbox", Revision: e.Revision,
	}
	if m.IsDir {
		return m
	}
	m.Rev, m.MimeType = boxRev(e.ID, e.Revision), bareType(contentType(e.Name))
	m.ClientMtime = m.Modified
	if !e.Client.IsZero() {
		m.ClientMtime = stamp(e.Client)
	}
	return m
}

func boxes(page []library.Entry) []boxMeta {
	out := make([]boxMeta, len(page))
	for i, x := range page {
		out[i] = box(x)
	}
	return out
}

func humanSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, unit := float64(n)/1024, "KB"
	for _, next := range []string{"MB", "GB", "TB"} {
		if f < 1023.95 { // what would be written as 1024.0
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
	switch ext := strings.ToLower(path.Ext(e.Name)); ext {
	case ".pdf":
		return "page_white_acrobat"
	case ".doc", ".docx", ".docm", ".odt", ".rtf":
		return "page_white_word"
	case ".xls", ".xlsx", ".xlsm", ".ods", ".csv":
		return "page_white_excel"
	case ".ppt", ".pptx", ".pptm", ".odp":
		return "page_white_powerpoint"
	case ".txt", ".md", ".log":
		return "page_white_text"
	case ".zip", ".gz", ".tar", ".7z", ".rar":
		return "page_white_compressed"
	default:
		switch kind, _, _ := strings.Cut(contentType(e.Name), "/"); kind {
		case "image":
			return "page_white_picture"
		case "audio":
			return "page_white_sound"
		case "video":
			return "page_white_film"
		}
	}
	return "page_white"
}

// A rev names one revision of one file: the file's id as a number, the
// revision, and how many digits that has, in lower-case hexadecimal.
func boxRev(id quire.NodeID, revision int64) string {
	n, ok := new(big.Int).SetString("1"+string(id), 36)
	if !ok {
		return "" // ids are lower-case letters and digits
	}
	rev := strconv.FormatInt(revision, 16)
	return n.Text(16) + rev + strconv.FormatInt(int64(len(rev)), 16)
}

// parseBoxRev is the inverse of boxRev.
func parseBoxRev(rev string) (quire.NodeID, int64, bool) {
	if rev == "" || len(rev) > 100 {
		return "", 0, false
	}
	at := len(rev) - 1
	digits, err := strconv.ParseUint(rev[at:], 16, 4)
	if err != nil || int(digits) >= at {
		return "", 0, false
	}
	revision, err := strconv.ParseInt(rev[at-int(digits):at], 16, 64)
	if err != nil || revision < 1 {
		return "", 0, false
	}
	n, ok := new(big.Int).SetString(rev[:at-int(digits)], 16)
	if !ok {
		return "", 0, false
	}
	id, ok := strings.CutPrefix(n.Text(36), "1")
	if !ok || boxRev(quire.NodeID(id), revision) != rev {
		return "", 0, false
	}
	return quire.NodeID(id), revision, true
}

// revParam reads the rev of a request about a file; 0 if it has none. The rev of
// another file is none of this one's.
func (c *call) revParam(e library.Entry) (int64, error) {
	text := c.q.Get("rev")
	if text == "" {
		return 0, nil
	}
	id, n, ok := parseBoxRev(text)
	if !ok || id != e.ID {
		return 0, quire.ErrNotFound
	}
	return n, nil
}

func dropboxMetadata(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
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
		return badParam("file_limit", "use a number from 1 to "+strconv.Itoa(library.MaxPage))
	}
	switch {
	case !e.IsContainer():
		return c.fileMetadata(e)
	case !wanted:
		return c.answer(http.StatusOK, box(e))
	}
	page, next, err := c.lib.List(c.ctx, c.caller, e.ID, library.Listing{Limit: int(limit)})
	if err != nil {
		return err
	}
	if next != "" {
		return &statusError{status: http.StatusNotAcceptable, code: "too_many", msg: "the folder has more entries than file_limit: ask for more, or list it with the content API"}
	}
	hash := folderHash(page)
	if c.q.Get("hash") == hash {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return c.answer(http.StatusOK, boxFolder{box(e), hash, boxes(page)})
}

func (c *call) fileMetadata(e library.Entry) error {
	rev, err := c.revParam(e)
	if err != nil {
		return err
	}
	if rev != 0 {
		_, r, err := c.lib.Revision(c.ctx, c.caller, e.ID, rev)
		if err != nil {
			return err
		}
		e = asOf(e, r)
	}
	return c.answer(http.StatusOK, box(e))
}

// folderHash tells one state of a folder from another.
func folderHash(page []library.Entry) string {
	h := sha256.New()
	for _, e := range page {
		fmt.Fprintf(h, "%s\x00%s\x00%d\x00%d\n", e.ID, e.Name, e.Revision, e.Size)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
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
		out[i] = box(asOf(e, r))
	}
	return c.answer(http.StatusOK, out)
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
	query := strings.TrimSpace(c.q.Get("query"))
	if len([]rune(query)) < 3 {
		return badParam("query", "use at least three characters")
	}
	found, _, err := c.lib.Search(c.ctx, c.caller, e.ID, query, "", int(min(max(limit, 1), 1000)))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, boxes(found))
}

// boxUnlimited is the quota of a site that has none.
const boxUnlimited = 1 << 50

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
		quota = boxUnlimited
	}
	return c.answer(http.StatusOK, map[string]any{
		"uid": u.ID, "display_name": u.Name, "email": u.Email, "country": "", "referral_link": c.opt.PublicURL.String(),
		"quota_info": map[string]int64{"normal": used, "shared": 0, "quota": quota},
	})
}
