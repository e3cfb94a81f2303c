package fileapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire/server"
)

// conn is a connection on which a test writes what no client would.
type conn struct {
	*net.TCPConn
	t testing.TB
}

func (f *fixture) dial() conn {
	f.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(f.http.URL, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return conn{c.(*net.TCPConn), f.t}
}

// begin sends a request's line and headers, and the beginning of its body.
func (f *fixture) begin(c conn, method, path, head, body string) {
	f.t.Helper()
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n%s", method, path, f.token, head, body); err != nil {
		f.t.Fatal(err)
	}
}

func (c conn) answer() answer {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{resp, b}
}

func (a answer) expect(t testing.TB, what string, status int, code string) {
	t.Helper()
	m := a.json(t)
	if a.StatusCode != status || m["error"] != code {
		t.Errorf("%s: %d %s, want %d %s", what, a.StatusCode, a.body, status, code)
	}
}

// TestLength: bodies that are not as long as they say, or do not say it.
func TestLength(t *testing.T) {
	f := open(t)
	before := f.state()
	f.do("PUT", "/api/v1/file/put?path=/x", struct{ io.Reader }{strings.NewReader("no length")}).expect(t, "chunked encoding", 411, "length_required")
	for _, path := range []string{"/api/v1/file/put?path=/x", "/api/v1/file/chunked_upload", "/1/files_put/auto/x", "/1/chunked_upload"} {
		c := f.dial()
		f.begin(c, "PUT", path, "", "")
		if a := c.answer(); a.StatusCode != http.StatusLengthRequired {
			t.Errorf("%s without Content-Length: %d %s", path, a.StatusCode, a.body)
		}
		c = f.dial()
		f.begin(c, "PUT", path, "Content-Length: 150000001\r\nExpect: 100-continue\r\n", "")
		if a := c.answer(); a.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(a.body), "chunked_upload") {
			t.Errorf("%s with too much: %d %s", path, a.StatusCode, a.body)
		}
		for _, length := range []string{"-1", "x", "99999999999999999999", "5, 6"} {
			c = f.dial()
			f.begin(c, "PUT", path, "Content-Length: "+length+"\r\n", "hello")
			if a := c.answer(); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s with length %s: %d %s", path, length, a.StatusCode, a.body)
			}
		}
	}
	for _, body := range []string{"short", strings.Repeat("long enough not to be kept in the catalog", 5000)} {
		c := f.dial()
		f.begin(c, "PUT", "/api/v1/file/put?path=/x", "Content-Length: 1000000\r\n", body)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.answer().expect(t, "a body that breaks off", 400, "incomplete_body")
	}
	if after := f.state(); after != before {
		t.Errorf("something was stored:\n%s\nbefore:\n%s", after, before)
	}
}

// TestStall: a sender who stalls is told so, and nothing is stored.
func TestStall(t *testing.T) {
	f := openWith(t, settings{server: server.Options{Stall: 200 * time.Millisecond}})
	c := f.dial()
	f.begin(c, "PUT", "/api/v1/file/put?path=/x", "Content-Length: 1000000\r\n", "short")
	c.answer().expect(t, "stalled", 408, "timeout")
	f.do("GET", "/api/v1/file/get?path=/x", nil).expect(t, "get", 404, "not_found")
}

// TestBrokenChunk: what came of a chunk is kept and told, and the client goes
// on from there.
func TestBrokenChunk(t *testing.T) {
	f := open(t)
	for _, size := range []int{10, 1 << 20} {
		content := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		id := f.do("PUT", "/api/v1/file/chunked_upload", bytes.NewReader(content[:3])).json(t)["upload_id"].(string)
		c := f.dial()
		f.begin(c, "PUT", "/api/v1/file/chunked_upload?offset=3&upload_id="+id, fmt.Sprintf("Content-Length: %d\r\n", size), string(content[3:size-2]))
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		a := c.answer()
		a.expect(t, "a chunk that breaks off", 400, "incomplete_body")
		m := a.json(t)
		if m["upload_id"] != id || m["offset"] != float64(size-2) {
			t.Errorf("%s", a.body)
		}
		a = f.do("PUT", fmt.Sprintf("/api/v1/file/chunked_upload?offset=%d&upload_id=%s", size-2, id), bytes.NewReader(content[size-2:]))
		if a.StatusCode != 200 || a.json(t)["offset"] != float64(size) {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		path := fmt.Sprintf("/broken-%d", size)
		f.do("POST", "/api/v1/file/commit_chunked_upload?path="+path+"&upload_id="+id, nil)
		if a := f.do("GET", "/api/v1/file/get?path="+path, nil); !bytes.Equal(a.body, content) {
			t.Errorf("%d bytes, want %d", len(a.body), size)
		}
	}
}

// TestNewerChunk: a client that comes back while the server still waits for
// the rest of its older request goes on at once, and the older request does not
// look like a success.
func TestNewerChunk(t *testing.T) {
	f := open(t)
	for _, kept := range []int{6, 300_000} {
		content := bytes.Repeat([]byte("0123456789"), 100_000)
		var c conn
		var id string
		// The older request has to be under way: its upload says so by its
		// answer to a chunk that begins too late. That may have ended the
		// request before it had read anything; then it takes another. Or the request
		// began after this one, which then loses to it.
		at := 0
		for tries := 0; at == 0; tries++ {
			if tries%100 == 0 {
				id = f.do("PUT", "/api/v1/file/chunked_upload", nil).json(t)["upload_id"].(string)
				c = f.dial()
				f.begin(c, "PUT", "/api/v1/file/chunked_upload?offset=0&upload_id="+id, fmt.Sprintf("Content-Length: %d\r\n", len(content)), string(content[:kept]))
			}
			probe := f.do("PUT", "/api/v1/file/chunked_upload?offset=99999999&upload_id="+id, strings.NewReader("x"))
			offset, ok := probe.json(t)["offset"].(float64)
			if !ok && probe.StatusCode != http.StatusConflict {
				t.Fatalf("%d %s", probe.StatusCode, probe.body)
			}
			at = int(offset)
		}
		a := f.do("PUT", fmt.Sprintf("/api/v1/file/chunked_upload?offset=%d&upload_id=%s", at, id), bytes.NewReader(content[at:]))
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		older := c.answer()
		older.expect(t, "the older request", 409, "upload_busy")
		f.do("POST", "/api/v1/file/commit_chunked_upload?overwrite=1&path=/n&upload_id="+id, nil)
		if a := f.do("GET", "/api/v1/file/get?path=/n", nil); !bytes.Equal(a.body, content) {
			t.Errorf("%d bytes", len(a.body))
		}
	}
}

// TestUploadLife: a session ends a day after the last chunk came, no sooner.
func TestUploadLife(t *testing.T) {
	f := open(t)
	id := f.do("PUT", "/api/v1/file/chunked_upload", strings.NewReader("abc")).json(t)["upload_id"].(string)
	f.ahead.Store(int64(23 * time.Hour))
	if a := f.do("PUT", "/api/v1/file/chunked_upload?offset=3&upload_id="+id, strings.NewReader("def")); a.StatusCode != 200 {
		t.Errorf("after 23 hours: %d %s", a.StatusCode, a.body)
	}
	f.ahead.Store(int64(46 * time.Hour))
	if a := f.do("GET", "/api/v1/file/uploads", nil); !strings.Contains(string(a.body), id) {
		t.Errorf("uploads: %s", a.body)
	}
	f.ahead.Store(int64(48 * time.Hour))
	for _, call := range []string{"chunked_upload?offset=6&", "commit_chunked_upload?path=/late&"} {
		a := f.do("POST", "/api/v1/file/"+call+"upload_id="+id, strings.NewReader("x"))
		if a.StatusCode != 404 || string(a.body) != `{"error":"No upload with upload_id found."}` {
			t.Errorf("%s: %d %s", call, a.StatusCode, a.body)
		}
	}
	if a := f.do("GET", "/api/v1/file/uploads", nil); string(a.body) != `{"uploads":[]}` {
		t.Errorf("uploads: %s", a.body)
	}
}

// TestUploads: sessions are their owner's, can be cancelled, and give the same
// answer to a commit that is repeated.
func TestUploads(t *testing.T) {
	f := open(t)
	_, other := f.user("other", "member", 2, "write")
	id := f.do("PUT", "/api/v1/file/chunked_upload", strings.NewReader("abc")).json(t)["upload_id"].(string)
	for _, call := range []string{"chunked_upload?offset=3&", "commit_chunked_upload?path=/x&", "cancel_upload?"} {
		a := f.do("POST", "/api/v1/file/"+call+"upload_id="+id, strings.NewReader("x"), "Authorization", "Bearer "+other)
		a.expect(t, "somebody else: "+call, 404, "No upload with upload_id found.")
	}
	q := url.Values{"upload_id": {id}, "path": {"/u.txt"}}.Encode()
	first := f.do("POST", "/api/v1/file/commit_chunked_upload?"+q, nil)
	f.put("/u.txt", "newer")
	again := f.do("POST", "/api/v1/file/commit_chunked_upload?"+q, nil)
	if first.StatusCode != 200 || !bytes.Equal(first.body, again.body) || first.Header.Get("ETag") != again.Header.Get("ETag") {
		t.Errorf("%d %s\nagain: %d %s", first.StatusCode, first.body, again.StatusCode, again.body)
	}
	f.do("PUT", "/api/v1/file/chunked_upload?offset=3&upload_id="+id, strings.NewReader("x")).expect(t, "a chunk after the commit", 400, "bad_parameter")

	id = f.do("PUT", "/api/v1/file/chunked_upload", strings.NewReader("abc")).json(t)["upload_id"].(string)
	if a := f.do("POST", "/api/v1/file/cancel_upload?upload_id="+id, nil); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	f.do("POST", "/api/v1/file/commit_chunked_upload?path=/v&upload_id="+id, nil).expect(t, "cancelled", 404, "No upload with upload_id found.")
}
