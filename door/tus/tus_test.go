package tus_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/tus"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
	"github.com/quire-docs/quire/lock"
	"github.com/quire-docs/quire/server"
)

type fixture struct {
	t     testing.TB
	lib   *library.Library
	ids   *identity.Authority
	site  quire.Site
	ann   quire.Caller
	token string // ann's
	base  string
	ahead atomic.Int64 // the catalog's clock
}

func open(t testing.TB) *fixture {
	t.Helper()
	ctx := context.Background()
	f := &fixture{t: t}
	_, store := librarytest.Open(t, func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) })
	f.lib, f.ids = library.New(store.Catalog, store.Blobs, library.Options{}), identity.New(store.Catalog)
	var err error
	if f.site, err = f.lib.CreateSite(ctx, "main", "default", 0); err != nil {
		t.Fatal(err)
	}
	f.ann, f.token = f.user("ann", quire.RoleAdmin, quire.ScopeWrite)
	l := httptest.NewUnstartedServer(nil).Listener
	f.base = "http://" + l.Addr().String()
	public, _ := url.Parse(f.base)
	door := tus.New(f.lib, f.ids, tus.Options{PublicURL: public})
	mux := http.NewServeMux()
	mux.Handle("/uploads", door)
	mux.Handle("/uploads/", door)
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

func (f *fixture) user(login string, role quire.Role, scope quire.Scope) (quire.Caller, string) {
	f.t.Helper()
	ctx := context.Background()
	u, err := f.lib.CreateUser(ctx, library.NewUser{Site: f.site.ID, Login: login, Role: role, Access: quire.Editor})
	if err != nil {
		f.t.Fatal(err)
	}
	text, _, err := f.ids.CreateToken(ctx, u.ID, "", scope, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	c := identity.CallerOf(u, quire.ScopeAdmin)
	c.Door = quire.DoorCommand
	return c, text
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) offset() string { return a.header.Get("Upload-Offset") }

// send makes a request with ann's token and the protocol's version, which
// headers may replace; an empty value leaves one out.
func (f *fixture) send(method, where string, body io.Reader, head ...string) answer {
	f.t.Helper()
	if strings.HasPrefix(where, "/") {
		where = f.base + where
	}
	r, err := http.NewRequest(method, where, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(head); i += 2 {
		if r.Header.Set(head[i], head[i+1]); head[i+1] == "" {
			r.Header.Del(head[i])
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.Header.Get("Tus-Resumable") != "1.0.0" {
		f.t.Errorf("%s %s: no Tus-Resumable in the answer", method, where)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func meta(pairs ...string) string {
	var list []string
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(list, ",")
}

// create makes an upload of a size and returns its URL.
func (f *fixture) create(size int, head ...string) string {
	f.t.Helper()
	a := f.send("POST", "/uploads", nil, append([]string{"Upload-Length", strconv.Itoa(size)}, head...)...)
	if a.status != 201 {
		f.t.Fatalf("create: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

func (f *fixture) patch(where string, offset int, body string, head ...string) answer {
	f.t.Helper()
	return f.send("PATCH", where, strings.NewReader(body), append([]string{"Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(offset)}, head...)...)
}

func (f *fixture) read(path string) string {
	f.t.Helper()
	in, err := f.lib.OpenPath(context.Background(), f.ann, path, 0)
	if err != nil {
		return err.Error()
	}
	defer in.Close()
	b, err := io.ReadAll(in.Reader(0, in.Size))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *fixture) want(what string, a answer, status int, head ...string) {
	f.t.Helper()
	if a.status != status {
		f.t.Errorf("%s: %d %q, want %d", what, a.status, a.body, status)
	}
	for i := 0; i < len(head); i += 2 {
		if got := a.header.Get(head[i]); got != head[i+1] {
			f.t.Errorf("%s: %s is %q, want %q", what, head[i], got, head[i+1])
		}
	}
}

func TestOptions(t *testing.T) {
	f := open(t)
	a := f.send("OPTIONS", "/uploads", nil, "Authorization", "", "Tus-Resumable", "", "Origin", "https://elsewhere.example")
	f.want("options", a, 204, "Tus-Version", "1.0.0", "Tus-Checksum-Algorithm", "sha1,sha256,md5", "Access-Control-Allow-Origin", "*",
		"Tus-Extension", "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum,concatenation")
	for _, name := range []string{"Upload-Offset", "Location", "Upload-Expires"} {
		if !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed", name)
		}
	}
}

// TestUpload is an upload in pieces from its creation to its file.
func TestUpload(t *testing.T) {
	f := open(t)
	m := meta("filename", "Bericht ü.txt", "folder", "/in/box") + ",empty"
	u := f.create(11, "Upload-Metadata", m)
	if !strings.HasPrefix(u, f.base+"/uploads/") {
		t.Fatalf("Location %q", u)
	}
	head := f.send("HEAD", u, nil)
	f.want("head", head, 200, "Upload-Offset", "0", "Upload-Length", "11", "Upload-Metadata", m, "Cache-Control", "no-store")
	if when, err := http.ParseTime(head.header.Get("Upload-Expires")); err != nil || time.Until(when) < 23*time.Hour {
		t.Errorf("Upload-Expires %q", head.header.Get("Upload-Expires"))
	}
	a := f.patch(u, 0, "hello")
	f.want("the first piece", a, 204, "Upload-Offset", "5", "Quire-Uid", "")
	if a.header.Get("Upload-Expires") == "" {
		t.Error("no Upload-Expires")
	}
	f.want("the first piece again", f.patch(u, 0, "hello"), 409)
	f.want("a piece too far", f.patch(u, 6, "world"), 409)
	f.want("head", f.send("HEAD", u, nil), 200, "Upload-Offset", "5")
	f.want("the method in a header", f.send("POST", u, strings.NewReader(" "), "X-HTTP-Method-Override", "PATCH",
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", "5"), 204, "Upload-Offset", "6")
	a = f.patch(u, 6, "world")
	f.want("the last piece", a, 204, "Upload-Offset", "11", "Quire-Revision", "1", "Quire-Path", "/in/box/Bericht%20%C3%BC.txt")
	e, err := f.lib.Lookup(context.Background(), f.ann, "/in/box/Bericht ü.txt")
	if err != nil || string(e.ID) != a.header.Get("Quire-Uid") {
		t.Errorf("%v %v", e.ID, err)
	}
	if got := f.read("/in/box/Bericht ü.txt"); got != "hello world" {
		t.Errorf("it has %q", got)
	}
	f.want("head of what is done", f.send("HEAD", u, nil), 200, "Upload-Offset", "11", "Quire-Uid", string(e.ID))
	f.want("an empty piece at the end", f.patch(u, 11, ""), 204, "Quire-Uid", string(e.ID))
	f.want("more", f.patch(u, 11, "!"), 400)
	f.want("terminate", f.send("DELETE", u, nil), 204)
	f.want("head of what is gone", f.send("HEAD", u, nil), 404)
	f.want("a piece for what is gone", f.patch(u, 11, "x"), 404)
	if got := f.read("/in/box/Bericht ü.txt"); got != "hello world" {
		t.Errorf("then it has %q", got)
	}
}

// TestRefusals: each of these changes nothing.
func TestRefusals(t *testing.T) {
	f := open(t)
	eve, eves := f.user("eve", quire.RoleMember, quire.ScopeWrite)
	_, reads := f.user("rob", quire.RoleMember, quire.ScopeRead)
	_ = eve
	u := f.create(10, "Upload-Metadata", meta("filename", "f"))
	f.want("the beginning", f.patch(u, 0, "12345"), 204)
	octets := []string{"Content-Type", "application/offset+octet-stream"}
	rows := []struct {
		what, method, where, body string
		status                    int
		head                      []string
	}{
		{"no version", "HEAD", u, "", 412, []string{"Tus-Resumable", ""}},
		{"another version", "PATCH", u, "x", 412, append([]string{"Tus-Resumable", "0.2.2", "Upload-Offset", "5"}, octets...)},
		{"no token", "HEAD", u, "", 401, []string{"Authorization", ""}},
		{"a wrong token", "POST", "/uploads", "", 401, []string{"Authorization", "Bearer x", "Upload-Length", "1"}},
		{"basic authentication", "POST", "/uploads", "", 401, []string{"Authorization", "Basic eDp5", "Upload-Length", "1"}},
		{"somebody else's: head", "HEAD", u, "", 404, []string{"Authorization", "Bearer " + eves}},
		{"somebody else's: patch", "PATCH", u, "x", 404, append([]string{"Authorization", "Bearer " + eves, "Upload-Offset", "5"}, octets...)},
		{"somebody else's: terminate", "DELETE", u, "", 404, []string{"Authorization", "Bearer " + eves}},
		{"somebody else's: join", "POST", "/uploads", "", 404, []string{"Authorization", "Bearer " + eves, "Upload-Concat", "final;" + u}},
		{"a token that may read", "POST", "/uploads", "", 403, []string{"Authorization", "Bearer " + reads, "Upload-Length", "1"}},
		{"an unknown upload", "HEAD", "/uploads/none", "", 404, nil},
		{"a path below an upload", "HEAD", u + "/x", "", 404, nil},
		{"GET", "GET", u, "", 405, nil},
		{"PATCH of all", "PATCH", "/uploads", "x", 405, octets},
		{"POST to an upload", "POST", u, "", 405, []string{"Upload-Length", "1"}},
		{"no type", "PATCH", u, "x", 415, []string{"Upload-Offset", "5"}},
		{"another type", "PATCH", u, "x", 415, []string{"Upload-Offset", "5", "Content-Type", "text/plain"}},
		{"no offset", "PATCH", u, "x", 400, octets},
		{"a negative offset", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "-1"}, octets...)},
		{"an offset that overflows", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "9223372036854775808"}, octets...)},
		{"an offset of words", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "5 " + "6"}, octets...)},
		{"a lower offset", "PATCH", u, "x", 409, append([]string{"Upload-Offset", "4"}, octets...)},
		{"a higher offset", "PATCH", u, "x", 409, append([]string{"Upload-Offset", "6"}, octets...)},
		{"too much", "PATCH", u, "123456", 413, append([]string{"Upload-Offset", "5"}, octets...)},
		{"another length", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "5", "Upload-Length", "11"}, octets...)},
		{"an unknown checksum", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "5", "Upload-Checksum", "crc99 AAAA"}, octets...)},
		{"a checksum of another size", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "5", "Upload-Checksum", "sha1 AAAA"}, octets...)},
		{"a checksum that is not base64", "PATCH", u, "x", 400, append([]string{"Upload-Offset", "5", "Upload-Checksum", "sha1 ****"}, octets...)},
		{"a wrong checksum", "PATCH", u, "12345", 460, append([]string{"Upload-Offset", "5", "Upload-Checksum", "sha1 " + sum("54321", "sha1")}, octets...)},
		{"no length", "POST", "/uploads", "", 400, nil},
		{"two lengths", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Defer-Length", "1"}},
		{"a deferred length of 2", "POST", "/uploads", "", 400, []string{"Upload-Defer-Length", "2"}},
		{"a negative length", "POST", "/uploads", "", 400, []string{"Upload-Length", "-5"}},
		{"a length that overflows", "POST", "/uploads", "", 400, []string{"Upload-Length", "99999999999999999999"}},
		{"a body of another type", "POST", "/uploads", "x", 415, []string{"Upload-Length", "1", "Content-Type", "text/plain"}},
		{"metadata that is not base64", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", "filename !!"}},
		{"a key twice", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("a", "1", "a", "2")}},
		{"an empty key", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", "a MQ==,,"}},
		{"very long metadata", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("a", strings.Repeat("x", 9000))}},
		{"a name with a slash", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "../x")}},
		{"a name of dots", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "..")}},
		{"a path out of the folder", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "x", "relativePath", "a/../../x")}},
		{"a path of dots", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("path", "/a/../x")}},
		{"a path of a folder", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("path", "/a/")}},
		{"an unknown folder", "POST", "/uploads", "", 404, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "x", "folder", "none")}},
		{"overwrite perhaps", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "x", "overwrite", "perhaps")}},
		{"an unknown policy", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "x", "conflict", "fight")}},
		{"revision 0", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Metadata", meta("filename", "x", "parent_revision", "0")}},
		{"a wrong Upload-Concat", "POST", "/uploads", "", 400, []string{"Upload-Length", "1", "Upload-Concat", "some"}},
		{"a join of nothing", "POST", "/uploads", "", 400, []string{"Upload-Concat", "final;"}},
		{"a join with a length", "POST", "/uploads", "", 400, []string{"Upload-Concat", "final;" + u, "Upload-Length", "5"}},
		{"a join of what is no part", "POST", "/uploads", "", 400, []string{"Upload-Concat", "final;" + u}},
		{"a join of what is elsewhere", "POST", "/uploads", "", 400, []string{"Upload-Concat", "final;https://example.org/files/1"}},
		{"a join of what is gone", "POST", "/uploads", "", 404, []string{"Upload-Concat", "final;/uploads/none"}},
	}
	for _, r := range rows {
		t.Run(r.what, func(t *testing.T) {
			f.t = t
			var body io.Reader
			if r.body != "" {
				body = strings.NewReader(r.body)
			}
			a := f.send(r.method, r.where, body, r.head...)
			f.want(r.what, a, r.status)
			if r.method != "HEAD" && len(a.body) < 10 {
				t.Errorf("it says only %q", a.body)
			}
			if strings.Contains(r.what, "version") && a.header.Get("Tus-Version") != "1.0.0" {
				t.Error("it does not say which version")
			}
			if r.status == 405 && a.header.Get("Allow") == "" {
				t.Error("it does not say what is allowed")
			}
		})
	}
	f.t = t
	f.want("afterwards", f.send("HEAD", u, nil), 200, "Upload-Offset", "5", "Upload-Length", "10")
	list, err := f.lib.Uploads(context.Background(), f.ann, true)
	if err != nil || len(list) != 1 {
		t.Errorf("%d uploads, %v", len(list), err)
	}
	f.want("and the rest", f.patch(u, 5, "67890"), 204, "Quire-Path", "/f")
}

func sum(s, algorithm string) string {
	switch algorithm {
	case "sha1":
		b := sha1.Sum([]byte(s))
		return base64.StdEncoding.EncodeToString(b[:])
	case "sha256":
		b := sha256.Sum256([]byte(s))
		return base64.StdEncoding.EncodeToString(b[:])
	}
	b := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(b[:])
}

// TestChecksum: a body with a wrong checksum leaves nothing, a right one counts.
func TestChecksum(t *testing.T) {
	f := open(t)
	for _, algorithm := range []string{"sha1", "sha256", "md5"} {
		u := f.create(100_004, "Upload-Metadata", meta("filename", algorithm))
		large := strings.Repeat("x", 100_000)
		f.want("wrong", f.patch(u, 0, large, "Upload-Checksum", algorithm+" "+sum("y", algorithm)), 460)
		f.want("nothing is kept", f.send("HEAD", u, nil), 200, "Upload-Offset", "0")
		f.want("right", f.patch(u, 0, large, "Upload-Checksum", algorithm+" "+sum(large, algorithm)), 204, "Upload-Offset", "100000")
		f.want("the last, wrong", f.patch(u, 100_000, "rest", "Upload-Checksum", algorithm+" "+sum("Rest", algorithm)), 460)
		if got := f.read("/" + algorithm); strings.HasPrefix(got, "x") {
			t.Error("it became a file")
		}
		f.want("the last", f.patch(u, 100_000, "rest", "Upload-Checksum", algorithm+" "+sum("rest", algorithm)), 204, "Quire-Path", "/"+algorithm)
	}
}

// TestCreationWithUpload: what comes with the creation counts, also all of it.
func TestCreationWithUpload(t *testing.T) {
	f := open(t)
	with := func(length, body string, head ...string) answer {
		return f.send("POST", "/uploads", strings.NewReader(body), append([]string{"Upload-Length", length, "Content-Type", "application/offset+octet-stream"}, head...)...)
	}
	a := with("5", "12345", "Upload-Metadata", meta("path", "/all/of it"))
	f.want("all", a, 201, "Upload-Offset", "5", "Quire-Path", "/all/of%20it", "Quire-Revision", "1")
	a = with("5", "123", "Upload-Metadata", meta("path", "/some"))
	f.want("some", a, 201, "Upload-Offset", "3", "Quire-Path", "")
	f.want("the rest", f.patch(a.header.Get("Location"), 3, "45"), 204, "Quire-Path", "/some")
	f.want("too much", with("2", "12345", "Upload-Metadata", meta("path", "/none")), 413)
	f.want("nothing at all", f.send("POST", "/uploads", nil, "Upload-Length", "0", "Upload-Metadata", meta("path", "/empty")), 201, "Quire-Path", "/empty")
	if got := f.read("/all/of it") + f.read("/some") + f.read("/empty"); got != "1234512345" {
		t.Errorf("they have %q", got)
	}
}

// TestDeferredLength: the length may come with any piece, once.
func TestDeferredLength(t *testing.T) {
	f := open(t)
	u := f.send("POST", "/uploads", nil, "Upload-Defer-Length", "1", "Upload-Metadata", meta("filename", "d")).header.Get("Location")
	f.want("head", f.send("HEAD", u, nil), 200, "Upload-Defer-Length", "1", "Upload-Length", "", "Upload-Offset", "0")
	f.want("a piece", f.patch(u, 0, "123"), 204, "Upload-Offset", "3")
	f.want("a length below that", f.patch(u, 3, "4", "Upload-Length", "2"), 400)
	f.want("the length", f.patch(u, 3, "4", "Upload-Length", "6"), 204, "Upload-Offset", "4")
	f.want("head", f.send("HEAD", u, nil), 200, "Upload-Defer-Length", "", "Upload-Length", "6")
	f.want("another length", f.patch(u, 4, "5", "Upload-Length", "7"), 400)
	f.want("the same", f.patch(u, 4, "56", "Upload-Length", "6"), 204, "Quire-Path", "/d")
	u = f.send("POST", "/uploads", nil, "Upload-Defer-Length", "1", "Upload-Metadata", meta("filename", "e")).header.Get("Location")
	f.want("all", f.patch(u, 0, "1"), 204)
	f.want("the length alone", f.patch(u, 1, "", "Upload-Length", "1"), 204, "Quire-Path", "/e")
}

// TestConcatenation: parts that were sent beside each other become one file.
func TestConcatenation(t *testing.T) {
	f := open(t)
	large := strings.Repeat("large ", 50_000)
	var parts []string
	for _, body := range []string{"one ", large, "three"} {
		u := f.create(len(body), "Upload-Concat", "partial")
		f.want("an incomplete part", f.send("POST", "/uploads", nil, "Upload-Concat", "final;"+u), 400)
		f.want("a part", f.patch(u, 0, body), 204, "Quire-Uid", "")
		f.want("head", f.send("HEAD", u, nil), 200, "Upload-Concat", "partial", "Upload-Offset", strconv.Itoa(len(body)))
		parts = append(parts, u)
	}
	list := "final;" + parts[0] + " " + strings.TrimPrefix(parts[1], f.base) + " " + parts[2]
	a := f.send("POST", "/uploads", nil, "Upload-Concat", list, "Upload-Metadata", meta("path", "/joined"))
	f.want("join", a, 201, "Quire-Path", "/joined")
	if got := f.read("/joined"); got != "one "+large+"three" {
		t.Errorf("it has %d bytes", len(got))
	}
	final := a.header.Get("Location")
	all := strconv.Itoa(len("one " + large + "three"))
	f.want("head of the whole", f.send("HEAD", final, nil), 200, "Upload-Concat", list, "Upload-Length", all, "Upload-Offset", all)
	n, _ := strconv.Atoi(all)
	f.want("a piece for the whole", f.patch(final, n, "x"), 403)
	// The answer was lost and the client asks again.
	f.want("join again", f.send("POST", "/uploads", nil, "Upload-Concat", list, "Upload-Metadata", meta("path", "/joined", "overwrite", "true")), 201, "Quire-Path", "/joined")
	f.ahead.Store(int64(2 * time.Hour))
	f.want("the parts end soon", f.send("HEAD", parts[0], nil), 404)
	if _, err := f.lib.Collect(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if sum, err := f.lib.Check(context.Background(), true, func(p library.Problem) { t.Error(p) }); err != nil || sum.Problems > 0 {
		t.Error(err)
	}
	if got := f.read("/joined"); got != "one "+large+"three" {
		t.Errorf("then it has %d bytes", len(got))
	}
}

// TestLanding: where files go, and what happens when the place is taken.
func TestLanding(t *testing.T) {
	f := open(t)
	folder, _, err := f.lib.CreateContainer(context.Background(), f.ann, quire.Target{Path: "/box"})
	if err != nil {
		t.Fatal(err)
	}
	up := func(body string, pairs ...string) answer {
		return f.send("POST", "/uploads", strings.NewReader(body), "Upload-Length", strconv.Itoa(len(body)),
			"Content-Type", "application/offset+octet-stream", "Upload-Metadata", meta(pairs...))
	}
	f.want("by a folder's id", up("1", "filename", "a.txt", "folder", string(folder.ID)), 201, "Quire-Path", "/box/a.txt")
	f.want("a taken name", up("2", "filename", "a.txt", "folder", "/box"), 201, "Quire-Path", "/box/a%20%281%29.txt")
	f.want("overwrite", up("3", "filename", "a.txt", "folder", "/box", "overwrite", "true"), 201, "Quire-Path", "/box/a.txt", "Quire-Revision", "2")
	f.want("refuse", up("4", "filename", "a.txt", "folder", "/box", "conflict", "reject"), 409)
	f.want("at the right revision", up("5", "path", "/box/a.txt", "parent_revision", "2"), 201, "Quire-Revision", "3")
	f.want("at an old revision", up("6", "path", "/box/a.txt", "parent_revision", "2"), 409)
	f.want("a tree, by id", up("7", "filename", "c.txt", "folder", string(folder.ID), "relativePath", "x/y/c.txt"), 201, "Quire-Path", "/box/x/y/c.txt")
	f.want("a tree, by path", up("8", "name", "d.txt", "folder", "/box/x", "relativePath", "null"), 201, "Quire-Path", "/box/x/d.txt")
	f.want("without a name", up("9"), 201, "Quire-Path", "/upload")
	f.want("with a time", up("0", "filename", "old", "modified", "1000000000000"), 201)
	e, err := f.lib.Lookup(context.Background(), f.ann, "/old")
	if err != nil || e.Client.Unix() != 1_000_000_000 {
		t.Errorf("%v %v", e.Client, err)
	}
	if got := f.read("/box/a.txt"); got != "5" {
		t.Errorf("it has %q", got)
	}
}

// TestLockedFile: an upload that cannot become a file now is not called done,
// and can be finished later without sending anything again.
func TestLockedFile(t *testing.T) {
	f := open(t)
	ctx := context.Background()
	e, _, err := f.lib.Save(ctx, f.ann, quire.Target{Path: "/doc.docx"}, strings.NewReader("old"), library.Save{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.lib.Lock(ctx, f.ann, e.ID, lock.Request{Op: lock.Lock, ID: "L"}); err != nil {
		t.Fatal(err)
	}
	u := f.create(3, "Upload-Metadata", meta("path", "/doc.docx", "overwrite", "true"))
	f.want("the last piece", f.patch(u, 0, "new"), 423)
	f.want("head", f.send("HEAD", u, nil), 423)
	if got := f.read("/doc.docx"); got != "old" {
		t.Errorf("it has %q", got)
	}
	if _, err := f.lib.ForceUnlock(ctx, f.ann, e.ID); err != nil {
		t.Fatal(err)
	}
	f.want("head, when it is free", f.send("HEAD", u, nil), 200, "Upload-Offset", "3", "Quire-Revision", "2")
	if got := f.read("/doc.docx"); got != "new" {
		t.Errorf("then it has %q", got)
	}
}

// TestExpiration: an upload lives a day from its last byte.
func TestExpiration(t *testing.T) {
	f := open(t)
	u := f.create(10)
	f.ahead.Store(int64(23 * time.Hour))
	f.want("a piece", f.patch(u, 0, "12345"), 204)
	f.ahead.Store(int64(46 * time.Hour))
	f.want("head", f.send("HEAD", u, nil), 200, "Upload-Offset", "5")
	f.ahead.Store(int64(48 * time.Hour))
	f.want("too late", f.send("HEAD", u, nil), 404)
	f.want("a piece too late", f.patch(u, 5, "67890"), 404)
	if _, err := f.lib.Collect(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if list, err := f.lib.Uploads(context.Background(), f.ann, true); err != nil || len(list) != 0 {
		t.Errorf("%d are left, %v", len(list), err)
	}
}

// TestBrokenBodies: what came before a connection broke is kept, at every
// length, and a lying Content-Length gains nothing.
func TestBrokenBodies(t *testing.T) {
	f := open(t)
	content := strings.Repeat("0123456789", 20_000)
	u := f.create(len(content), "Upload-Metadata", meta("filename", "broken"))
	host := strings.TrimPrefix(f.base, "http://")
	at := 0
	for _, n := range []int{0, 1, 100, 65_536, 65_537, 90_000} {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "PATCH %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: %d\r\nContent-Length: %d\r\n\r\n%s",
			strings.TrimPrefix(u, f.base), host, f.token, at, len(content)-at, content[at:min(len(content), at+n)])
		// The server sees the end of what we send; its answer says that it has
		// kept it.
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 400 {
				t.Errorf("a broken body is answered %d", resp.StatusCode)
			}
		}
		c.Close()
		got := f.send("HEAD", u, nil).offset()
		if want := min(len(content), at+n); got != strconv.Itoa(want) {
			t.Fatalf("after %d bytes it is at %s, want %d", n, got, want)
		}
		if at = min(len(content), at+n); at == len(content) {
			break
		}
	}
	if at < len(content) {
		// The rest comes without a length.
		r := struct{ io.Reader }{strings.NewReader(content[at:])}
		a := f.send("PATCH", u, r, "Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(at))
		f.want("the rest, chunked", a, 204, "Quire-Path", "/broken")
	}
	if got := f.read("/broken"); got != content {
		t.Errorf("it has %d bytes", len(got))
	}
}

// TestNewerWins: a client whose connection hangs is not kept out by it.
func TestNewerWins(t *testing.T) {
	f := open(t)
	u := f.create(8, "Upload-Metadata", meta("filename", "n"))
	host := strings.TrimPrefix(f.base, "http://")
	hanging, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	fmt.Fprintf(hanging, "PATCH %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 8\r\n\r\n1234",
		strings.TrimPrefix(u, f.base), host, f.token)
	// A client that finds its connection dead asks where it is and goes on. The
	// first bytes may not have been read yet, and the hanging request may even
	// come to the server's notice after this one, so it asks until they count.
	deadline := time.Now().Add(2 * time.Minute) // past the time after which a stalled body is cut
	for done := false; !done; {
		at, _ := strconv.Atoi(f.send("HEAD", u, nil).offset())
		a := f.patch(u, at, "12345678"[at:])
		done = a.status == 204
		if !done && (a.status != 408 && a.status != 409 && a.status != 423 || time.Now().After(deadline)) {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if resp, err := http.ReadResponse(bufio.NewReader(hanging), nil); err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Error("both won")
		}
	}
	if got := f.read("/n"); got != "12345678" {
		t.Errorf("it has %q", got)
	}
}

// TestCookie: a page of ours may upload with its session; another site's may
// not.
func TestCookie(t *testing.T) {
	f := open(t)
	cookie, err := f.ids.StartSession(context.Background(), f.ann.User, "test", "")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	identity.SetCookie(w, cookie, false)
	text, _, _ := strings.Cut(w.Header().Get("Set-Cookie"), ";")
	for _, r := range []struct {
		what   string
		status int
		head   []string
	}{
		{"our page", 201, []string{"Sec-Fetch-Site", "same-origin"}},
		{"our page in an old browser", 201, []string{"Origin", f.base}},
		{"another site", 401, []string{"Sec-Fetch-Site", "cross-site"}},
		{"a neighbour", 401, []string{"Sec-Fetch-Site", "same-site"}},
		{"another site in an old browser", 401, []string{"Origin", "https://evil.example"}},
		{"a wrong cookie", 401, []string{"Sec-Fetch-Site", "same-origin", "Cookie", text + "x"}},
	} {
		head := append([]string{"Authorization", "", "Cookie", text, "Upload-Length", "1"}, r.head...)
		f.want(r.what, f.send("POST", "/uploads", nil, head...), r.status)
	}
}

func BenchmarkUpload(b *testing.B) {
	f := open(b)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	b.SetBytes(64 * int64(len(piece)))
	for n := 0; b.Loop(); n++ {
		u := f.create(64*len(piece), "Upload-Metadata", meta("filename", fmt.Sprint(n)))
		for i := range 64 {
			a := f.send("PATCH", u, bytes.NewReader(piece), "Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(i*len(piece)))
			if a.status != 204 {
				b.Fatal(a.status, a.body)
			}
		}
	}
}
