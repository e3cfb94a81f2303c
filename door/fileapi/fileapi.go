// Package fileapi is the door for scripts: the file service under /api/v1 and,
// under /1, the shape of the Dropbox Core API v1, over the same calls.
//
// Decided where the protocol is silent: a parameter may be given once; a
// parameter that a call does not know is ignored; unknown paths are JSON 404s.
package fileapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// Options are what an operator may set.
type Options struct {
	PublicURL *url.URL
	Logger    *slog.Logger
}

// Door serves the file service.
type Door struct {
	lib *library.Library
	ids *identity.Authority
	opt Options
	log *slog.Logger
}

// New returns the door. Serve it at /api/v1/ and /1/.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	return &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger}
}

// call is one request with what is known of it.
type call struct {
	*Door
	ctx    context.Context
	w      http.ResponseWriter
	r      *http.Request
	q      url.Values // the query, and the form of a POST that has one
	caller quire.Caller
	shape  shape
}

// shape is how answers are written: each API has its own.
type shape interface {
	fail(c *call, err error)
}

// handler answers one call.
type handler func(*call) error

// maxForm bounds a form in a body, in bytes.
const maxForm = 1 << 20

// native has the calls of the file service by what follows /api/v1/, with the
// methods that each takes.
var native = map[string]struct {
	methods string
	do      handler
}{
	"file/get":                   {"GET HEAD", get},
	"file/put":                   {"PUT POST", put},
	"file/chunked_upload":        {"PUT POST", chunkedUpload},
	"file/commit_chunked_upload": {"POST", commitChunkedUpload},
	"file/uploads":               {"GET", uploads},
	"file/cancel_upload":         {"POST", cancelUpload},
	"file/revisions":             {"GET", revisions},
	"file/restore":               {"POST", restore},
	"file/fileops/copy":          {"POST", copyNode},
	"file/fileops/move":          {"POST", moveNode},
	"file/fileops/delete":        {"POST", deleteNode},
	"file/fileops/create_folder": {"POST", createFolder},
	"file/trash":                 {"GET", trash},
	"file/untrash":               {"POST", untrash},
	"file/shares":                {"POST", share},
	"content/metadata":           {"GET", metadata},
	"content/list":               {"GET", list},
	"content/delta":              {"GET", delta},
	"content/search":             {"GET", search},
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Door: d, ctx: r.Context(), w: w, r: r, shape: nativeShape{}}
	w.Header().Set("Cache-Control", "no-store")
	if err := c.serve(); err != nil {
		c.shape.fail(c, err)
	}
}

func (c *call) serve() error {
	if rest, ok := strings.CutPrefix(c.r.URL.Path, "/1/"); ok {
		c.shape = dropboxShape{}
		return serveDropbox(c, rest)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(c.r.URL.Path, "/api/v1/"), "/")
	way, ok := native[name]
	if !ok {
		return &statusError{http.StatusNotFound, "not_found", "there is no such call: see the API reference"}
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
	if err := c.site(); err != nil {
		return err
	}
	return way.do(c)
}

// method refuses the methods that a call does not take.
func (c *call) method(allowed string) error {
	for m := range strings.FieldsSeq(allowed) {
		if m == c.r.Method {
			return nil
		}
	}
	c.w.Header().Set("Allow", strings.ReplaceAll(allowed, " ", ", "))
	return &statusError{http.StatusMethodNotAllowed, "method_not_allowed", "use " + strings.ReplaceAll(allowed, " ", " or ")}
}

// authenticate finds out who calls: by the Authorization header, or else by
// access_token in the query.
func (c *call) authenticate() error {
	text := c.r.URL.Query().Get("access_token")
	if h := c.r.Header.Get("Authorization"); h != "" {
		scheme, rest, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return quire.ErrUnauthenticated
		}
		text = strings.TrimSpace(rest)
	}
	caller, err := c.ids.Bearer(c.ctx, text)
	if err != nil {
		return err
	}
	caller.Door, caller.Addr = quire.DoorFileAPI, server.ClientAddr(c.ctx)
	c.caller = caller
	return nil
}

// params reads the query and, for a POST with a form, the body.
func (c *call) params() error {
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return badParam("query", "it cannot be read: percent-encode it")
	}
	if c.r.Method == http.MethodPost && strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") && !takesBody(c.r.URL.Path) {
		c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
		if err := c.r.ParseForm(); err != nil {
			return err
		}
		for k, v := range c.r.PostForm {
			q[k] = append(q[k], v...)
		}
	}
	for k, v := range q {
		if len(v) > 1 {
			return badParam(clip(k), "it is given more than once")
		}
		if !utf8.ValidString(v[0]) || strings.ContainsRune(v[0], 0) {
			return badParam(clip(k), "it is not valid UTF-8")
		}
	}
	c.q = q
	return nil
}

// takesBody says whether a call's body is content, whatever its type says.
func takesBody(path string) bool {
	path = strings.TrimSuffix(path, "/")
	return strings.HasSuffix(path, "/file/put") || strings.HasSuffix(path, "/chunked_upload") || strings.HasPrefix(path, "/1/files_put/")
}

// site refuses sites that are not the caller's own.
func (c *call) site() error {
	account, instance := c.q.Get("account"), c.q.Get("instance")
	if account == "" && instance == "" {
		return nil
	}
	s, _, err := c.lib.SiteOf(c.ctx, c.caller)
	if err != nil {
		return err
	}
	if account != "" && account != s.Account || instance != "" && instance != s.Instance {
		return &statusError{http.StatusNotFound, "no_such_account", "there is no such account and instance, or your token is for another one"}
	}
	return nil
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 40)], "?") }

// number reads a parameter that is a plain decimal number, 0 or more; byDefault
// if it is not given.
func (c *call) number(byDefault int64, names ...string) (int64, error) {
	for _, name := range names {
		text := c.q.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || text[0] == '+' {
			return 0, badParam(name, "use a whole number, 0 or more")
		}
		return n, nil
	}
	return byDefault, nil
}

// flag reads a boolean parameter.
func (c *call) flag(name string, byDefault bool) (bool, error) {
	switch strings.ToLower(c.q.Get(name)) {
	case "":
		return byDefault, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, badParam(name, "use true or false")
}

// subject returns what uid or path names: exactly one of them.
func (c *call) subject() (library.Entry, error) {
	uid, path := c.q.Get("uid"), c.q.Get("path")
	switch {
	case (uid == "") == (path == ""):
		return library.Entry{}, badParam("uid, path", "give exactly one of them")
	case uid != "":
		return c.lib.Stat(c.ctx, c.caller, quire.NodeID(uid))
	}
	return c.lib.Lookup(c.ctx, c.caller, path)
}

// answer sends JSON.
func (c *call) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(b) // a client that went away needs no other answer
	}
	return nil
}
