package fileapi

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf16"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// description is a file's or folder's metadata.
type description struct {
	UID         quire.NodeID `json:"uid"`
	Revision    int64        `json:"revision"`
	Filename    string       `json:"filename"`
	Bytes       int64        `json:"bytes"`
	Modified    float64      `json:"modified"` // seconds since 1970
	ContentType string       `json:"content_type,omitempty"`
	Path        string       `json:"path"`
	IsDir       bool         `json:"is_dir"`
	Access      string       `json:"access"`
	Locked      bool         `json:"locked,omitempty"`
}

func describe(e library.Entry) description {
	d := description{
		UID: e.ID, Revision: e.Revision, Filename: e.Name, Bytes: e.Size, Modified: float64(e.Modified.UnixMilli()) / 1000,
		Path: e.Path, IsDir: e.IsContainer(), Access: e.Access.String(),
		Locked: e.Lock.WOPI != nil || len(e.Lock.Coauth) > 0,
	}
	if !d.IsDir {
		d.ContentType = contentType(e.Name)
	}
	return d
}

// ascii writes a value as one line of ASCII JSON, for a header.
func ascii(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r > 0xffff:
			a, b := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, a, b)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String(), nil
}

// types are content types that must not depend on the machine that the server
// runs on.
var types = map[string]string{
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".doc":  "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
	".odt": "application/vnd.oasis.opendocument.text", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
	".odp": "application/vnd.oasis.opendocument.presentation", ".rtf": "application/rtf", ".csv": "text/csv; charset=utf-8",
	".pdf": "application/pdf", ".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".zip": "application/zip",
	".json": "application/json", ".xml": "application/xml", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".mp3": "audio/mpeg", ".mp4": "video/mp4", ".webm": "video/webm", ".bin": "application/octet-stream",
}

func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if t, ok := types[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// get is GET get: a file's content, or the ranges of it that are asked for.
func get(c *call) error {
	uid, p := c.q.Get("uid"), c.q.Get("path")
	if (uid == "") == (p == "") {
		return badParam("uid, path", "give exactly one of them")
	}
	rev, err := c.number(0, "revision", "rev")
	if err != nil {
		return err
	}
	if c.q.Get("subfile") != "" {
		return &statusError{http.StatusUnprocessableEntity, "conversion_unavailable", "members of archives cannot be given by themselves here: get the whole file"}
	}
	var in *library.Content
	if uid != "" {
		in, err = c.lib.Open(c.ctx, c.caller, quire.NodeID(uid), rev)
	} else {
		in, err = c.lib.OpenPath(c.ctx, c.caller, p, rev)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if m := c.q.Get("mime"); m != "" && !sameType(m, contentType(in.Entry.Name)) {
		return &statusError{http.StatusUnprocessableEntity, "conversion_unavailable", "this server has no converter from " + contentType(in.Entry.Name) + " to " + clip(m) + ": get the original"}
	}
	d := describe(in.Entry)
	d.Revision, d.Bytes = in.Revision, in.Size
	meta, err := ascii(d)
	if err != nil {
		return err
	}
	c.w.Header().Set("x-edo-metadata", meta)
	c.content(in)
	return nil
}

func sameType(a, b string) bool {
	a, _, _ = mime.ParseMediaType(a)
	b, _, _ = mime.ParseMediaType(b)
	return a == b && a != ""
}

// etag names a file's content: revisions never change.
func etag(id quire.NodeID, revision int64) string { return fmt.Sprintf(`"%s-%d"`, id, revision) }

// content sends a file's bytes. It is always an attachment in a sandbox, so
// that a page which somebody uploaded never runs as one of ours.
func (c *call) content(in *library.Content) {
	h := c.w.Header()
	h.Set("Content-Type", contentType(in.Entry.Name))
	h.Set("Content-Disposition", disposition(in.Entry.Name))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("ETag", etag(in.Entry.ID, in.Revision))
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(c.w, c.r, "", in.Entry.Modified, in.Reader(0, in.Size))
}

// disposition names the file for the browser: in ASCII for old ones, in UTF-8
// for the rest (RFC 6266).
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
