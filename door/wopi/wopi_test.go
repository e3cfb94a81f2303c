package wopi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/door/wopi/utf7"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
	"github.com/quire-docs/quire/server"
)

// fixture is the door over a real store, behind the real server.
type fixture struct {
	t    testing.TB
	lib  *library.Library
	ids  *identity.Authority
	door *wopi.Door
	base string
	site quire.Site
	ann  quire.Caller // owns the site's tree
	bob  quire.Caller // edits
	eve  quire.Caller // views
}

func open(t testing.TB, change func(*wopi.Options)) *fixture {
	t.Helper()
	ctx := context.Background()
	_, s := librarytest.Open(t, nil)
	f := &fixture{t: t, lib: library.New(s.Catalog, s.Blobs, library.Options{}), ids: identity.New(s.Catalog)}
	var err error
	if f.site, err = f.lib.CreateSite(ctx, "main", "default", 0); err != nil {
		t.Fatal(err)
	}
	f.ann = f.user("ann", quire.RoleAdmin, quire.Owner)
	f.bob = f.user("bob", quire.RoleMember, quire.Editor)
	f.eve = f.user("eve", quire.RoleMember, quire.Viewer)
	l := httptest.NewUnstartedServer(nil).Listener
	f.base = "http://" + l.Addr().String()
	public, _ := url.Parse(f.base)
	opt := wopi.Options{PublicURL: public, Version: "test"}
	if change != nil {
		change(&opt)
	}
	f.door = wopi.New(f.lib, f.ids, opt)
	mux := http.NewServeMux()
	mux.Handle("/wopi/", f.door)
	mux.Handle(wopi.AccessPath, f.door.AccessAPI())
	mux.Handle(wopi.BootstrapperPath, f.door.Bootstrapper())
	mux.Handle("/", f.door.Pages())
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- server.New(mux, server.Options{}).Serve(serving, l) }()
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) user(login string, role quire.Role, access quire.Access) quire.Caller {
	f.t.Helper()
	u, err := f.lib.CreateUser(context.Background(), library.NewUser{Site: f.site.ID, Login: login, Name: strings.ToUpper(login[:1]) + login[1:], Role: role, Access: access})
	if err != nil {
		f.t.Fatal(err)
	}
	return identity.CallerOf(u, quire.ScopeWrite)
}

func (f *fixture) save(path, content string) library.Entry {
	f.t.Helper()
	e, _, err := f.lib.Save(context.Background(), f.ann, quire.Target{Path: path, OnConflict: quire.Replace}, strings.NewReader(content), library.Save{})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// resource is a WOPI URL with a token.
type resource struct {
	f   *fixture
	url string // without the query
	q   string
}

func (f *fixture) resource(c quire.Caller, id quire.NodeID, editor string) resource {
	f.t.Helper()
	a, err := f.door.Grant(context.Background(), c, id, 0, editor, false)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.at(a.URL())
}

func (f *fixture) at(u string) resource {
	base, q, _ := strings.Cut(u, "?")
	return resource{f, base, q}
}

type answer struct {
	*http.Response
	body []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("%d %q: %v", a.StatusCode, a.body, err)
	}
	return m
}

// has says whether a header is there, be it empty.
func (a answer) has(name string) bool {
	_, ok := a.Header[http.CanonicalHeaderKey(name)]
	return ok
}

func (r resource) send(method, sub string, body []byte, head ...string) answer {
	r.f.t.Helper()
	u := r.url + sub
	if r.q != "" {
		u += "?" + r.q
	}
	req, err := http.NewRequest(method, u, bytes.NewReader(body))
	if err != nil {
		r.f.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.f.t.Fatal(err)
	}
	return answer{resp, b}
}

func (r resource) get(sub string, head ...string) answer { return r.send("GET", sub, nil, head...) }

// op is a POST with X-WOPI-Override.
func (r resource) op(override string, head ...string) answer {
	return r.send("POST", "", nil, append([]string{"X-WOPI-Override", override}, head...)...)
}

func (r resource) put(content string, head ...string) answer {
	return r.send("POST", "/contents", []byte(content), append([]string{"X-WOPI-Override", "PUT"}, head...)...)
}

func (r resource) lock(id string) answer { return r.op("LOCK", "X-WOPI-Lock", id) }

// want checks a status and, where a header's value is given, that too; "-"
// stands for a header that must not be there.
func want(t testing.TB, what string, a answer, status int, head ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: status %d (%s), want %d", what, a.StatusCode, a.Header.Get("X-WOPI-ServerError"), status)
	}
	for i := 0; i+1 < len(head); i += 2 {
		switch got := a.Header.Get(head[i]); {
		case head[i+1] == "-":
			if a.has(head[i]) {
				t.Errorf("%s: %s is %q, and should not be there", what, head[i], got)
			}
		case !a.has(head[i]) || got != head[i+1]:
			t.Errorf("%s: %s is %q (there: %v), want %q", what, head[i], got, a.has(head[i]), head[i+1])
		}
	}
}

func TestCheckFileInfo(t *testing.T) {
	f := open(t, nil)
	e := f.save("/docs/Plan é.docx", "content")
	m := f.resource(f.bob, e.ID, "").get("").json(t)
	for k, v := range map[string]any{
		"BaseFileName": "Plan é.docx", "Size": 7.0, "Version": "1", "UserId": string(f.bob.User), "OwnerId": string(f.ann.User),
		"FileExtension": ".docx", "UserFriendlyName": "Bob", "UserCanWrite": true, "ReadOnly": false, "SupportsLocks": true,
		"SupportsExtendedLockLength": true, "IsEduUser": false, "LicenseCheckForEditIsEnabled": false, "UserCanNotWriteRelative": false,
	} {
		if m[k] != v {
			t.Errorf("%s is %v, want %v", k, m[k], v)
		}
	}
	// A plain answer has none of the extensions' members.
	for _, k := range []string{"SupportsCoauth", "SequenceNumber", "OfficeCollaborationServiceEndpointUrl", "RealTimeChannelEndpointUrl", "AccessTokenExpiry", "ServerTime", "SharingStatus", "FileGeoLocationCode"} {
		if _, ok := m[k]; ok {
			t.Errorf("%s is there", k)
		}
	}
	for k, v := range m {
		if v == nil || strings.HasSuffix(k, "Url") && v == "" {
			t.Errorf("%s is %v", k, v)
		}
	}
	if a := f.at(m["FileUrl"].(string)).get(""); a.StatusCode != 200 || string(a.body) != "content" {
		t.Errorf("FileUrl: %d %q", a.StatusCode, a.body)
	}
	if a := f.at(m["DownloadUrl"].(string)).get(""); a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("DownloadUrl: %d %v", a.StatusCode, a.Header)
	}
	v := f.resource(f.eve, e.ID, "").get("").json(t)
	if v["UserCanWrite"] != false || v["ReadOnly"] != true || v["UserCanNotWriteRelative"] != true || v["HostEditUrl"] != nil {
		t.Errorf("a viewer may %v %v", v["UserCanWrite"], v["HostEditUrl"])
	}
}

func TestCoauthInfo(t *testing.T) {
	f := open(t, func(o *wopi.Options) {
		o.Coauth = wopi.Coauth{CollaborationURL: "https://collab.example.org/", RealTimeURL: "https://rtc.example.org/", FileGeoLocationCode: "EUR"}
	})
	e := f.save("/x.docx", "content")
	m := f.resource(f.ann, e.ID, "").get("").json(t)
	if m["SupportsCoauth"] != true || m["SequenceNumber"] != 1.0 || m["SharingStatus"] != "Shared" || m["FileGeoLocationCode"] != "EUR" || m["ServerTime"].(float64) < 1e12 || m["AccessTokenExpiry"].(float64) < 1e12 {
		t.Errorf("%v", m)
	}
	if _, ok := m["ComplianceDomainPrefix"]; ok {
		t.Error("ComplianceDomainPrefix is there")
	}
}

// TestLockTable goes through the decision table of the WOPI lock over HTTP.
func TestLockTable(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/l.docx", "x").ID, "")
	long := strings.Repeat("a", 1024)
	want(t, "GetLock, unlocked", r.op("GET_LOCK"), 200, "X-WOPI-Lock", "")
	want(t, "Unlock, unlocked", r.op("UNLOCK", "X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "")
	want(t, "RefreshLock, unlocked", r.op("REFRESH_LOCK", "X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "")
	want(t, "UnlockAndRelock, unlocked", r.op("LOCK", "X-WOPI-Lock", "B", "X-WOPI-OldLock", "A"), 409, "X-WOPI-Lock", "")
	want(t, "Lock without an id", r.op("LOCK"), 400)
	want(t, "Lock, too long", r.lock(long+"a"), 400)
	want(t, "Lock", r.lock("A"), 200, "X-WOPI-ItemVersion", "1", "X-WOPI-Lock", "-")
	want(t, "Lock without an id, locked", r.op("LOCK", "X-WOPI-Lock", ""), 400, "X-WOPI-Lock", "A")
	want(t, "Lock again", r.lock("A"), 200)
	want(t, "Lock by another", r.lock("B"), 409, "X-WOPI-Lock", "A")
	want(t, "GetLock", r.op("GET_LOCK"), 200, "X-WOPI-Lock", "A")
	want(t, "RefreshLock", r.op("REFRESH_LOCK", "X-WOPI-Lock", "A"), 200)
	want(t, "RefreshLock by another", r.op("REFRESH_LOCK", "X-WOPI-Lock", "B"), 409, "X-WOPI-Lock", "A")
	want(t, "Unlock by another", r.op("UNLOCK", "X-WOPI-Lock", "B"), 409, "X-WOPI-Lock", "A")
	want(t, "UnlockAndRelock with the wrong one", r.op("LOCK", "X-WOPI-Lock", "C", "X-WOPI-OldLock", "B"), 409, "X-WOPI-Lock", "A")
	want(t, "UnlockAndRelock", r.op("LOCK", "X-WOPI-Lock", long, "X-WOPI-OldLock", "A"), 200)
	want(t, "GetLock after it", r.op("GET_LOCK"), 200, "X-WOPI-Lock", long)
	want(t, "an empty OldLock is none", r.op("LOCK", "X-WOPI-Lock", long, "X-WOPI-OldLock", ""), 200)
	want(t, "a bad timeout", r.op("LOCK", "X-WOPI-Lock", long, "X-WOPI-LockExpirationTimeout", "59"), 400)
	want(t, "Delete, locked", r.op("DELETE"), 409, "X-WOPI-Lock", long)
	want(t, "Unlock", r.op("UNLOCK", "X-WOPI-Lock", long), 200, "X-WOPI-ItemVersion", "1")
	want(t, "a viewer locks", f.resource(f.eve, f.save("/l.docx", "x").ID, "").lock("E"), 404)
	want(t, "unknown override", r.op("FLY"), 501)
	for _, op := range []string{"COBALT", "READ_SECURE_STORE", "GET_RESTRICTED_LINK", "REVOKE_RESTRICTED_LINK"} {
		want(t, op, r.op(op), 501)
	}
}

func TestPutFile(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/p.docx", "one").ID, "")
	want(t, "unlocked", r.put("two"), 409, "X-WOPI-Lock", "")
	want(t, "unlocked, with a lock", r.put("two", "X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "")
	r.lock("A")
	want(t, "without the lock", r.put("two"), 409, "X-WOPI-Lock", "A")
	want(t, "another lock", r.put("two", "X-WOPI-Lock", "B"), 409, "X-WOPI-Lock", "A")
	a := r.put("two", "X-WOPI-Lock", "A")
	want(t, "with the lock", a, 200, "X-WOPI-ItemVersion", "2")
	info := r.get("").json(t)
	if a.json(t)["LastModifiedTime"] != info["LastModifiedTime"] || info["Version"] != "2" {
		t.Errorf("PutFile said %s, CheckFileInfo %v", a.body, info["LastModifiedTime"])
	}
	want(t, "the same bytes", r.put("two", "X-WOPI-Lock", "A"), 200, "X-WOPI-ItemVersion", "3")
	if revs, _ := f.lib.Revisions(context.Background(), f.ann, f.id(r), 0, 10, true); len(revs) != 2 {
		t.Errorf("the same bytes made a revision: %d", len(revs))
	}
	get := r.get("/contents")
	want(t, "GetFile", get, 200, "X-WOPI-ItemVersion", "3")
	if string(get.body) != "two" {
		t.Errorf("%q", get.body)
	}
	want(t, "GetFile, too large", r.get("/contents", "X-WOPI-MaxExpectedSize", "2"), 412)
	want(t, "GetFile, just right", r.get("/contents", "X-WOPI-MaxExpectedSize", "3"), 200)
	r.op("UNLOCK", "X-WOPI-Lock", "A")
	want(t, "strict clients may not save late", r.put("late", "X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "")
	empty := f.resource(f.bob, f.save("/empty.docx", "").ID, "")
	want(t, "an empty file needs no lock", empty.put("template"), 200)
	want(t, "a viewer", f.resource(f.eve, f.id(empty), "").put("x"), 404)
}

func (f *fixture) id(r resource) quire.NodeID {
	return quire.NodeID(r.url[strings.LastIndexByte(r.url, '/')+1:])
}

func TestPutRelative(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/d/src.docx", "x").ID, "")
	put := func(head ...string) answer {
		return r.send("POST", "", []byte("body"), append([]string{"X-WOPI-Override", "PUT_RELATIVE"}, head...)...)
	}
	a := put("X-WOPI-SuggestedTarget", ".pdf")
	want(t, "an extension", a, 200)
	m := a.json(t)
	if m["Name"] != "src.pdf" || m["HostEditUrl"] == "" || f.at(m["Url"].(string)).get("").json(t)["BaseFileName"] != "src.pdf" {
		t.Errorf("%s", a.body)
	}
	if m := put("X-WOPI-SuggestedTarget", ".pdf").json(t); m["Name"] != "src (1).pdf" {
		t.Errorf("taken: %v", m["Name"])
	}
	if m := put("X-WOPI-SuggestedTarget", utf7.Encode(`a/b:c?.docx`)).json(t); m["Name"] != "a_b_c_.docx" {
		t.Errorf("illegal: %v", m["Name"])
	}
	if m := put("X-WOPI-SuggestedTarget", "Kopie +AOQ +AOk.docx").json(t); m["Name"] != "Kopie ä é.docx" {
		t.Errorf("UTF-7: %v", m["Name"])
	}
	want(t, "exact", put("X-WOPI-RelativeTarget", "+ZeVnLIqe-.docx"), 200)
	want(t, "exact, taken", put("X-WOPI-RelativeTarget", "+ZeVnLIqe-.docx"), 409, "X-WOPI-ValidRelativeTarget", utf7.Encode("日本語 (1).docx"))
	over := put("X-WOPI-RelativeTarget", "+ZeVnLIqe-.docx", "X-WOPI-OverwriteRelativeTarget", "True")
	want(t, "exact, overwritten", over, 200)
	there := f.at(over.json(t)["Url"].(string))
	there.lock("T")
	want(t, "exact, locked", put("X-WOPI-RelativeTarget", "+ZeVnLIqe-.docx", "X-WOPI-OverwriteRelativeTarget", "true"), 409, "X-WOPI-Lock", "T")
	want(t, "exact, illegal", put("X-WOPI-RelativeTarget", "a+AHw-b.docx"), 400, "X-WOPI-ValidRelativeTarget", utf7.Encode("a_b.docx"))
	want(t, "both", put("X-WOPI-RelativeTarget", "a.docx", "X-WOPI-SuggestedTarget", "b.docx"), 400)
	want(t, "neither", put(), 400)
	want(t, "a wrong size", put("X-WOPI-SuggestedTarget", "s.docx", "X-WOPI-Size", "5"), 400)
	want(t, "a viewer", f.resource(f.eve, f.id(r), "").op("PUT_RELATIVE", "X-WOPI-SuggestedTarget", "s.docx"), 501)
}

func TestRenameDeleteUserInfo(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/old.docx", "x").ID, "")
	f.save("/taken.docx", "y")
	rename := func(name string, head ...string) answer {
		return r.op("RENAME_FILE", append([]string{"X-WOPI-RequestedName", utf7.Encode(name)}, head...)...)
	}
	if m := rename("new ü").json(t); m["Name"] != "new ü" {
		t.Errorf("%v", m)
	}
	if m := rename("taken").json(t); m["Name"] != "taken (1)" {
		t.Errorf("%v", m)
	}
	if m := rename("TAKEN (1)").json(t); m["Name"] != "TAKEN (1)" {
		t.Errorf("its own name: %v", m)
	}
	want(t, "no name", r.op("RENAME_FILE"), 400)
	want(t, "both locks", rename("z", "X-WOPI-Lock", "A", "X-WOPI-CoauthLockId", "B"), 400)
	r.lock("A")
	want(t, "locked", rename("z"), 409, "X-WOPI-Lock", "A")
	want(t, "locked, coauth id", rename("z", "X-WOPI-CoauthLockId", "A"), 409, "X-WOPI-Lock", "A")
	want(t, "with the lock", rename("z", "X-WOPI-Lock", "A"), 200)
	r.op("UNLOCK", "X-WOPI-Lock", "A")
	want(t, "unlocked with a coauth id", rename("z2", "X-WOPI-CoauthLockId", "A"), 200)

	info := func(s string) answer { return r.send("POST", "", []byte(s), "X-WOPI-Override", "PUT_USER_INFO") }
	want(t, "PutUserInfo", info("subscription=1"), 200)
	if m := r.get("").json(t); m["UserInfo"] != "subscription=1" {
		t.Errorf("UserInfo %v", m["UserInfo"])
	}
	want(t, "too long", info(strings.Repeat("x", 1025)), 413)
	want(t, "not ASCII", info("é"), 400)
	want(t, "Delete", r.op("DELETE"), 200)
	for _, a := range []answer{r.get(""), r.get("/contents"), r.lock("A"), rename("x"), r.op("DELETE"), r.op("GET_LOCK")} {
		want(t, "deleted", a, 404)
	}
}

func TestContainers(t *testing.T) {
	f := open(t, nil)
	file := f.resource(f.bob, f.save("/a/b/c.docx", "x").ID, "")
	up := file.get("/ancestry").json(t)["AncestorsWithRootFirst"].([]any)
	if len(up) != 3 {
		t.Fatalf("ancestors %v", up)
	}
	parent := f.at(up[2].(map[string]any)["Url"].(string))
	root := f.at(up[0].(map[string]any)["Url"].(string))
	info := parent.get("").json(t)
	if info["Name"] != "b" || info["UserCanCreateChildFile"] != true || info["IsEduUser"] != false {
		t.Errorf("%v", info)
	}
	if a := root.get("/ancestry"); a.StatusCode != 200 || string(a.body) != `{"AncestorsWithRootFirst":[]}` {
		t.Errorf("the root's ancestry: %d %s", a.StatusCode, a.body)
	}
	sub := parent.op("CREATE_CHILD_CONTAINER", "X-WOPI-RelativeTarget", "sub")
	want(t, "CreateChildContainer", sub, 200)
	want(t, "taken", parent.op("CREATE_CHILD_CONTAINER", "X-WOPI-RelativeTarget", "SUB"), 409)
	want(t, "both", parent.op("CREATE_CHILD_CONTAINER", "X-WOPI-RelativeTarget", "x", "X-WOPI-SuggestedTarget", "y"), 501)
	want(t, "both, file", parent.op("CREATE_CHILD_FILE", "X-WOPI-RelativeTarget", "x", "X-WOPI-SuggestedTarget", "y"), 501)
	want(t, "illegal", parent.op("CREATE_CHILD_CONTAINER", "X-WOPI-RelativeTarget", "a+AHw-b"), 400)
	child := f.at(sub.json(t)["ContainerPointer"].(map[string]any)["Url"].(string))
	made := child.op("CREATE_CHILD_FILE", "X-WOPI-SuggestedTarget", "new.xlsx")
	want(t, "CreateChildFile", made, 200)
	if m := f.at(made.json(t)["Url"].(string)).get("").json(t); m["Size"] != 0.0 || m["BaseFileName"] != "new.xlsx" {
		t.Errorf("%v", m)
	}
	want(t, "not empty", child.op("DELETE_CONTAINER"), 409)
	list := parent.get("/children").json(t)
	if len(list["ChildContainers"].([]any)) != 1 || len(list["ChildFiles"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
	if l := parent.get("/children", "X-WOPI-FileExtensionFilterList", ".doc,.XLSX").json(t); len(l["ChildFiles"].([]any)) != 0 || len(l["ChildContainers"].([]any)) != 1 {
		t.Errorf("filtered: %v", l)
	}
	want(t, "rename", child.op("RENAME_CONTAINER", "X-WOPI-RequestedName", "renamed"), 200)
	want(t, "rename, illegal", child.op("RENAME_CONTAINER", "X-WOPI-RequestedName", "a+AHw-b"), 400)
	if _, _, err := f.lib.CreateContainer(context.Background(), f.ann, quire.Target{Path: "/a/b/other"}); err != nil {
		t.Fatal(err)
	}
	want(t, "rename, taken", child.op("RENAME_CONTAINER", "X-WOPI-RequestedName", "other"), 409)
	f.at(made.json(t)["Url"].(string)).op("DELETE")
	want(t, "DeleteContainer", child.op("DELETE_CONTAINER"), 200)
	want(t, "deleted", child.get(""), 404)

	eco := f.at(file.get("/ecosystem_pointer").json(t)["Url"].(string))
	if m := eco.get("").json(t); m["SupportsContainers"] != true {
		t.Errorf("%v", m)
	}
	rootAgain := eco.get("/root_container_pointer").json(t)["ContainerPointer"].(map[string]any)
	if a := f.at(rootAgain["Url"].(string)).get("/children"); a.StatusCode != 200 {
		t.Errorf("%d", a.StatusCode)
	}
	src := eco.op("GET_WOPI_SRC_WITH_ACCESS_TOKEN", "X-WOPI-HostNativeFileName", file.get("").json(t)["HostEditUrl"].(string))
	if m := f.at(src.json(t)["Url"].(string)).get("").json(t); m["BaseFileName"] != "c.docx" {
		t.Errorf("%v", m)
	}
	want(t, "not one of ours", eco.op("GET_WOPI_SRC_WITH_ACCESS_TOKEN", "X-WOPI-HostNativeFileName", "https://evil.example.org/edit/x"), 404)
	share := file.op("GET_SHARE_URL", "X-WOPI-UrlType", "ReadOnly")
	if u := share.json(t)["ShareUrl"].(string); !strings.HasPrefix(u, f.base+"/s/") {
		t.Errorf("%q", u)
	}
	want(t, "no kind of share URL", file.op("GET_SHARE_URL"), 501)
}

func TestTokens(t *testing.T) {
	f := open(t, nil)
	one, two := f.save("/one.docx", "1"), f.save("/two.docx", "2")
	r := f.resource(f.bob, one.ID, "")
	for name, u := range map[string]string{
		"no token":       r.url,
		"garbage":        r.url + "?access_token=garbage",
		"another file's": f.resource(f.bob, two.ID, "").url + "?" + r.q,
		"a container's":  r.url + "?" + f.resource(f.bob, f.site.Root, "").q,
		"tampered":       r.url + "?" + strings.Replace(r.q, "access_token=", "access_token=A", 1),
	} {
		want(t, name, f.at(u).get(""), 401)
	}
	token, _ := url.ParseQuery(r.q)
	bare := f.at(r.url)
	want(t, "by header", bare.get("", "Authorization", "Bearer "+token.Get("access_token")), 200)
	want(t, "the query comes first", r.get("", "Authorization", "Bearer nonsense"), 200)
	// A token that was traded ends when the one it was traded for does.
	up := r.get("/ancestry").json(t)["AncestorsWithRootFirst"].([]any)[0].(map[string]any)["Url"].(string)
	traded, _ := url.Parse(up)
	_, a, err := f.ids.Open(context.Background(), "wopi", token.Get("access_token"))
	if err != nil {
		t.Fatal(err)
	}
	if _, b, err := f.ids.Open(context.Background(), "wopi", traded.Query().Get("access_token")); err != nil || !a.Equal(b) {
		t.Errorf("expiry %v, traded %v (%v)", a, b, err)
	}
	// Permissions are looked up at each request.
	if _, err := f.lib.ChangeUser(context.Background(), "bob", func(u *quire.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	want(t, "a disabled user", r.get(""), 401)
}

func TestActivities(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/x.docx", "1").ID, "")
	body := `{"Activities":[{"Type":"comment","Id":"ABC","Timestamp":"2017-02-15T13:47:13000000Z","Data":{"ContentId":"` + strings.Repeat("c", 1000) + `","ContentAction":"created"},"People":[{"Id":"1"}],"Other":1},{"Type":"dance","Id":"d"},{"Type":"comment","Id":"e"},7]}`
	a := r.send("POST", "", []byte(body), "X-WOPI-Override", "ADD_ACTIVITIES")
	want(t, "AddActivities", a, 200)
	var out struct {
		ActivityResponses []struct {
			ID     string `json:"Id"`
			Status int
		}
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		t.Fatal(err)
	}
	got := out.ActivityResponses
	if len(got) != 4 || got[0].ID != "ABC" || got[0].Status != 0 || got[1].Status != 3 || got[2].Status != 2 || got[3].Status != 2 {
		t.Errorf("%s", a.body)
	}
	events, err := f.lib.Activities(context.Background(), f.ann, f.id(r), 0, 10)
	if err != nil || events[0].Kind != quire.EventComment {
		t.Errorf("%v %v", events, err)
	}
	want(t, "not JSON", r.send("POST", "/activities", []byte("{"), "X-WOPI-Override", "ADD_ACTIVITIES"), 400)
}

// TestConcurrentLocks: exactly one of many Locks with different ids wins.
func TestConcurrentLocks(t *testing.T) {
	f := open(t, nil)
	for round := range 10 {
		r := f.resource(f.bob, f.save("/r"+string(rune('a'+round))+".docx", "x").ID, "")
		var wait sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 8 {
			wait.Go(func() {
				a := r.lock(string(rune('A' + i)))
				mu.Lock()
				defer mu.Unlock()
				if a.StatusCode == 200 {
					won++
				} else if a.StatusCode != 409 || a.Header.Get("X-WOPI-Lock") == "" {
					t.Errorf("%d", a.StatusCode)
				}
			})
		}
		wait.Wait()
		if won != 1 {
			t.Errorf("%d won", won)
		}
	}
}

// editors makes a set with one editor of a profile, which is never reached.
func editors(t testing.TB, profile discovery.Profile) *discovery.Set {
	t.Helper()
	set, err := discovery.New(discovery.Options{}, discovery.Config{Name: "office", URL: "http://127.0.0.1:1", Profile: profile, Proof: discovery.ProofOff})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestLateSave is the grace path: a save that arrives after Unlock is accepted
// while nothing has changed, and kept beside the file otherwise.
func TestLateSave(t *testing.T) {
	f := open(t, func(o *wopi.Options) { o.Editors = editors(t, discovery.Collabora) })
	r := f.resource(f.bob, f.save("/d/late.odt", "one").ID, "office")
	r.lock("cool-lock1")
	r.op("UNLOCK", "X-WOPI-Lock", "cool-lock1")
	want(t, "late", r.put("two", "X-WOPI-Lock", "cool-lock1"), 200)
	r.lock("cool-lock2")
	r.op("UNLOCK", "X-WOPI-Lock", "cool-lock2")
	f.save("/d/late.odt", "by another door")
	want(t, "too late", r.put("three", "X-WOPI-Lock", "cool-lock2"), 409)
	list, _, err := f.lib.List(context.Background(), f.ann, mustLookup(f, "/d").ID, library.Listing{})
	if err != nil || len(list) != 2 || !strings.Contains(list[0].Name, "(conflict, Bob") {
		t.Fatalf("%v %v", list, err)
	}
	in, err := f.lib.Open(context.Background(), f.ann, list[0].ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if b, _ := io.ReadAll(in.Reader(0, in.Size)); string(b) != "three" {
		t.Errorf("%q was kept", b)
	}
	events, _ := f.lib.Activities(context.Background(), f.ann, f.id(r), 0, 1)
	if len(events) != 1 || events[0].Kind != quire.EventConflict {
		t.Errorf("%v", events)
	}
}

func mustLookup(f *fixture, path string) library.Entry {
	f.t.Helper()
	e, err := f.lib.Lookup(context.Background(), f.ann, path)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// TestDocumentChanged is Collabora's conflict: a newer file makes it ask its
// user (status code 1010).
func TestDocumentChanged(t *testing.T) {
	f := open(t, func(o *wopi.Options) { o.Editors = editors(t, discovery.Collabora) })
	r := f.resource(f.bob, f.save("/c.odt", "one").ID, "office")
	stamp := r.get("").json(t)["LastModifiedTime"].(string)
	r.lock("L")
	want(t, "as loaded", r.put("two", "X-WOPI-Lock", "L", "X-COOL-WOPI-Timestamp", stamp), 200)
	a := r.put("three", "X-WOPI-Lock", "L", "X-LOOL-WOPI-Timestamp", stamp)
	want(t, "an old stamp", a, 409)
	if m := a.json(t); m["COOLStatusCode"] != 1010.0 || m["LOOLStatusCode"] != 1010.0 {
		t.Errorf("%s", a.body)
	}
	want(t, "forced", r.put("three", "X-WOPI-Lock", "L"), 200)
	want(t, "not a time", r.put("x", "X-WOPI-Lock", "L", "X-COOL-WOPI-Timestamp", "yesterday"), 400)
}

// TestAutosavesCollapse: autosaves of one session are one line of the history.
func TestAutosavesCollapse(t *testing.T) {
	f := open(t, func(o *wopi.Options) { o.Editors = editors(t, discovery.Collabora) })
	r := f.resource(f.bob, f.save("/a.odt", "0").ID, "office")
	r.lock("L")
	for _, s := range []string{"1", "2", "3"} {
		r.put(s, "X-WOPI-Lock", "L", "X-COOL-WOPI-IsAutosave", "true")
	}
	r.put("4", "X-WOPI-Lock", "L", "X-COOL-WOPI-IsExitSave", "true")
	shown, err := f.lib.Revisions(context.Background(), f.ann, f.id(r), 0, 10, false)
	if err != nil || len(shown) != 2 || shown[0].Kind != quire.SaveExit {
		t.Errorf("%v %v", shown, err)
	}
	all, _ := f.lib.Revisions(context.Background(), f.ann, f.id(r), 0, 10, true)
	if len(all) != 5 {
		t.Errorf("%d revisions", len(all))
	}
}

// TestMicrosoftLockIDs: ids that differ in other fields than S are one session.
func TestMicrosoftLockIDs(t *testing.T) {
	f := open(t, func(o *wopi.Options) { o.Editors = editors(t, discovery.Microsoft) })
	r := f.resource(f.bob, f.save("/m.docx", "0").ID, "office")
	r.lock(`{"S":"one","F":4}`)
	want(t, "another field", r.op("REFRESH_LOCK", "X-WOPI-Lock", `{"S":"one","F":5}`), 200)
	want(t, "another session", r.op("REFRESH_LOCK", "X-WOPI-Lock", `{"S":"two","F":5}`), 409)
}

// TestOldRevision: an old revision is a resource of its own, to be read.
func TestOldRevision(t *testing.T) {
	f := open(t, nil)
	e := f.save("/h.docx", "first")
	f.save("/h.docx", "second")
	a, err := f.door.Grant(context.Background(), f.bob, e.ID, 1, "", true)
	if err != nil {
		t.Fatal(err)
	}
	r := f.at(a.URL())
	m := r.get("").json(t)
	if m["UserCanWrite"] != false || m["Version"] != "1" || m["Size"] != 5.0 {
		t.Errorf("%v", m)
	}
	if b := r.get("/contents").body; string(b) != "first" {
		t.Errorf("%q", b)
	}
	want(t, "lock", r.lock("L"), 404)
}
