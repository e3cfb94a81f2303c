package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/web"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
)

// open returns the address of the door over a real store with one user, ann.
func open(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	_, store := librarytest.Open(t, nil)
	cat, blobs := store.Catalog, store.Blobs
	lib := library.New(cat, blobs, library.Options{})
	site, err := lib.CreateSite(ctx, "main", "default", 0)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := identity.HashPassword(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.CreateUser(ctx, library.NewUser{Site: site.ID, Login: "ann", Name: "<Ann>", Role: quire.RoleMember, Password: hash}); err != nil {
		t.Fatal(err)
	}
	public, _ := url.Parse("https://docs.example.org")
	s := httptest.NewServer(web.New(lib, identity.New(cat), web.Options{PublicURL: public}))
	t.Cleanup(s.Close)
	return s.URL
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func do(t *testing.T, method, u, form string, head ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, u, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestHome: who is not signed in is sent to sign in, and then to where they
// wanted to go.
func TestHome(t *testing.T) {
	at := open(t)
	for path, want := range map[string]string{"/": "/signin", "/files": "/signin?next=%2Ffiles", "/search?q=a+b": "/signin?next=%2Fsearch%3Fq%3Da%2Bb"} {
		resp, _ := do(t, "GET", at+path, "")
		if resp.StatusCode != 303 || resp.Header.Get("Location") != want {
			t.Errorf("%s: %d %q", path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if resp, _ := do(t, "GET", at+"/nowhere", ""); resp.StatusCode != 404 {
		t.Errorf("%d", resp.StatusCode)
	}
}
