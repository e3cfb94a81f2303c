package signin_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/internal/needs"
)

const redirect = "https://app.example.org/cb"

// verifier is a code_verifier of PKCE, and challenge what belongs to it.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challenge(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (f *fixture) public() identity.Client {
	c, _ := f.client(identity.NewClient{Public: true, Redirects: []string{redirect}})
	return c
}

// query asks for a code for a client, with changes: pairs of a name and a value;
// the value "-" leaves the parameter out.
func query(c identity.Client, changes ...string) string {
	q := url.Values{
		"client_id": {string(c.ID)}, "redirect_uri": {c.Redirects[0]}, "response_type": {"code"}, "state": {"some state"},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
		if changes[i+1] == "-" {
			q.Del(changes[i])
		}
	}
	return "/oauth2/authorize?" + q.Encode()
}

// flow is a client's way to tokens.
type flow struct {
	f      *fixture
	client identity.Client
	secret string
	code   string
}

// flow lets a signed-in browser allow a client what it asks for.
func (f *fixture) flow(b *browser, c identity.Client, changes ...string) *flow {
	f.t.Helper()
	p := b.get(query(c, changes...))
	if p.StatusCode == 200 {
		action, form := p.form()
		form.Set("answer", "allow")
		p = b.post(action, form)
	}
	if p.StatusCode != 302 || p.location().Query().Get("code") == "" {
		f.t.Fatalf("no code: %d %v\n%s", p.StatusCode, p.Header, p.text)
	}
	return &flow{f: f, client: c, code: p.location().Query().Get("code")}
}

// answer is what the token endpoint says.
type answer struct {
	Status       int
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    *int   `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
}

func (f *fixture) token(form url.Values, head ...string) answer {
	f.t.Helper()
	p := f.browser().post("/oauth2/token", form, head...)
	a := answer{Status: p.StatusCode}
	if kind := p.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") || p.Header.Get("Cache-Control") != "no-store" {
		f.t.Errorf("headers %v", p.Header)
	}
	if err := json.Unmarshal([]byte(p.text), &a); err != nil {
		f.t.Fatalf("%d %s", p.StatusCode, p.text)
	}
	return a
}

// redeem asks for tokens, with changes as in query.
func (w *flow) redeem(changes ...string) answer {
	w.f.t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {string(w.client.ID)}, "code": {w.code},
		"redirect_uri": {w.client.Redirects[0]}, "code_verifier": {verifier},
	}
	if w.secret != "" {
		form.Set("client_secret", w.secret)
	}
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
		if changes[i+1] == "-" {
			form.Del(changes[i])
		}
	}
	return w.f.token(form)
}

func (w *flow) tokens() answer {
	w.f.t.Helper()
	a := w.redeem()
	if a.Status != 200 || a.AccessToken == "" || a.TokenType != "bearer" || a.ExpiresIn == nil || *a.ExpiresIn != 3600 {
		w.f.t.Fatalf("%+v", a)
	}
	return a
}

func (w *flow) refresh(token string, changes ...string) answer {
	w.f.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {string(w.client.ID)}, "refresh_token": {token}}
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return w.f.token(form)
}

func (f *fixture) alive(access string) bool {
	_, err := f.ids.OAuth(f.t.Context(), access)
	if err != nil && !errors.Is(err, quire.ErrUnauthenticated) {
		f.t.Fatal(err)
	}
	return err == nil
}

// TestCodeFlow: the authorize page is the sign-in page, then it asks, then it
// sends a code, and next time it need not ask.
func TestCodeFlow(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	b := f.browser()
	p := b.get(query(c))
	if p.StatusCode != 200 || !strings.Contains(p.text, `name="password"`) || !strings.Contains(p.text, "An &lt;app&gt;") {
		t.Fatalf("%d %s", p.StatusCode, p.text)
	}
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://app.example.org;") {
		t.Errorf("the browser may not follow to the app: %s", csp)
	}
	action, form := p.form()
	form.Set("login", "ann")
	form.Set("password", password)
	p = b.post(action, form)
	if p.StatusCode != 303 || p.location().Path != "/oauth2/authorize" {
		t.Fatalf("%d %v", p.StatusCode, p.Header)
	}
	p = b.get(p.Header.Get("Location"))
	if p.StatusCode != 200 || !strings.Contains(p.text, "read and change your files") || !strings.Contains(p.text, "app.example.org") || !strings.Contains(p.text, "&lt;Ann&gt;") {
		t.Fatalf("%d %s", p.StatusCode, p.text)
	}
	action, form = p.form()
	form.Set("answer", "allow")
	p = b.post(action, form)
	to := p.location()
	if p.StatusCode != 302 || to.Host != "app.example.org" || to.Path != "/cb" || to.Query().Get("state") != "some state" || to.Query().Get("iss") != f.at || to.Query().Has("sc") || to.Query().Has("tk") {
		t.Fatalf("%d %v", p.StatusCode, p.Header)
	}
	w := &flow{f: f, client: c, code: to.Query().Get("code")}
	got := w.tokens()
	if got.RefreshToken == "" || got.IDToken == "" || got.Scope != "openid profile email offline_access read write" {
		t.Errorf("%+v", got)
	}
	// It need not ask again, unless more is asked for or the client says so.
	if p := b.get(query(c)); p.StatusCode != 302 || p.location().Query().Get("code") == "" {
		t.Errorf("the second time: %d", p.StatusCode)
	}
	if p := b.get(query(c, "prompt", "consent")); p.StatusCode != 200 || !strings.Contains(p.text, "Allow access?") {
		t.Errorf("prompt=consent: %d", p.StatusCode)
	}
	if p := b.get(query(c, "prompt", "none")); p.StatusCode != 302 || p.location().Query().Get("code") == "" {
		t.Errorf("prompt=none: %d", p.StatusCode)
	}
	if p := b.get(query(c, "prompt", "login", "login_hint", "ann")); p.StatusCode != 200 || !strings.Contains(p.text, `value="ann"`) {
		t.Errorf("prompt=login: %d", p.StatusCode)
	}
	if p := f.browser().get(query(c, "prompt", "none")); p.location().Query().Get("error") != "login_required" {
		t.Errorf("prompt=none without a session: %v", p.Header)
	}
	if p := f.browser().signIn(f.user("bob", "Bob").Login).get(query(c, "prompt", "none")); p.location().Query().Get("error") != "consent_required" {
		t.Errorf("prompt=none without consent: %v", p.Header)
	}
	// By POST it is the same.
	u, _ := url.Parse(query(c))
	if p := b.post("/oauth2/authorize", u.Query(), "Origin", "https://app.example.org"); p.StatusCode != 303 || p.location().Path != "/oauth2/authorize" {
		t.Errorf("by POST: %d %v", p.StatusCode, p.Header)
	}
}

// TestSignInAnew: prompt=login and max_age=0 ask for the password although there
// is a session, and are content with the new one.
func TestSignInAnew(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	b := f.browser().signIn("ann")
	f.flow(b, c)
	p := b.get(query(c, "prompt", "login"))
	action, form := p.form()
	next, _ := url.Parse(form.Get("next"))
	if next.Query().Has("prompt") || !next.Query().Has("since") {
		t.Fatalf("it goes on to %s", next)
	}
	soon := strconv.FormatInt(time.Now().Add(30*time.Second).UnixMilli(), 10) // an older session than that is not enough
	if p := b.get(query(c, "since", soon)); !strings.Contains(p.text, `name="password"`) {
		t.Errorf("the old session is good enough: %d", p.StatusCode)
	}
	if p := b.get(query(c, "since", soon, "prompt", "none")); p.location().Query().Get("error") != "login_required" {
		t.Errorf("the old session is good enough without a page: %v", p.Header)
	}
	form.Set("login", "ann")
	form.Set("password", password)
	p = b.post(action, form)
	if p = b.get(p.Header.Get("Location")); p.StatusCode != 302 || p.location().Query().Get("code") == "" {
		t.Errorf("after signing in: %d %v", p.StatusCode, p.Header)
	}
}

// TestDenied: the user does not agree.
func TestDenied(t *testing.T) {
	f := open(t, nil)
	b := f.browser().signIn("ann")
	action, form := b.get(query(f.public())).form()
	form.Set("answer", "deny")
	p := b.post(action, form)
	if q := p.location().Query(); p.StatusCode != 302 || q.Get("error") != "access_denied" || q.Get("state") != "some state" || q.Has("code") {
		t.Errorf("%d %v", p.StatusCode, p.Header)
	}
}

// TestRedirectMismatch: a browser is sent to exactly the URI that was
// registered, and to no other whatever it looks like.
func TestRedirectMismatch(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	b := f.browser().signIn("ann")
	for what, uri := range map[string]string{
		"none": "-", "prefix": "https://app.example.org/", "longer": redirect + "/more", "longer name": redirect + "x", "path traversal": "https://app.example.org/x/../cb",
		"encoded traversal": "https://app.example.org/x/%2e%2e/cb", "port": "https://app.example.org:443/cb", "other port": "https://app.example.org:8443/cb",
		"fragment": redirect + "#x", "query": redirect + "?x=1", "user": "https://app.example.org@evil.example.org/cb", "http": "http://app.example.org/cb",
		"host case": "https://APP.example.org/cb", "subdomain": "https://x.app.example.org/cb", "suffix": "https://app.example.org.evil.example.org/cb",
		"slashes": "https:///app.example.org/cb", "backslash": `https://app.example.org\@evil.example.org/cb`, "encoded": "https%3A%2F%2Fapp.example.org%2Fcb",
		"space": redirect + " ", "javascript": "javascript:alert(1)//" + redirect,
	} {
		p := b.get(query(c, "redirect_uri", uri))
		if p.StatusCode != 400 || p.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", what, p.StatusCode, p.Header.Get("Location"))
		}
	}
	twice := query(c) + "&redirect_uri=" + url.QueryEscape("https://evil.example.org/")
	if p := b.get(twice); p.StatusCode != 400 || p.Header.Get("Location") != "" {
		t.Errorf("two of them: %d", p.StatusCode)
	}
	// An open redirect by an error needs a client; none is not one.
	for _, id := range []string{"-", "nobody", strings.Repeat("x", 1000)} {
		if p := b.get(query(c, "client_id", id, "redirect_uri", "https://evil.example.org/")); p.StatusCode != 400 || p.Header.Get("Location") != "" {
			t.Errorf("client %.10s: %d", id, p.StatusCode)
		}
	}
}

// TestBadRequests: what is wrong with a request the client is told, at its own
// redirect URI.
func TestBadRequests(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	secretive, _ := f.client(identity.NewClient{Redirects: []string{redirect + "?tenant=1"}, Scope: []string{"openid", "read"}})
	b := f.browser().signIn("ann")
	for _, try := range []struct {
		what, want string
		c          identity.Client
		changes    []string
	}{
		{"no response type", "invalid_request", c, []string{"response_type", "-"}},
		{"implicit", "unsupported_response_type", c, []string{"response_type", "token"}},
		{"hybrid", "unsupported_response_type", c, []string{"response_type", "code id_token"}},
		{"fragment mode", "invalid_request", c, []string{"response_mode", "fragment"}},
		{"no PKCE", "invalid_request", c, []string{"code_challenge", "-", "code_challenge_method", "-"}},
		{"plain PKCE", "invalid_request", c, []string{"code_challenge_method", "plain"}},
		{"PKCE without a method", "invalid_request", c, []string{"code_challenge_method", "-"}},
		{"a short challenge", "invalid_request", c, []string{"code_challenge", "abc"}},
		{"a method without a challenge", "invalid_request", secretive, []string{"code_challenge", "-"}},
		{"a scope that is not the client's", "invalid_scope", secretive, []string{"scope", "write"}},
		{"an unknown scope", "invalid_scope", c, []string{"scope", "everything"}},
		{"a request object", "request_not_supported", c, []string{"request", "eyJhbGciOiJub25lIn0.e30."}},
		{"a request URI", "request_uri_not_supported", c, []string{"request_uri", "http://127.0.0.1/"}},
		{"prompt none and login", "invalid_request", c, []string{"prompt", "none login"}},
		{"an unknown prompt", "invalid_request", c, []string{"prompt", "dance"}},
		{"max_age", "invalid_request", c, []string{"max_age", "-1"}},
		{"since", "invalid_request", c, []string{"since", "99999999999999"}},
		{"a long state", "invalid_request", c, []string{"state", strings.Repeat("s", 5000)}},
		{"a long nonce", "invalid_request", c, []string{"nonce", strings.Repeat("n", 1000)}},
		{"a hint that is no token", "invalid_request", c, []string{"id_token_hint", "x"}},
	} {
		p := b.get(query(try.c, try.changes...))
		q := p.location().Query()
		if p.StatusCode != 302 || !strings.HasPrefix(p.Header.Get("Location"), try.c.Redirects[0]) || q.Get("error") != try.want || q.Has("code") || q.Get("error_description") == "" {
			t.Errorf("%s: %d %s", try.what, p.StatusCode, p.Header.Get("Location"))
		}
	}
	if p := b.get(query(c) + "&scope=read&scope=write"); p.location().Query().Get("error") != "invalid_request" {
		t.Errorf("a parameter twice: %v", p.Header)
	}
	if p := b.get(query(c, "x", strings.Repeat("x", 20_000))); p.StatusCode != 414 {
		t.Errorf("an endless query: %d", p.StatusCode)
	}
	if p := b.get("/oauth2/authorize?a=%zz"); p.StatusCode != 400 {
		t.Errorf("a broken query: %d", p.StatusCode)
	}
}

// TestCodeReuse: a code is good once; when it comes again, what it gave ends.
func TestCodeReuse(t *testing.T) {
	f := open(t, nil)
	w := f.flow(f.browser().signIn("ann"), f.public())
	got := w.tokens()
	if !f.alive(got.AccessToken) {
		t.Fatal("the token is not good")
	}
	if a := w.redeem(); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("%+v", a)
	}
	if f.alive(got.AccessToken) {
		t.Error("the first one's access token lives on")
	}
	if a := w.refresh(got.RefreshToken); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("the first one's refresh token: %+v", a)
	}
}

// TestCodeInjection: a code is of use only to who asked for it.
func TestCodeInjection(t *testing.T) {
	f := open(t, nil)
	b := f.browser().signIn("ann")
	c := f.public()
	other, secret := f.client(identity.NewClient{Redirects: []string{redirect}})
	for what, try := range map[string]func(w *flow) answer{
		"another client":                 func(w *flow) answer { return w.redeem("client_id", string(other.ID), "client_secret", secret) },
		"a wrong verifier":               func(w *flow) answer { return w.redeem("code_verifier", strings.Repeat("x", 43)) },
		"no verifier":                    func(w *flow) answer { return w.redeem("code_verifier", "-") },
		"the challenge as verifier":      func(w *flow) answer { return w.redeem("code_verifier", challenge(verifier)) },
		"another redirect URI":           func(w *flow) answer { return w.redeem("redirect_uri", "https://app.example.org/other") },
		"a code with something changed":  func(w *flow) answer { return w.redeem("code", w.code[:len(w.code)-2]+"xx") },
		"a code with something added":    func(w *flow) answer { return w.redeem("code", w.code+"A") },
		"an access token for the code":   func(w *flow) answer { return w.redeem("code", f.flow(b, c).tokens().AccessToken) },
		"a refresh token for the code":   func(w *flow) answer { return w.redeem("code", f.flow(b, c).tokens().RefreshToken[3:]) },
		"the code for the refresh token": func(w *flow) answer { return w.refresh("qr_" + w.code) },
	} {
		if a := try(f.flow(b, c)); a.Status != 400 || a.Error != "invalid_grant" || a.AccessToken != "" {
			t.Errorf("%s: %+v", what, a)
		}
	}
	// A confidential client may do without PKCE; then a verifier that comes all
	// the same is somebody's attempt to pass a stolen code off as theirs.
	w := f.flow(b, other, "code_challenge", "-", "code_challenge_method", "-")
	w.secret = secret
	if a := w.redeem(); a.Status != 400 {
		t.Errorf("a verifier without a challenge: %+v", a)
	}
	w = f.flow(b, other, "code_challenge", "-", "code_challenge_method", "-")
	w.secret = secret
	if a := w.redeem("code_verifier", "-"); a.Status != 200 {
		t.Errorf("without PKCE: %+v", a)
	}
}

// TestRefreshReuse: refresh tokens rotate; when an old one comes, the family
// ends.
func TestRefreshReuse(t *testing.T) {
	f := open(t, nil)
	w := f.flow(f.browser().signIn("ann"), f.public())
	first := w.tokens()
	second := w.refresh(first.RefreshToken)
	if second.Status != 200 || second.RefreshToken == "" || second.RefreshToken == first.RefreshToken || !f.alive(second.AccessToken) {
		t.Fatalf("%+v", second)
	}
	third := w.refresh(second.RefreshToken)
	if third.Status != 200 {
		t.Fatalf("%+v", third)
	}
	if a := w.refresh(first.RefreshToken); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("an old one: %+v", a)
	}
	for what, token := range map[string]string{"first": first.AccessToken, "third": third.AccessToken} {
		if f.alive(token) {
			t.Errorf("the %s access token lives on", what)
		}
	}
	if a := w.refresh(third.RefreshToken); a.Status != 400 {
		t.Errorf("the newest one lives on: %+v", a)
	}
}

// TestRefreshByOthers: a refresh token is its client's, and gives no more than
// was granted.
func TestRefreshByOthers(t *testing.T) {
	f := open(t, nil)
	b := f.browser().signIn("ann")
	w := f.flow(b, f.public(), "scope", "read offline_access")
	got := w.tokens()
	if got.Scope != "read offline_access" || got.IDToken != "" {
		t.Errorf("%+v", got)
	}
	thief := &flow{f: f, client: f.public()}
	if a := thief.refresh(got.RefreshToken); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("another client: %+v", a)
	}
	if a := w.refresh(got.RefreshToken, "scope", "read write"); a.Status != 400 || a.Error != "invalid_scope" {
		t.Errorf("more scope: %+v", a)
	}
	if a := w.refresh(got.RefreshToken, "scope", "read"); a.Status != 200 || a.Scope != "read" {
		t.Errorf("less scope: %+v", a)
	}
	if a := f.flow(b, w.client, "scope", "read").tokens(); a.RefreshToken != "" {
		t.Errorf("a refresh token without offline_access: %+v", a)
	}
}

// TestClients: who does not know the secret is not the client.
func TestClients(t *testing.T) {
	f := open(t, nil)
	c, secret := f.client(identity.NewClient{Redirects: []string{redirect}})
	b := f.browser().signIn("ann")
	form := func(w *flow) url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {w.code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	}
	basic := func(id, secret string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))}
	}
	for what, head := range map[string][]string{
		"a wrong secret": basic(string(c.ID), "wrong"), "no secret": basic(string(c.ID), ""), "nobody": basic("nobody", secret), "an empty id": basic("", secret),
	} {
		p := f.browser().post("/oauth2/token", form(f.flow(b, c)), head...)
		if want := map[bool]int{true: 400, false: 401}[what == "an empty id"]; p.StatusCode != want || want == 401 && !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: %d %v", what, p.StatusCode, p.Header)
		}
	}
	if a := f.token(form(f.flow(b, c)), basic(string(c.ID), secret)...); a.Status != 200 {
		t.Errorf("by Basic: %+v", a)
	}
	// A public client has no secret to give.
	w := f.flow(b, f.public())
	if a := w.redeem("client_secret", "something"); a.Status != 401 || a.Error != "invalid_client" {
		t.Errorf("a public client's secret: %+v", a)
	}
	// Secrets do not stand in URLs, and nothing comes twice.
	w = f.flow(b, c)
	v := form(w)
	v.Set("client_id", string(c.ID))
	v.Set("client_secret", secret)
	if p := f.browser().post("/oauth2/token?"+v.Encode(), url.Values{}); p.StatusCode != 400 {
		t.Errorf("in the query: %d", p.StatusCode)
	}
	if p := f.browser().get("/oauth2/token?" + v.Encode()); p.StatusCode != 405 {
		t.Errorf("by GET: %d", p.StatusCode)
	}
	v.Add("code", "another")
	if a := f.token(v); a.Status != 400 || a.Error != "invalid_request" {
		t.Errorf("twice: %+v", a)
	}
	v.Del("code")
	v.Set("grant_type", "password")
	if a := f.token(v); a.Status != 400 || a.Error != "unsupported_grant_type" {
		t.Errorf("another grant: %+v", a)
	}
	if p := f.browser().do("POST", "/oauth2/token", nil, "Content-Type", "application/json"); p.StatusCode != 400 {
		t.Errorf("no form: %d", p.StatusCode)
	}
}

// TestConsentForgery: only the page that the user has seen can say that they
// agree.
func TestConsentForgery(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	b := f.browser().signIn("ann")
	action, form := b.get(query(c)).form()
	form.Set("answer", "allow")
	thief := f.browser().signIn(f.user("eve", "Eve").Login)
	_, others := thief.get(query(c)).form()
	for what, try := range map[string]struct {
		form url.Values
		head []string
	}{
		"no token":          {url.Values{"answer": {"allow"}}, nil},
		"a made-up one":     {url.Values{"answer": {"allow"}, "form": {"x"}}, nil},
		"another session's": {url.Values{"answer": {"allow"}, "form": {others.Get("form")}}, nil},
		"from another site": {form, []string{"Origin", "https://evil.example.org"}},
		"as a frame's":      {form, []string{"Sec-Fetch-Site", "cross-site"}},
	} {
		if p := b.post(action, try.form, try.head...); p.StatusCode != 403 || p.Header.Get("Location") != "" {
			t.Errorf("%s: %d", what, p.StatusCode)
		}
	}
	if p := f.browser().post(action, form); p.StatusCode != 401 {
		t.Errorf("without a session: %d", p.StatusCode)
	}
	if p := b.get(action); p.StatusCode == 302 {
		t.Error("by GET it goes through")
	}
	p := b.get(query(c))
	if p.Header.Get("X-Frame-Options") != "DENY" || !strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("another site may frame the page: %v", p.Header)
	}
}

// TestHints: an id_token_hint must be a token that this server signed, as it was
// signed.
func TestHints(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	b := f.browser().signIn("ann")
	hint := f.flow(b, c).tokens().IDToken
	if p := b.get(query(c, "id_token_hint", hint, "prompt", "none")); p.location().Query().Get("code") == "" {
		t.Fatalf("the right one: %v", p.Header)
	}
	set, err := f.ids.IDKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public := set.Keys[0].Key.(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claims := strings.Split(hint, ".")[1]
	payload, err := base64.RawURLEncoding.DecodeString(claims)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: set.Keys[0].KeyID}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+set.Keys[0].KeyID+`"}`)) + "." + claims + "."
	for what, text := range map[string]string{
		"alg none":                       none,
		"key confusion":                  sign(jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"key confusion with DER":         sign(jose.HS256, der),
		"somebody else's key":            sign(jose.RS256, mine),
		"a signature that was cut off":   strings.Join(strings.Split(hint, ".")[:2], ".") + ".",
		"claims that were changed":       strings.Split(hint, ".")[0] + "." + base64.RawURLEncoding.EncodeToString(append(payload, ' ')) + "." + strings.Split(hint, ".")[2],
		"an access token":                f.flow(b, c).tokens().AccessToken,
		"another issuer's, rightly made": "eyJhbGciOiJSUzI1NiJ9.e30.AA",
	} {
		if p := b.get(query(c, "id_token_hint", text, "prompt", "none")); p.location().Query().Get("error") != "invalid_request" {
			t.Errorf("%s: %v", what, p.Header.Get("Location"))
		}
	}
	eve := f.browser().signIn(f.user("eve", "Eve").Login)
	if p := eve.get(query(c, "id_token_hint", hint, "prompt", "none")); p.location().Query().Get("error") != "login_required" {
		t.Errorf("somebody else's: %v", p.Header)
	}
}

// TestIDToken: its claims, its signature and its key.
func TestIDToken(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	got := f.flow(f.browser().signIn("ann"), c, "nonce", "n-1", "scope", "openid profile email").tokens()
	p := f.browser().get("/oauth2/keys")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(p.text), &set); err != nil || strings.Contains(p.text, `"d"`) {
		t.Fatalf("%v %s", err, p.text)
	}
	signed, err := jose.ParseSignedCompact(got.IDToken, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	b, err := signed.Verify(set)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{
		"iss": f.at, "sub": string(f.ann.ID), "aud": string(c.ID), "azp": string(c.ID), "nonce": "n-1", "name": "<Ann>", "preferred_username": "ann",
		"email": "ann@example.org", "email_verified": false,
	} {
		if claims[k] != want {
			t.Errorf("%s is %v, not %v", k, claims[k], want)
		}
	}
	sum := sha256.Sum256([]byte(got.AccessToken))
	if claims["at_hash"] != base64.RawURLEncoding.EncodeToString(sum[:16]) {
		t.Errorf("at_hash %v", claims["at_hash"])
	}
	now := float64(time.Now().Unix())
	if iat, exp := claims["iat"].(float64), claims["exp"].(float64); now-iat > 60 || exp-iat != 3600 || claims["auth_time"].(float64) > now {
		t.Errorf("%v", claims)
	}
	if amr, ok := claims["amr"].([]any); !ok || len(amr) != 1 || amr[0] != "pwd" {
		t.Errorf("amr %v", claims["amr"])
	}
}

// TestUserInfo, TestIntrospection and TestRevocation are the other endpoints.
func TestUserInfo(t *testing.T) {
	f := open(t, nil)
	b := f.browser().signIn("ann")
	got := f.flow(b, f.public(), "scope", "openid email").tokens()
	p := f.browser().get("/oauth2/userinfo", "Authorization", "Bearer "+got.AccessToken)
	if p.StatusCode != 200 || !strings.Contains(p.text, `"sub":"`+string(f.ann.ID)+`"`) || !strings.Contains(p.text, "ann@example.org") || strings.Contains(p.text, "Ann>") {
		t.Errorf("%d %s", p.StatusCode, p.text)
	}
	for _, token := range []string{"", "x", got.AccessToken + "x", got.RefreshToken} {
		if p := f.browser().get("/oauth2/userinfo", "Authorization", "Bearer "+token); p.StatusCode != 401 || !strings.HasPrefix(p.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %d %v", token, p.StatusCode, p.Header)
		}
	}
	read := f.flow(b, f.public(), "scope", "read").tokens()
	if p := f.browser().get("/oauth2/userinfo", "Authorization", "Bearer "+read.AccessToken); p.StatusCode != 403 {
		t.Errorf("without openid: %d", p.StatusCode)
	}
}

func TestIntrospection(t *testing.T) {
	f := open(t, nil)
	c, secret := f.client(identity.NewClient{Redirects: []string{redirect}})
	other, othersSecret := f.client(identity.NewClient{Redirects: []string{redirect}})
	w := f.flow(f.browser().signIn("ann"), c)
	w.secret = secret
	got := w.tokens()
	ask := func(id identity.ClientID, secret, token string) (int, map[string]any) {
		p := f.browser().post("/oauth2/introspect", url.Values{"client_id": {string(id)}, "client_secret": {secret}, "token": {token}})
		var v map[string]any
		if err := json.Unmarshal([]byte(p.text), &v); err != nil {
			t.Fatal(err, p.text)
		}
		return p.StatusCode, v
	}
	if status, v := ask(c.ID, secret, got.AccessToken); status != 200 || v["active"] != true || v["sub"] != string(f.ann.ID) || v["client_id"] != string(c.ID) || v["username"] != "ann" {
		t.Errorf("%d %v", status, v)
	}
	if status, v := ask(c.ID, secret, got.RefreshToken); status != 200 || v["active"] != true || v["token_type"] != "refresh_token" {
		t.Errorf("%d %v", status, v)
	}
	for what, try := range map[string][2]string{"rubbish": {secret, "x"}, "another's": {othersSecret, got.AccessToken}} {
		id := c.ID
		if what == "another's" {
			id = other.ID
		}
		if status, v := ask(id, try[0], try[1]); status != 200 || v["active"] != false || len(v) != 1 {
			t.Errorf("%s: %d %v", what, status, v)
		}
	}
	if status, _ := ask(c.ID, "wrong", got.AccessToken); status != 401 {
		t.Errorf("a wrong secret: %d", status)
	}
	if status, _ := ask(c.ID, "", got.AccessToken); status == 200 {
		t.Errorf("no secret: %d", status)
	}
}

func TestRevocation(t *testing.T) {
	f := open(t, nil)
	c := f.public()
	b := f.browser().signIn("ann")
	for _, which := range []string{"access", "refresh"} {
		w := f.flow(b, c)
		got := w.tokens()
		token := got.AccessToken
		if which == "refresh" {
			token = got.RefreshToken
		}
		other := f.public()
		if p := f.browser().post("/oauth2/revoke", url.Values{"client_id": {string(other.ID)}, "token": {token}}); p.StatusCode != 200 || !f.alive(got.AccessToken) {
			t.Errorf("another client's %s token: %d", which, p.StatusCode)
		}
		if p := f.browser().post("/oauth2/revoke", url.Values{"client_id": {string(c.ID)}, "token": {token}}); p.StatusCode != 200 {
			t.Errorf("%s: %d", which, p.StatusCode)
		}
		if f.alive(got.AccessToken) {
			t.Errorf("after the %s token was revoked the access token lives on", which)
		}
		if a := w.refresh(got.RefreshToken); a.Status != 400 {
			t.Errorf("after the %s token was revoked: %+v", which, a)
		}
	}
	if p := f.browser().post("/oauth2/revoke", url.Values{"client_id": {string(c.ID)}, "token": {"rubbish"}}); p.StatusCode != 200 {
		t.Errorf("what is no token: %d", p.StatusCode)
	}
}

// TestEnds: what ends a user or a client ends their tokens at once.
func TestEnds(t *testing.T) {
	f := open(t, nil)
	b := f.browser().signIn("ann")
	c := f.public()
	got := f.flow(b, c).tokens()
	apps, err := f.ids.Apps(t.Context(), f.ann.ID)
	if err != nil || len(apps) != 1 || apps[0].Client != "An <app>" {
		t.Fatalf("%v %v", apps, err)
	}
	if err := f.ids.EndApp(t.Context(), f.user("eve", "Eve").ID, apps[0].Authorization.ID); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("somebody else ended it: %v", err)
	}
	if err := f.ids.EndApp(t.Context(), f.ann.ID, apps[0].Authorization.ID); err != nil || f.alive(got.AccessToken) {
		t.Errorf("%v", err)
	}
	if p := b.get(query(c)); p.StatusCode != 200 {
		t.Errorf("consent is remembered after the app was ended: %d", p.StatusCode)
	}
	got = f.flow(b, c).tokens()
	if err := f.ids.DeleteClient(t.Context(), c.ID); err != nil || f.alive(got.AccessToken) {
		t.Errorf("after the client is gone: %v", err)
	}
	got = f.flow(b, f.public()).tokens()
	if _, err := f.lib.ChangeUser(t.Context(), "ann", func(u *quire.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if f.alive(got.AccessToken) {
		t.Error("a disabled user's token lives on")
	}
}

// TestOffice: what Office's mobile and desktop apps expect (WOPI §6).
func TestOffice(t *testing.T) {
	f := open(t, nil)
	c, secret := f.client(identity.NewClient{Redirects: []string{"https://localhost"}, Office: true, Trusted: true})
	b := f.browser().signIn("ann")
	p := b.get(query(c, "code_challenge", "-", "code_challenge_method", "-", "scope", "", "rs", "de-DE", "Build", "16.1", "Platform", "iOS", "app", "word"))
	q := p.location().Query()
	if p.StatusCode != 302 || !strings.HasPrefix(p.Header.Get("Location"), "https://localhost?") || q.Get("sc") != "main/default" || q.Get("tk") != f.at+"/oauth2/token" {
		t.Fatalf("%d %v", p.StatusCode, p.Header)
	}
	a := f.token(url.Values{"grant_type": {"authorization_code"}, "client_id": {string(c.ID)}, "client_secret": {secret}, "code": {q.Get("code")}, "redirect_uri": {"https://localhost"}}, "X-WOPI-SessionContext", q.Get("sc"))
	if a.Status != 200 || a.RefreshToken == "" || a.ExpiresIn == nil {
		t.Errorf("%+v", a)
	}
}

// TestDescription: the discovery documents say what is there.
func TestDescription(t *testing.T) {
	f := open(t, nil)
	for _, at := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		p := f.browser().get(at)
		var v map[string]any
		if err := json.Unmarshal([]byte(p.text), &v); err != nil || p.StatusCode != 200 || v["issuer"] != f.at || !strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
			t.Fatalf("%s: %d %v %s", at, p.StatusCode, err, p.text)
		}
		for k, u := range v {
			if text, ok := u.(string); ok && (strings.HasSuffix(k, "_endpoint") || k == "jwks_uri") {
				if p := f.browser().get(text); p.StatusCode == 404 {
					t.Errorf("%s is not there", text)
				}
			}
		}
	}
}

// TestGoClient: golang.org/x/oauth2 goes the whole way.
func TestGoClient(t *testing.T) {
	f := open(t, nil)
	for _, public := range []bool{true, false} {
		c, secret := f.client(identity.NewClient{Public: public, Redirects: []string{redirect}})
		conf := oauth2.Config{ClientID: string(c.ID), ClientSecret: secret, RedirectURL: redirect, Scopes: []string{"openid", "offline_access", "read"},
			Endpoint: oauth2.Endpoint{AuthURL: f.at + "/oauth2/authorize", TokenURL: f.at + "/oauth2/token"}}
		v := oauth2.GenerateVerifier()
		b := f.browser().signIn("ann")
		action, form := b.get(conf.AuthCodeURL("st", oauth2.S256ChallengeOption(v))).form()
		form.Set("answer", "allow")
		code := b.post(action, form).location().Query().Get("code")
		token, err := conf.Exchange(t.Context(), code, oauth2.VerifierOption(v))
		if err != nil || !token.Valid() || token.Type() != "Bearer" || token.RefreshToken == "" {
			t.Fatalf("public %v: %v %v", public, token, err)
		}
		token.Expiry = time.Now().Add(-time.Minute)
		fresh, err := conf.TokenSource(t.Context(), token).Token()
		if err != nil || fresh.AccessToken == token.AccessToken {
			t.Errorf("public %v: %v", public, err)
		}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", f.at+"/oauth2/userinfo", nil)
		resp, err := conf.Client(context.Background(), fresh).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(text), string(f.ann.ID)) {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	}
}

// TestNodeClient: openid-client, a certified client from npm, goes the whole way
// and checks what it gets.
func TestNodeClient(t *testing.T) {
	folder := needs.Node(t, "testdata/openid")
	f := open(t, nil)
	public := f.public()
	c, secret := f.client(identity.NewClient{Redirects: []string{redirect}})
	for _, args := range [][]string{{string(public.ID), ""}, {string(c.ID), secret}} {
		run := exec.Command("node", slices.Concat([]string{"flow.mjs", f.at, redirect}, args)...)
		run.Dir = folder
		out, err := run.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "the whole way") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
