// Package wopi is the WOPI door: it lets Office, Collabora Online, OnlyOffice
// and other WOPI clients open, lock, save and share documents. It translates
// requests into calls of the library; the only rules here are the protocol's.
package wopi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// Options are what an operator may set.
type Options struct {
	PublicURL *url.URL // the base of every URL that is handed out
	Logger    *slog.Logger
	Editors   *discovery.Set
	Version   string // of this program, for X-WOPI-ServerVersion

	// MaxSize is the largest file that may be saved, in bytes; 0 is no limit.
	MaxSize int64
	// TokenLife is how long a token lives that a host page hands out; 0 is ten
	// hours (WOPI §1).
	TokenLife time.Duration
	// Business says that users edit under a business licence, which Office
	// checks (LicenseCheckForEditIsEnabled); Education that they are students.
	Business, Education bool

	Coauth Coauth
	// SignIn is what the bootstrapper tells apps that are not signed in.
	SignIn SignIn
}

// Door serves the WOPI operations and the pages that host the editors.
type Door struct {
	lib     *library.Library
	ids     *identity.Authority
	opt     Options
	log     *slog.Logger
	machine string
}

// New returns the door. Serve it at /wopi/.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.TokenLife == 0 {
		opt.TokenLife = 10 * time.Hour
	}
	name, err := os.Hostname()
	if err != nil {
		name = "quire"
	}
	return &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger, machine: asciiLine(name)}
}

// call is one request with what is known of it.
type call struct {
	*Door
	ctx    context.Context
	w      http.ResponseWriter
	r      *http.Request
	tok    token
	caller quire.Caller
	id     quire.NodeID // the resource in the URL; empty for the ecosystem
	rev    int64        // the revision in the URL; 0 is the current one
	signed bool         // a proof key of the editor signed the request
}

// operation is one WOPI operation.
type operation func(*call) error

// route is what a URL offers: an operation for GET, and those that a POST
// chooses by its X-WOPI-Override header.
type route struct {
	get  operation
	post map[string]operation
}

// routes has the operations of each kind of resource, by what follows its id
// in the URL. Adding an operation is a line here and a function.
var routes = map[resource]map[string]route{
	aFile: {
		"": {get: checkFileInfo, post: map[string]operation{
			"LOCK":                   lockFile,
			"GET_LOCK":               getLock,
			"REFRESH_LOCK":           refreshLock,
			"UNLOCK":                 unlockFile,
			"PUT_RELATIVE":           putRelativeFile,
			"RENAME_FILE":            renameFile,
			"DELETE":                 deleteFile,
			"PUT_USER_INFO":          putUserInfo,
			"GET_SHARE_URL":          getShareURL,
			"ADD_ACTIVITIES":         addActivities,
			"GET_COAUTH_LOCK":        getCoauthLock,
			"REFRESH_COAUTH_LOCK":    refreshCoauthLock,
			"UNLOCK_COAUTH_LOCK":     unlockCoauthLock,
			"GET_COAUTH_TABLE":       getCoauthTable,
			"GET_SEQUENCE_NUMBER":    getSequenceNumber,
			"GET_CHUNKED_FILE":       getChunkedFile,
			"GET_CHUNKS":             getChunks,
			"CREATE_UPLOAD_SESSION":  createUploadSession,
			"UPDATE_UPLOAD_SESSION":  updateUploadSession,
			"READ_SECURE_STORE":      unsupported,
			"GET_RESTRICTED_LINK":    unsupported,
			"REVOKE_RESTRICTED_LINK": unsupported,
			"COBALT":                 unsupported,
		}},
		"contents":          {get: getFile, post: map[string]operation{"PUT": putFile, "PUT_CHUNKED_FILE": putChunkedFile}},
		"ancestry":          {get: enumerateAncestors},
		"ecosystem_pointer": {get: getEcosystem},
		"activities":        {post: map[string]operation{"ADD_ACTIVITIES": addActivities, "GET_ACTIVITIES": unsupported}},
	},
	aContainer: {
		"": {get: checkContainerInfo, post: map[string]operation{
			"CREATE_CHILD_CONTAINER": createChildContainer,
			"CREATE_CHILD_FILE":      createChildFile,
			"DELETE_CONTAINER":       deleteContainer,
			"RENAME_CONTAINER":       renameContainer,
			"GET_SHARE_URL":          getShareURL,
		}},
		"children":          {get: enumerateChildren},
		"ancestry":          {get: enumerateAncestors},
		"ecosystem_pointer": {get: getEcosystem},
	},
	theEcosystem: {
		"": {get: checkEcosystem, post: map[string]operation{
			"GET_ROOT_CONTAINER":             getRootContainer,
			"GET_WOPI_SRC_WITH_ACCESS_TOKEN": getFileWopiSrc,
		}},
		"root_container_pointer": {get: getRootContainer},
	},
}

// ServeHTTP serves the URLs below /wopi/.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Door: d, ctx: r.Context(), w: w, r: r}
	w.Header().Set("X-WOPI-MachineName", d.machine)
	w.Header().Set("X-WOPI-ServerVersion", asciiLine(d.opt.Version))
	w.Header().Set("Cache-Control", "no-store")
	if err := c.serve(); err != nil {
		c.fail(err)
	}
}

func (c *call) serve() error {
	if err := server.AdmitUpload(c.r); err != nil {
		return err
	}
	rest := strings.TrimPrefix(c.r.URL.Path, "/wopi/")
	if sig, ok := strings.CutPrefix(rest, "raw/"); ok {
		server.SetOperation(c.ctx, "raw")
		return c.rawFile(sig)
	}
	kind, sub, err := c.target(rest)
	if err != nil {
		return err
	}
	ways, ok := routes[kind][sub]
	if ok {
		server.SetOperation(c.ctx, operationName(kind, sub, ways, c.r))
	}
	if err := c.authenticate(kind); err != nil {
		return err
	}
	if err := server.AdmitUser(c.ctx, c.caller.User); err != nil {
		return err
	}
	if err := c.checkProof(); err != nil {
		return err
	}
	if !ok {
		return quire.ErrNotFound
	}
	switch c.r.Method {
	case http.MethodGet, http.MethodHead:
		if ways.get == nil {
			return errUnsupported
		}
		return ways.get(c)
	case http.MethodPost:
		do, ok := ways.post[c.r.Header.Get("X-WOPI-Override")]
		if !ok {
			return errUnsupported
		}
		if c.rev != 0 {
			return quire.ErrNotFound // an old revision is there to be read
		}
		return do(c)
	}
	c.w.Header().Set("Allow", "GET, HEAD, POST")
	return &statusError{http.StatusMethodNotAllowed, "use GET or POST"}
}

// operationName names what a request asks for: files/contents, or files LOCK.
func operationName(kind resource, sub string, ways route, r *http.Request) string {
	name := string(kind)
	if sub != "" {
		name += "/" + sub
	}
	override := r.Header.Get("X-WOPI-Override")
	if _, known := ways.post[override]; known && r.Method == http.MethodPost {
		name += " " + override
	}
	return name
}

// target reads which resource a URL names, and what follows its id.
func (c *call) target(rest string) (kind resource, sub string, err error) {
	first, rest, _ := strings.Cut(rest, "/")
	switch resource(first) {
	case theEcosystem:
		return theEcosystem, rest, nil
	case aFile, aContainer:
	case "folders":
		return "", "", errUnsupported
	default:
		return "", "", quire.ErrNotFound
	}
	id, sub, _ := strings.Cut(rest, "/")
	if c.id, c.rev, err = parseFileID(id); err != nil {
		return "", "", err
	}
	return resource(first), sub, nil
}

// A file's id in a URL is its node's. An old revision, which is there to be
// read, is a resource of its own: node-rN.
func fileID(id quire.NodeID, revision int64) string {
	if revision == 0 {
		return string(id)
	}
	return string(id) + "-r" + strconv.FormatInt(revision, 10)
}

func parseFileID(s string) (quire.NodeID, int64, error) {
	id, rev, old := strings.Cut(s, "-r")
	if !old {
		return quire.NodeID(id), 0, nil
	}
	n, err := strconv.ParseInt(rev, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != rev {
		return "", 0, quire.ErrNotFound
	}
	return quire.NodeID(id), n, nil
}

// header returns a request header; one that is empty or blank counts as
// absent.
func (c *call) header(name string) string { return strings.TrimSpace(c.r.Header.Get(name)) }

// flag reads a boolean header: clients send true and True.
func (c *call) flag(name string) bool { return strings.EqualFold(c.header(name), "true") }

// file returns the file of the URL as the caller sees it.
func (c *call) file() (library.Entry, error) {
	e, err := c.lib.Stat(c.ctx, c.caller, c.id)
	if err == nil && e.IsContainer() {
		err = quire.ErrNotFound
	}
	return e, err
}

// container returns the container of the URL as the caller sees it.
func (c *call) container() (library.Entry, error) {
	e, err := c.lib.Stat(c.ctx, c.caller, c.id)
	if err == nil && !e.IsContainer() {
		err = quire.ErrNotFound
	}
	return e, err
}

// base is the public URL without a slash at its end.
func (d *Door) base() string { return strings.TrimSuffix(d.opt.PublicURL.String(), "/") }

// version is a file's WOPI Version: it changes with every PutFile, and on
// nothing else.
func version(sequence int64) string { return strconv.FormatInt(sequence, 10) }

// timeText is how a time is written wherever an editor sees it. Editors
// compare it as text, so it has one form: UTC, seven digits.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

func unsupported(*call) error { return errUnsupported }

// setVersion tells the version in X-WOPI-ItemVersion.
func (c *call) setVersion(e library.Entry) {
	c.w.Header().Set("X-WOPI-ItemVersion", version(e.Sequence))
}

var _ http.Handler = (*Door)(nil)

// callerOf makes a caller of a token's user or link, as things are now.
func (d *Door) callerOf(ctx context.Context, t token) (quire.Caller, error) {
	var c quire.Caller
	scope := quire.ScopeWrite
	if t.ReadOnly || t.Revision != 0 {
		scope = quire.ScopeRead
	}
	if t.User != "" {
		var err error
		if c, err = d.ids.Caller(ctx, t.User, scope); err != nil {
			return c, err
		}
	} else {
		_, site, err := d.lib.Link(ctx, t.Link)
		if errors.Is(err, quire.ErrNotFound) {
			return c, quire.ErrUnauthenticated
		}
		if err != nil {
			return c, err
		}
		c = quire.Caller{Site: site, Name: "Guest", Scope: scope}
	}
	c.Link, c.Door, c.Editor, c.Addr = t.Link, quire.DoorWOPI, t.Editor, server.ClientAddr(ctx)
	return c, nil
}
