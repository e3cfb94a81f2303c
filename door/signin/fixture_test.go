package signin_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/html"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/signin"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
)

const password = "correct horse"

// fixture is the door over a real store, with the user ann.
type fixture struct {
	t    *testing.T
	lib  *library.Library
	ids  *identity.Authority
	site quire.Site
	ann  quire.User
	at   string
}

// open starts the door. With an outside provider, its settings get the site.
func open(t *testing.T, outside *signin.Outside) *fixture {
	t.Helper()
	ctx := t.Context()
	_, store := librarytest.Open(t, nil)
	cat, blobs := store.Catalog, store.Blobs
	var err error
	f := &fixture{t: t, lib: library.New(cat, blobs, library.Options{}), ids: identity.New(cat)}
	if f.site, err = f.lib.CreateSite(ctx, "main", "default", 0); err != nil {
		t.Fatal(err)
	}
	f.ann = f.user("ann", "<Ann>")
	// Two nodes over one store take turns: no step may count on the one before
	// having been at the same node.
	var nodes [2]http.Handler
	var turn atomic.Uint64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { nodes[turn.Add(1)%2].ServeHTTP(w, r) }))
	public, _ := url.Parse("http://" + s.Listener.Addr().String())
	if outside != nil {
		outside.Site = func(context.Context) (quire.SiteID, error) { return f.site.ID, nil }
	}
	for i := range nodes {
		nodes[i] = signin.New(library.New(cat, blobs, library.Options{}), identity.New(cat), signin.Options{PublicURL: public, Outside: outside})
	}
	s.Start()
	f.at = s.URL
	t.Cleanup(s.Close)
	return f
}

func (f *fixture) user(login, name string) quire.User {
	f.t.Helper()
	hash, err := identity.HashPassword(f.t.Context(), password)
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := f.lib.CreateUser(f.t.Context(), library.NewUser{Site: f.site.ID, Login: login, Name: name, Email: login + "@example.org", Role: quire.RoleMember, Password: hash})
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

// client adds an OAuth client.
func (f *fixture) client(n identity.NewClient) (identity.Client, string) {
	f.t.Helper()
	if n.Name == "" {
		n.Name = "An <app>"
	}
	c, secret, err := f.ids.CreateClient(f.t.Context(), n)
	if err != nil {
		f.t.Fatal(err)
	}
	return c, secret
}

// browser is one with cookies, which follows no redirect.
type browser struct {
	f       *fixture
	cookies map[string]*http.Cookie
}

func (f *fixture) browser() *browser { return &browser{f, map[string]*http.Cookie{}} }

// page is an answer.
type page struct {
	*http.Response
	text string
}

// location is where the answer sends the browser.
func (p page) location() *url.URL {
	u, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		return &url.URL{}
	}
	return u
}

func (b *browser) do(method, u string, form url.Values, head ...string) page {
	b.f.t.Helper()
	if strings.HasPrefix(u, "/") {
		u = b.f.at + u
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.f.t.Context(), method, u, body)
	if err != nil {
		b.f.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	once := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := once.Do(r)
	if err != nil {
		b.f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.f.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c
	}
	return page{resp, string(text)}
}

func (b *browser) get(u string, head ...string) page {
	b.f.t.Helper()
	return b.do("GET", u, nil, head...)
}
func (b *browser) post(u string, form url.Values, head ...string) page {
	b.f.t.Helper()
	return b.do("POST", u, form, head...)
}

// signIn signs somebody in.
func (b *browser) signIn(login string) *browser {
	b.f.t.Helper()
	if p := b.post("/signin", url.Values{"login": {login}, "password": {password}}); p.StatusCode != 303 {
		b.f.t.Fatalf("sign-in of %s: %d", login, p.StatusCode)
	}
	return b
}

// form returns where a page's form goes, and what it has in it.
func (p page) form() (action string, values url.Values) {
	values = url.Values{}
	z := html.NewTokenizer(strings.NewReader(p.text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return action, values
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			attr := map[string]string{}
			for _, a := range t.Attr {
				attr[a.Key] = a.Val
			}
			switch t.Data {
			case "form":
				action = attr["action"]
			case "input":
				values.Set(attr["name"], attr["value"])
			}
		}
	}
}
