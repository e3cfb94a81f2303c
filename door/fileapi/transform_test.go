package fileapi_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

func converting(t *testing.T) *fixture { return openWith(t, settings{convert: true}) }

func picture(t *testing.T, w, h int) string {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipped(t testing.TB, pairs ...string) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		w, err := z.Create(pairs[i])
		if err == nil {
			_, err = io.WriteString(w, pairs[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRenditions(t *testing.T) {
	f := converting(t)
	e := f.put("/a.txt", "one <b>").json(t)
	f.put("/p.png", picture(t, 300, 100))
	get := func(q string) answer { return f.do("GET", "/api/v1/file/get?"+q, nil) }
	a := get("path=/a.txt&mime=text/html")
	if a.StatusCode != 200 || !strings.Contains(string(a.body), "one &lt;b&gt;") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !strings.Contains(a.Header.Get("Content-Disposition"), `filename="a.html"`) {
		t.Fatalf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	if !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(a.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a rendition may run as ours: %v", a.Header)
	}
	tag := a.Header.Get("ETag")
	if tag == "" || tag == get("path=/a.txt").Header.Get("ETag") {
		t.Errorf("the rendition's tag is %q", tag)
	}
	if a := f.do("GET", "/api/v1/file/get?path=/a.txt&mime=text/html", nil, "If-None-Match", tag); a.StatusCode != 304 {
		t.Errorf("not modified: %d", a.StatusCode)
	}
	if a := f.do("GET", "/api/v1/file/get?path=/a.txt&mime=text/html", nil, "Range", "bytes=0-4"); a.StatusCode != 206 || string(a.body) != "<!doc" {
		t.Errorf("a range: %d %s", a.StatusCode, a.body)
	}
	if a := get("path=/a.txt&mime=text/plain"); string(a.body) != "one <b>" {
		t.Errorf("its own type: %s", a.body)
	}
	c, err := png.DecodeConfig(bytes.NewReader(get("path=/p.png&mime=image/png&width=30").body))
	if err != nil || c.Width != 30 || c.Height != 10 {
		t.Errorf("%+v %v", c, err)
	}
	// Each revision has its own.
	f.put("/a.txt", "two")
	if a := get("path=/a.txt&mime=text/html"); !strings.Contains(string(a.body), "two") {
		t.Errorf("%s", a.body)
	}
	if a := get("uid=" + e["uid"].(string) + "&revision=1&mime=text/html"); !strings.Contains(string(a.body), "one") {
		t.Errorf("%s", a.body)
	}
	for what, try := range map[string]struct {
		q      string
		status int
		code   string
	}{
		"an office engine that is not there": {"path=/a.txt&mime=application/pdf", 503, "conversion_unavailable"},
		"a target that nobody makes":         {"path=/a.txt&mime=video/mp4", 422, "conversion_unavailable"},
		"a source that nobody opens":         {"path=/x.bin&mime=application/pdf", 415, "unsupported_source"},
		"a width that is no number":          {"path=/p.png&mime=image/png&width=x", 400, "bad_parameter"},
		"a huge width":                       {"path=/p.png&mime=image/png&width=100000", 400, "bad_parameter"},
		"page 0 of a picture and below":      {"path=/p.png&mime=image/png&page=-1", 400, "bad_parameter"},
		"no such file":                       {"path=/none.txt&mime=text/html", 404, "not_found"},
		"no such revision":                   {"path=/a.txt&mime=text/html&revision=9", 404, "not_found"},
		"what is damaged":                    {"path=/bad.png&mime=image/png&width=10", 422, "conversion_failed"},
		"what is not what its name says":     {"path=/fake.pptx&mime=text/plain", 422, "conversion_failed"},
	} {
		f.put("/x.bin", "x")
		f.put("/bad.png", picture(t, 9, 9)[:40])
		f.put("/fake.pptx", "text")
		a := get(try.q)
		if a.StatusCode != try.status || a.json(t)["error"] != try.code {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if problems, _, err := fsck(f); err != nil || len(problems) != 0 {
		t.Errorf("fsck: %v %v", problems, err)
	}
}

func fsck(f *fixture) (problems []string, sum any, err error) {
	s, err := f.lib.Check(context.Background(), true, func(p library.Problem) { problems = append(problems, fmt.Sprint(p)) })
	return problems, s, err
}

// TestTransform: jobs, their states and results, and callbacks that can be
// verified.
func TestTransform(t *testing.T) {
	f := converting(t)
	f.put("/a.txt", "text")
	type call struct {
		h    http.Header
		body []byte
	}
	calls := make(chan call, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		calls <- call{r.Header, b}
	}))
	defer hook.Close()
	a := f.do("POST", "/api/v1/file/transform/", strings.NewReader(url.Values{"location": {"/a.txt"}, "targets": {"text/html,text/plain"}, "callback": {hook.URL}}.Encode()), "Content-Type", "application/x-www-form-urlencoded")
	job := a.json(t)
	if a.StatusCode != 202 && a.StatusCode != 200 || len(job["renditions"].([]any)) != 2 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	var c call
	select {
	case c = <-calls:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody called")
	}
	site, _, err := f.lib.SiteOf(context.Background(), f.admin)
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(sha256.New, []byte(site.Viewer.Current))
	fmt.Fprintf(m, "%s.%s.%s", c.h.Get("webhook-id"), c.h.Get("webhook-timestamp"), c.body)
	if !slices.Contains(strings.Fields(c.h.Get("webhook-signature")), "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil))) {
		t.Errorf("signature %v", c.h)
	}
	var told struct {
		Job, Account, Instance, Location, Status, Error string
		Renditions                                      []struct {
			Target, URL string
			Bytes       int
		}
	}
	if err := json.Unmarshal(c.body, &told); err != nil || told.Job != job["job"] || told.Account != "main" || told.Location != "/a.txt" || told.Status != "done" || told.Error != "" || len(told.Renditions) != 2 {
		t.Fatalf("%v %s", err, c.body)
	}
	for _, r := range told.Renditions {
		resp, err := http.Get(r.URL) // without a token
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || len(b) != r.Bytes {
			t.Errorf("%s: %d, %d bytes", r.Target, resp.StatusCode, len(b))
		}
	}
	// What the URL carries is for this job's results and nothing else.
	u, _ := url.Parse(told.Renditions[0].URL)
	for _, path := range []string{"/api/v1/file/get?path=/a.txt&", "/api/v1/account?", "/api/v1/file/transform/other/0?", "/api/v1/content/list?path=/&"} {
		if a := f.do("GET", path+u.RawQuery, nil, "Authorization", ""); a.StatusCode/100 == 2 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	id := job["job"].(string)
	if a := f.do("GET", "/api/v1/file/transform/"+id, nil); a.StatusCode != 200 || a.json(t)["status"] != "done" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := f.do("GET", "/api/v1/file/transform/"+id+"/1", nil); a.StatusCode != 200 || string(a.body) != "text" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	for _, n := range []string{"2", "-1", "x", "0/0"} {
		if a := f.do("GET", "/api/v1/file/transform/"+id+"/"+n, nil); a.StatusCode != 404 {
			t.Errorf("result %s: %d", n, a.StatusCode)
		}
	}
	// Asking again costs nothing, and calls at once.
	a = f.do("GET", "/api/v1/file/transform?location=/a.txt&targets=text/html&targets=text/plain&callback="+url.QueryEscape(`{"text/html":"`+hook.URL+`/h"}`), nil)
	if a.StatusCode != 200 || a.json(t)["status"] != "done" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	c = <-calls
	if err := json.Unmarshal(c.body, &told); err != nil || len(told.Renditions) != 1 || told.Renditions[0].Target != "text/html" {
		t.Errorf("%s", c.body)
	}
	for what, q := range map[string]string{
		"no source": "targets=text/html", "both": "location=/a.txt&uid=x&targets=text/html", "no target": "location=/a.txt", "a source elsewhere": "source_url=http://example.org/&targets=text/html",
		"a callback inside": "location=/a.txt&targets=text/html&callback=http://10.0.0.1/", "a callback to metadata": "location=/a.txt&targets=text/html&callback=http://169.254.169.254/", "a file as callback": "location=/a.txt&targets=text/html&callback=file:///etc/passwd",
		"a map of another target": "location=/a.txt&targets=text/html&callback=" + url.QueryEscape(`{"image/png":"http://127.0.0.1/"}`), "a map that is no JSON": "location=/a.txt&targets=text/html&callback=" + url.QueryEscape(`{x`),
	} {
		if a := f.do("POST", "/api/v1/file/transform?"+q, nil); a.StatusCode != 400 {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	if a := f.do("POST", "/api/v1/file/transform?location=/none&targets=text/html", nil); a.StatusCode != 404 {
		t.Errorf("no such file: %d", a.StatusCode)
	}
	_, stranger := f.user("eve", quire.RoleMember, quire.NoAccess, quire.ScopeWrite)
	for _, path := range []string{"", "/0"} {
		if a := f.do("GET", "/api/v1/file/transform/"+id+path, nil, "Authorization", "Bearer "+stranger); a.StatusCode != 404 {
			t.Errorf("somebody else's job: %d", a.StatusCode)
		}
	}
	if a := f.do("GET", "/api/v1/admin/jobs", nil); a.StatusCode != 200 || !strings.Contains(string(a.body), id) {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := f.do("GET", "/api/v1/admin/engines", nil); a.StatusCode != 200 || !strings.Contains(string(a.body), "built in") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := f.do("GET", "/api/v1/admin/engines", nil, "Authorization", "Bearer "+stranger); a.StatusCode != 403 {
		t.Errorf("%d", a.StatusCode)
	}
}

// TestViewerLinks: the signatures, the permissions and the statuses of signed
// links.
func TestViewerLinks(t *testing.T) {
	f := converting(t)
	f.put("/a.txt", "text")
	f.put("/b.pdf", "%PDF-1.4 not really")
	f.put("/bad.pptx", "text")
	secret := f.do("GET", "/api/v1/file/get_viewer_secret", nil).json(t)["secret"].(string)
	if len(secret) < 40 {
		t.Fatalf("the secret is %q", secret)
	}
	link := func(md5sum bool, changes ...string) string {
		q := url.Values{"account": {"main"}, "instance": {"default"}, "path": {"/a.txt"}, "mime": {"text/html"}, "app_id": {""}, "username": {"kim"}, "timestamp": {""}, "permission": {"preview"}}
		for i := 0; i+1 < len(changes); i += 2 {
			q.Set(changes[i], changes[i+1])
		}
		text := strings.Join([]string{q.Get("account"), q.Get("instance"), q.Get("path"), q.Get("timestamp"), q.Get("app_id"), q.Get("username"), q.Get("permission")}, ":")
		if md5sum {
			sum := md5.Sum([]byte(text + ":" + secret))
			q.Set("signcode", hex.EncodeToString(sum[:]))
		} else {
			m := hmac.New(sha256.New, []byte(secret))
			m.Write([]byte(text))
			q.Set("signature", hex.EncodeToString(m.Sum(nil)))
		}
		return "/api/v1/file/get?" + q.Encode()
	}
	get := func(u string) answer { return f.do("GET", u, nil, "Authorization", "") }
	in := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	for _, old := range []bool{true, false} {
		for _, try := range []struct {
			what    string
			status  int
			changes []string
		}{
			{"preview of a rendition", 200, nil},
			{"until later", 200, []string{"timestamp", in(time.Hour)}},
			{"until earlier", 401, []string{"timestamp", in(-time.Hour)}},
			{"until never heard of", 400, []string{"timestamp", "soon"}},
			{"preview of the file itself", 403, []string{"mime", ""}},
			{"preview of its PDF", 403, []string{"path", "/b.pdf", "mime", "application/pdf"}},
			{"print of its PDF", 200, []string{"path", "/b.pdf", "mime", "application/pdf", "permission", "print"}},
			{"print of the file itself", 403, []string{"mime", "", "permission", "print"}},
			{"download", 200, []string{"mime", "", "permission", "download"}},
			{"another permission", 400, []string{"permission", "everything"}},
			{"no such file", 404, []string{"path", "/none.txt"}},
			{"no such account", 409, []string{"account", "nobody"}},
			{"what cannot be converted", 406, []string{"mime", "video/mp4"}},
			{"what fails", 406, []string{"path", "/bad.pptx", "mime", "text/plain"}},
		} {
			if a := get(link(old, try.changes...)); a.StatusCode != try.status {
				t.Errorf("%s (MD5 %v): %d %s", try.what, old, a.StatusCode, a.body)
			}
		}
		// Nothing that is signed can be changed.
		for _, name := range []string{"path", "timestamp", "app_id", "username", "permission"} {
			u, _ := url.Parse(link(old))
			q := u.Query()
			q.Set(name, map[string]string{"path": "/b.pdf", "timestamp": in(time.Hour), "permission": "download"}[name]+"")
			if name == "app_id" || name == "username" {
				q.Set(name, "other")
			}
			if a := get("/api/v1/file/get?" + q.Encode()); a.StatusCode != 400 {
				t.Errorf("%s was changed: %d", name, a.StatusCode)
			}
		}
	}
	if a := get(strings.Replace(link(false), "signature=", "signature=00", 1)); a.StatusCode != 400 {
		t.Errorf("a wrong signature: %d", a.StatusCode)
	}
	if a := get("/api/v1/file/get?account=main&instance=default&path=/a.txt"); a.StatusCode != 401 {
		t.Errorf("no signature: %d", a.StatusCode)
	}
	// A link reads one file; it is no credential for anything else.
	u, _ := url.Parse(link(false, "permission", "download", "mime", ""))
	for _, at := range []string{"/api/v1/content/list?", "/api/v1/file/revisions?", "/api/v1/account?"} {
		if a := get(at + u.RawQuery); a.StatusCode != 401 {
			t.Errorf("%s: %d", at, a.StatusCode)
		}
	}
	if a := f.do("PUT", "/api/v1/file/put?"+u.RawQuery, strings.NewReader("x"), "Authorization", ""); a.StatusCode != 401 {
		t.Errorf("it writes: %d", a.StatusCode)
	}
	// One that the server makes.
	made := f.do("POST", "/api/v1/file/viewer_link?path=/a.txt&permission=download&expires_in=60", nil).json(t)["url"].(string)
	resp, err := http.Get(made)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%v %v", resp, err)
	}
	resp.Body.Close()
	// One link ends, whichever signature it has; another of the same file does not.
	other := link(false, "permission", "download", "mime", "", "username", "somebody else")
	if a := f.do("POST", "/api/v1/file/revoke_viewer_link?url="+url.QueryEscape(made), nil); a.StatusCode != 200 {
		t.Errorf("revoking: %d %s", a.StatusCode, a.body)
	}
	gone, _ := url.Parse(made)
	if a := get("/api/v1/file/get?" + gone.RawQuery); a.StatusCode != 401 || a.json(t)["error"] != "link_revoked" {
		t.Errorf("a revoked link: %d %s", a.StatusCode, a.body)
	}
	md5 := "http://example.org" + link(true)
	if a := f.do("POST", "/api/v1/file/revoke_viewer_link?url="+url.QueryEscape(md5), nil); a.StatusCode != 200 {
		t.Errorf("revoking: %d %s", a.StatusCode, a.body)
	}
	for _, withMD5 := range []bool{true, false} {
		if a := get(link(withMD5)); a.StatusCode != 401 {
			t.Errorf("a revoked link, MD5 %v: %d %s", withMD5, a.StatusCode, a.body)
		}
	}
	if a := get(other); a.StatusCode != 200 {
		t.Errorf("another link: %d %s", a.StatusCode, a.body)
	}
	for _, bad := range []string{"", "x", strings.Replace(other, "signature=", "signature=0", 1)} {
		if a := f.do("POST", "/api/v1/file/revoke_viewer_link?url="+url.QueryEscape(bad), nil); a.StatusCode != 400 {
			t.Errorf("revoking %q: %d %s", bad, a.StatusCode, a.body)
		}
	}
	// A new secret makes all other links, and forgets those.
	secret = f.do("POST", "/api/v1/file/refresh_viewer_secret", nil).json(t)["secret"].(string)
	if a := get(link(false)); a.StatusCode != 200 {
		t.Errorf("the link again, by a new secret: %d %s", a.StatusCode, a.body)
	}
	// MD5 can be refused, the secret refreshed and cleared.
	ctx := context.Background()
	if err := f.lib.RefuseMD5(ctx, f.admin, true); err != nil {
		t.Fatal(err)
	}
	if a := get(link(true)); a.StatusCode != 400 {
		t.Errorf("MD5 where it is refused: %d", a.StatusCode)
	}
	before := link(false)
	next := f.do("POST", "/api/v1/file/refresh_viewer_secret", nil).json(t)["secret"].(string)
	if a := get(before); a.StatusCode != 400 || next == secret {
		t.Errorf("the old secret's link: %d", a.StatusCode)
	}
	secret = next
	if a := get(link(false)); a.StatusCode != 200 {
		t.Errorf("the new secret's link: %d", a.StatusCode)
	}
	if a := f.do("POST", "/api/v1/file/clear_viewer_secret", nil); a.StatusCode != 200 || a.json(t)["secret"] != "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a := get("/api/v1/file/get?account=main&instance=default&path=/a.txt"); a.StatusCode != 200 {
		t.Errorf("an open site: %d %s", a.StatusCode, a.body)
	}
	if a := f.do("PUT", "/api/v1/file/put?account=main&instance=default&path=/x", strings.NewReader("x"), "Authorization", ""); a.StatusCode != 401 {
		t.Errorf("an open site is written to: %d", a.StatusCode)
	}
	if a := f.do("GET", "/api/v1/file/get_viewer_secret", nil); a.json(t)["secret"] != "" {
		t.Errorf("%s", a.body)
	}
	_, member := f.user("eve", quire.RoleMember, quire.Owner, quire.ScopeWrite)
	for _, call := range []string{"get_viewer_secret", "refresh_viewer_secret", "clear_viewer_secret", "viewer_link?path=/a.txt&permission=download", "revoke_viewer_link?url=x"} {
		if a := f.do("POST", "/api/v1/file/"+call, nil, "Authorization", "Bearer "+member); a.StatusCode != 403 {
			t.Errorf("a member's %s: %d", call, a.StatusCode)
		}
	}
	b := f.tab("boss", quire.RoleAdmin)
	if a := b.get("file/refresh_viewer_secret"); a.StatusCode != 405 {
		t.Errorf("by a link that a browser follows: %d", a.StatusCode)
	}
}

// TestSubfile: one member of an archive, by its name and nothing else.
func TestSubfile(t *testing.T) {
	f := converting(t)
	f.put("/a.zip", zipped(t, "d/x.txt", "the text", "../../etc/passwd", "a member", "d/", "", "page.html", "<script>"))
	get := func(name string) answer {
		return f.do("GET", "/api/v1/file/get?path=/a.zip&subfile="+url.QueryEscape(name), nil)
	}
	a := get("d/x.txt")
	if a.StatusCode != 200 || string(a.body) != "the text" || a.Header.Get("Content-Length") != "8" || !strings.Contains(a.Header.Get("Content-Disposition"), `attachment; filename="x.txt"`) {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
	if a := get("../../etc/passwd"); string(a.body) != "a member" || !strings.Contains(a.Header.Get("Content-Disposition"), `filename="passwd"`) {
		t.Errorf("a member with such a name: %d %s", a.StatusCode, a.body)
	}
	if a := get("page.html"); !strings.HasPrefix(a.Header.Get("Content-Disposition"), "attachment") || !strings.Contains(a.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%v", a.Header)
	}
	for _, name := range []string{"d", "d/", "x.txt", "/etc/passwd", "d/../d/x.txt", "D/X.TXT", "none"} {
		if a := get(name); a.StatusCode != 404 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	f.put("/b.zip", "no archive")
	f.put("/c.zip", zipped(t, "a", "b")[:30])
	for _, path := range []string{"/b.zip", "/c.zip"} {
		if a := f.do("GET", "/api/v1/file/get?subfile=a&path="+path, nil); a.StatusCode != 422 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if a := f.do("HEAD", "/api/v1/file/get?path=/a.zip&subfile=d/x.txt", nil); a.StatusCode != 200 || len(a.body) != 0 || a.Header.Get("Content-Length") != "8" {
		t.Errorf("HEAD: %d %v", a.StatusCode, a.Header)
	}
	if a := f.do("GET", "/api/v1/file/get?path=/a.zip&subfile=d/x.txt&mime=text/plain", nil); a.StatusCode != 400 {
		t.Errorf("both: %d", a.StatusCode)
	}
}

// TestChanges: which parts of a document a revision changed.
func TestChanges(t *testing.T) {
	f := open(t)
	e := f.put("/a.docx", zipped(t, "same", "x", "other", "one", "gone", "y")).json(t)
	f.put("/a.docx", zipped(t, "same", "x", "other", "two", "new", "zz"))
	f.put("/a.docx", "no archive")
	at := "/api/v1/file/changes?uid=" + e["uid"].(string)
	if m := f.do("GET", at+"&revision=1", nil).json(t); m["known"] != false || len(m["parts"].([]any)) != 0 {
		t.Errorf("the first: %v", m)
	}
	m := f.do("GET", at+"&revision=2", nil).json(t)
	want := `[map[bytes:0 change:removed name:gone] map[bytes:2 change:added name:new] map[bytes:3 change:changed name:other]]`
	if m["known"] != true || m["against"] != 1.0 || fmt.Sprint(m["parts"]) != want {
		t.Errorf("%v", m)
	}
	if m := f.do("GET", at, nil).json(t); m["known"] != false || m["against"] != 2.0 {
		t.Errorf("no archive: %v", m)
	}
	if a := f.do("GET", "/api/v1/file/changes?uid=none", nil); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := f.do("GET", at+"&revision=9", nil); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
}
