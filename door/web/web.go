// Package web is the browser's door: signing in and out, and the application
// that people work with in the browser. The application is a script; what it
// does, it does through the file API and the uploads, like any other client.
package web

import (
	"embed"
	"errors"
	"html/template"
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

	entry    entry
	attempts attempts
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
	d.mux.HandleFunc("GET /signin", d.signInPage)
	d.mux.HandleFunc("POST /signin", d.signIn)
	d.mux.HandleFunc("GET /signout", d.signOutPage)
	d.mux.HandleFunc("POST /signout", d.signOut)
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
	Name  string // of who is signed in
	Form  string // the session's form token
	Next  string
	Login string
	Error string
}

// view begins a page: with the browser's language and theme.
func (d *Door) view(r *http.Request, title string) view {
	lang := languageOf(r)
	v := view{Language: lang, Theme: themeOf(r), Text: texts[lang], Title: title, Next: "/"}
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

// localPath returns where to go after signing in: a path of this server's, and
// nothing that a browser could take for another one.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return u.RequestURI()
}

func (d *Door) signInPage(w http.ResponseWriter, r *http.Request) {
	v := d.view(r, "signin")
	v.Next = localPath(r.URL.Query().Get("next"))
	d.page(w, http.StatusOK, "signin", v)
}

// maxForm bounds the forms of these pages, in bytes.
const maxForm = 64 << 10

func (d *Door) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		d.page(w, http.StatusBadRequest, "signin", d.view(r, "signin").because("unreadable"))
		return
	}
	// There is no session whose token the form could carry, so the browser's
	// word for where it comes from must do.
	if !server.SameOrigin(r, d.opt.PublicURL) {
		d.page(w, http.StatusForbidden, "signin", d.view(r, "signin").because("othersite"))
		return
	}
	v := d.view(r, "signin")
	v.Next, v.Login = localPath(r.PostForm.Get("next")), r.PostForm.Get("login")
	key := strings.ToLower(strings.TrimSpace(v.Login)) + "\x00" + server.ClientAddr(r.Context())
	if wait := d.attempts.wait(key, time.Now()); wait > 0 {
		d.page(w, http.StatusTooManyRequests, "signin", v.because("toomany"))
		return
	}
	u, err := d.ids.SignIn(r.Context(), v.Login, r.PostForm.Get("password"))
	if errors.Is(err, quire.ErrUnauthenticated) {
		d.attempts.failed(key, time.Now())
		d.page(w, http.StatusUnauthorized, "signin", v.because("wrong"))
		return
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.attempts.succeeded(key)
	cookie, err := d.ids.StartSession(r.Context(), u.ID, r.UserAgent(), server.ClientAddr(r.Context()))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	identity.SetCookie(w, cookie, d.opt.PublicURL.Scheme == "https")
	http.Redirect(w, r, v.Next, http.StatusSeeOther)
}

func (d *Door) signOutPage(w http.ResponseWriter, r *http.Request) {
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if err != nil {
		http.Redirect(w, r, "/signin", http.StatusSeeOther)
		return
	}
	v := d.view(r, "signout")
	v.Name, v.Form = s.Caller.Name, s.FormToken()
	d.page(w, http.StatusOK, "signout", v)
}

func (d *Door) signOut(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if err == nil {
		if !s.ValidForm(r.PostFormValue("form")) {
			v := d.view(r, "signout")
			v.Name, v.Form = s.Caller.Name, s.FormToken()
			d.page(w, http.StatusForbidden, "signout", v.because("outdated"))
			return
		}
		if err := d.ids.EndSession(r.Context(), s.Caller.User, s.ID); err != nil && !errors.Is(err, quire.ErrNotFound) {
			d.fail(w, r, err)
			return
		}
	}
	identity.SetCookie(w, "", d.opt.PublicURL.Scheme == "https")
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
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
