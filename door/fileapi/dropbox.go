package fileapi

import (
	"errors"
	"net/http"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// dropboxShape writes {"error"}.
type dropboxShape struct{}

func (dropboxShape) fail(c *call, err error) {
	w := c.translate(err)
	var offset *quire.OffsetMismatch
	switch {
	case errors.As(err, &offset):
		c.head(w)
		_ = c.answer(w.status, misaligned(offset))
		return
	case w.code == uploadGone:
		w.msg = uploadGone
	case w.status == http.StatusLocked:
		w.status = http.StatusConflict // the shape has no other status for it
	case w.code == "exists":
		w.status = http.StatusForbidden // as the original answers to a taken name
	}
	c.head(w)
	_ = c.answer(w.status, map[string]string{"error": w.msg})
}

// boxWay is a call of this shape.
type boxWay struct {
	methods string
	content bool // the body is content
	do      func(c *call, p string) error
}

// dropboxCalls has the calls by what follows /1/. Those that end in a slash
// take a root and a path after it.
var dropboxCalls = map[string]boxWay{
	"files/":                 {methods: "GET HEAD", do: dropboxGet},
	"files_put/":             {methods: "PUT POST", content: true, do: dropboxPut},
	"chunked_upload":         {methods: "PUT POST", content: true, do: func(c *call, _ string) error { return chunkedUpload(c) }},
	"commit_chunked_upload/": {methods: "POST", do: dropboxCommit},
	"metadata/":              {methods: "GET", do: dropboxMetadata},
	"revisions/":             {methods: "GET", do: dropboxRevisions},
	"restore/":               {methods: "POST", do: dropboxRestore},
	"search/":                {methods: "GET POST", do: dropboxSearch},
	"shares/":                {methods: "POST GET", do: dropboxShare},
	"media/":                 {methods: "POST GET", do: dropboxMedia},
	"thumbnails/":            {methods: "GET HEAD", do: dropboxThumbnail},
	"copy_ref/":              {methods: "GET POST", do: dropboxCopyRef},
	"fileops/copy":           {methods: "POST", do: dropboxCopy},
	"fileops/move":           {methods: "POST", do: dropboxMove},
	"fileops/delete":         {methods: "POST", do: dropboxDelete},
	"fileops/create_folder":  {methods: "POST", do: dropboxCreateFolder},
	"delta":                  {methods: "POST", do: dropboxDelta},
	"account/info":           {methods: "GET", do: dropboxAccount},
}

func serveDropbox(c *call, rest string) error {
	name, p, ok := dropboxWay(rest)
	if !ok {
		return &statusError{status: http.StatusNotFound, code: "not_found", msg: "there is no such call"}
	}
	server.SetOperation(c.ctx, "dropbox/"+strings.TrimSuffix(name, "/"))
	w := dropboxCalls[name]
	if err := c.prepare(way{methods: w.methods, content: w.content}); err != nil {
		return err
	}
	return w.do(c, p)
}

// dropboxWay finds the name of a call, and the path that it is about.
func dropboxWay(rest string) (name, p string, ok bool) {
	rest = strings.TrimSuffix(rest, "/")
	if _, ok = dropboxCalls[rest]; ok {
		return rest, "", true
	}
	first, after, _ := strings.Cut(rest, "/")
	root, tail, _ := strings.Cut(after, "/")
	if !isRoot(root) {
		return "", "", false
	}
	_, ok = dropboxCalls[first+"/"]
	return first + "/", "/" + tail, ok
}

// isRoot: the names of the tree's root, which all mean the caller's site.
func isRoot(s string) bool { return s == "auto" || s == "dropbox" || s == "sandbox" }

// root checks the parameter of that name.
func (c *call) root() error {
	if r := c.q.Get("root"); r != "" && !isRoot(r) {
		return badParam("root", "use auto, dropbox or sandbox")
	}
	return nil
}
