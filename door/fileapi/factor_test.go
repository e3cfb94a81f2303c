package fileapi_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
)

// tab is a browser in which somebody with a password is signed in.
type tab struct {
	f      *fixture
	user   quire.User
	cookie string
	form   string
}

const tabPassword = "correct horse"

func (f *fixture) tab(login string, role quire.Role) *tab {
	f.t.Helper()
	ctx := context.Background()
	u, err := f.lib.User(ctx, login)
	if err != nil {
		hash, err := identity.HashPassword(ctx, tabPassword)
		if err != nil {
			f.t.Fatal(err)
		}
		if u, err = f.lib.CreateUser(ctx, library.NewUser{Site: f.site.ID, Login: login, Role: role, Password: hash, Access: quire.Editor}); err != nil {
			f.t.Fatal(err)
		}
	}
	cookie, err := f.ids.StartSession(ctx, u.ID, "test", "192.0.2.1")
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := f.ids.Session(ctx, cookie)
	if err != nil {
		f.t.Fatal(err)
	}
	return &tab{f, u, cookie, s.FormToken()}
}

func (b *tab) get(path string) answer {
	b.f.t.Helper()
	return b.f.do("GET", "/api/v1/"+path, nil, "Authorization", "", "Cookie", "quire="+b.cookie)
}

// post sends a form with the session's token.
func (b *tab) post(path string, pairs ...string) answer {
	b.f.t.Helper()
	v := url.Values{"form": {b.form}}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return b.f.do("POST", "/api/v1/"+path, strings.NewReader(v.Encode()), "Authorization", "", "Cookie", "quire="+b.cookie, "Content-Type", "application/x-www-form-urlencoded")
}

func (b *tab) want(what string, a answer, status int) answer {
	b.f.t.Helper()
	if a.StatusCode != status {
		b.f.t.Errorf("%s: %d %s, want %d", what, a.StatusCode, a.body, status)
	}
	return a
}

func TestFactorAPI(t *testing.T) {
	f := open(t)
	b := f.tab("ann", quire.RoleMember)
	if m := b.want("before", b.get("account/factor"), 200).json(t); m["on"] != false {
		t.Errorf("%v", m)
	}
	b.want("a wrong password", b.post("account/begin_factor", "password", "wrong"), 403)
	b.want("no form token", f.do("POST", "/api/v1/account/begin_factor?password="+url.QueryEscape(tabPassword), nil, "Authorization", "", "Cookie", "quire="+b.cookie), 403)
	b.want("with a token", f.do("POST", "/api/v1/account/begin_factor", nil), 403)
	b.want("a code before there is a secret", b.post("account/confirm_factor", "code", "000000"), 404)
	m := b.want("begin", b.post("account/begin_factor", "password", tabPassword), 200).json(t)
	secret := m["secret"].(string)
	if !strings.HasPrefix(m["url"].(string), "otpauth://totp/") || len(m["recovery"].([]any)) != 10 || len(m["qr"].(map[string]any)["path"].(string)) < 500 {
		t.Errorf("%v", m)
	}
	if m := b.get("account/factor").json(t); m["on"] != false {
		t.Error("it is asked for before it was confirmed")
	}
	b.want("a wrong code", b.post("account/confirm_factor", "code", "000000"), 403)
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.want("the code", b.post("account/confirm_factor", "code", code), 200)
	if m := b.get("account/factor").json(t); m["on"] != true || m["recovery"] != 10.0 {
		t.Errorf("%v", m)
	}
	b.want("begin again", b.post("account/begin_factor", "password", tabPassword), 409)
	b.want("confirm again", b.post("account/confirm_factor", "code", code), 409)
	b.want("end without the password", b.post("account/end_factor"), 403)
	b.want("end", b.post("account/end_factor", "password", tabPassword), 200)
	if m := b.get("account/factor").json(t); m["on"] != false {
		t.Errorf("%v", m)
	}
}

// TestGuessingAtHand: an unattended browser does not give the password away.
func TestGuessingAtHand(t *testing.T) {
	f := open(t)
	b := f.tab("ann", quire.RoleMember)
	for range 5 {
		b.want("a guess", b.post("account/password", "old", "wrong", "new", "something else"), 403)
	}
	if a := b.want("after five", b.post("account/password", "old", tabPassword, "new", "something else"), 429); a.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
}

func TestAppsAPI(t *testing.T) {
	f := open(t)
	b, other := f.tab("ann", quire.RoleMember), f.tab("bob", quire.RoleMember)
	ctx := context.Background()
	client, secret, err := f.ids.CreateClient(ctx, identity.NewClient{Name: "An app", Redirects: []string{"https://localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	allow := func() string {
		s, err := f.ids.Session(ctx, b.cookie)
		if err != nil {
			t.Fatal(err)
		}
		code, err := f.ids.Authorize(ctx, s, identity.Request{Client: client, Scope: []string{"read"}, Redirect: "https://localhost"}, "An agent", "192.0.2.7")
		if err != nil {
			t.Fatal(err)
		}
		if client, err = f.ids.VerifyClient(ctx, client.ID, secret); err != nil {
			t.Fatal(err)
		}
		g, err := f.ids.Redeem(ctx, client, code, "https://localhost", "")
		if err != nil {
			t.Fatal(err)
		}
		return g.Access
	}
	access := allow()
	// An OAuth token is good for what its scope says, and no more.
	bearer := []string{"Authorization", "Bearer " + access}
	b.want("it reads", f.do("GET", "/api/v1/account", nil, bearer...), 200)
	b.want("it does not write", f.do("PUT", "/api/v1/file/put?path=/x", strings.NewReader("x"), bearer...), 403)
	b.want("it does not make tokens", f.do("POST", "/api/v1/account/create_token?scope=write", nil, bearer...), 403)

	list := b.want("apps", b.get("account/apps"), 200).json(t)["apps"].([]any)
	if len(list) != 1 {
		t.Fatalf("%v", list)
	}
	app := list[0].(map[string]any)
	if app["client"] != "An app" || app["scope"] != "read" || app["agent"] != "An agent" || app["addr"] != "192.0.2.7" {
		t.Errorf("%v", app)
	}
	id := app["id"].(string)
	if n := len(other.get("account/apps").json(t)["apps"].([]any)); n != 0 {
		t.Errorf("somebody else sees %d", n)
	}
	other.want("somebody else ends it", other.post("account/end_app", "id", id), 404)
	b.want("it lives", f.do("GET", "/api/v1/account", nil, bearer...), 200)
	b.want("end", b.post("account/end_app", "id", id), 200)
	b.want("it is over", f.do("GET", "/api/v1/account", nil, bearer...), 401)

	access = allow()
	elsewhere := f.tab("ann", quire.RoleMember)
	b.want("sign out everywhere", b.post("account/end_sessions"), 200)
	b.want("the app", f.do("GET", "/api/v1/account", nil, "Authorization", "Bearer "+access), 401)
	b.want("the other browser", elsewhere.get("account"), 401)
	b.want("this one", b.get("account"), 200)
}

func TestClientsAPI(t *testing.T) {
	f := open(t)
	boss, member := f.tab("boss", quire.RoleAdmin), f.tab("ann", quire.RoleMember)
	m := boss.want("add", boss.post("admin/add_client", "name", "An app", "redirect", "https://a.example/cb\nhttps://b.example/cb", "scope", "openid read", "trusted", "true"), 200).json(t)
	if m["secret"] == nil || m["public"] != false || m["trusted"] != true || len(m["redirects"].([]any)) != 2 {
		t.Errorf("%v", m)
	}
	id := m["id"].(string)
	a := boss.want("list", boss.get("admin/clients"), 200)
	if strings.Contains(string(a.body), "secret") || !strings.Contains(string(a.body), id) {
		t.Errorf("%s", a.body)
	}
	for what, pairs := range map[string][]string{
		"no name": {"redirect", "https://a.example/"}, "no redirect": {"name", "x"}, "plain http": {"name", "x", "redirect", "http://a.example/"}, "a fragment": {"name", "x", "redirect", "https://a.example/#x"},
		"javascript": {"name", "x", "redirect", "javascript:alert(1)"}, "dots": {"name", "x", "redirect", "https://a.example/a/../b"}, "a user": {"name", "x", "redirect", "https://u@a.example/"},
		"an unknown scope": {"name", "x", "redirect", "https://a.example/", "scope", "admin"}, "a control character": {"name", "x\x00", "redirect", "https://a.example/"},
	} {
		boss.want(what, boss.post("admin/add_client", pairs...), 400)
	}
	member.want("a member lists", member.get("admin/clients"), 403)
	member.want("a member adds", member.post("admin/add_client", "name", "x", "redirect", "https://a.example/"), 403)
	member.want("a member removes", member.post("admin/remove_client", "id", id), 403)
	boss.want("remove", boss.post("admin/remove_client", "id", id), 200)
	boss.want("remove again", boss.post("admin/remove_client", "id", id), 404)
}
