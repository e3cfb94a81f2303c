// Package fileapi is the door for scripts: the file service under /api/v1 and,
// under /1, the shape of the Dropbox Core API v1, over the same calls.
//
// Decided where the protocol is silent:
//
//   - a parameter may be given once; one that a call does not know is ignored;
//   - parameters stand in the query; where the body is not content, also in a
//     form or a flat JSON object in it;
//   - an empty text parameter counts as not given, an empty number or boolean
//     is an error: a script whose variable is empty must not lose a check;
//   - unknown calls are JSON 404s;
//   - a request whose body breaks off is answered with an error, never with
//     nothing, because nothing looks like success on the wire.
package fileapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
	"github.com/quire-docs/quire/transform"
	"github.com/quire-docs/quire/transform/webhook"
)

// Options are what an operator may set.
type Options struct {
	PublicURL *url.URL
	Logger    *slog.Logger
	// Engines convert files. Office says whether one of them opens office
	// documents.
	Engines transform.Set
	Office  bool
	// Hooks makes callbacks; nil makes none.
	Hooks *webhook.Client
	// RedirectFrom is the size in bytes from which on a whole download is sent
	// to a URL of the storage itself, where there can be one; 0 sends none.
	RedirectFrom int64
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
	if opt.PublicURL == nil {
		opt.PublicURL = &url.URL{}
	}
	return &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger}
}

// call is one request with what is known of it.
type call struct {
	*Door
	ctx    context.Context
	w      http.ResponseWriter
	r      *http.Request
	body   *body
	q      url.Values // the parameters, wherever they stood
	caller quire.Caller
	media  bool // the token is of a media link: only its file may be read
	// session is that of the browser that calls; nil for a bearer's call.
	session *identity.Session
	// link is the signed link that the call came by; nil for any other.
	link  *viewerLink
	shape shape
}

// shape is how answers are written: each API has its own.
type shape interface {
	fail(c *call, err error)
}

// way is a call that the door has.
type way struct {
	methods string
	content bool // the body is content, whatever its type says
	signed  bool // only for who signed in with a browser, not for a token
	do      func(c *call) error
}

// native has the calls of the file service by what follows /api/v1/.
var native = map[string]way{
	"file/get":                   {methods: "GET HEAD", do: get},
	"file/put":                   {methods: "PUT POST", content: true, do: put},
	"file/chunked_upload":        {methods: "PUT POST", content: true, do: chunkedUpload},
	"file/commit_chunked_upload": {methods: "POST", do: commitChunkedUpload},
	"file/uploads":               {methods: "GET", do: uploads},
	"file/cancel_upload":         {methods: "POST", do: cancelUpload},
	"file/revisions":             {methods: "GET", do: revisions},
	"file/restore":               {methods: "POST", do: restore},
	"file/fileops/copy":          {methods: "POST", do: copyNode},
	"file/fileops/move":          {methods: "POST", do: moveNode},
	"file/fileops/delete":        {methods: "POST", do: deleteNode},
	"file/fileops/create_folder": {methods: "POST", do: createFolder},
	"file/trash":                 {methods: "GET", do: trash},
	"file/untrash":               {methods: "POST", do: untrash},
	"file/shares":                {methods: "POST", do: share},
	"file/changes":               {methods: "GET", do: changes},
	"file/transform":             {methods: "POST GET", do: transformFile},
	"file/get_viewer_secret":     {methods: "GET POST", do: getViewerSecret},
	"file/refresh_viewer_secret": {methods: "GET POST", do: refreshViewerSecret},
	"file/clear_viewer_secret":   {methods: "GET POST", do: clearViewerSecret},
	"file/viewer_link":           {methods: "POST", do: makeLink},
	"file/revoke_viewer_link":    {methods: "POST", do: revokeLink},
	"content/metadata":           {methods: "GET", do: metadata},
	"content/list":               {methods: "GET", do: list},
	"content/delta":              {methods: "GET", do: delta},
	"content/search":             {methods: "GET", do: search},

	"file/fileops/create_document": {methods: "POST", do: createDocument},
	"file/zip":                     {methods: "GET POST", do: zipped},
	"file/label":                   {methods: "POST", do: label},
	"file/purge":                   {methods: "POST", do: purge},
	"file/empty_trash":             {methods: "POST", do: emptyTrash},
	"file/sharing":                 {methods: "GET", do: sharing},
	"file/grant":                   {methods: "POST", do: grant},
	"file/unshare":                 {methods: "POST", do: unshare},
	"content/ancestors":            {methods: "GET", do: ancestors},
	"content/shared":               {methods: "GET", do: sharedWithMe},

	"account":                {methods: "GET", do: account},
	"account/people":         {methods: "GET", do: people},
	"account/profile":        {methods: "POST", signed: true, do: profile},
	"account/password":       {methods: "POST", signed: true, do: password},
	"account/sessions":       {methods: "GET", signed: true, do: sessions},
	"account/end_session":    {methods: "POST", signed: true, do: endSession},
	"account/tokens":         {methods: "GET", signed: true, do: tokens},
	"account/create_token":   {methods: "POST", signed: true, do: createToken},
	"account/revoke_token":   {methods: "POST", signed: true, do: revokeToken},
	"account/end_sessions":   {methods: "POST", signed: true, do: endSessions},
	"account/apps":           {methods: "GET", signed: true, do: apps},
	"account/end_app":        {methods: "POST", signed: true, do: endApp},
	"account/factor":         {methods: "GET", signed: true, do: factor},
	"account/begin_factor":   {methods: "POST", signed: true, do: beginFactor},
	"account/confirm_factor": {methods: "POST", signed: true, do: confirmFactor},
	"account/end_factor":     {methods: "POST", signed: true, do: endFactor},
	"admin/users":            {methods: "GET", do: adminUsers},
	"admin/add_user":         {methods: "POST", signed: true, do: addUser},
	"admin/change_user":      {methods: "POST", signed: true, do: changeUser},
	"admin/sites":            {methods: "GET", do: adminSites},
	"admin/quota":            {methods: "POST", signed: true, do: setQuota},
	"admin/uploads":          {methods: "GET", do: adminUploads},
	"admin/events":           {methods: "GET", do: adminEvents},
	"admin/engines":          {methods: "GET", do: adminEngines},
	"admin/jobs":             {methods: "GET", do: adminJobs},
	"admin/clients":          {methods: "GET", do: adminClients},
	"admin/add_client":       {methods: "POST", signed: true, do: addClient},
	"admin/remove_client":    {methods: "POST", signed: true, do: removeClient},
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Door: d, ctx: r.Context(), w: w, r: r.WithContext(r.Context()), body: &body{rc: r.Body}, shape: nativeShape{}}
	if r.Body != nil && r.Body != http.NoBody {
		c.r.Body = c.body // of a copy: net/http looks at its own
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
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
	w, ok := native[name]
	operation := name
	if rest, of := strings.CutPrefix(name, "file/transform/"); of {
		id, n, whole := transformPath(rest)
		w, ok = way{methods: "GET HEAD DELETE", do: func(c *call) error { return job(c, id) }}, whole
		operation = "file/transform/job"
		if n != "" {
			operation = "file/transform/result"
			w = way{methods: "GET HEAD", do: func(c *call) error { return jobResult(c, id, n) }}
		}
	}
	if !ok {
		return &statusError{status: http.StatusNotFound, code: "not_found", msg: "there is no such call: see the API reference"}
	}
	server.SetOperation(c.ctx, operation)
	if err := c.prepare(w); err != nil {
		return err
	}
	if err := c.site(); err != nil {
		return err
	}
	return w.do(c)
}

// prepare does what every call begins with.
func (c *call) prepare(w way) error {
	if err := server.Admit(c.r); err != nil {
		return err
	}
	if err := c.method(w.methods); err != nil {
		return err
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := server.AdmitUser(c.ctx, c.caller.User); err != nil {
		return err
	}
	c.ctx = quire.WithActor(c.ctx, c.caller)
	if err := c.params(w.content); err != nil {
		return err
	}
	return c.vouched(w)
}

// method refuses the methods that a call does not take.
func (c *call) method(allowed string) error {
	for m := range strings.FieldsSeq(allowed) {
		if m == c.r.Method {
			return nil
		}
	}
	c.w.Header().Set("Allow", strings.ReplaceAll(allowed, " ", ", "))
	return &statusError{status: http.StatusMethodNotAllowed, code: "method_not_allowed", msg: "use " + strings.ReplaceAll(allowed, " ", " or ")}
}

// authenticate finds out who calls: by the Authorization header, by
// access_token in the query, or else by the cookie of a browser's session.
func (c *call) authenticate() error {
	text := c.r.URL.Query().Get("access_token")
	if text == "" && c.r.Header.Get("Authorization") == "" {
		if cookie := identity.CookieOf(c.r); cookie != "" {
			return c.signedIn(cookie)
		}
		if done, err := c.unsigned(); done {
			return err
		}
	}
	if h := c.r.Header.Get("Authorization"); h != "" {
		scheme, rest, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return quire.ErrUnauthenticated
		}
		text = strings.TrimSpace(rest)
	}
	caller, err := c.bearer(text)
	if err != nil {
		return err
	}
	caller.Door, caller.Addr = quire.DoorFileAPI, server.ClientAddr(c.ctx)
	c.caller = caller
	return nil
}

// bearer returns whom a token stands for.
func (c *call) bearer(text string) (quire.Caller, error) {
	if signed, ok := strings.CutPrefix(text, mediaPrefix); ok {
		if !strings.HasPrefix(c.r.URL.Path, "/1/files/") {
			return quire.Caller{}, quire.ErrUnauthenticated
		}
		return c.mediaBearer(c.ctx, signed)
	}
	if signed, ok := strings.CutPrefix(text, resultPrefix); ok {
		return c.resultBearer(signed)
	}
	return c.ids.Bearer(c.ctx, text)
}

// unsigned lets in who has no credential but a signed link, where there can be
// one.
func (c *call) unsigned() (done bool, err error) {
	name := strings.TrimSuffix(strings.TrimPrefix(c.r.URL.Path, "/api/v1/"), "/")
	if _, job := strings.CutPrefix(name, "file/transform/"); name != "file/get" && name != "file/transform" && !job {
		return false, nil
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return true, err
	}
	path := q.Get("path")
	if name != "file/get" {
		path = q.Get("location")
	}
	if path == "" {
		return false, nil
	}
	return true, c.viaLink(q, path)
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
		return &statusError{status: http.StatusNotFound, code: "no_such_account", msg: "there is no such account and instance, or your token is for another one"}
	}
	return nil
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
