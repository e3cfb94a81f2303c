// Package signin is the door that people come in by: the sign-in page with its
// second factor, sign-in at an outside OpenID provider, and the OAuth 2.0 and
// OpenID Connect server that lets people in through their apps.
//
// Every step carries what the next one needs, signed or checked anew, so any
// node can serve any of them.
package signin

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

//go:embed pages.html
var pagesText string

var pages = template.Must(template.New("pages").Parse(pagesText))

// Options are what an operator may set.
type Options struct {
	PublicURL *url.URL
	Logger    *slog.Logger
	// Outside is a provider that people may sign in at; nil is none.
	Outside *Outside
}

// Door serves the sign-in pages and the endpoints of OAuth 2.0.
type Door struct {
	lib     *library.Library
	ids     *identity.Authority
	opt     Options
	log     *slog.Logger
	mux     *http.ServeMux
	outside *provider
}

// Paths are where the door is to be served.
func Paths() []string {
	return []string{"/signin", "/signin/", "/signout", "/oauth2/", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}
}

// New returns the door. Serve it at Paths.
func New(lib *library.Library, ids *identity.Authority, opt Options) *Door {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Door{lib: lib, ids: ids, opt: opt, log: opt.Logger, mux: http.NewServeMux()}
	if opt.Outside != nil {
		d.outside = &provider{Outside: *opt.Outside, redirect: d.issuer() + outsideCallback}
		d.mux.HandleFunc("GET /signin/outside", d.beginOutside)
		d.mux.HandleFunc("GET "+outsideCallback, d.endOutside)
	}
	d.mux.HandleFunc("GET /signin", d.signInPage)
	d.mux.HandleFunc("POST /signin", d.signIn)
	d.mux.HandleFunc("POST /signin/code", d.secondFactor)
	d.mux.HandleFunc("GET /signin/code", d.signInPage)
	d.mux.HandleFunc("GET /signout", d.signOutPage)
	d.mux.HandleFunc("POST /signout", d.signOut)
	d.mux.HandleFunc("GET "+authorizePath, d.authorize)
	d.mux.HandleFunc("POST "+authorizePath, d.authorizeByPost)
	d.mux.HandleFunc("POST "+consentPath, d.consent)
	tokens := d.tokenServer()
	for _, at := range []string{tokenPath, introspectPath, revokePath, userInfoPath, keysPath, "/.well-known/openid-configuration"} {
		d.mux.Handle(at, tokens)
	}
	d.mux.HandleFunc("GET /.well-known/oauth-authorization-server", d.metadata)
	d.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.page(w, http.StatusNotFound, "problem", d.view(r, "problem").because("nothinghere"))
	})
	return d
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy("'self'"))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	ctx := r.Context()
	if err := server.Admit(r); err != nil {
		d.busy(w, err)
		return
	}
	ctx = quire.WithActor(ctx, quire.Caller{Door: quire.DoorSignIn, Addr: server.ClientAddr(ctx)})
	_, at := d.mux.Handler(r)
	server.SetOperation(ctx, at)
	d.mux.ServeHTTP(w, r.WithContext(ctx))
}

// busy refuses who asks too often, in words: programs and people come here alike.
func (d *Door) busy(w http.ResponseWriter, err error) {
	status, text := http.StatusServiceUnavailable, "the server is busy: try again"
	var later *quire.Unavailable
	if errors.As(err, &later) {
		tellRetry(w, later)
		text = later.Reason
		if later.Excess {
			status = http.StatusTooManyRequests
		}
	}
	http.Error(w, text, status)
}

// policy is the pages' Content-Security-Policy. Browsers hold form-action against
// every redirect that follows a form, so where one ends at a client it must be
// named.
func policy(formAction string) string {
	return "default-src 'none'; style-src 'self'; img-src 'self'; form-action " + formAction + "; base-uri 'none'; frame-ancestors 'none'"
}

// issuer is the name of this server in OpenID Connect: its public URL without a
// slash at the end.
func (d *Door) issuer() string { return strings.TrimSuffix(d.opt.PublicURL.String(), "/") }

// view is what a page is made from.
type view struct {
	Language string
	Theme    string
	Text     map[string]string

	Title   string
	Name    string // of who is signed in
	Form    string // the session's form token
	Next    string
	Login   string
	Pending string // what the second factor goes on from
	Outside string // the outside provider's name
	Error   string

	Client string   // the client's name
	Host   string   // where it gets its answer
	Wants  []string // what it asks for, in words
	Action string   // where the form goes
}

func (d *Door) view(r *http.Request, title string) view {
	q := r.URL.Query()
	asked := append(strings.Fields(q.Get("ui_locales")), q.Get("rs"), q.Get("RS"))
	lang := server.Language(r, func(tag string) bool { return texts[tag] != nil }, asked...)
	v := view{Language: lang, Theme: server.Theme(r), Text: texts[lang], Title: texts[lang][title], Next: "/"}
	if d.outside != nil {
		v.Outside = d.outside.Name
	}
	return v
}

func (v view) because(text string) view {
	v.Error = v.Text[text]
	return v
}

func (d *Door) page(w http.ResponseWriter, status int, name string, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, name, v); err != nil {
		d.log.Warn("a page was not sent whole", "page", name, "error", err)
	}
}

// signInForm answers with the sign-in page for a place to go on to.
func (d *Door) signInForm(w http.ResponseWriter, r *http.Request, status int, v view) {
	w.Header().Set("Content-Security-Policy", policy(d.formAction(r.Context(), v.Next)))
	d.page(w, status, "signin", v)
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
	d.signInForm(w, r, http.StatusOK, v)
}

// maxForm bounds the forms of these pages, in bytes.
const maxForm = 64 << 10

// form reads a form that must come from a page of ours. There may be no session
// whose token it could carry, so the browser's word for where it comes from must
// do.
func (d *Door) form(w http.ResponseWriter, r *http.Request, v view) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		d.signInForm(w, r, http.StatusBadRequest, v.because("unreadable"))
		return false
	}
	if !server.SameOrigin(r, d.opt.PublicURL) {
		d.signInForm(w, r, http.StatusForbidden, v.because("othersite"))
		return false
	}
	return true
}

func (d *Door) signIn(w http.ResponseWriter, r *http.Request) {
	v := d.view(r, "signin")
	if !d.form(w, r, v) {
		return
	}
	v.Next, v.Login = localPath(r.PostForm.Get("next")), r.PostForm.Get("login")
	u, err := d.ids.SignIn(r.Context(), v.Login, r.PostForm.Get("password"), server.ClientAddr(r.Context()))
	var many *quire.Unavailable
	switch {
	case errors.As(err, &many) && many.Excess:
		tellRetry(w, many)
		d.signInForm(w, r, http.StatusTooManyRequests, v.because("toomany"))
	case errors.Is(err, quire.ErrUnauthenticated):
		d.signInForm(w, r, http.StatusUnauthorized, v.because("wrong"))
	case err != nil:
		d.fail(w, r, err)
	default:
		d.welcome(w, r, u, identity.MethodPassword, v.Next)
	}
}

func tellRetry(w http.ResponseWriter, e *quire.Unavailable) {
	w.Header().Set("Retry-After", strconv.Itoa(int(e.After.Seconds())+1))
}

// pending is somebody who has shown one factor and owes the other.
type pending struct {
	User   quire.UserID `json:"u"`
	Method string       `json:"m"`
	Next   string       `json:"n"`
}

const (
	pendingPurpose = "second-factor"
	pendingLife    = 10 * time.Minute
)

// welcome signs somebody in, or asks for the second factor if they have one.
func (d *Door) welcome(w http.ResponseWriter, r *http.Request, u quire.User, method, next string) {
	has, _, err := d.ids.HasFactor(r.Context(), u.ID)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	if !has {
		d.begin(w, r, u.ID, next, method)
		return
	}
	b, err := json.Marshal(pending{u.ID, method, next})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	text, err := d.ids.Sign(r.Context(), pendingPurpose, b, time.Now().Add(pendingLife))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := d.view(r, "code")
	v.Pending, v.Next = text, next
	d.codeForm(w, r, http.StatusOK, v)
}

func (d *Door) codeForm(w http.ResponseWriter, r *http.Request, status int, v view) {
	w.Header().Set("Content-Security-Policy", policy(d.formAction(r.Context(), v.Next)))
	d.page(w, status, "code", v)
}

// begin starts a session, with a cookie that nobody can have known before, and
// goes on to where the user wanted to go.
func (d *Door) begin(w http.ResponseWriter, r *http.Request, user quire.UserID, next string, methods ...string) {
	cookie, err := d.ids.StartSession(r.Context(), user, r.UserAgent(), server.ClientAddr(r.Context()), methods...)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	identity.SetCookie(w, cookie, d.secure())
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (d *Door) secure() bool { return d.opt.PublicURL.Scheme == "https" }

// secondFactor takes the code of an authenticator app, or a recovery code.
func (d *Door) secondFactor(w http.ResponseWriter, r *http.Request) {
	v := d.view(r, "code")
	if !d.form(w, r, d.view(r, "signin")) {
		return
	}
	v.Pending = r.PostForm.Get("pending")
	b, _, err := d.ids.Open(r.Context(), pendingPurpose, v.Pending)
	var p pending
	if err == nil && json.Unmarshal(b, &p) != nil {
		err = quire.ErrUnauthenticated
	}
	switch {
	case errors.Is(err, quire.ErrUnauthenticated):
		d.signInForm(w, r, http.StatusUnauthorized, d.view(r, "signin").because("outdated"))
		return
	case err != nil:
		d.fail(w, r, err)
		return
	}
	v.Next = localPath(p.Next)
	err = d.ids.VerifyFactor(r.Context(), p.User, r.PostForm.Get("code"), server.ClientAddr(r.Context()))
	var many *quire.Unavailable
	switch {
	case errors.As(err, &many) && many.Excess:
		tellRetry(w, many)
		d.codeForm(w, r, http.StatusTooManyRequests, v.because("toomany"))
		return
	case errors.Is(err, quire.ErrUnauthenticated):
		d.codeForm(w, r, http.StatusUnauthorized, v.because("wrongcode"))
		return
	case err != nil && !errors.Is(err, quire.ErrNotFound): // it was taken off meanwhile
		d.fail(w, r, err)
		return
	}
	if _, err := d.ids.Caller(r.Context(), p.User, quire.ScopeRead); err != nil {
		d.signInForm(w, r, http.StatusUnauthorized, d.view(r, "signin").because("wrong"))
		return
	}
	d.begin(w, r, p.User, v.Next, p.Method, identity.MethodOTP)
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
		err := d.ids.EndSession(r.Context(), s.Caller.User, s.ID)
		if r.PostForm.Get("everywhere") != "" {
			err = d.ids.EndSessions(r.Context(), s.Caller.User)
		}
		if err != nil && !errors.Is(err, quire.ErrNotFound) {
			d.fail(w, r, err)
			return
		}
	}
	identity.SetCookie(w, "", d.secure())
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

// session returns who is signed in, and whether anybody is.
func (d *Door) session(ctx context.Context, r *http.Request) (identity.Session, bool, error) {
	s, err := d.ids.Session(ctx, identity.CookieOf(r))
	if errors.Is(err, quire.ErrUnauthenticated) {
		return s, false, nil
	}
	return s, err == nil, err
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
