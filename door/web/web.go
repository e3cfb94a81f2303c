// Package web is the browser's door: signing in and out.
package web

import (
	"embed"
	"errors"
	"html/template"
	"io/fs"
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
}

// Door serves the browser's pages.
type Door struct {
	lib *library.Library
	ids *identity.Authority
	opt Options
	log *slog.Logger
	mux *http.ServeMux

	attempts attempts
}

// New returns the door. Serve it at /.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger, mux: http.NewServeMux()}
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	d.mux.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(files))))
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

func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		h.ServeHTTP(w, r)
	})
}

// view is what a page is made from.
type view struct {
	Title string
	Name  string // of who is signed in
	Form  string // the session's form token
	Next  string
	Login string
	Error string
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
	d.page(w, http.StatusOK, "home", view{Title: "Quire", Name: s.Caller.Name, Form: s.FormToken()})
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
	d.page(w, http.StatusOK, "signin", view{Title: "Sign in", Next: localPath(r.URL.Query().Get("next"))})
}

// maxForm bounds the forms of these pages, in bytes.
const maxForm = 64 << 10

func (d *Door) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		d.page(w, http.StatusBadRequest, "signin", view{Title: "Sign in", Next: "/", Error: "The form could not be read: try again."})
		return
	}
	// There is no session whose token the form could carry, so the browser's
	// word for where it comes from must do.
	if !server.SameOrigin(r, d.opt.PublicURL) {
		d.page(w, http.StatusForbidden, "signin", view{Title: "Sign in", Next: "/", Error: "The form came from another site: sign in here."})
		return
	}
	v := view{Title: "Sign in", Next: localPath(r.PostForm.Get("next")), Login: r.PostForm.Get("login")}
	key := strings.ToLower(strings.TrimSpace(v.Login)) + "\x00" + server.ClientAddr(r.Context())
	if wait := d.attempts.wait(key, time.Now()); wait > 0 {
		v.Error = "Too many wrong passwords. Wait a few minutes and try again."
		d.page(w, http.StatusTooManyRequests, "signin", v)
		return
	}
	u, err := d.ids.SignIn(r.Context(), v.Login, r.PostForm.Get("password"))
	if errors.Is(err, quire.ErrUnauthenticated) {
		d.attempts.failed(key, time.Now())
		v.Error = "The name or the password is wrong."
		d.page(w, http.StatusUnauthorized, "signin", v)
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
	d.page(w, http.StatusOK, "signout", view{Title: "Sign out", Name: s.Caller.Name, Form: s.FormToken()})
}

func (d *Door) signOut(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	s, err := d.ids.Session(r.Context(), identity.CookieOf(r))
	if err == nil {
		if !s.ValidForm(r.PostFormValue("form")) {
			d.page(w, http.StatusForbidden, "signout", view{Title: "Sign out", Name: s.Caller.Name, Form: s.FormToken(), Error: "The form was out of date: try again."})
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
	d.page(w, http.StatusInternalServerError, "problem", view{Title: "Something went wrong", Error: "Tell the operator the request id " + server.RequestID(r.Context()) + "."})
}
