package fileapi_test

import (
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestContentHeaders: what somebody uploaded never runs as a page of ours.
func TestContentHeaders(t *testing.T) {
	f := open(t)
	for name, kind := range map[string]string{
		"a.html": "text/html; charset=utf-8", "a.svg": "image/svg+xml", "a.xhtml": "application/xhtml+xml", "a.js": "text/javascript; charset=utf-8",
		"a.xml": "application/xml", "a.png": "image/png", "a.pdf": "application/pdf", "a.txt": "text/plain; charset=utf-8",
		"a.DOCX": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a": "application/octet-stream", "a.nonsense": "application/octet-stream",
	} {
		f.put("/t/"+name, "<script>alert(1)</script>")
		for _, how := range []string{"", "attachment", "inline"} {
			a := f.do("GET", "/api/v1/file/get?path=/t/"+name+"&disposition="+how, nil)
			if got := a.Header.Get("Content-Type"); got != kind {
				t.Errorf("%s: %q, want %q", name, got, kind)
			}
			want := "attachment"
			if harmless := name == "a.png" || name == "a.pdf" || name == "a.txt"; harmless && how == "inline" {
				want = "inline"
			}
			got, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
			if err != nil || got != want || params["filename"] != name {
				t.Errorf("%s %s: %q", name, how, a.Header.Get("Content-Disposition"))
			}
			csp := a.Header.Get("Content-Security-Policy")
			if a.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script-src") ||
				!strings.Contains(csp, "sandbox") && (name != "a.pdf" || how != "inline") {
				t.Errorf("%s %s: %v", name, how, a.Header)
			}
		}
	}
	f.do("GET", "/api/v1/file/get?path=/t/a.png&disposition=page", nil).expect(t, "disposition", 400, "bad_parameter")
}

// TestRefusedRanges: refusals of the content itself are told as all others.
func TestRefusedRanges(t *testing.T) {
	f := open(t)
	f.put("/r.bin", "0123456789")
	for _, path := range []string{"/api/v1/file/get?path=/r.bin", "/1/files/auto/r.bin"} {
		a := f.do("GET", path, nil, "Range", "bytes=10-")
		if a.StatusCode != 416 || a.Header.Get("Content-Range") != "bytes */10" || a.Header.Get("Content-Disposition") != "" ||
			!strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") || a.json(t)["error"] == "" {
			t.Errorf("%d %s %v", a.StatusCode, a.body, a.Header)
		}
		a = f.do("GET", path, nil, "If-Match", `"other"`)
		if a.StatusCode != 412 || a.json(t)["error"] == "" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		a = f.do("HEAD", path, nil, "Range", "bytes=10-")
		if a.StatusCode != 416 || len(a.body) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		for _, rng := range []string{"pages=1-2", "none=0"} {
			if a = f.do("GET", path, nil, "Range", rng); a.StatusCode != 200 || string(a.body) != "0123456789" {
				t.Errorf("%s: %d %s", rng, a.StatusCode, a.body)
			}
		}
		if a = f.do("GET", path, nil, "Range", "Bytes=2-3"); a.StatusCode != 206 || string(a.body) != "23" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	f.put("/empty", "")
	if a := f.do("GET", "/api/v1/file/get?path=/empty", nil); a.StatusCode != 200 || a.ContentLength != 0 {
		t.Errorf("%d %d", a.StatusCode, a.ContentLength)
	}
	if a := f.do("GET", "/api/v1/file/get?path=/empty", nil, "Range", "bytes=0-"); a.StatusCode != 416 && a.StatusCode != 200 {
		t.Errorf("%d", a.StatusCode)
	}
}

// TestMultipart: the parts of an answer to several ranges are the file's.
func TestMultipart(t *testing.T) {
	f := open(t)
	content := noise(200_000)
	f.put("/m.bin", string(content))
	a := f.do("GET", "/api/v1/file/get?path=/m.bin", nil, "Range", "bytes=0-9,100000-100999,-5")
	kind, params, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if a.StatusCode != 206 || kind != "multipart/byteranges" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, want := range [][]byte{content[:10], content[100_000:101_000], content[199_995:]} {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(p); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", p.Header.Get("Content-Range"), len(got), err)
		}
	}
}

func TestConversionUnavailable(t *testing.T) {
	f := open(t)
	f.put("/d.docx", "x")
	f.do("GET", "/api/v1/file/get?path=/d.docx&mime=application/pdf", nil).expect(t, "mime", 503, "conversion_unavailable")
	f.do("GET", "/api/v1/file/get?path=/d.docx&mime=nonsense", nil).expect(t, "mime", 415, "unsupported_source")
	f.do("GET", "/api/v1/file/get?path=/d.docx&subfile=word/document.xml", nil).expect(t, "subfile", 422, "bad_archive")
	f.do("GET", "/api/v1/file/get?path=/none&mime=application/pdf", nil).expect(t, "missing", 404, "not_found")
	if a := f.do("GET", "/api/v1/file/get?path=/d.docx&mime=application/vnd.openxmlformats-officedocument.wordprocessingml.document", nil); a.StatusCode != 200 || string(a.body) != "x" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// TestDamaged: bytes that are missing are the server's failure: neither a
// missing file nor a file that seems whole.
func TestDamaged(t *testing.T) {
	f := openWith(t, settings{local: true})
	damage := func(size int64, do func(path string) error) {
		t.Helper()
		done := 0
		err := filepath.WalkDir(f.files, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, ierr := d.Info(); ierr == nil && info.Size() == size {
					done++
					return do(path)
				}
			}
			return err
		})
		if err != nil || done != 1 {
			t.Fatalf("%d %v", done, err)
		}
	}
	f.put("/d.bin", string(noise(200_000)))
	damage(200_000, func(path string) error { return os.Truncate(path, 100_000) })
	if n, err := httptestGet(f, "/api/v1/file/get?path=/d.bin"); err == nil {
		t.Errorf("the answer is whole: %d", n)
	}
	f.put("/e.bin", string(noise(300_000)))
	damage(300_000, os.Remove)
	a := f.do("GET", "/api/v1/file/get?path=/e.bin", nil)
	if a.StatusCode != 500 || a.Header.Get("ETag") != "" || a.json(t)["error"] == "" {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
}

// httptestGet reads an answer to its end.
func httptestGet(f *fixture, path string) (n int, err error) {
	r := httptest.NewRequestWithContext(context.Background(), "GET", f.http.URL+path, nil)
	r.RequestURI = ""
	r.Header.Set("Authorization", "Bearer "+f.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return len(b), err
}
