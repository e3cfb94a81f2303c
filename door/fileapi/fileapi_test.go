package fileapi_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

func TestPutAndGet(t *testing.T) {
	f := open(t)
	a := f.put("/files/Übersicht 日本 😀.pdf", "hello world")
	m := a.json(t)
	if m["filename"] != "Übersicht 日本 😀.pdf" || m["revision"] != 1.0 || m["bytes"] != 11.0 || m["path"] != "/files/Übersicht 日本 😀.pdf" || m["content_type"] != "application/pdf" {
		t.Errorf("metadata %s", a.body)
	}
	uid := m["uid"].(string)
	for _, path := range []string{"/api/v1/file/get?uid=" + uid, "/api/v1/file/get/?uid=" + uid, "/api/v1/file/get?path=" + url.QueryEscape("files/übersicht 日本 😀.PDF")} {
		a := f.do("GET", path, nil)
		if a.StatusCode != 200 || string(a.body) != "hello world" || a.Header.Get("ETag") == "" || a.Header.Get("Last-Modified") == "" || a.Header.Get("Accept-Ranges") != "bytes" {
			t.Errorf("%s: %d %q %v", path, a.StatusCode, a.body, a.Header)
		}
		meta := a.Header.Get("x-edo-metadata")
		if strings.ContainsFunc(meta, func(r rune) bool { return r > 0x7e }) || !strings.Contains(meta, `\u65e5\u672c \ud83d\ude00`) {
			t.Errorf("x-edo-metadata %q", meta)
		}
		if d := a.Header.Get("Content-Disposition"); !strings.Contains(d, "filename*=UTF-8''%C3%9Cbersicht") || !strings.HasPrefix(d, "attachment") {
			t.Errorf("Content-Disposition %q", d)
		}
	}
	head := f.do("HEAD", "/api/v1/file/get?uid="+uid, nil)
	if head.StatusCode != 200 || len(head.body) != 0 || head.ContentLength != 11 {
		t.Errorf("HEAD: %d %d", head.StatusCode, head.ContentLength)
	}
	// The revision before is still there.
	f.put("/files/Übersicht 日本 😀.pdf", "second")
	if a := f.do("GET", "/api/v1/file/get?uid="+uid+"&revision=1", nil); string(a.body) != "hello world" {
		t.Errorf("revision 1: %q", a.body)
	}
	if a := f.do("GET", "/api/v1/file/get?uid="+uid+"&rev=9", nil); a.StatusCode != 404 {
		t.Errorf("revision 9: %d", a.StatusCode)
	}
}

// TestRanges compares with what http.ServeContent makes of the same bytes.
func TestRanges(t *testing.T) {
	f := open(t)
	content := strings.Repeat("0123456789", 20_000) // more than the catalog keeps
	m := f.put("/r.bin", content).json(t)
	uid := m["uid"].(string)
	etag := f.do("HEAD", "/api/v1/file/get?uid="+uid, nil).Header.Get("ETag")
	for _, rng := range []string{
		"bytes=0-0", "bytes=5-", "bytes=-7", "bytes=199999-", "bytes=200000-", "bytes=3-2", "bytes=0-999999999", "bytes=1-2,5-9,-3",
		"bytes=0-,0-,0-", "bytes=", "bytes=-0", "bytes=99999999999999999999-", "bytes=a-b", "bytes=0-5,200000-",
	} {
		t.Run(rng, func(t *testing.T) {
			got := f.do("GET", "/api/v1/file/get?uid="+uid, nil, "Range", rng)
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Range", rng)
			w.Header().Set("ETag", etag)
			w.Header().Set("Content-Type", "application/octet-stream")
			http.ServeContent(w, r, "", parseTime(got.Header.Get("Last-Modified")), strings.NewReader(content))
			if got.StatusCode != w.Code || got.Header.Get("Content-Range") != w.Header().Get("Content-Range") {
				t.Errorf("%d %q, want %d %q", got.StatusCode, got.Header.Get("Content-Range"), w.Code, w.Header().Get("Content-Range"))
			}
			if w.Code != http.StatusPartialContent || strings.Contains(rng, ",") {
				return // errors have a text, and parts a random boundary
			}
			if !bytes.Equal(got.body, w.Body.Bytes()) {
				t.Errorf("%d bytes, want %d", len(got.body), w.Body.Len())
			}
		})
	}
	if a := f.do("GET", "/api/v1/file/get?uid="+uid, nil, "If-None-Match", etag); a.StatusCode != 304 {
		t.Errorf("If-None-Match: %d", a.StatusCode)
	}
	if a := f.do("GET", "/api/v1/file/get?uid="+uid, nil, "Range", "bytes=0-1", "If-Range", `"other"`); a.StatusCode != 200 {
		t.Errorf("If-Range with another ETag: %d", a.StatusCode)
	}
	if a := f.do("GET", "/api/v1/file/get?uid="+uid, nil, "If-Match", `"other"`); a.StatusCode != 412 {
		t.Errorf("If-Match: %d", a.StatusCode)
	}
}

func parseTime(s string) time.Time {
	t, _ := http.ParseTime(s)
	return t
}

func TestChunkedUpload(t *testing.T) {
	f := open(t)
	a := f.do("PUT", "/api/v1/file/chunked_upload", strings.NewReader("hello "))
	m := a.json(t)
	id, _ := m["upload_id"].(string)
	if a.StatusCode != 200 || m["offset"] != 6.0 || id == "" || !strings.HasSuffix(m["expires"].(string), "+0000") {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	a = f.do("POST", "/api/v1/file/chunked_upload?offset=4194304&upload_id="+id, strings.NewReader("x"))
	m = a.json(t)
	if a.StatusCode != 400 || m["error"] != "Submitted input out of alignment: got [4194304] expected [6]" || m["offset"] != 6.0 || m["upload_id"] != id {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a = f.do("PUT", "/api/v1/file/chunked_upload?offset=6&upload_id="+id, strings.NewReader("world")); a.json(t)["offset"] != 11.0 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	a = f.do("PUT", "/api/v1/file/chunked_upload?offset=0&upload_id=nothing", strings.NewReader("x"))
	if a.StatusCode != 404 || a.json(t)["error"] != "No upload with upload_id found." {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	form := url.Values{"upload_id": {id}, "path": {"/up.txt"}}.Encode()
	first := f.do("POST", "/api/v1/file/commit_chunked_upload", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded")
	again := f.do("POST", "/api/v1/file/commit_chunked_upload?"+form, nil)
	if first.StatusCode != 200 || !bytes.Equal(first.body, again.body) {
		t.Errorf("%d %s, again %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
	}
	if a := f.do("GET", "/api/v1/file/get?path=/up.txt", nil); string(a.body) != "hello world" {
		t.Errorf("%q", a.body)
	}
}

func TestConflictsAndLocks(t *testing.T) {
	f := open(t)
	ctx := context.Background()
	uid := f.put("/c.txt", "one").json(t)["uid"].(string)
	f.put("/c.txt", "two")
	a := f.do("PUT", "/api/v1/file/put?path=/c.txt&parent_revision=1", strings.NewReader("three"))
	m := a.json(t)
	if a.StatusCode != 409 || m["error"] != "conflict" || m["current"].(map[string]any)["revision"] != 2.0 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a = f.do("PUT", "/api/v1/file/put?path=/c.txt&parent_revision=2", strings.NewReader("three")); a.json(t)["revision"] != 3.0 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a = f.do("PUT", "/api/v1/file/put?path=/c.txt", strings.NewReader("x")); a.json(t)["filename"] != "c (1).txt" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if a = f.do("PUT", "/api/v1/file/put?path=/c.txt", strings.NewReader("x"), "If-None-Match", "*"); a.StatusCode != 412 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if _, err := f.lib.Lock(ctx, f.admin, quire.NodeID(uid), lock.Request{Op: lock.Lock, ID: "L", Name: "Ann", Visible: true}); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct{ method, path string }{
		{"PUT", "/api/v1/file/put?path=/c.txt&overwrite=true"},
		{"POST", "/api/v1/file/fileops/delete?path=/c.txt"},
		{"POST", "/api/v1/file/fileops/move?path=/c.txt&to_path=/d.txt"},
		{"POST", "/api/v1/file/restore?path=/c.txt&revision=1"},
	} {
		a := f.do(try.method, try.path, strings.NewReader("x"))
		if a.StatusCode != 423 || !strings.Contains(string(a.body), "Ann") {
			t.Errorf("%s: %d %s", try.path, a.StatusCode, a.body)
		}
	}
	if a := f.do("GET", "/api/v1/file/get?path=/c.txt", nil); string(a.body) != "three" {
		t.Errorf("a locked file cannot be read: %d %q", a.StatusCode, a.body)
	}
}

// TestBadInput: each gets its status and a sentence, and changes nothing.
func TestBadInput(t *testing.T) {
	f := open(t)
	uid := f.put("/a/b.txt", "content").json(t)["uid"].(string)
	before := f.state()
	_, reader := f.user("reader", quire.RoleMember, quire.Viewer, quire.ScopeWrite)
	_, readonly := f.user("ro", quire.RoleMember, quire.Editor, quire.ScopeRead)
	_, stranger := f.user("stranger", quire.RoleMember, quire.NoAccess, quire.ScopeWrite)
	enc := url.QueryEscape
	type row struct {
		name, method, path string
		body               string
		status             int
		code               string
		head               []string
	}
	rows := []row{
		{"no token", "GET", "/api/v1/file/get?uid=" + uid, "", 401, "unauthorized", []string{"Authorization", ""}},
		{"wrong token", "GET", "/api/v1/file/get?uid=" + uid, "", 401, "unauthorized", []string{"Authorization", "Bearer qt_aa_bb"}},
		{"basic", "GET", "/api/v1/file/get?uid=" + uid, "", 401, "unauthorized", []string{"Authorization", "Basic Zm9v"}},
		{"viewer puts", "PUT", "/api/v1/file/put?path=/a/b.txt&overwrite=true", "x", 403, "forbidden", []string{"Authorization", "Bearer " + reader}},
		{"read token puts", "PUT", "/api/v1/file/put?path=/a/b.txt&overwrite=true", "x", 403, "forbidden", []string{"Authorization", "Bearer " + readonly}},
		{"read token uploads", "PUT", "/api/v1/file/chunked_upload", "x", 403, "forbidden", []string{"Authorization", "Bearer " + readonly}},
		{"stranger gets", "GET", "/api/v1/file/get?uid=" + uid, "", 404, "not_found", []string{"Authorization", "Bearer " + stranger}},
		{"unknown call", "GET", "/api/v1/file/fly", "", 404, "not_found", nil},
		{"wrong method", "DELETE", "/api/v1/file/get?uid=" + uid, "", 405, "method_not_allowed", nil},
		{"no subject", "GET", "/api/v1/file/get", "", 400, "bad_parameter", nil},
		{"two subjects", "GET", "/api/v1/file/get?uid=" + uid + "&path=/a", "", 400, "bad_parameter", nil},
		{"twice", "GET", "/api/v1/file/get?uid=" + uid + "&uid=" + uid, "", 400, "bad_parameter", nil},
		{"bad revision", "GET", "/api/v1/file/get?uid=" + uid + "&revision=-1", "", 400, "bad_parameter", nil},
		{"huge revision", "GET", "/api/v1/file/get?uid=" + uid + "&revision=99999999999999999999", "", 400, "bad_parameter", nil},
		{"plus revision", "GET", "/api/v1/file/get?uid=" + uid + "&revision=%2B1", "", 400, "bad_parameter", nil},
		{"bad escape", "GET", "/api/v1/file/get?path=%zz", "", 400, "bad_parameter", nil},
		{"a folder", "GET", "/api/v1/file/get?path=/a", "", 400, "not_a_file", nil},
		{"missing", "GET", "/api/v1/file/get?path=/a/none", "", 404, "not_found", nil},
		{"another site", "GET", "/api/v1/file/get?uid=" + uid + "&account=other", "", 404, "no_such_account", nil},
		{"bad boolean", "PUT", "/api/v1/file/put?path=/x&overwrite=maybe", "x", 400, "bad_parameter", nil},
		{"dot dot", "PUT", "/api/v1/file/put?path=" + enc("/a/../../etc/passwd"), "x", 400, "bad_name", nil},
		{"dot", "PUT", "/api/v1/file/put?path=" + enc("/a/./c"), "x", 400, "bad_name", nil},
		{"empty part", "PUT", "/api/v1/file/put?path=" + enc("/a//c"), "x", 400, "bad_name", nil},
		{"root", "PUT", "/api/v1/file/put?path=/", "x", 400, "bad_parameter", nil},
		{"NUL", "PUT", "/api/v1/file/put?path=/a%00b", "x", 400, "bad_parameter", nil},
		{"not UTF-8", "PUT", "/api/v1/file/put?path=/a%ff", "x", 400, "bad_parameter", nil},
		{"300 bytes", "PUT", "/api/v1/file/put?path=/" + strings.Repeat("x", 300), "x", 400, "bad_name", nil},
		{"reserved", "PUT", "/api/v1/file/put?path=/con.txt", "x", 400, "bad_name", nil},
		{"backslash", "PUT", "/api/v1/file/put?path=" + enc(`/a\b`), "x", 400, "bad_name", nil},
		{"trailing dot", "PUT", "/api/v1/file/put?path=/x.", "x", 400, "bad_name", nil},
		{"bidi", "PUT", "/api/v1/file/put?path=" + enc("/x\u202etxt.exe"), "x", 400, "bad_name", nil},
		{"no name", "PUT", "/api/v1/file/put?uid=" + uid, "x", 400, "bad_parameter", nil},
		{"into a file", "PUT", "/api/v1/file/put?path=/a/b.txt/c", "x", 400, "not_a_folder", nil},
		{"bad If-Match", "PUT", "/api/v1/file/put?path=/a/b.txt", "x", 412, "precondition_failed", []string{"If-Match", `"nonsense"`}},
		{"old If-Match", "PUT", "/api/v1/file/put?path=/a/b.txt", "x", 412, "precondition_failed", []string{"If-Match", `"` + uid + `-7"`}},
		{"If-Match on nothing", "PUT", "/api/v1/file/put?path=/none", "x", 412, "precondition_failed", []string{"If-Match", "*"}},
		{"commit nothing", "POST", "/api/v1/file/commit_chunked_upload?upload_id=none&path=/x", "", 404, "No upload with upload_id found.", nil},
		{"new upload at 5", "PUT", "/api/v1/file/chunked_upload?offset=5", "x", 400, "Submitted input out of alignment: got [5] expected [0]", nil},
		{"list limit", "GET", "/api/v1/content/list?path=/&limit=25001", "", 400, "bad_parameter", nil},
		{"list a file", "GET", "/api/v1/content/list?path=/a/b.txt", "", 400, "not_a_folder", nil},
		{"restore nothing", "POST", "/api/v1/file/restore?path=/a/b.txt&revision=9", "", 404, "not_found", nil},
		{"move the root", "POST", "/api/v1/file/fileops/move?path=/&to_path=/x", "", 400, "bad_parameter", nil},
		{"folder into itself", "POST", "/api/v1/file/fileops/move?path=/a&to_path=/a/x", "", 400, "bad_parameter", nil},
		{"taken name", "POST", "/api/v1/file/fileops/create_folder?path=/A", "", 409, "exists", nil},
		{"share as owner", "POST", "/api/v1/file/shares?path=/a&access=owner", "", 400, "bad_parameter", nil},
		{"NaN", "GET", "/api/v1/content/delta?modified=NaN", "", 400, "bad_parameter", nil},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			a := f.do(r.method, r.path, strings.NewReader(r.body), r.head...)
			m := a.json(t)
			if a.StatusCode != r.status || m["error"] != r.code {
				t.Errorf("%d %s, want %d %s", a.StatusCode, a.body, r.status, r.code)
			}
			if msg, _ := m["msg"].(string); msg == "" && !strings.ContainsAny(r.code, " ") {
				t.Errorf("no sentence: %s", a.body)
			}
		})
	}
	if after := f.state(); after != before {
		t.Errorf("something changed:\n%s\nbefore:\n%s", after, before)
	}
}

func TestTreeCalls(t *testing.T) {
	f := open(t)
	f.put("/p/one.txt", "1")
	f.put("/p/two.txt", "2")
	if a := f.do("POST", "/api/v1/file/fileops/copy?path=/p&to_path=/q", nil); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if a := f.do("POST", "/api/v1/file/fileops/move?path=/q/one.txt&to_path=/q/uno.txt", nil); a.json(t)["path"] != "/q/uno.txt" {
		t.Errorf("%s", a.body)
	}
	del := f.do("POST", "/api/v1/file/fileops/delete?path=/p", nil).json(t)
	if a := f.do("GET", "/api/v1/content/metadata?path=/p", nil); a.StatusCode != 404 {
		t.Errorf("%d", a.StatusCode)
	}
	if a := f.do("GET", "/api/v1/file/trash", nil); !strings.Contains(string(a.body), del["uid"].(string)) {
		t.Errorf("%s", a.body)
	}
	if a := f.do("POST", "/api/v1/file/untrash?uid="+del["uid"].(string), nil); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	names := []string{}
	for cursor := ""; ; {
		m := f.do("GET", "/api/v1/content/list?path=/p&limit=1&cursor="+url.QueryEscape(cursor), nil).json(t)
		for _, c := range m["contents"].([]any) {
			names = append(names, c.(map[string]any)["filename"].(string))
		}
		if m["has_more"] != true {
			break
		}
		cursor = m["cursor"].(string)
	}
	if strings.Join(names, " ") != "one.txt two.txt" {
		t.Errorf("%q", names)
	}
	if a := f.do("GET", "/api/v1/content/search?query=UNO", nil); !strings.Contains(string(a.body), "/q/uno.txt") {
		t.Errorf("%s", a.body)
	}
	actions := map[string]bool{}
	for _, e := range f.do("GET", "/api/v1/content/delta?modified=0", nil).json(t)["entries"].([]any) {
		actions[e.(map[string]any)["action"].(string)] = true
	}
	for _, want := range []string{"new", "rename", "remove"} {
		if !actions[want] {
			t.Errorf("no %q in %v", want, actions)
		}
	}
	link := f.do("POST", "/api/v1/file/shares?path=/q&expires_in=60", nil).json(t)
	if !strings.HasPrefix(link["url"].(string), "http://docs.example.org/s/") {
		t.Errorf("%v", link)
	}
}
