package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/quire-docs/quire/identity"
)

func TestSignInAndOut(t *testing.T) {
	f := open(t, nil)
	b := f.browser()
	p := b.post("/signin", url.Values{"login": {"Ann"}, "password": {password}, "next": {"/edit/x?y=1"}})
	if p.StatusCode != 303 || p.Header.Get("Location") != "/edit/x?y=1" || len(p.Cookies()) != 1 {
		t.Fatalf("%d %v", p.StatusCode, p.Header)
	}
	if c := p.Cookies()[0]; c.Name != "quire" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	p = b.get("/signout")
	if p.StatusCode != 200 || !strings.Contains(p.text, "&lt;Ann&gt;") || strings.Contains(p.text, "<Ann>") {
		t.Errorf("%d %s", p.StatusCode, p.text)
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || p.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", p.Header)
	}
	if p := b.post("/signout", url.Values{"form": {"forged"}}); p.StatusCode != 403 {
		t.Errorf("a forged form: %d", p.StatusCode)
	}
	old := b.cookies["quire"]
	if p := b.post(b.get("/signout").form()); p.StatusCode != 303 || len(b.cookies) != 0 {
		t.Errorf("%d %v", p.StatusCode, b.cookies)
	}
	b.cookies["quire"] = old
	if p := b.get("/signout"); p.StatusCode != 303 {
		t.Errorf("still signed in: %d", p.StatusCode)
	}
}

// TestSignOutEverywhere: other browsers and apps are signed out as well.
func TestSignOutEverywhere(t *testing.T) {
	f := open(t, nil)
	one, two := f.browser().signIn("ann"), f.browser().signIn("ann")
	other := f.user("bob", "Bob")
	bob := f.browser().signIn(other.Login)
	grant := f.flow(one, f.public()).tokens()
	action, form := one.get("/signout").form()
	form.Set("everywhere", "yes")
	if p := one.post(action, form); p.StatusCode != 303 {
		t.Fatalf("%d", p.StatusCode)
	}
	if p := two.get("/signout"); p.StatusCode != 303 {
		t.Errorf("the other browser: %d", p.StatusCode)
	}
	if _, err := f.ids.OAuth(t.Context(), grant.AccessToken); err == nil {
		t.Error("the app is still in")
	}
	if p := bob.get("/signout"); p.StatusCode != 200 {
		t.Errorf("somebody else was signed out: %d", p.StatusCode)
	}
}

// TestNowhereElse: the way back after signing in leads nowhere but here.
func TestNowhereElse(t *testing.T) {
	f := open(t, nil)
	for _, next := range []string{"https://evil.example.org/", "//evil.example.org", `/\evil.example.org`, "javascript:alert(1)", "/%0d%0aX: y", "evil", "", "/\t/evil.example.org"} {
		p := f.browser().post("/signin", url.Values{"login": {"ann"}, "password": {password}, "next": {next}})
		got := p.Header.Get("Location")
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.Contains(got, `\`) {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

func TestGuessing(t *testing.T) {
	f := open(t, nil)
	b := f.browser()
	for i := range 5 {
		if p := b.post("/signin", url.Values{"login": {"ann"}, "password": {"wrong"}}); p.StatusCode != 401 || !strings.Contains(p.text, "is wrong") {
			t.Errorf("guess %d: %d", i, p.StatusCode)
		}
	}
	if p := b.post("/signin", url.Values{"login": {"ANN"}, "password": {password}}); p.StatusCode != 429 || p.Header.Get("Retry-After") == "" {
		t.Errorf("after five wrong ones: %d %v", p.StatusCode, p.Header)
	}
	if p := b.post("/signin", url.Values{"login": {"bob"}, "password": {"wrong"}}); p.StatusCode != 401 {
		t.Errorf("another name: %d", p.StatusCode)
	}
}

func TestOtherSites(t *testing.T) {
	f := open(t, nil)
	in := url.Values{"login": {"ann"}, "password": {password}}
	for _, head := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example.org"}} {
		if p := f.browser().post("/signin", in, head...); p.StatusCode != 403 || len(p.Cookies()) != 0 {
			t.Errorf("%v: %d", head, p.StatusCode)
		}
	}
	if p := f.browser().post("/signin", in, "Origin", f.at); p.StatusCode != 303 {
		t.Errorf("our own: %d", p.StatusCode)
	}
}

// TestSessionFixation: a cookie that somebody planted before is worth nothing
// after the sign-in.
func TestSessionFixation(t *testing.T) {
	f := open(t, nil)
	b := f.browser()
	planted := &http.Cookie{Name: "quire", Value: "planted-by-somebody"}
	b.cookies["quire"] = planted
	b.signIn("ann")
	if b.cookies["quire"].Value == planted.Value {
		t.Fatal("the cookie was kept")
	}
	thief := f.browser()
	thief.cookies["quire"] = planted
	if p := thief.get("/signout"); p.StatusCode != 303 {
		t.Errorf("the planted cookie is signed in: %d", p.StatusCode)
	}
	// Signing in again does not go on with the old session either.
	before := b.cookies["quire"].Value
	b.signIn("ann")
	if b.cookies["quire"].Value == before {
		t.Error("the second sign-in has the first one's cookie")
	}
}

// factor gives ann a second factor.
func (f *fixture) factor() identity.NewFactor {
	f.t.Helper()
	n, err := f.ids.BeginFactor(f.t.Context(), f.ann.ID, "Quire")
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.ids.ConfirmFactor(f.t.Context(), f.ann.ID, f.code(n, -1), "192.0.2.1"); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// code is what an authenticator app shows some steps from now.
func (f *fixture) code(n identity.NewFactor, steps int) string {
	f.t.Helper()
	text, err := totp.GenerateCode(n.Secret, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

func TestSecondFactor(t *testing.T) {
	f := open(t, nil)
	n := f.factor()
	in := url.Values{"login": {"ann"}, "password": {password}, "next": {"/files"}}
	begin := func() (*browser, string, url.Values) {
		b := f.browser()
		p := b.post("/signin", in)
		if p.StatusCode != 200 || len(p.Cookies()) != 0 {
			t.Fatalf("the password alone: %d %v", p.StatusCode, p.Header)
		}
		action, form := p.form()
		if action != "/signin/code" {
			t.Fatalf("the form goes to %q", action)
		}
		return b, action, form
	}
	b, action, form := begin()
	form.Set("code", f.code(n, 0))
	if p := b.post(action, form); p.StatusCode != 303 || p.Header.Get("Location") != "/files" || len(b.cookies) != 1 {
		t.Fatalf("with the code: %d %v", p.StatusCode, p.Header)
	}
	// No code is good twice, nor is an older one after it.
	for _, steps := range []int{0, -1} {
		b, action, form = begin()
		form.Set("code", f.code(n, steps))
		if p := b.post(action, form); p.StatusCode != 401 || len(b.cookies) != 0 {
			t.Errorf("the code of step %d again: %d", steps, p.StatusCode)
		}
	}
	// A recovery code is good once, as people write it.
	b, action, form = begin()
	form.Set("code", " "+strings.ToUpper(n.Recovery[3])+" ")
	if p := b.post(action, form); p.StatusCode != 303 {
		t.Errorf("a recovery code: %d", p.StatusCode)
	}
	b, action, form = begin()
	form.Set("code", n.Recovery[3])
	if p := b.post(action, form); p.StatusCode != 401 {
		t.Errorf("the recovery code again: %d", p.StatusCode)
	}
	// What carries the first step is of use for the second step only.
	for _, pending := range []string{"", "x", form.Get("pending") + "x"} {
		if p := b.post(action, url.Values{"pending": {pending}, "code": {f.code(n, 1)}}); p.StatusCode != 401 || len(b.cookies) != 0 {
			t.Errorf("pending %q: %d", pending, p.StatusCode)
		}
	}
	if p := b.post(action, url.Values{"pending": {form.Get("pending")}, "code": {f.code(n, 1)}}, "Origin", "https://evil.example.org"); p.StatusCode != 403 {
		t.Errorf("from another site: %d", p.StatusCode)
	}
}

func TestGuessingCodes(t *testing.T) {
	f := open(t, nil)
	n := f.factor()
	b := f.browser()
	action, form := b.post("/signin", url.Values{"login": {"ann"}, "password": {password}}).form()
	for i := range 5 {
		form.Set("code", "000000")
		if p := b.post(action, form); p.StatusCode != 401 {
			t.Errorf("guess %d: %d", i, p.StatusCode)
		}
	}
	form.Set("code", f.code(n, 0))
	if p := b.post(action, form); p.StatusCode != 429 || len(b.cookies) != 0 {
		t.Errorf("after five wrong codes: %d", p.StatusCode)
	}
}

func TestLanguage(t *testing.T) {
	f := open(t, nil)
	for _, try := range []struct{ query, header, want string }{
		{"", "", `lang="en"`}, {"", "de-CH, en;q=0.5", `lang="de"`}, {"", "fr", `lang="en"`},
		{"&rs=de-DE", "en", `lang="de"`}, {"&RS=de-DE", "en", `lang="de"`}, {"&ui_locales=fr+de", "en", `lang="de"`},
	} {
		if p := f.browser().get("/signin?next=/"+try.query, "Accept-Language", try.header); !strings.Contains(p.text, try.want) {
			t.Errorf("%+v: %.60s", try, p.text)
		}
	}
}
