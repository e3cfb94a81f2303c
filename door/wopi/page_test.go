package wopi_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/door/wopi/proof"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/internal/needs"
)

// testEditor is a small editor of the tests' own: it publishes a discovery, is
// opened in a frame with a posted token, and then opens, locks, saves and
// unlocks the document as editors do, from its server, signing its requests.
type testEditor struct {
	t     *testing.T
	http  *httptest.Server
	mu    sync.Mutex // guards the rest
	key   *rsa.PrivateKey
	old   *rsa.PrivateKey
	sign  *rsa.PrivateKey // signs X-WOPI-Proof
	saw   []string
	asked int // how often the discovery was read
}

func newEditor(t *testing.T) *testEditor {
	t.Helper()
	e := &testEditor{t: t}
	for _, k := range []**rsa.PrivateKey{&e.key, &e.old} {
		var err error
		if *k, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	e.sign = e.key
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hosting/discovery", e.discovery)
	mux.HandleFunc("POST /frame", e.frame)
	e.http = httptest.NewServer(mux)
	t.Cleanup(e.http.Close)
	return e
}

func (e *testEditor) discovery(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	now, err := proof.NewKey(&e.key.PublicKey)
	if err != nil {
		e.t.Error(err)
	}
	old, err := proof.NewKey(&e.old.PublicKey)
	if err != nil {
		e.t.Error(err)
	}
	fmt.Fprintf(w, `<?xml version="1.0"?><wopi-discovery><net-zone name="external-http"><app name="Word">
<action name="edit" ext="docx" requires="locks,update" urlsrc="%s/frame?&lt;ui=UI_LLCC&amp;&gt;"/></app></net-zone>
<proof-key value=%q modulus=%q exponent=%q oldvalue=%q oldmodulus=%q oldexponent=%q/></wopi-discovery>`,
		e.http.URL, now.Blob(), now.Modulus(), now.Exponent(), old.Blob(), old.Modulus(), old.Exponent())
}

// call makes a signed WOPI request.
func (e *testEditor) call(method, u, body string, head ...string) (*http.Response, error) {
	r, err := http.NewRequest(method, u, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	ticks := proof.Ticks(time.Now())
	e.mu.Lock()
	current, old := e.sign, e.old
	e.mu.Unlock()
	for name, key := range map[string]*rsa.PrivateKey{"X-WOPI-Proof": current, "X-WOPI-ProofOld": old} {
		sig, err := proof.Sign(key, r.URL.Query().Get("access_token"), u, ticks)
		if err != nil {
			return nil, err
		}
		r.Header.Set(name, sig)
	}
	r.Header.Set("X-WOPI-TimeStamp", fmt.Sprint(ticks))
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		resp.Body.Close()
		e.mu.Lock()
		e.saw = append(e.saw, fmt.Sprintf("%s %d", r.Header.Get("X-WOPI-Override"), resp.StatusCode))
		e.mu.Unlock()
	}
	return resp, err
}

var framePage = template.Must(template.New("").Parse(`<!doctype html><title>Editor</title><p>Editor</p><script>
window.addEventListener("message", (e) => { document.title = e.data; });
parent.postMessage(JSON.stringify({MessageId: "App_LoadingStatus", SendTime: Date.now(), Values: {Status: "Document_Loaded"}}), {{.}});
</script>`))

// frame is what the host page posts the token to.
func (e *testEditor) frame(w http.ResponseWriter, r *http.Request) {
	src, token := r.URL.Query().Get("WOPISrc"), r.PostFormValue("access_token")
	if r.URL.Query().Has("access_token") || token == "" || r.PostFormValue("access_token_ttl") == "" {
		e.t.Error("the token was not posted")
	}
	q := "?access_token=" + url.QueryEscape(token)
	for _, step := range [][]string{
		{"GET", src + q, ""},
		{"POST", src + q, "", "X-WOPI-Override", "LOCK", "X-WOPI-Lock", "L"},
		{"POST", src + "/contents" + q, "edited in a frame", "X-WOPI-Override", "PUT", "X-WOPI-Lock", "L"},
		{"POST", src + q, "", "X-WOPI-Override", "UNLOCK", "X-WOPI-Lock", "L"},
	} {
		if _, err := e.call(step[0], step[1], step[2], step[3:]...); err != nil {
			e.t.Error(err)
		}
	}
	u, _ := url.Parse(src)
	w.Header().Set("Content-Type", "text/html")
	_ = framePage.Execute(w, u.Scheme+"://"+u.Host)
}

// withEditor opens the door with a running test editor.
func withEditor(t *testing.T, e *testEditor, mode discovery.ProofMode) (*fixture, *discovery.Set) {
	t.Helper()
	set, err := discovery.New(discovery.Options{}, discovery.Config{Name: "office", URL: e.http.URL, Profile: discovery.Microsoft, Proof: mode})
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, func(o *wopi.Options) { o.Editors = set })
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { set.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ed, _ := set.Editor("office"); !ed.Fetched.IsZero() {
			return f, set
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the discovery was never read")
		}
	}
}

// TestProof: requests of an editor whose proof is required are served only
// with a right signature, also right after it rotated its keys.
func TestProof(t *testing.T) {
	e := newEditor(t)
	f, _ := withEditor(t, e, discovery.ProofRequired)
	r := f.resource(f.bob, f.save("/p.docx", "x").ID, "office")
	u := r.url + "?" + r.q
	status := func(u string) int {
		resp, err := e.call("GET", u, "")
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if got := status(u); got != 200 {
		t.Errorf("signed: %d", got)
	}
	want(t, "not signed", r.get(""), 500)
	want(t, "a signature of something else", r.get("", "X-WOPI-Proof", "AAAA", "X-WOPI-TimeStamp", fmt.Sprint(proof.Ticks(time.Now()))), 500)
	// Signed with the old key alone: accepted, until that is gone too.
	e.mu.Lock()
	e.sign = e.old
	e.mu.Unlock()
	if got := status(u); got != 200 {
		t.Errorf("signed with the old key: %d", got)
	}
	// Tokens for no editor are not held to it.
	want(t, "a support engineer's token", f.resource(f.bob, f.id(r), "").get(""), 200)
}

// TestHostPage opens a document in a real browser, in a frame with the test
// editor: the page's policy is on, and nothing is said on the console.
func TestHostPage(t *testing.T) {
	browser := needs.Chromium(t)
	e := newEditor(t)
	f, _ := withEditor(t, e, discovery.ProofRequired)
	doc := f.save("/page.docx", "before")
	k, err := f.lib.CreateLink(context.Background(), f.ann, doc.ID, quire.Editor, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", f.base+"/s/"+string(k.ID)+"?wdPreviousSession=1&wdOrigin=x")
	var said strings.Builder
	cmd.Stderr = &said
	dom, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if !strings.Contains(string(dom), `data-editor="Document_Loaded"`) || !strings.Contains(string(dom), "<iframe") {
		t.Errorf("the page: %s", dom)
	}
	for line := range strings.Lines(said.String()) {
		// The protocol asks for that sandbox; the browser remarks on it before
		// the frame has gone to the editor's origin.
		if strings.Contains(line, "CONSOLE") && !strings.Contains(line, "both allow-scripts and allow-same-origin") {
			t.Errorf("on the console: %s", line)
		}
	}
	if b := f.resource(f.ann, doc.ID, "").get("/contents").body; string(b) != "edited in a frame" {
		t.Errorf("the file is %q", b)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if got := strings.Join(e.saw, ","); got != " 200,LOCK 200,PUT 200,UNLOCK 200" {
		t.Errorf("the editor saw %q", got)
	}
}

// TestPages: what the pages say, and to whom.
func TestPages(t *testing.T) {
	f := open(t, nil)
	e := f.save("/plain & simple.txt", "text")
	get := func(path, cookie string) answer {
		r := resource{f: f, url: f.base + path}
		if cookie == "" {
			return r.get("")
		}
		return r.get("", "Cookie", "quire="+cookie)
	}
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := noRedirect.Get(f.base + "/edit/" + string(e.ID))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/signin?next=%2Fedit%2F"+string(e.ID) {
		t.Errorf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	cookie, err := f.ids.StartSession(context.Background(), f.bob.User, "", "")
	if err != nil {
		t.Fatal(err)
	}
	a := get("/edit/"+string(e.ID), cookie)
	if a.StatusCode != 200 || !strings.Contains(string(a.body), "plain &amp; simple.txt") || !strings.Contains(string(a.body), "Download") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-src 'none'") || a.Header.Get("Cache-Control") != "no-cache, no-store" {
		t.Errorf("%q %v", csp, a.Header)
	}
	if a := get("/edit/none", cookie); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
	hash, err := identity.HashPassword(context.Background(), "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	k, err := f.lib.CreateLink(context.Background(), f.ann, e.ID, quire.Viewer, 0, hash)
	if err != nil {
		t.Fatal(err)
	}
	if a := get("/s/"+string(k.ID), ""); a.StatusCode != 200 || !strings.Contains(string(a.body), "password") || strings.Contains(string(a.body), "simple") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	post := func(path, form, cookie string) *http.Response {
		r, _ := http.NewRequest("POST", f.base+path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", cookie)
		resp, err := noRedirect.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if r := post("/s/"+string(k.ID), "password=wrong", ""); r.StatusCode != 401 {
		t.Errorf("%d", r.StatusCode)
	}
	r := post("/s/"+string(k.ID), "password=open+sesame", "")
	if r.StatusCode != 303 || len(r.Cookies()) != 1 {
		t.Fatalf("%d %v", r.StatusCode, r.Cookies())
	}
	given := r.Cookies()[0]
	if a := (resource{f: f, url: f.base + "/s/" + string(k.ID)}).get("", "Cookie", given.Name+"="+given.Value); !strings.Contains(string(a.body), "simple") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	// A new document is a real one, and the form must be ours.
	s, err := f.ids.Session(context.Background(), cookie)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"type": {"docx"}, "name": {"Letter"}, "parent": {string(f.site.Root)}}
	if r := post("/new", form.Encode(), "quire="+cookie); r.StatusCode != 403 {
		t.Errorf("without the form's token: %d", r.StatusCode)
	}
	form.Set("form", s.FormToken())
	if r := post("/new", form.Encode(), "quire="+cookie); r.StatusCode != 303 || !strings.HasPrefix(r.Header.Get("Location"), "/edit/") {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if made := mustLookup(f, "/Letter.docx"); made.Size < 1000 {
		t.Errorf("%d bytes", made.Size)
	}
}
