package fileapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// send makes a request that a fuzzer thought of; ok is false if no client can
// send it.
func (f *fixture) send(t *testing.T, method, target, body string, head http.Header) (a answer, ok bool) {
	t.Helper()
	r, err := http.NewRequest(method, f.http.URL+target, strings.NewReader(body))
	if err != nil {
		return a, false
	}
	for k, v := range head {
		r.Header[k] = v
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return a, false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 500 {
		t.Errorf("%s %s: %d %s", method, target, resp.StatusCode, b)
	}
	return answer{resp, b}, true
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"path=/a", "uid=x&path=y", "path=%zz", "offset=1&upload_id=", "path=/a&revision=1e9", "limit=-1&path=/", "cursor=%00&path=/", "modified=1e9", "path=/&sort=size&cursor=-1"} {
		for _, call := range []string{"file/get", "file/revisions", "file/trash", "content/list", "content/delta", "content/search"} {
			f.Add(call, s)
		}
	}
	x := open(f)
	f.Fuzz(func(t *testing.T, call, query string) {
		u := &url.URL{Path: "/api/v1/" + call, RawQuery: query}
		x.send(t, "GET", u.RequestURI(), "", nil)
	})
}

// FuzzRange compares with what http.ServeContent makes of the same bytes.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=5-", "bytes=-7", "bytes=1-2,5-9,-3", "bytes=0-,0-,0-", "bytes=", "bytes=9-1", "bytes=a-b", "bytes= 1 - 2 ,, 3-4", "bytes=99999999999999999999-", "pages=1-2", "BYTES=1-2", "bytes"} {
		f.Add(s, "", "")
	}
	f.Add("bytes=0-1", `"other"`, "")
	f.Add("bytes=0-1", "Tue, 19 Jul 2011 21:55:38 GMT", `W/"x", "y"`)
	x := open(f)
	// Three extents: two in the catalog, one in a file.
	content := noise(200_000)
	id, at := "", 0
	for _, n := range []int{10, 199_000, 990} {
		a := x.do("PUT", fmt.Sprintf("/api/v1/file/chunked_upload?offset=%d&upload_id=%s", at, id), bytes.NewReader(content[at:at+n]))
		id, at = a.json(f)["upload_id"].(string), at+n
	}
	uid := x.do("POST", "/api/v1/file/commit_chunked_upload?path=/r.bin&upload_id="+id, nil).json(f)["uid"].(string)
	head := x.do("HEAD", "/api/v1/file/get?uid="+uid, nil).Header
	f.Fuzz(func(t *testing.T, rng, ifRange, ifNone string) {
		h := http.Header{}
		for name, v := range map[string]string{"Range": rng, "If-Range": ifRange, "If-None-Match": ifNone} {
			if v != "" {
				h.Set(name, v)
			}
		}
		got, ok := x.send(t, "GET", "/api/v1/file/get?uid="+uid, "", h)
		if !ok {
			return
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		for k, v := range h {
			r.Header.Set(k, strings.TrimSpace(v[0])) // as it arrives
		}
		unit, set, isRange := strings.Cut(r.Header.Get("Range"), "=")
		switch {
		case isRange && strings.EqualFold(strings.TrimSpace(unit), "bytes"):
			r.Header.Set("Range", "bytes="+set)
		case isRange:
			r.Header.Del("Range") // another unit is to be ignored
		}
		w.Header().Set("ETag", head.Get("ETag"))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", parseTime(head.Get("Last-Modified")), bytes.NewReader(content))
		if got.StatusCode != w.Code || got.Header.Get("Content-Range") != w.Header().Get("Content-Range") {
			t.Fatalf("%q: %d %q, want %d %q", h, got.StatusCode, got.Header.Get("Content-Range"), w.Code, w.Header().Get("Content-Range"))
		}
		if kind := got.Header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/") {
			if len(got.body) != w.Body.Len() {
				t.Errorf("%q: %d bytes, want %d", h, len(got.body), w.Body.Len())
			}
			return // the parts have a random boundary
		}
		if w.Code < 300 && !bytes.Equal(got.body, w.Body.Bytes()) {
			t.Errorf("%q: %d bytes, want %d", h, len(got.body), w.Body.Len())
		}
	})
}

// FuzzPath: whatever is put can be got under the same path and under that of
// the answer, and names that no file can have leave nothing behind.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/a", "a/b/c.txt", "/..", "/a/../b", "/a//b", "/CON", "/x.", "/\u202e", "/é", "/e\u0301", "/a\x00", "/\xff", "/" + strings.Repeat("x", 300), "/ß", "/İ", "/a b.txt/", "/%2e%2e/x", `/a\b`, "/\u1fb3.x"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	x := open(f)
	f.Fuzz(func(t *testing.T, path string, boxed bool) {
		q := url.Values{"path": {path}, "overwrite": {"true"}}
		put, get := "/api/v1/file/put?"+q.Encode(), "/api/v1/file/get?"+q.Encode()
		if boxed {
			p := (&url.URL{Path: "/1/files_put/auto/" + strings.TrimPrefix(path, "/")}).EscapedPath()
			put, get = p, strings.Replace(p, "files_put", "files", 1)
		}
		a, ok := x.send(t, "PUT", put, path, nil)
		if !ok {
			return
		}
		b, _ := x.send(t, "GET", get, "", nil)
		if a.StatusCode != 200 {
			if b.StatusCode == 200 && string(b.body) == path {
				t.Errorf("%q was refused (%d) and is there", path, a.StatusCode)
			}
			return
		}
		if b.StatusCode != 200 || string(b.body) != path {
			t.Errorf("%q: %d %q", path, b.StatusCode, b.body)
		}
		saved := a.json(t)["path"].(string)
		if !norm.NFC.IsNormalString(saved) || !utf8.ValidString(saved) || strings.Contains(saved, "/../") || !strings.HasPrefix(saved, "/") {
			t.Errorf("%q was saved as %q", path, saved)
		}
		b, _ = x.send(t, "GET", "/api/v1/file/get?path="+url.QueryEscape(saved), "", nil)
		if string(b.body) != path {
			t.Errorf("%q, saved as %q: %d %q", path, saved, b.StatusCode, b.body)
		}
	})
}

// FuzzJSONParams: parameters in a body are those of the query, or refused.
func FuzzJSONParams(f *testing.F) {
	for _, s := range []string{`{"path":"/a"}`, `{"path":"/a","path":"/b"}`, `{"path":["/a"]}`, `{"path":"/a"}{}`, `[]`, `{"path":null}`, `{"limit":1e3}`, "", "{", `{"path":"\ud800"}`, "{\"path\":\"\xff\"}"} {
		f.Add(s)
	}
	x := open(f)
	f.Fuzz(func(t *testing.T, body string) {
		a, ok := x.send(t, "POST", "/api/v1/file/cancel_upload", body, http.Header{"Content-Type": {"application/json"}})
		if ok && a.StatusCode != 400 && a.StatusCode != 404 {
			t.Errorf("%q: %d %s", body, a.StatusCode, a.body)
		}
	})
}
