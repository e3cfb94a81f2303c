package signin_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/signin"
	"github.com/quire-docs/quire/identity"
)

// people are the users of the outside provider, by id.
type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User { return p[id] }
func (p people) GetUserByUsername(name string) *storage.User {
	for _, u := range p {
		if u.Username == name {
			return u
		}
	}
	return nil
}
func (p people) ExampleClientID() string { return "none" }

// outside starts a real provider of OpenID Connect, with users of several kinds,
// and Quire beside it.
func outside(t *testing.T, change func(*signin.Outside)) *fixture {
	t.Helper()
	users := people{}
	for _, u := range []storage.User{
		{ID: "1", Username: "grace", FirstName: "Grace", LastName: "Hopper", Email: "grace@corp.example", EmailVerified: true},
		{ID: "2", Username: "mallory", FirstName: "Mal", LastName: "Lory", Email: "boss@corp.example", EmailVerified: false},
		{ID: "3", Username: "zoe", FirstName: "Zoe", LastName: "Z", Email: "zoe@elsewhere.example", EmailVerified: true},
		{ID: "4", Username: "ann", FirstName: "Ann", LastName: "A", Email: "ann", EmailVerified: true},
	} {
		u.Password = "at the other place"
		users[u.ID] = &u
	}
	s := httptest.NewUnstartedServer(nil)
	at := "http://" + s.Listener.Addr().String()
	o := &signin.Outside{Name: "Corp", Issuer: at, ClientID: "quire", ClientSecret: "the secret", Scopes: []string{"openid", "profile", "email"}, Domains: []string{"corp.example"}, Access: quire.Viewer}
	if change != nil {
		change(o)
	}
	f := open(t, o)
	client := storage.WebClient("quire", "the secret", f.at+"/signin/outside/callback")
	log := slog.Default()
	s.Config.Handler = exampleop.SetupServer(at, storage.NewStorageWithClients(users, map[string]*storage.Client{"quire": client}), slog.New(slog.DiscardHandler), false, op.WithAllowInsecure())
	slog.SetDefault(log)
	s.Start()
	t.Cleanup(s.Close)
	return f
}

// visit lets somebody sign in at the provider and come back.
func (b *browser) visit(user string) page {
	b.f.t.Helper()
	p := b.get("/signin/outside?next=/files")
	if p.StatusCode != 303 {
		b.f.t.Fatalf("the way out: %d %s", p.StatusCode, p.text)
	}
	// The provider has cookies of its own, which are none of ours.
	there := b.f.browser()
	at := p.location()
	for range 8 {
		if strings.HasPrefix(at.String(), b.f.at) {
			return b.get(at.String())
		}
		p = there.get(at.String())
		if p.StatusCode == 200 {
			action, form := p.form()
			form.Set("username", user)
			form.Set("password", "at the other place")
			to, err := at.Parse(action)
			if err != nil {
				b.f.t.Fatal(err)
			}
			p = there.post(to.String(), form)
		}
		next, err := at.Parse(p.Header.Get("Location"))
		if err != nil || p.Header.Get("Location") == "" {
			b.f.t.Fatalf("the provider: %d %s", p.StatusCode, p.text)
		}
		at = next
	}
	b.f.t.Fatal("it goes round in circles")
	return p
}

func TestOutside(t *testing.T) {
	f := outside(t, nil)
	if p := f.browser().get("/signin?next=/x"); !strings.Contains(p.text, "Sign in with Corp") {
		t.Error("there is no button")
	}
	b := f.browser()
	p := b.visit("grace")
	if p.StatusCode != 303 || p.Header.Get("Location") != "/files" || b.cookies["quire"] == nil {
		t.Fatalf("%d %v %s", p.StatusCode, p.Header, p.text)
	}
	u, err := f.lib.User(t.Context(), "grace@corp.example")
	if err != nil || u.Name != "Grace Hopper" || u.Email != "grace@corp.example" || u.Password != "" || u.Role != quire.RoleMember {
		t.Errorf("%+v %v", u, err)
	}
	s, err := f.ids.Session(t.Context(), b.cookies["quire"].Value)
	if err != nil || s.Methods != identity.MethodOutside {
		t.Errorf("%+v %v", s, err)
	}
	// The second time they are the same, whatever their login has become.
	if _, err := f.lib.ChangeUser(t.Context(), u.Login, func(u *quire.User) { u.Login = "amazing-grace" }); err != nil {
		t.Fatal(err)
	}
	again := f.browser()
	again.visit("grace")
	if s, err := f.ids.Session(t.Context(), again.cookies["quire"].Value); err != nil || s.Owner != u.ID {
		t.Errorf("%v %v", s.Owner, err)
	}
	// Nobody can sign in with the password that they do not have.
	if _, err := f.ids.SignIn(t.Context(), "amazing-grace", "", "192.0.2.1"); !errors.Is(err, quire.ErrUnauthenticated) {
		t.Errorf("an empty password: %v", err)
	}
	if _, err := f.lib.ChangeUser(t.Context(), "amazing-grace", func(u *quire.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if p := f.browser().visit("grace"); p.StatusCode != 403 {
		t.Errorf("disabled: %d", p.StatusCode)
	}
}

// TestStrangers get no account: an address that is not verified, or of another
// domain, or one that is somebody's login here.
func TestStrangers(t *testing.T) {
	f := outside(t, nil)
	for _, who := range []string{"mallory", "zoe", "ann"} {
		b := f.browser()
		if p := b.visit(who); p.StatusCode != 403 || b.cookies["quire"] != nil || !strings.Contains(p.text, "no account for you") {
			t.Errorf("%s: %d", who, p.StatusCode)
		}
	}
	if users, err := f.lib.Users(t.Context(), "", "", 10); err != nil || len(users) != 1 {
		t.Errorf("%v %v", users, err)
	}
}

// TestLink: where the operator says so, who exists is found by their login.
func TestLink(t *testing.T) {
	f := outside(t, func(o *signin.Outside) { o.Link = true })
	b := f.browser()
	if p := b.visit("ann"); p.StatusCode != 303 {
		t.Fatalf("%d %s", p.StatusCode, p.text)
	}
	if s, err := f.ids.Session(t.Context(), b.cookies["quire"].Value); err != nil || s.Owner != f.ann.ID {
		t.Errorf("%v %v", s.Owner, err)
	}
	if p := f.browser().visit("mallory"); p.StatusCode != 403 {
		t.Errorf("an address that is not verified: %d", p.StatusCode)
	}
}

// TestOutsideSecondFactor: who has a second factor here is asked for it.
func TestOutsideSecondFactor(t *testing.T) {
	f := outside(t, func(o *signin.Outside) { o.Link = true })
	n := f.factor()
	b := f.browser()
	p := b.visit("ann")
	action, form := p.form()
	if p.StatusCode != 200 || action != "/signin/code" || b.cookies["quire"] != nil {
		t.Fatalf("%d %s", p.StatusCode, p.text)
	}
	form.Set("code", f.code(n, 0))
	if p := b.post(action, form); p.StatusCode != 303 || p.Header.Get("Location") != "/files" {
		t.Errorf("%d", p.StatusCode)
	}
}

// liar is a provider that signs what it is told to.
type liar struct {
	at    string
	key   *rsa.PrivateKey
	nonce string                             // that was asked for
	token func(claims map[string]any) string // the id token
}

func newLiar(t *testing.T) *liar {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": l.at, "authorization_endpoint": l.at + "/authorize", "token_endpoint": l.at + "/token", "jwks_uri": l.at + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		claims := map[string]any{
			"iss": l.at, "sub": "1", "aud": "quire", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "nonce": l.nonce,
			"name": "Grace", "email": "grace@corp.example", "email_verified": true,
		}
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": l.token(claims)})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	l.at = s.URL
	return l
}

func (l *liar) sign(alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	b, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		panic(err)
	}
	signed, err := s.Sign(b)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// TestLies: an id token counts only if everything about it is right.
func TestLies(t *testing.T) {
	l := newLiar(t)
	f := open(t, &signin.Outside{Name: "Corp", Issuer: l.at, ClientID: "quire", ClientSecret: "a secret of thirty-two characters", Scopes: []string{"openid"}, Domains: []string{"corp.example"}})
	rs := func(claims map[string]any) string { return l.sign(jose.RS256, l.key, claims) }
	with := func(k string, v any) func(map[string]any) string {
		return func(claims map[string]any) string {
			claims[k] = v
			if v == nil {
				delete(claims, k)
			}
			return rs(claims)
		}
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	visit := func(token func(map[string]any) string, change func(url.Values)) (page, *browser) {
		b := f.browser()
		q := b.get("/signin/outside").location().Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || q.Get("nonce") == "" {
			t.Fatalf("the request lacks something: %v", q)
		}
		l.nonce, l.token = q.Get("nonce"), token
		back := url.Values{"code": {"c"}, "state": {q.Get("state")}}
		if change != nil {
			change(back)
		}
		return b.get("/signin/outside/callback?" + back.Encode()), b
	}
	for what, token := range map[string]func(map[string]any) string{
		"alg none": func(claims map[string]any) string {
			b, _ := json.Marshal(claims)
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
		},
		"the client's secret as key": func(claims map[string]any) string {
			return l.sign(jose.HS256, []byte("a secret of thirty-two characters"), claims)
		},
		"another key":           func(claims map[string]any) string { return l.sign(jose.RS256, other, claims) },
		"another issuer":        with("iss", "https://elsewhere.example"),
		"another audience":      with("aud", "someone-else"),
		"two audiences, no azp": with("aud", []string{"quire", "someone-else"}),
		"no audience":           with("aud", nil),
		"another nonce":         with("nonce", "of another time"),
		"no nonce":              with("nonce", nil),
		"expired":               with("exp", time.Now().Add(-time.Hour).Unix()),
		"not yet issued":        with("iat", time.Now().Add(time.Hour).Unix()),
		"no subject":            with("sub", ""),
		"no token":              func(map[string]any) string { return "" },
		"rubbish":               func(map[string]any) string { return "a.b.c" },
	} {
		if p, b := visit(token, nil); p.StatusCode/100 != 4 || b.cookies["quire"] != nil {
			t.Errorf("%s: %d %v", what, p.StatusCode, p.Header)
		}
	}
	for what, change := range map[string]func(url.Values){
		"no state":       func(v url.Values) { v.Del("state") },
		"another state":  func(v url.Values) { v.Set("state", "x") },
		"an error":       func(v url.Values) { v.Set("error", "access_denied") },
		"no code":        func(v url.Values) { v.Del("code") },
		"another issuer": func(v url.Values) { v.Set("iss", "https://elsewhere.example") },
	} {
		if p, b := visit(rs, change); p.StatusCode/100 != 4 || b.cookies["quire"] != nil {
			t.Errorf("%s: %d %v", what, p.StatusCode, p.Header)
		}
	}
	// Another browser cannot come back with what this one asked for.
	q := f.browser().get("/signin/outside").location().Query()
	l.nonce, l.token = q.Get("nonce"), rs
	if b := f.browser(); b.get("/signin/outside/callback?"+url.Values{"code": {"c"}, "state": {q.Get("state")}}.Encode()).StatusCode != 400 || b.cookies["quire"] != nil {
		t.Error("another browser came back")
	}
	if p, b := visit(rs, nil); p.StatusCode != 303 || b.cookies["quire"] == nil {
		t.Errorf("the truth: %d %s", p.StatusCode, p.text)
	}
}

// TestOutsideDown: who cannot be reached does not keep people from their
// passwords.
func TestOutsideDown(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	f := open(t, &signin.Outside{Name: "Corp", Issuer: s.URL, ClientID: "quire", Scopes: []string{"openid"}})
	if p := f.browser().get("/signin/outside?next=/x"); p.StatusCode != 502 || !strings.Contains(p.text, `name="password"`) || !strings.Contains(p.text, `value="/x"`) {
		t.Errorf("%d %s", p.StatusCode, p.text)
	}
	f.browser().signIn("ann")
}

func TestCheckOutside(t *testing.T) {
	good := signin.Outside{Issuer: "https://accounts.example.org", ClientID: "x", Scopes: []string{"openid"}}
	for what, change := range map[string]func(*signin.Outside){
		"no URL":    func(o *signin.Outside) { o.Issuer = "accounts" },
		"http":      func(o *signin.Outside) { o.Issuer = "http://accounts.example.org" },
		"a query":   func(o *signin.Outside) { o.Issuer += "?x" },
		"no client": func(o *signin.Outside) { o.ClientID = "" },
		"no openid": func(o *signin.Outside) { o.Scopes = []string{"profile"} },
	} {
		o := good
		change(&o)
		if err := signin.CheckOutside(o); err == nil {
			t.Errorf("%s: it is taken", what)
		}
	}
	if err := signin.CheckOutside(good); err != nil {
		t.Error(err)
	}
}
