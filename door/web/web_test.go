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

func TestSignInAndOut(t *testing.T) {
	at := open(t)
	if resp, _ := do(t, "GET", at+"/", ""); resp.StatusCode != 303 || resp.Header.Get("Location") != "/signin" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	resp, _ := do(t, "POST", at+"/signin", "login=Ann&password=correct+horse&next=/edit/x%3Fy=1")
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/edit/x?y=1" || len(resp.Cookies()) != 1 {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	c := resp.Cookies()[0]
	if c.Name != "__Host-quire" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	cookie := c.Name + "=" + c.Value
	if resp, _ := do(t, "GET", at+"/", "", "Cookie", cookie); resp.StatusCode != 303 || resp.Header.Get("Location") != "/shared" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	resp, page := do(t, "GET", at+"/signout", "", "Cookie", cookie)
	if resp.StatusCode != 200 || !strings.Contains(page, "&lt;Ann&gt;") || strings.Contains(page, "<Ann>") {
		t.Errorf("%d %s", resp.StatusCode, page)
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", resp.Header)
	}
	if resp, _ := do(t, "POST", at+"/signout", "form=forged", "Cookie", cookie); resp.StatusCode != 403 {
		t.Errorf("a forged form: %d", resp.StatusCode)
	}
	_, rest, _ := strings.Cut(page, `name="form" value="`)
	form, _, _ := strings.Cut(rest, `"`)
	if resp, _ := do(t, "POST", at+"/signout", url.Values{"form": {form}}.Encode(), "Cookie", cookie); resp.StatusCode != 303 {
		t.Errorf("%d", resp.StatusCode)
	}
	if resp, _ := do(t, "GET", at+"/", "", "Cookie", cookie); resp.StatusCode != 303 {
		t.Errorf("still signed in: %d", resp.StatusCode)
	}
}

// TestNowhereElse: the way back after signing in leads nowhere but here.
func TestNowhereElse(t *testing.T) {
	at := open(t)
	for _, next := range []string{"https://evil.example.org/", "//evil.example.org", `/\evil.example.org`, "javascript:alert(1)", "/%0d%0aX: y", "evil", "", "/\t/evil.example.org"} {
		resp, _ := do(t, "POST", at+"/signin", url.Values{"login": {"ann"}, "password": {"correct horse"}, "next": {next}}.Encode())
		got := resp.Header.Get("Location")
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.Contains(got, `\`) {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

func TestGuessing(t *testing.T) {
	at := open(t)
	for i := range 5 {
		if resp, page := do(t, "POST", at+"/signin", "login=ann&password=wrong"); resp.StatusCode != 401 || !strings.Contains(page, "is wrong") {
			t.Errorf("guess %d: %d", i, resp.StatusCode)
		}
	}
	if resp, _ := do(t, "POST", at+"/signin", "login=ANN&password=correct+horse"); resp.StatusCode != 429 {
		t.Errorf("after five wrong ones: %d", resp.StatusCode)
	}
	if resp, _ := do(t, "POST", at+"/signin", "login=bob&password=wrong"); resp.StatusCode != 401 {
		t.Errorf("another name: %d", resp.StatusCode)
	}
}

func TestOtherSites(t *testing.T) {
	at := open(t)
	for _, head := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example.org"}} {
		if resp, _ := do(t, "POST", at+"/signin", "login=ann&password=correct+horse", head...); resp.StatusCode != 403 || len(resp.Cookies()) != 0 {
			t.Errorf("%v: %d", head, resp.StatusCode)
		}
	}
	if resp, _ := do(t, "POST", at+"/signin", "login=ann&password=correct+horse", "Origin", "https://docs.example.org"); resp.StatusCode != 303 {
		t.Errorf("our own: %d", resp.StatusCode)
	}
}
