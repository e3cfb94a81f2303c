package ucloud_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/ucloud"
)

// raw sends a request as it stands and returns the status and body; 0 is that
// the connection ended without an answer.
func (f *fixture) raw(text string) (int, string) {
	f.t.Helper()
	u, _ := url.Parse(f.url)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func head(token, offset, rest string) string {
	return "POST /ucloud/quire/chunked HTTP/1.1\r\nHost: x\r\nchunked-upload-token: " + token + "\r\nchunked-upload-offset: " + offset + "\r\n" + rest
}

func TestChunkRejects(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/a", "REJECT")
	f.put(u, 0, -1, "0123", 200)
	folder := f.begin("/main/tree", "FOLDER", `["WEBSOCKET_V2"]`, "RENAME")
	link := f.call(f.token, "POST", "/api/files/download", `{"items":[{"id":"/main/a"}]}`)
	_, download, _ := strings.Cut(link.body, "token=")
	download, _, _ = strings.Cut(download, `"`)

	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"no Content-Length", head(u.Token, "4", "\r\n"), 400},
		{"negative Content-Length", head(u.Token, "4", "Content-Length: -1\r\n\r\n"), 400},
		{"unparsable Content-Length", head(u.Token, "4", "Content-Length: four\r\n\r\n"), 400},
		{"two Content-Lengths", head(u.Token, "4", "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"), 400},
		{"overflowing Content-Length", head(u.Token, "4", "Content-Length: 99999999999999999999\r\n\r\n"), 400},
		{"too large Content-Length", head(u.Token, "4", "Content-Length: 32000001\r\n\r\n"), 400},
		{"chunked transfer encoding", head(u.Token, "4", "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"), 400},
		{"no offset", "POST /ucloud/quire/chunked HTTP/1.1\r\nHost: x\r\nchunked-upload-token: " + u.Token + "\r\nContent-Length: 4\r\n\r\nabcd", 400},
		{"offset beyond the end", head(u.Token, "5", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"offset -2", head(u.Token, "-2", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"offset +1", head(u.Token, "+1", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"offset 0x1", head(u.Token, "0x1", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"offset that overflows", head(u.Token, "9223372036854775808", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"offset and length that overflow", head(u.Token, "9223372036854775807", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"total that is negative", head(u.Token, "4", "chunked-upload-total-size: -1\r\nContent-Length: 4\r\n\r\nabcd"), 400},
		{"total that is no number", head(u.Token, "4", "chunked-upload-total-size: big\r\nContent-Length: 4\r\n\r\nabcd"), 400},
		{"chunk beyond the total", head(u.Token, "4", "chunked-upload-total-size: 7\r\nContent-Length: 4\r\n\r\nabcd"), 400},
		{"total below what is here", head(u.Token, "1", "chunked-upload-total-size: 3\r\nContent-Length: 1\r\n\r\na"), 400},
		{"no token", head("", "4", "Content-Length: 4\r\n\r\nabcd"), 401},
		{"unknown token", head("nonsense", "4", "Content-Length: 4\r\n\r\nabcd"), 404},
		{"token with a bit changed", head(u.Token[:len(u.Token)-2]+"AA", "4", "Content-Length: 4\r\n\r\nabcd"), 404},
		{"token of a bearer", head(f.token, "4", "Content-Length: 4\r\n\r\nabcd"), 404},
		{"token of a download", head(download, "4", "Content-Length: 4\r\n\r\nabcd"), 404},
		{"token of a folder", head(folder.Token, "4", "Content-Length: 4\r\n\r\nabcd"), 400},
		{"GET", strings.Replace(head(u.Token, "4", "\r\n"), "POST", "GET", 1), 405},
		{"another provider", strings.Replace(head(u.Token, "4", "Content-Length: 4\r\n\r\nabcd"), "quire", "other", 1), 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, body := f.raw(test.request)
			if status != test.status {
				t.Errorf("got %d %s, want %d", status, body, test.status)
			}
			if strings.Contains(test.name, "Content-Length") && test.name != "no Content-Length" && test.name != "too large Content-Length" {
				return // the HTTP server itself answers
			}
			var e map[string]any
			if err := json.Unmarshal([]byte(body), &e); err != nil || e["why"] == "" || len(e) != 2 || e["errorCode"] != nil {
				t.Errorf("not a CommonErrorMessage: %s", body)
			}
		})
	}
	// Nothing of all that did anything.
	f.put(u, 4, 8, "4567", 200)
	f.has("/a", "01234567")
	f.clean()
}

func TestLyingContentLength(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/short", "REJECT")
	// Short: the sender ends before it has sent what it announced. What came is
	// kept, and there is no answer.
	url, _ := url.Parse(f.url)
	conn, err := net.Dial("tcp", url.Host)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, head(u.Token, "0", "Content-Length: 10\r\n\r\n01234"))
	conn.(*net.TCPConn).CloseWrite()
	if b, _ := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("answered %q", b)
	}
	conn.Close()
	f.put(u, 5, 10, "56789", 200)
	f.has("/short", "0123456789")

	// Long: what is beyond is no part of the chunk.
	u = f.chunked("/main/long", "REJECT")
	if status, _ := f.raw(head(u.Token, "0", "chunked-upload-total-size: 4\r\nContent-Length: 4\r\n\r\n0123456789")); status != 200 {
		t.Errorf("got %d", status)
	}
	f.has("/long", "0123")
	f.clean()
}

func TestSlowSenderIsCut(t *testing.T) {
	f := open(t, ucloud.Options{})
	f.stall = 300 * time.Millisecond
	f.restart()
	u := f.chunked("/main/slow", "REJECT")
	began := time.Now()
	status, _ := f.raw(head(u.Token, "0", "Content-Length: 32000000\r\n\r\n01234"))
	if took := time.Since(began); status != 0 || took > 5*time.Second {
		t.Errorf("got %d after %v", status, took)
	}
	f.put(u, -1, 10, "56789", 200)
	f.has("/slow", "0123456789")
	f.clean()
}

func TestParallelChunksAreRefused(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/a", "REJECT")
	first := make(chan int, 1)
	begin := func() *io.PipeWriter {
		body, slow := io.Pipe()
		r := chunk(u, 0, 8, make([]byte, 4))
		r.Body, r.ContentLength = body, 4
		go func() {
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				first <- 0
				return
			}
			resp.Body.Close()
			first <- resp.StatusCode
		}()
		slow.Write([]byte("01"))
		return slow
	}
	slow := begin()
	// The first is under way once the server has read of it; until then the
	// second may come first itself, and changes nothing, or is what the first is
	// refused for, which then comes again.
	for i := 0; ; i++ {
		a := f.send(chunk(u, 0, -1, nil))
		select {
		case got := <-first:
			if got != 409 {
				t.Fatalf("the first got %d", got)
			}
			slow.Close()
			slow = begin()
			continue
		default:
		}
		if a.status == 409 {
			break
		} else if i == 1000 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		time.Sleep(time.Millisecond)
	}
	slow.Write([]byte("23"))
	slow.Close()
	if got := <-first; got != 200 {
		t.Errorf("the first got %d", got)
	}
	f.put(u, 4, 8, "4567", 200)
	f.has("/a", "01234567")
}

func TestTokenOfAnotherSession(t *testing.T) {
	f := open(t, ucloud.Options{})
	a, b := f.chunked("/main/a", "REJECT"), f.chunked("/main/b", "REJECT")
	f.put(a, 0, 4, "aaaa", 200)
	f.put(b, 0, 2, "bb", 200)
	f.has("/a", "aaaa")
	f.has("/b", "bb")
	// A token says nothing to who may do what elsewhere.
	for _, path := range []string{"/api/files/browse?path=/main", "/api/files/retrieve?id=/main/b"} {
		if got := f.call(a.Token, "GET", path, ""); got.status != 401 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	// Its owner is looked up each time.
	_, token := f.user("bob", quire.RoleMember, quire.Editor)
	f.token = token
	u := f.chunked("/main/c", "REJECT")
	f.put(u, 0, 8, "0123", 200)
	if _, err := f.lib.ChangeUser(f.ctx, "bob", func(u *quire.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	f.put(u, 4, 8, "4567", 401)
	who, err := f.lib.ChangeUser(f.ctx, "bob", func(u *quire.User) { u.Disabled = false })
	if err != nil {
		t.Fatal(err)
	}
	if err := f.lib.Share(f.ctx, f.admin, f.site.Root, who.ID, quire.Viewer); err != nil {
		t.Fatal(err)
	}
	f.put(u, 4, 8, "4567", 403)
	if err := f.lib.Unshare(f.ctx, f.admin, f.site.Root, who.ID); err != nil {
		t.Fatal(err)
	}
	f.put(u, 4, 8, "4567", 404)
	if err := f.lib.Share(f.ctx, f.admin, f.site.Root, who.ID, quire.Editor); err != nil {
		t.Fatal(err)
	}
	f.put(u, 4, 8, "4567", 200)
	f.has("/c", "01234567")
}

// TestSessionLife: each byte gives a session 48 hours; it does not go on after
// that.
func TestSessionLife(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/a", "REJECT")
	for at := range int64(3) {
		f.put(u, at, 9, "x", 200)
		f.later.Add(int64(47 * time.Hour))
	}
	f.put(u, -1, 9, "x", 200)
	f.later.Add(int64(48 * time.Hour))
	f.put(u, -1, 9, "x", 404)
	// A life that is set too short is half an hour all the same.
	f.opt.Life = time.Second
	f.restart()
	u = f.chunked("/main/b", "REJECT")
	f.later.Add(int64(29 * time.Minute))
	f.put(u, 0, 9, "x", 200)
	f.later.Add(int64(31 * time.Minute))
	f.put(u, 1, 9, "x", 404)
}

func TestLastChunkAgain(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/a", "REJECT")
	f.put(u, 0, 8, "0123", 200)
	f.put(u, 4, 8, "4567", 200)
	f.put(u, 4, 8, "4567", 200)
	f.put(u, -1, 8, "4567", 200)
	f.put(u, 4, 8, "456x", 409)
	f.put(u, 8, 9, "8", 409)
	f.has("/a", "01234567")
	f.clean()
}

func TestEmptyFiles(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/empty", "RENAME")
	f.has("/empty", "")
	f.put(u, 0, 0, "", 200)
	e, err := f.lib.Lookup(f.ctx, f.admin, "/empty")
	if err != nil || e.Revision != 1 {
		t.Errorf("got revision %d, %v", e.Revision, err)
	}
	f.store("/full", "content")
	u = f.chunked("/main/full", "REPLACE")
	f.has("/full", "content")
	f.put(u, 0, 0, "", 200)
	f.has("/full", "")
	f.clean()
}

func TestWithoutTotalSize(t *testing.T) {
	f := open(t, ucloud.Options{Quiet: time.Millisecond})
	f.store("/good", "good")
	u := f.chunked("/main/good", "REPLACE")
	f.put(u, 0, -1, "01", 200)
	f.has("/good", "good")
	quiet := func() {
		t.Helper()
		time.Sleep(20 * time.Millisecond) // longer than Quiet
		if err := f.lib.Chores(f.ctx); err != nil {
			t.Fatal(err)
		}
	}
	quiet()
	f.has("/good", "01")
	f.put(u, -1, -1, "23", 200)
	f.put(u, 0, -1, "x", 200)
	quiet()
	f.has("/good", "x123")
	f.put(u, 4, 6, "45", 200)
	f.has("/good", "x12345")
	e, err := f.lib.Lookup(f.ctx, f.admin, "/good")
	if err != nil {
		t.Fatal(err)
	}
	revs, err := f.lib.Revisions(f.ctx, f.admin, e.ID, 0, 10, true)
	if err != nil || len(revs) != 4 {
		t.Fatalf("got %d revisions, %v", len(revs), err)
	}
	quiet()
	f.clean()
}

// TestPublishingDisturbsNobody: what is published leaves a chunk on its way
// alone, and somebody else's work, too.
func TestPublishingDisturbsNobody(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/doc.txt", "RENAME")
	f.put(u, 0, -1, "0123", 200)
	body, slow := io.Pipe()
	r := chunk(u, 4, -1, make([]byte, 4))
	r.Body, r.ContentLength = body, 4
	got := make(chan int, 1)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			got <- 0
			return
		}
		resp.Body.Close()
		got <- resp.StatusCode
	}()
	slow.Write([]byte("45"))
	// Its sender may look at the file at any time.
	if a := f.call(f.token, "GET", "/api/files/retrieve?id=/main/doc.txt", ""); !strings.Contains(a.body, `"sizeInBytes":4`) {
		t.Errorf("got %s", a.body)
	}
	slow.Write([]byte("67"))
	slow.Close()
	if status := <-got; status != 200 {
		t.Errorf("the chunk got %d", status)
	}
	look := func() {
		t.Helper()
		if a := f.call(f.token, "POST", "/api/files/download", `{"items":[{"id":"/main/doc.txt"}]}`); a.status != 200 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	look()
	look()
	f.has("/doc.txt", "01234567")
	if e, _ := f.lib.Lookup(f.ctx, f.admin, "/doc.txt"); e.Revision != 3 {
		t.Errorf("looking made revision %d", e.Revision)
	}
	f.store("/doc.txt", "somebody else's")
	f.put(u, -1, -1, "89", 200)
	look()
	f.put(u, -1, 12, "ab", 200)
	f.has("/doc.txt", "somebody else's")
	f.has("/doc(1).txt", "0123456789ab")
	f.clean()
}

func TestSessionsAppendBesideOthersWork(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/doc.txt", "RENAME")
	f.put(u, 0, 4, "ab", 200)
	f.store("/doc.txt", "somebody else's")
	f.put(u, 2, 4, "cd", 200)
	f.has("/doc.txt", "somebody else's")
	f.has("/doc(1).txt", "abcd")
	f.clean()
}

// TestResume cuts uploads off at random places, with restarts of the server,
// and goes on from where they are, by the same token or after a reload.
func TestResume(t *testing.T) {
	f := open(t, ucloud.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3_000_000)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	u := f.chunked("/main/data.bin", "RENAME")
	total := int64(len(data))
	at, acked := int64(0), int64(0)
	for step := 0; acked < total; step++ {
		n := min(int64(random.IntN(400_000)+1), total-at)
		switch random.IntN(4) {
		case 0: // the sender dies in the middle
			f.cut(u, at, total, data[at:at+n], random.IntN(int(n)))
			at = acked
		case 1:
			f.restart()
			u.Endpoint = f.url + "/ucloud/quire/chunked"
			at = acked
		case 2: // the page is loaded again
			if acked > 0 {
				u = f.chunked("/main/data.bin", "RENAME")
			}
			at = acked
		default:
			f.put(u, at, total, string(data[at:at+n]), 200)
			at += n
			acked = at
			if acked < total && random.IntN(3) == 0 {
				at -= int64(random.IntN(int(n))) // it rewrites some
			}
		}
	}
	if got := f.content("/data.bin"); got != string(data) {
		t.Errorf("got %d bytes that differ", len(got))
	}
	f.clean()
}

// cut sends a part of a chunk and breaks the connection off.
func (f *fixture) cut(u upload, at, total int64, data []byte, n int) {
	f.t.Helper()
	host, _ := url.Parse(f.url)
	conn, err := net.Dial("tcp", host.Host)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, head(u.Token, strconv.FormatInt(at, 10), fmt.Sprintf("chunked-upload-total-size: %d\r\nContent-Length: %d\r\n\r\n", total, len(data))))
	conn.Write(data[:n])
	conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, conn) // until the server has kept what came
}

func TestReloadReplacesTheOldTab(t *testing.T) {
	f := open(t, ucloud.Options{})
	old := f.chunked("/main/a", "RENAME")
	f.put(old, 0, 8, "0123", 200)
	u := f.chunked("/main/a", "RENAME")
	f.put(old, 4, 8, "xxxx", 409)
	f.put(u, 4, 8, "4567", 200)
	f.has("/a", "01234567")

	// Another file of the same name starts over.
	u = f.chunked("/main/b", "RENAME")
	f.put(u, 0, 8, "0123", 200)
	u = f.chunked("/main/b", "RENAME")
	f.put(u, 0, 3, "xyz", 200)
	f.has("/b", "xyz")
	// One that is complete is not gone on with.
	u = f.chunked("/main/b", "RENAME")
	f.put(u, 0, 1, "1", 200)
	f.has("/b", "xyz")
	f.has("/b(1)", "1")
	f.clean()
}

// TestRewriting writes chunks at random places and compares with a slice.
func TestRewriting(t *testing.T) {
	f := open(t, ucloud.Options{})
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := fmt.Sprintf("/r%d", n)
		u := f.chunked("/main"+path, "REJECT")
		var want []byte
		for range rapid.IntRange(1, 12).Draw(t, "chunks") {
			at := rapid.IntRange(-1, len(want)).Draw(t, "at")
			data := bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "byte"))}, rapid.SampledFrom([]int{0, 1, 7, 1000, 70_000}).Draw(t, "length"))
			if a := f.send(chunk(u, int64(at), -1, data)); a.status != 200 {
				t.Fatalf("chunk of %d at %d of %d: %d %s", len(data), at, len(want), a.status, a.body)
			}
			if at < 0 {
				at = len(want)
			}
			want = append(want[:at:at], append(bytes.Clone(data), want[min(len(want), at+len(data)):]...)...)
		}
		if a := f.send(chunk(u, int64(len(want)), int64(len(want)), nil)); a.status != 200 {
			t.Fatalf("end: %d %s", a.status, a.body)
		}
		if got := f.content(path); got != string(want) {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
	})
	f.clean()
}

func TestQuota(t *testing.T) {
	f := open(t, ucloud.Options{})
	if err := f.lib.SetQuota(f.ctx, f.site.ID, 100); err != nil {
		t.Fatal(err)
	}
	u := f.chunked("/main/a", "REJECT")
	f.put(u, 0, 200, strings.Repeat("x", 60), 200)
	f.put(u, 60, 200, strings.Repeat("x", 60), 402)
}
