// Package web is the browser's door: the application that people work with. The application is a script; what it
// does, it does through the file API and the uploads, like any other client.
package web

import (
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

//go:embed static
var static embed.FS

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Parse(pagesText))

// Options are what an operator may set.
type Options struct {
	PublicURL *url.URL
	Logger    *slog.Logger
	// Opens says whether a configured editor does an action ("edit", "view") with
	// files of an extension, which begins with a dot; nil is none.
	Opens func(ext, action string) bool
}

// Door serves the browser's pages.
type Door struct {
	lib *library.Library
	ids *identity.Authority
	opt Options
	log *slog.Logger
	mux *http.ServeMux

	entry entry
}

// New returns the door. Serve it at /.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger, mux: http.NewServeMux()}
	files, entry, err := load()
	if err != nil {
		panic(err) // the files are part of the program: a test loads them
	}
	d.entry = entry
	d.mux.Handle("GET /static/", files)
	for _, at := range appPaths {
		d.mux.HandleFunc("GET "+at, d.application)
	}
	d.mux.HandleFunc("/", d.nothing)
	d.mux.HandleFunc("GET /{$}", d.home)
	return d
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	d.mux.ServeHTTP(w, r)
}

// view is what a page is made from.
type view struct {
	Language string
	Theme    string
	Text     map[string]string
	Entry    entry
	Boot     *boot

	Title string
	Error string
}

// view begins a page: with the browser's language and theme.
func (d *Door) view(r *http.Request, title string) view {
	lang := server.Language(r, func(tag string) bool { return texts[tag] != nil })
	v := view{Language: lang, Theme: server.Theme(r), Text: texts[lang], Title: title}
	if t, ok := v.Text[title]; ok {
		v.Title = t
	}
	return v
}

func (v view) because(text string) view {
	v.Error = v.Text[text]
	return v
}

func (d *Door) page(w http.ResponseWriter, status int, name string, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, v); err != nil {
		d.log.Warn("a page was not sent whole", "page", name, "error", err)
	}
}

func (d *Door) home(w http.ResponseWriter, r *http.Request) {
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if err != nil {
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
		return
	}
	sees, err := d.seesRoot(r, s.Caller)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	home := "/files"
	if !sees {
		home = "/shared"
	}
	http.Redirect(w, r, home, http.StatusSeeOther)
}

// nothing answers where there is no page.
func (d *Door) nothing(w http.ResponseWriter, r *http.Request) {
	v := d.view(r, "nothinghere")
	d.page(w, http.StatusNotFound, "problem", v.because("nothinghere2"))
}

func (d *Door) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	d.log.Error("a page failed", "request", server.RequestID(r.Context()), "error", err)
	v := d.view(r, "problem")
	v.Error = v.Text["tellrequest"] + " " + server.RequestID(r.Context())
	d.page(w, http.StatusInternalServerError, "problem", v)
}
