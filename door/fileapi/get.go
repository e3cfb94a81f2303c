package fileapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/transform"
)

// get is GET get: a file's content, or the ranges of it that are asked for.
func get(c *call) error {
	uid, p := c.q.Get("uid"), c.q.Get("path")
	if (uid == "") == (p == "") {
		return badParam("uid, path", "give exactly one of them")
	}
	rev, err := c.revisionNumber()
	if err != nil {
		return err
	}
	inline, err := c.inline()
	if err != nil {
		return err
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
	target, err := c.wanted(in.Entry.Name)
	if err != nil {
		return err
	}
	switch name := c.q.Get("subfile"); {
	case name != "" && target != "":
		return badParam("mime, subfile", "give one of them")
	case name != "":
		return c.subfile(in, name)
	case target != "":
		return c.rendition(in.Entry, in.Revision, target, inline)
	}
	d := describe(in.Entry)
	d.Revision, d.Bytes = in.Revision, in.Size
	meta, err := ascii(d)
	if err != nil {
		return err
	}
	c.w.Header().Set("x-edo-metadata", meta)
	return c.content(in, inline)
}

// wanted returns the type of the rendition that is asked for, or nothing for the
// file as it is. It refuses what a signed link does not give: the file itself is
// for download alone, but for a PDF that may be printed; what may be looked at
// only is made anew even if it has the type already.
func (c *call) wanted(name string) (target string, err error) {
	if c.q.Get("mime") != "" {
		if target = bareType(c.q.Get("mime")); target == "" {
			return "", badParam("mime", "it is no MIME type")
		}
	}
	itself := target == "" || target == bareType(contentType(name)) && !c.has("width") && !c.has("page")
	if c.link != nil && c.link.Permission != mayDownload {
		switch {
		case target == "" || c.q.Get("subfile") != "" || !c.link.Permission.gives(target):
			return "", &statusError{status: http.StatusForbidden, code: "forbidden", msg: "the link does not permit this: it is for " + string(c.link.Permission)}
		case target != transform.PDF:
			itself = false
		}
	}
	if itself {
		return "", nil
	}
	return target, nil
}

// inline says whether the content is to be shown instead of saved.
func (c *call) inline() (bool, error) {
	switch c.q.Get("disposition") {
	case "", "attachment":
		return false, nil
	case "inline":
		return true, nil
	}
	return false, badParam("disposition", "use attachment or inline")
}

// etag names a file's content: revisions never change.
func etag(id quire.NodeID, revision int64) string {
	return `"` + string(id) + "-" + strconv.FormatInt(revision, 10) + `"`
}

// content sends a file's bytes. It is an attachment, unless a type that cannot
// run is to be shown, and in a sandbox, so that a page which somebody uploaded
// never runs as one of ours.
func (c *call) content(in *library.Content, inline bool) error {
	if c.redirected(in, inline) {
		return nil
	}
	return c.contentAs(in, inline, etag(in.Entry.ID, in.Revision))
}

// redirected sends the client to the storage itself, if it is to be and can be
// sent there. What is asked for in part or on a condition stays here, because the
// storage knows other entity tags; and so do scripts of the web application, which
// may call no other host. A signed link gives this only with the permission to
// download.
func (c *call) redirected(in *library.Content, inline bool) bool {
	if c.opt.RedirectFrom <= 0 || in.Size < c.opt.RedirectFrom || c.r.Method != http.MethodGet ||
		c.link != nil && c.link.Permission != mayDownload ||
		c.session != nil && c.r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return false
	}
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if c.r.Header.Get(name) != "" {
			return false
		}
	}
	kind, how := presentation(in.Entry.Name, inline)
	at, err := in.Presigned(kind, disposition(how, in.Entry.Name))
	if err != nil || at == "" {
		return false // if the storage is away, reading says so
	}
	h := c.w.Header()
	h.Set("Location", at)
	h.Set("Referrer-Policy", "no-referrer")
	c.w.WriteHeader(http.StatusFound)
	return true
}

// presentation is a file's type, and whether it is shown or saved: what cannot
// run may be shown.
func presentation(name string, inline bool) (kind, how string) {
	kind, how = contentType(name), "attachment"
	if inline && harmless[bareType(kind)] {
		how = "inline"
	}
	return kind, how
}

// contentAs is content with an entity tag of its own.
func (c *call) contentAs(in *library.Content, inline bool, tag string) error {
	kind, how := presentation(in.Entry.Name, inline)
	h := c.w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", disposition(how, in.Entry.Name))
	if how == "inline" && bareType(kind) == "application/pdf" {
		// Browsers show PDF with a viewer of their own, which a sandbox forbids.
		h.Set("Content-Security-Policy", "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'")
	} else {
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'")
	}
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	c.rangeUnit()
	return c.send(in)
}

// rangeUnit drops a Range in another unit than bytes, which is to be ignored
// (RFC 9110, 14.2), and writes the unit as ServeContent expects it.
func (c *call) rangeUnit() {
	text := c.r.Header.Get("Range")
	if text == "" {
		return
	}
	unit, set, ok := strings.Cut(text, "=")
	switch {
	case ok && strings.EqualFold(strings.TrimSpace(unit), "bytes"):
		c.r.Header.Set("Range", "bytes="+set)
	case ok:
		c.r.Header.Del("Range")
	}
}

// disposition names the file for the browser: in ASCII for old ones, in UTF-8
// for the rest (RFC 6266).
func disposition(how, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return how + `; filename="` + plain + `"; filename*=UTF-8''` + extValue(name)
}

// extValue percent-encodes all but what may stand in an extended parameter as
// it is (RFC 8187, attr-char).
func extValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
