// Package ucloud is the door for research clusters and their browsers: the
// files of UCloud as a provider serves them, with its chunked and WebSocket
// uploads.
//
// Decided where the protocol is silent:
//
//   - A drive is a site. In an id "/{drive}/path" the drive may be the site's
//     id, its account, or "account:instance". The site's id is the canonical
//     form, which the listing of "/" gives; every other answer keeps the form
//     of its request, because clients compare prefixes.
//   - createUpload of a file makes an empty file at once, which also reserves
//     the name. With REPLACE an existing file keeps its content until the new
//     one is complete; an empty replacement therefore needs a chunk of no bytes
//     or a WebSocket.
//   - Without a total size an upload has no end: what has come is published as
//     a revision when nothing more came for half a minute (plus up to a minute
//     until the background work looks), or when its sender asks for the file by
//     retrieve or createDownload; the session goes on.
//   - createUpload attaches to an unfinished upload of the same caller, path and
//     policy if that has bytes. The older token then stops working, so two tabs
//     never mix their bytes. A first chunk at 0 with another total size starts
//     over.
//   - The last chunk of a finished upload may be sent again, if it has the same
//     bytes: its answer may have been lost.
//   - A file that somebody else changed since createUpload made it is left as
//     it is; the upload becomes "name(1).ext" beside it.
//   - In a folder session, files that exist with other content follow the
//     session's policy. A file that is refused by itself (locked, name taken)
//     does not stop the others; the connection is closed with the reason when
//     they are done. A folder whose listing was completed is not attached to.
//   - delete is for good, trash is not; emptyTrash empties the caller's.
//   - A bulk request ends at its first failing item; what came before it stays.
package ucloud

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// The limits of the protocol.
const (
	// MaxChunk is the most bytes that one chunk may have.
	MaxChunk = 32_000_000
	// MaxFrame is the most bytes that a frame of WEBSOCKET_V1 may have.
	MaxFrame = 16_000_000
	// minLife and maxLife bound how long a session lives after its last byte.
	minLife = 30 * time.Minute
	maxLife = 48 * time.Hour
)

// Options are what an operator may set.
type Options struct {
	Provider  string   // the provider's id in paths; "" is "quire"
	PublicURL *url.URL // the base of endpoints; nil is what the request was sent to
	Logger    *slog.Logger

	// Life is how long an upload session lives after its last byte: at least
	// half an hour and at most 48, which 0 is.
	Life time.Duration
	// Quiet is how long an upload without a total size must be quiet before it
	// becomes a revision; 0 is 30 seconds.
	Quiet time.Duration
	// Stall is how long a WebSocket message may stand still before the
	// connection is cut; 0 is a minute. HTTP bodies have the server's.
	Stall time.Duration
	// Idle is how long a WebSocket may have nothing to say; 0 is ten minutes.
	Idle time.Duration
	// DownloadLife is how long a download's URL works; 0 is a day.
	DownloadLife time.Duration
	// MaxSockets is how many WebSockets one user may have open at a time on
	// this node; 0 is 64.
	MaxSockets int
	// Refused, if it is set, is called for each WebSocket that MaxSockets refuses.
	Refused func()
}

// Door serves the protocol.
type Door struct {
	lib  *library.Library
	ids  *identity.Authority
	opt  Options
	log  *slog.Logger
	base string // of provider-side paths: "/ucloud/{provider}/"
	live live

	sockets sockets
}

// New returns the door. Serve it at /ucloud/ and /api/files, with and without
// what follows.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Provider == "" {
		opt.Provider = "quire"
	}
	if opt.Life == 0 {
		opt.Life = maxLife
	}
	opt.Life = min(max(opt.Life, minLife), maxLife)
	for d, byDefault := range map[*time.Duration]time.Duration{
		&opt.Quiet: 30 * time.Second, &opt.Stall: time.Minute, &opt.Idle: 10 * time.Minute, &opt.DownloadLife: 24 * time.Hour,
	} {
		if *d == 0 {
			*d = byDefault
		}
	}
	if opt.MaxSockets <= 0 {
		opt.MaxSockets = 64
	}
	return &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger, base: "/ucloud/" + opt.Provider + "/", sockets: sockets{max: opt.MaxSockets, refused: opt.Refused}}
}

// call is one request with what is known of it.
type call struct {
	*Door
	ctx    context.Context
	w      http.ResponseWriter
	r      *http.Request
	caller quire.Caller
	site   quire.Site
}

// way is what a path and method lead to.
type way struct {
	method string
	do     func(*call) error
	bearer bool // the caller shows a bearer token
}

// files are the calls on files by what follows /api/files/ or
// /ucloud/{provider}/files/.
var files = map[string]way{
	"upload":      {"POST", createUpload, true},
	"download":    {"POST", createDownload, true},
	"folder":      {"POST", createFolder, true},
	"move":        {"POST", moveFiles, true},
	"copy":        {"POST", copyFiles, true},
	"trash":       {"POST", trashFiles, true},
	"emptyTrash":  {"POST", emptyTrash, true},
	"":            {"DELETE", deleteFiles, true},
	"browse":      {"GET", browse, true},
	"retrieve":    {"GET", retrieve, true},
	"p/browse":    {"POST", browseProvider, true},
	"p/Browse":    {"POST", browseProvider, true},
	"p/retrieve":  {"POST", retrieveProvider, true},
	"chunked":     {"POST", uploadChunk, false},
	"v1":          {"GET", socketV1, false},
	"v2":          {"GET", socketV2, false},
	"getDownload": {"GET HEAD", download, false},
}

// find returns where a path leads.
func (d *Door) find(path string) (w way, name string, ok bool) {
	if rest, user := strings.CutPrefix(path, "/api/files"); user {
		name, ok = strings.CutPrefix("/"+strings.Trim(rest, "/"), "/")
		ok = ok && (rest == "" || rest[0] == '/') && !strings.Contains(name, "/")
		switch name {
		case "chunked", "v1", "v2", "getDownload":
			ok = false
		}
	} else if rest, provider := strings.CutPrefix(path, d.base); provider {
		switch rest = strings.TrimSuffix(rest, "/"); {
		case rest == "chunked" || rest == "chunked/upload":
			name, ok = "chunked", true
		case strings.HasPrefix(rest, "websocket/upload/"):
			name, ok = "v1", true
		case rest == "upload":
			name, ok = "v2", true
		case rest == "download":
			name, ok = "getDownload", true
		case rest == "files":
			name, ok = "", true
		case strings.HasPrefix(rest, "files/"):
			name = strings.TrimPrefix(rest, "files/")
			_, ok = files["p/"+name]
			if ok {
				name = "p/" + name
			} else {
				w, known := files[name]
				ok = known && w.bearer && w.method == "POST"
			}
		}
	}
	if !ok {
		return way{}, "", false
	}
	w, ok = files[name]
	return w, name, ok
}

// What a browser may send from another origin. Nothing here rests on cookies,
// so every origin may.
const (
	corsMethods = "GET, POST, PUT, DELETE, HEAD, OPTIONS, PATCH"
	corsHeaders = "Authorization, chunked-upload-offset, chunked-upload-token, chunked-upload-total-size, ucloud-username, upload-name, content-type"
)

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Door: d, ctx: r.Context(), w: w, r: r}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (c *call) serve() error {
	if err := server.Admit(c.r); err != nil {
		return err
	}
	way, name, ok := c.find(c.r.URL.Path)
	if ok {
		server.SetOperation(c.ctx, cmp.Or(name, "delete"))
	} else {
		return &statusError{http.StatusNotFound, "there is no such call here: check the path and the provider's id"}
	}
	if !slices.Contains(strings.Fields(way.method), c.r.Method) {
		c.w.Header().Set("Allow", strings.ReplaceAll(way.method, " ", ", ")+", OPTIONS")
		return &statusError{http.StatusMethodNotAllowed, "use " + strings.ReplaceAll(way.method, " ", " or ")}
	}
	if way.bearer {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	return way.do(c)
}

// authenticate finds out who calls, by the Authorization header.
func (c *call) authenticate() error {
	scheme, text, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return quire.ErrUnauthenticated
	}
	caller, err := c.ids.Bearer(c.ctx, strings.TrimSpace(text))
	if err != nil {
		return err
	}
	if err := server.AdmitUser(c.ctx, caller.User); err != nil {
		return err
	}
	c.caller = c.dress(caller)
	c.site, _, err = c.lib.SiteOf(c.ctx, c.caller)
	return err
}

// dress notes how a caller came here.
func (c *call) dress(caller quire.Caller) quire.Caller {
	caller.Door, caller.Addr = quire.DoorUCloud, server.ClientAddr(c.ctx)
	return caller
}

// endpoint returns the URL of a provider-side path.
func (c *call) endpoint(rest string, socket bool) string {
	scheme, host := "http", c.r.Host
	if c.r.TLS != nil {
		scheme = "https"
	}
	if u := c.opt.PublicURL; u != nil {
		scheme, host = u.Scheme, u.Host
	}
	if socket {
		scheme = "ws" + strings.TrimPrefix(scheme, "http")
	}
	return scheme + "://" + host + c.base + rest
}

// number reads a plain decimal number.
func number(text string) (int64, bool) {
	if text == "" || text[0] == '+' || text[0] == '-' && text != "-1" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func decimal(n int64) []byte { return strconv.AppendInt(nil, n, 10) }
