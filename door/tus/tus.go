// Package tus is the door for resumable uploads by the open protocol tus
// 1.0.0, with its extensions creation, creation-with-upload,
// creation-defer-length, expiration, termination, checksum and concatenation.
//
// Decided where the protocol is silent:
//
//   - A request carries a personal access token as a bearer token, or the
//     session cookie of a page of this server. Every upload is its owner's.
//   - Upload-Metadata says where the file goes: path (the whole path), or
//     filename with folder (a container's id, or a path that begins with "/")
//     and, for trees, relativePath. overwrite=true saves a new revision of a
//     file that is there, conflict=reject refuses it, and else a free name is
//     picked. parent_revision is the revision that the file must be at.
//     modified is the content's time, in milliseconds since 1970. Without a
//     name the file is called "upload".
//   - The request that brings the last byte makes the file, and its answer
//     names it: Quire-Uid, Quire-Revision and Quire-Path (percent-encoded). If
//     the file cannot be made now, because an editor has locked it for
//     instance, the answer says so; a HEAD or an empty PATCH tries again, and
//     does not claim that all is well before it is.
//   - A newer PATCH ends an older one that still hangs, and goes on from what
//     that brought, so a client is not kept out by its own dead connection.
//   - The parts of a joined upload end an hour after they were joined.
package tus

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// Version is the protocol's version.
const Version = "1.0.0"

const (
	extensions = "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,concatenation"
	// base is the collection's path.
	base = "/uploads"
	// life is how long an upload can be gone on with after its last byte, if
	// the operator sets nothing.
	life = 24 * time.Hour
	// partType is the type of every body.
	partType = "application/offset+octet-stream"

	corsMethods = "POST, GET, HEAD, PATCH, DELETE, OPTIONS"
	corsHeaders = "Authorization, Content-Type, Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata, Upload-Defer-Length, Upload-Concat, Upload-Checksum, X-HTTP-Method-Override, X-Requested-With, X-Request-ID"
	corsExposed = "Location, Tus-Version, Tus-Resumable, Tus-Extension, Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Defer-Length, Upload-Concat, Upload-Expires, Quire-Uid, Quire-Revision, Quire-Path"
)

// Options are what an operator may set.
type Options struct {
	PublicURL *url.URL // the base of Location; nil is what the request was sent to
	Logger    *slog.Logger
	// Life is how long an upload can be gone on with after its last byte; 0 is
	// a day.
	Life time.Duration
}

// Door serves the protocol.
type Door struct {
	lib *library.Library
	ids *identity.Authority
	opt Options
	log *slog.Logger
}

// New returns the door. Serve it at /uploads and what is below it.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Life <= 0 {
		opt.Life = life
	}
	return &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger}
}

// call is one request with what is known of it.
type call struct {
	*Door
	ctx    context.Context
	w      http.ResponseWriter
	r      *http.Request
	method string
	caller quire.Caller
	id     quire.UploadID // of the upload that the URL names
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Door: d, ctx: r.Context(), w: w, r: r, method: r.Method}
	h := w.Header()
	h.Set("Tus-Resumable", Version)
	h.Set("Cache-Control", "no-store")
	h.Set("Access-Control-Allow-Origin", "*") // a cookie is never sent along with that
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if override := r.Header.Get("X-HTTP-Method-Override"); override != "" && r.Method == http.MethodPost {
		c.method = strings.ToUpper(override)
	}
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (c *call) serve() error {
	if c.method == http.MethodOptions {
		server.SetOperation(c.ctx, c.method)
		return c.options()
	}
	if err := server.Admit(c.r); err != nil {
		return err
	}
	if c.r.Header.Get("Tus-Resumable") != Version {
		c.w.Header().Set("Tus-Version", Version)
		return &statusError{http.StatusPreconditionFailed, "send Tus-Resumable: " + Version}
	}
	id := strings.Trim(strings.TrimPrefix(c.r.URL.Path, base), "/")
	if strings.Contains(id, "/") {
		return quire.ErrUploadGone
	}
	c.id = quire.UploadID(id)
	operations := map[string]func() error{http.MethodPost: c.create}
	allow := "POST, OPTIONS"
	if id != "" {
		operations = map[string]func() error{http.MethodHead: c.head, http.MethodPatch: c.patch, http.MethodDelete: c.terminate}
		allow = "HEAD, PATCH, DELETE, OPTIONS"
	}
	run, ok := operations[c.method]
	if !ok {
		c.w.Header().Set("Allow", allow)
		return &statusError{http.StatusMethodNotAllowed, "there is no " + c.method + " here: use " + allow}
	}
	server.SetOperation(c.ctx, c.method)
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := server.AdmitUser(c.ctx, c.caller.User); err != nil {
		return err
	}
	return run()
}

// options tells what the server can do, and answers the question that browsers
// ask before a request from another origin.
func (c *call) options() error {
	h := c.w.Header()
	h.Set("Tus-Version", Version)
	h.Set("Tus-Extension", extensions)
	h.Set("Tus-Checksum-Algorithm", algorithms)
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", "86400")
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// authenticate finds out who calls: by a bearer token, or by the cookie of a
// session if one of our own pages sent the request.
func (c *call) authenticate() (err error) {
	if head := c.r.Header.Get("Authorization"); head != "" {
		scheme, text, _ := strings.Cut(head, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return quire.ErrUnauthenticated
		}
		c.caller, err = c.ids.Bearer(c.ctx, strings.TrimSpace(text))
	} else {
		if !server.SameOrigin(c.r, c.public()) {
			return quire.ErrUnauthenticated
		}
		var s identity.Session
		s, err = c.ids.Session(c.ctx, identity.CookieOf(c.r))
		c.caller = s.Caller
	}
	c.caller.Door, c.caller.Addr = quire.DoorTus, server.ClientAddr(c.ctx)
	return err
}

// public is the URL that clients reach the server by.
func (c *call) public() *url.URL {
	if c.opt.PublicURL != nil {
		return c.opt.PublicURL
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	return &url.URL{Scheme: scheme, Host: c.r.Host}
}

// location is an upload's URL.
func (c *call) location(id quire.UploadID) string {
	return strings.TrimSuffix(c.public().String(), "/") + base + "/" + string(id)
}

// interrupt ends the reading of this request's body.
func (c *call) interrupt() {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now()) // a test's recorder has none
}
