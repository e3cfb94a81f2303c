package wopi_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	client "github.com/quire-docs/quire/client/wopi"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/identity"
)

const schemes = `{"iOS":["x","x-emm"],"Android":["y z"]}`

// bootstrapping opens the door with what an operator may say of the sign-in, and
// with coauthoring.
func bootstrapping(t *testing.T) *fixture {
	return open(t, func(o *wopi.Options) {
		o.SignIn = wopi.SignIn{AuthorizePath: "/oauth2/authorize", TokenPath: "/oauth2/token", ProviderID: "tp_x", URLSchemes: schemes}
		o.Coauth = wopi.Coauth{CollaborationURL: "https://ocs.example.org", RealTimeURL: "https://rtc.example.org", FileGeoLocationCode: "EUR"}
	})
}

// oauth returns an access token of a user for a client with a scope.
func (f *fixture) oauth(c quire.Caller, scope ...string) identity.Grant {
	f.t.Helper()
	ctx := context.Background()
	app, _, err := f.ids.CreateClient(ctx, identity.NewClient{Name: "Office", Public: true, Redirects: []string{"https://localhost"}})
	if err != nil {
		f.t.Fatal(err)
	}
	cookie, err := f.ids.StartSession(ctx, c.User, "test", "")
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := f.ids.Session(ctx, cookie)
	if err != nil {
		f.t.Fatal(err)
	}
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636, appendix B
	code, err := f.ids.Authorize(ctx, s, identity.Request{Client: app, Scope: scope, Redirect: "https://localhost", Challenge: challenge}, "", "")
	if err != nil {
		f.t.Fatal(err)
	}
	g, err := f.ids.Redeem(ctx, app, code, "https://localhost", verifier)
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

// boot calls the bootstrapper with an Authorization header.
func (f *fixture) boot(method, authorization string, head ...string) answer {
	f.t.Helper()
	if authorization != "" {
		head = append(head, "Authorization", authorization)
	}
	return f.at(f.base+"/wopibootstrapper").send(method, "", nil, head...)
}

func TestBootstrapChallenge(t *testing.T) {
	f := bootstrapping(t)
	e := f.save("/a.docx", "x")
	pat, _, err := f.ids.CreateToken(context.Background(), f.bob.User, "", quire.ScopeWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	gone := f.oauth(f.bob, "write")
	if err := f.ids.EndSessions(context.Background(), f.bob.User); err != nil {
		t.Fatal(err)
	}
	g := f.oauth(f.bob, "write", "offline_access")
	file := strings.TrimPrefix(f.resource(f.bob, e.ID, "").q, "access_token=")
	file, _, _ = strings.Cut(file, "&")
	for what, head := range map[string]string{
		"nothing": "", "a blank": "Bearer ", "no token": "Bearer", "rubbish": "Bearer x", "basic": "Basic Ym9iOng=", "a WOPI token": "Bearer " + file, "a personal token": "Bearer " + pat,
		"a refresh token": "Bearer " + g.Refresh, "a revoked token": "Bearer " + gone.Access, "a token with something added": "Bearer " + g.Access + "A",
		"a token for who one is": "Bearer " + f.oauth(f.bob, "openid", "profile").Access,
	} {
		for _, method := range []string{"GET", "POST"} {
			a := f.boot(method, head, "X-WOPI-EcosystemOperation", "GET_ROOT_CONTAINER")
			c, err := client.ParseChallenge(a.Header.Values("WWW-Authenticate"))
			if a.StatusCode != 401 || err != nil || c.AuthorizationURI != f.base+"/oauth2/authorize" || c.TokenIssuanceURI != f.base+"/oauth2/token" || c.ProviderID != "tp_x" || c.URLSchemes != schemes {
				t.Errorf("%s %s: %d %v %+v", method, what, a.StatusCode, err, c)
			}
		}
	}
	want := `Bearer authorization_uri="` + f.base + `/oauth2/authorize",tokenIssuance_uri="` + f.base + `/oauth2/token",providerId="tp_x",UrlSchemes="%7B%22iOS%22%3A%5B%22x%22%2C%22x-emm%22%5D%2C%22Android%22%3A%5B%22y%20z%22%5D%7D"`
	if got := f.boot("GET", "").Header.Get("WWW-Authenticate"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// What was given for another door is nothing at a WOPI door.
	for what, token := range map[string]string{"OAuth": g.Access, "refresh": g.Refresh, "personal": pat} {
		r := f.at(f.base + "/wopi/files/" + string(e.ID) + "?access_token=" + url.QueryEscape(token))
		if a := r.get(""); a.StatusCode != 401 {
			t.Errorf("an %s token opens a file: %d", what, a.StatusCode)
		}
	}
	if a := f.boot("PUT", "Bearer "+g.Access); a.StatusCode != 405 {
		t.Errorf("PUT: %d", a.StatusCode)
	}
}

func TestBootstrap(t *testing.T) {
	f := bootstrapping(t)
	e := f.save("/d/a.docx", "hello")
	g := f.oauth(f.bob, "write")
	var eco string
	for _, head := range []string{"Bearer " + g.Access, "Bearer: " + g.Access, "bearer  " + g.Access} {
		a := f.boot("GET", head, "X-WOPI-EcosystemOperation", "GET_ROOT_CONTAINER", "X-WOPI-SessionContext", "main/default")
		m := a.json(t)
		if a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") || len(m) != 1 {
			t.Fatalf("%.10s: %d %s", head, a.StatusCode, a.body)
		}
		b := m["Bootstrap"].(map[string]any)
		info := f.resource(f.bob, e.ID, "").get("").json(t)
		if b["UserId"] != info["UserId"] || b["UserFriendlyName"] != info["UserFriendlyName"] || b["SignInName"] != "bob" {
			t.Errorf("%v", b)
		}
		eco = b["EcosystemUrl"].(string)
	}
	if a := f.at(eco).get(""); a.StatusCode != 200 || a.json(t)["SupportsContainers"] != true {
		t.Errorf("the ecosystem: %d %s", a.StatusCode, a.body)
	}
	if a := f.at(f.base + "/wopi/files/" + string(e.ID) + eco[strings.IndexByte(eco, '?'):]).get(""); a.StatusCode != 401 {
		t.Errorf("the ecosystem's token opens a file: %d", a.StatusCode)
	}
	for _, op := range []string{"", "NO_SUCH_THING", "get_root_container"} {
		if a := f.boot("POST", "Bearer "+g.Access, "X-WOPI-EcosystemOperation", op); a.StatusCode != 200 || len(a.json(t)) != 1 {
			t.Errorf("%q: %d %s", op, a.StatusCode, a.body)
		}
	}
}

func TestBootstrapShortcuts(t *testing.T) {
	f := bootstrapping(t)
	e := f.save("/d/a.docx", "hello")
	f.save("/d/a.docx", "hello again")
	g := f.oauth(f.bob, "write")
	post := func(op string, head ...string) answer {
		return f.boot("POST", "Bearer "+g.Access, append([]string{"X-WOPI-EcosystemOperation", op}, head...)...)
	}
	a := post("GET_ROOT_CONTAINER")
	root := a.json(t)["RootContainerInfo"].(map[string]any)
	pointer := root["ContainerPointer"].(map[string]any)
	if a.StatusCode != 200 || root["ContainerInfo"] == nil || f.at(pointer["Url"].(string)).get("/children").StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	src := f.base + "/wopi/files/" + string(e.ID)
	folder := f.base + "/wopi/containers/" + string(mustLookup(f, "/d").ID)
	token := func(src string) map[string]any {
		t.Helper()
		a := post("GET_NEW_ACCESS_TOKEN", "X-WOPI-WopiSrc", src)
		if a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", src, a.StatusCode, a.body)
		}
		return a.json(t)
	}
	m := token(src)
	info := m["AccessTokenInfo"].(map[string]any)
	file := f.at(src + "?access_token=" + url.QueryEscape(info["AccessToken"].(string)))
	check := file.get("").json(t)
	ends, _ := m["EndPoints"].(map[string]any)
	if ends["RealTimeChannelEndpointUrl"] != check["RealTimeChannelEndpointUrl"] || ends["OfficeCollaborationServiceEndpointUrl"] != check["OfficeCollaborationServiceEndpointUrl"] || len(ends) != 2 {
		t.Errorf("%v are not those of %v", ends, check)
	}
	if at := time.UnixMilli(int64(info["AccessTokenExpiry"].(float64))); time.Until(at) < 9*time.Hour {
		t.Errorf("it expires %v", at)
	}
	want(t, "lock", file.lock("L"), 200)
	want(t, "unlock", file.op("UNLOCK", "X-WOPI-Lock", "L"), 200)
	m = token(folder)
	if _, there := m["EndPoints"]; there {
		t.Error("a folder has end points")
	}
	m = token(src + "-r1")
	old := f.at(src + "-r1?access_token=" + url.QueryEscape(m["AccessTokenInfo"].(map[string]any)["AccessToken"].(string)))
	if a := old.get("/contents"); string(a.body) != "hello" {
		t.Errorf("the old revision: %d %s", a.StatusCode, a.body)
	}
	for what, src := range map[string]string{
		"nothing": "", "another host's": "https://evil.example.org/wopi/files/" + string(e.ID), "a file as a folder": f.base + "/wopi/containers/" + string(e.ID), "a folder as a file": f.base + "/wopi/files/" + string(mustLookup(f, "/d").ID),
		"what is not there": f.base + "/wopi/files/none", "a revision that is not there": src + "-r9", "a folder's revision": folder + "-r1", "what is below": src + "/contents", "the ecosystem": f.base + "/wopi/ecosystem",
		"a path": f.base + "/wopi/../wopi/files/" + string(e.ID),
	} {
		if a := post("GET_NEW_ACCESS_TOKEN", "X-WOPI-WopiSrc", src); a.StatusCode != 404 {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	stranger := f.oauth(f.user("zed", quire.RoleMember, quire.NoAccess), "write")
	if a := f.boot("POST", "Bearer "+stranger.Access, "X-WOPI-EcosystemOperation", "GET_NEW_ACCESS_TOKEN", "X-WOPI-WopiSrc", src); a.StatusCode != 404 {
		t.Errorf("a file that is not open to the user: %d", a.StatusCode)
	}

	a = post("GET_WOPI_SRC_WITH_ACCESS_TOKEN", "X-WOPI-HostNativeFileName", f.base+"/edit/"+string(e.ID))
	got, _ := a.json(t)["WopiSrcInfo"].(map[string]any)["Url"].(string)
	if a.StatusCode != 200 || !strings.HasPrefix(got, src+"?") || string(f.at(got).get("/contents").body) != "hello again" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := post("GET_WOPI_SRC_WITH_ACCESS_TOKEN", "X-WOPI-HostNativeFileName", "https://evil.example.org/edit/"+string(e.ID)); a.StatusCode != 404 {
		t.Errorf("another host's page: %d", a.StatusCode)
	}
}

// TestBootstrapScope: an app that may only read gets tokens that may only read,
// wherever it takes them.
func TestBootstrapScope(t *testing.T) {
	f := bootstrapping(t)
	e := f.save("/a.docx", "hello")
	g := f.oauth(f.bob, "read")
	a := f.boot("POST", "Bearer "+g.Access, "X-WOPI-EcosystemOperation", "GET_NEW_ACCESS_TOKEN", "X-WOPI-WopiSrc", f.base+"/wopi/files/"+string(e.ID))
	token := a.json(t)["AccessTokenInfo"].(map[string]any)["AccessToken"].(string)
	r := f.at(f.base + "/wopi/files/" + string(e.ID) + "?access_token=" + url.QueryEscape(token))
	if a := r.get("/contents"); string(a.body) != "hello" {
		t.Errorf("it reads %d %s", a.StatusCode, a.body)
	}
	if a := r.lock("L"); a.StatusCode == http.StatusOK {
		t.Error("it locks")
	}
	if a := r.put("changed"); a.StatusCode == http.StatusOK {
		t.Error("it writes")
	}
	root := f.boot("POST", "Bearer "+g.Access, "X-WOPI-EcosystemOperation", "GET_ROOT_CONTAINER").json(t)["RootContainerInfo"].(map[string]any)
	folder := f.at(root["ContainerPointer"].(map[string]any)["Url"].(string))
	if a := folder.op("CREATE_CHILD_CONTAINER", "X-WOPI-SuggestedTarget", "x"); a.StatusCode == http.StatusOK {
		t.Error("it makes folders")
	}
}

// FuzzChallenge: whatever a host sends, the challenge is read or refused.
func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer authorization_uri="https://h/a",tokenIssuance_uri="https://h/t",providerId="tp_x",UrlSchemes="%7B%7D"`)
	f.Add(`Bearer authorization_uri="https://h/a", tokenIssuance_uri="https://h/t",`)
	f.Add(`Basic realm="x"`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := client.ParseChallenge([]string{text})
		if err == nil && (c.AuthorizationURI == "" || c.TokenIssuanceURI == "" || strings.HasSuffix(strings.TrimSpace(text), ",")) {
			t.Errorf("%q is read as %+v", text, c)
		}
	})
}
