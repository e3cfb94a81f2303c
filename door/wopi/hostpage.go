package wopi

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blank"
	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

//go:embed static
var static embed.FS

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Parse(pagesText))

// Pages returns the handler of the pages that host editors: /edit/ and /view/
// with a file's id, /s/ with a share link's, /new for new documents, and
// /host/ with what they are made of.
func (d *Door) Pages() http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	mux := http.NewServeMux()
	mux.Handle("GET /host/", http.StripPrefix("/host/", http.FileServerFS(files)))
	mux.HandleFunc("GET /edit/{id}", d.pageFor("edit"))
	mux.HandleFunc("GET /view/{id}", d.pageFor("view"))
	mux.HandleFunc("POST /edit/{id}", d.renew)
	mux.HandleFunc("POST /view/{id}", d.renew)
	mux.HandleFunc("GET /new", d.newPage)
	mux.HandleFunc("POST /new", d.newDocument)
	mux.HandleFunc("GET /s/{link}", d.sharePage)
	mux.HandleFunc("POST /s/{link}", d.openShare)
	mux.HandleFunc("GET /s/{link}/{id}", d.sharePage)
	return mux
}

// visit is one request for a page.
type visit struct {
	*Door
	w       http.ResponseWriter
	r       *http.Request
	caller  quire.Caller
	session *identity.Session // nil for the holder of a link
}

// signedIn finds out who asks for a page; without a session it sends them to
// the sign-in page and returns nil.
func (d *Door) signedIn(w http.ResponseWriter, r *http.Request) *visit {
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if errors.Is(err, quire.ErrUnauthenticated) {
		http.Redirect(w, r, "/signin?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return nil
	}
	v := &visit{Door: d, w: w, r: r, session: &s}
	if err != nil {
		v.problem(err)
		return nil
	}
	v.caller = s.Caller
	v.caller.Door, v.caller.Addr = quire.DoorWeb, server.ClientAddr(r.Context())
	return v
}

// pageFor returns the handler of a page that opens a file in an editor.
func (d *Door) pageFor(mode string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := d.signedIn(w, r)
		if v == nil {
			return
		}
		id, rev, err := parseFileID(r.PathValue("id"))
		if err == nil {
			err = v.show(id, rev, mode)
		}
		if err != nil {
			v.problem(err)
		}
	}
}

// page is what the pages are made from.
type page struct {
	Title   string
	Icon    string
	Config  *hostConfig // of the script that runs the editor
	Error   string
	Form    string
	Parent  quire.NodeID
	Name    string
	Size    int64
	When    string
	Href    string
	Entries []pageEntry
	Types   []string
	Reason  string
}

type pageEntry struct{ Name, Href string }

// hostConfig is what the host page's script needs. It stands in the page as
// JSON, so that no script is inline.
type hostConfig struct {
	Action  string   `json:"action"`  // where the form is posted to, into the frame
	Token   string   `json:"token"`   // never in a URL
	TTL     int64    `json:"ttl"`     // when it expires, ms since 1970
	Origins []string `json:"origins"` // whose messages are believed
	Title   string   `json:"title"`
	Close   string   `json:"close"`
	Edit    string   `json:"edit,omitempty"`
	Renew   string   `json:"renew"`
	Form    string   `json:"form,omitempty"`
}

// show answers with a page that opens a file in the first editor that can, or
// else lets it be downloaded.
func (v *visit) show(id quire.NodeID, rev int64, mode string) error {
	e, err := v.lib.Stat(v.r.Context(), v.caller, id)
	if err != nil {
		return err
	}
	if e.IsContainer() {
		return v.list(e)
	}
	if rev != 0 || e.Access < quire.Editor {
		mode = "view"
	}
	editor, action, ok := v.editorFor(e, mode)
	access, err := v.Grant(v.r.Context(), v.caller, id, rev, editor.Name, rev != 0)
	if err != nil {
		return err
	}
	if !ok {
		return v.download(e, rev, access)
	}
	params := discovery.ActionParams{
		WOPISrc: access.WopiSrc, UILanguage: language(v.r), DataLanguage: language(v.r),
		BusinessUser: v.opt.Business, HostPage: v.r.URL.Query(),
	}
	target, err := action.URL(params)
	if err != nil {
		return err
	}
	cfg := &hostConfig{
		Action: target, Token: access.Token, TTL: access.TTL, Title: e.Name, Close: "/",
		Origins: v.opt.Editors.FrameOrigins(), Renew: v.r.URL.EscapedPath(),
	}
	if v.session != nil {
		cfg.Form = v.session.FormToken()
		if e.Access >= quire.Editor && rev == 0 {
			cfg.Edit = "/edit/" + string(e.ID)
		}
	}
	return v.send(http.StatusOK, "host", page{Title: e.Name, Icon: action.FavIconURL, Config: cfg})
}

// editorFor returns the editor and its action for a file.
func (d *Door) editorFor(e library.Entry, mode string) (discovery.Editor, discovery.Action, bool) {
	if d.opt.Editors == nil {
		return discovery.Editor{}, discovery.Action{}, false
	}
	names := []string{"view", "edit"}
	if mode == "edit" {
		names = []string{"edit", "view"}
		if e.Size == 0 {
			names = append([]string{"editnew"}, names...)
		}
	}
	return d.opt.Editors.Find(path.Ext(e.Name), names...)
}

// language is the first language that the browser asks for.
func language(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	first, _, _ = strings.Cut(first, ";")
	first = strings.TrimSpace(first)
	for _, c := range first {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			return "en-US"
		}
	}
	if first == "" || len(first) > 35 {
		return "en-US"
	}
	return first
}

// download answers with a page for a file that no editor opens.
func (v *visit) download(e library.Entry, rev int64, a Access) error {
	c := &call{Door: v.Door, ctx: v.r.Context()}
	c.tok = token{Kind: aFile, Node: e.ID, Revision: rev, User: v.caller.User, Link: v.caller.Link, ReadOnly: true, expires: time.UnixMilli(a.TTL)}
	href, err := c.rawURL(e.ID, true)
	if err != nil {
		return err
	}
	reason := "No editor for this kind of file is connected to this server."
	return v.send(http.StatusOK, "download", page{Title: e.Name, Name: e.Name, Size: e.Size, When: e.Modified.Format("2 January 2006, 15:04 MST"), Href: href, Reason: reason})
}

// list answers with what is in a container.
func (v *visit) list(e library.Entry) error {
	entries, _, err := v.lib.List(v.r.Context(), v.caller, e.ID, library.Listing{Limit: 1000})
	if err != nil {
		return err
	}
	p := page{Title: displayName(e)}
	for _, x := range entries {
		href := "/view/" + string(x.ID)
		if v.session == nil {
			href = "/s/" + string(v.caller.Link) + "/" + string(x.ID)
		}
		p.Entries = append(p.Entries, pageEntry{x.Name, href})
	}
	return v.send(http.StatusOK, "list", p)
}

// renew gives the script of an open host page a token with a new lifetime, so
// that one does not expire under an open editor.
func (d *Door) renew(w http.ResponseWriter, r *http.Request) {
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if err != nil || !s.ValidForm(r.Header.Get("X-Quire-Form")) {
		http.Error(w, "sign in again", http.StatusUnauthorized)
		return
	}
	id, rev, err := parseFileID(r.PathValue("id"))
	if err == nil {
		var e library.Entry
		if e, err = d.lib.Stat(r.Context(), s.Caller, id); err == nil {
			mode, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			editor, _, _ := d.editorFor(e, mode)
			var a Access
			if a, err = d.Grant(r.Context(), s.Caller, id, rev, editor.Name, rev != 0); err == nil {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Cache-Control", "no-store")
				_ = json.NewEncoder(w).Encode(map[string]any{"token": a.Token, "ttl": a.TTL}) // the page has gone
				return
			}
		}
	}
	http.Error(w, "not found", http.StatusNotFound)
}

// newPage asks which kind of document to make.
func (d *Door) newPage(w http.ResponseWriter, r *http.Request) {
	v := d.signedIn(w, r)
	if v == nil {
		return
	}
	err := v.send(http.StatusOK, "new", page{Title: "New document", Form: v.session.FormToken(), Parent: quire.NodeID(r.URL.Query().Get("parent")), Types: blank.Extensions()})
	if err != nil {
		v.problem(err)
	}
}

// newDocument makes an empty document and opens it.
func (d *Door) newDocument(w http.ResponseWriter, r *http.Request) {
	v := d.signedIn(w, r)
	if v == nil {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := v.makeDocument(); err != nil {
		v.problem(err)
	}
}

func (v *visit) makeDocument() error {
	if err := v.r.ParseForm(); err != nil || !v.session.ValidForm(v.r.PostForm.Get("form")) {
		return &statusError{http.StatusForbidden, "The form was out of date: go back and try again."}
	}
	kind := strings.TrimPrefix(v.r.PostForm.Get("type"), ".")
	if !slices.Contains(blank.Extensions(), kind) {
		return &quire.Invalid{What: "type", Reason: "choose one of " + strings.Join(blank.Extensions(), ", ")}
	}
	content, err := blank.New(kind)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(v.r.PostForm.Get("name"))
	if name == "" {
		name = "New document"
	}
	t := quire.Target{Parent: quire.NodeID(v.r.PostForm.Get("parent")), Name: library.SanitizeName(name + "." + kind)}
	e, _, err := v.lib.Save(v.r.Context(), v.caller, t, bytes.NewReader(content), library.Save{})
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/edit/"+string(e.ID), http.StatusSeeOther)
	return nil
}

// send answers with a page. Nothing of it may be kept: it can hold a token.
func (v *visit) send(status int, name string, p page) error {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("Content-Security-Policy", v.policy())
	v.w.WriteHeader(status)
	_, err := b.WriteTo(v.w)
	return ignoreGone(err)
}

// policy lets a page frame the configured editors and nothing else.
func (d *Door) policy() string {
	editors := ""
	if d.opt.Editors != nil {
		editors = strings.Join(d.opt.Editors.FrameOrigins(), " ")
	}
	frames := editors
	if frames == "" {
		frames = "'none'"
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' " + editors +
		"; frame-src " + frames + "; form-action 'self' " + editors + "; base-uri 'none'; frame-ancestors 'none'"
}

// problem answers with a page that says what is wrong.
func (v *visit) problem(err error) {
	c := &call{Door: v.Door, ctx: v.r.Context(), w: v.w, r: v.r}
	status := c.status(err)
	text := err.Error()
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented {
		v.log.Error("a page failed", "request", server.RequestID(v.r.Context()), "error", err)
		text = "Something went wrong. Tell the operator the request id " + server.RequestID(v.r.Context()) + "."
	}
	if err := v.send(status, "problem", page{Title: "This did not work", Error: text}); err != nil {
		v.log.Error("a page failed", "request", server.RequestID(v.r.Context()), "error", err)
	}
}
