package ucloud_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/ucloud"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
	"github.com/quire-docs/quire/server"
)

// fixture is the door behind the real server, over a library in a folder that
// outlives restarts.
type fixture struct {
	t     testing.TB
	ctx   context.Context
	place *librarytest.Place
	opt   ucloud.Options
	stall time.Duration
	drain time.Duration // how long the server waits when it stops
	later atomic.Int64  // how far the store's clock is ahead

	lib   *library.Library
	ids   *identity.Authority
	url   string
	site  quire.Site
	admin quire.Caller
	token string

	stop func()
}

func open(t testing.TB, opt ucloud.Options) *fixture {
	t.Helper()
	f := &fixture{t: t, ctx: context.Background(), place: librarytest.New(t), opt: opt, stall: 10 * time.Second, drain: 100 * time.Millisecond}
	f.start()
	t.Cleanup(func() { f.stop() })
	var err error
	if f.site, err = f.lib.CreateSite(f.ctx, "main", "default", 0); err != nil {
		t.Fatal(err)
	}
	f.admin, f.token = f.user("admin", quire.RoleAdmin, quire.NoAccess)
	return f
}

// start opens the library in the folder and serves it.
func (f *fixture) start() {
	f.t.Helper()
	store := f.place.Open(func() time.Time { return time.Now().Add(time.Duration(f.later.Load())) })
	f.lib, f.ids = library.New(store.Catalog, store.Blobs, library.Options{}), identity.New(store.Catalog)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.url = "http://" + l.Addr().String()
	opt := f.opt
	opt.PublicURL, _ = url.Parse(f.url)
	door := ucloud.New(f.lib, f.ids, opt)
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	srv := server.New(door, server.Options{Stall: f.stall, Drain: f.drain, Hijacked: door.Drain})
	go func() { ended <- srv.Serve(ctx, l) }()
	f.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Error(err)
		}
		if err := store.Close(); err != nil {
			f.t.Error(err)
		}
	}
}

// restart is what a client sees of a server that was stopped and started.
func (f *fixture) restart() {
	f.t.Helper()
	f.stop()
	f.start()
}

func (f *fixture) user(login string, role quire.Role, access quire.Access) (quire.Caller, string) {
	f.t.Helper()
	u, err := f.lib.CreateUser(f.ctx, library.NewUser{Site: f.site.ID, Login: login, Role: role, Access: access})
	if err != nil {
		f.t.Fatal(err)
	}
	text, _, err := f.ids.CreateToken(f.ctx, u.ID, "test", quire.ScopeWrite, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return quire.Caller{User: u.ID, Site: u.Site, Name: u.Name, Role: role, Scope: quire.ScopeAdmin, Door: quire.DoorFileAPI}, text
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (f *fixture) send(r *http.Request) answer {
	f.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// call sends JSON with the bearer token.
func (f *fixture) call(token, method, path, body string) answer {
	f.t.Helper()
	r, _ := http.NewRequest(method, f.url+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return f.send(r)
}

type upload struct{ Endpoint, Protocol, Token string }

// begin creates an upload of one file or folder.
func (f *fixture) begin(id, kind, protocols, policy string) upload {
	f.t.Helper()
	a := f.call(f.token, "POST", "/api/files/upload", fmt.Sprintf(`{"items":[{"id":%q,"type":%q,"supportedProtocols":%s,"conflictPolicy":%q}]}`, id, kind, protocols, policy))
	if a.status != 200 {
		f.t.Fatalf("createUpload of %s: %d %s", id, a.status, a.body)
	}
	var out struct{ Responses []upload }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || len(out.Responses) != 1 {
		f.t.Fatalf("createUpload of %s: %v %s", id, err, a.body)
	}
	return out.Responses[0]
}

func (f *fixture) chunked(id, policy string) upload {
	f.t.Helper()
	return f.begin(id, "FILE", `["CHUNKED","WEBSOCKET"]`, policy)
}

// chunk makes the request of one chunk; a total below 0 is not sent.
func chunk(u upload, at, total int64, data []byte) *http.Request {
	r, _ := http.NewRequest("POST", u.Endpoint, bytes.NewReader(data))
	r.Header.Set("Chunked-Upload-Token", u.Token)
	r.Header.Set("Chunked-Upload-Offset", strconv.FormatInt(at, 10))
	if total >= 0 {
		r.Header.Set("Chunked-Upload-Total-Size", strconv.FormatInt(total, 10))
	}
	if len(data) == 0 {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	return r
}

func (f *fixture) put(u upload, at, total int64, data string, want int) answer {
	f.t.Helper()
	a := f.send(chunk(u, at, total, []byte(data)))
	if a.status != want {
		f.t.Fatalf("chunk at %d of %d: got %d %s, want %d", at, total, a.status, a.body, want)
	}
	if want == 200 && a.body != "{}" {
		f.t.Fatalf("chunk at %d: %s", at, a.body)
	}
	return a
}

// content returns what is stored at a path of the site.
func (f *fixture) content(path string) string {
	f.t.Helper()
	in, err := f.lib.OpenPath(f.ctx, f.admin, path, 0)
	if err != nil {
		f.t.Fatalf("open %s: %v", path, err)
	}
	defer in.Close()
	b, err := io.ReadAll(in.Reader(0, in.Size))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *fixture) has(path, want string) {
	f.t.Helper()
	if got := f.content(path); got != want {
		f.t.Errorf("%s has %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

// store puts a file by another door.
func (f *fixture) store(path, content string) library.Entry {
	f.t.Helper()
	e, _, err := f.lib.Save(f.ctx, f.admin, quire.Target{Path: path, OnConflict: quire.Replace}, strings.NewReader(content), library.Save{})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// clean fails the test if the store is not as it should be.
func (f *fixture) clean() {
	f.t.Helper()
	if _, err := f.lib.Check(f.ctx, true, func(p library.Problem) { f.t.Errorf("%s %s: %s", p.What, p.Where, p.Detail) }); err != nil {
		f.t.Fatal(err)
	}
}

func TestChunkedUpload(t *testing.T) {
	f := open(t, ucloud.Options{})
	u := f.chunked("/main/folder/file", "RENAME")
	if u.Protocol != "CHUNKED" || u.Endpoint != f.url+"/ucloud/quire/chunked" || u.Token == "" {
		t.Fatalf("got %+v", u)
	}
	f.has("/folder/file", "")
	f.put(u, 0, 10, "0123", 200)
	f.has("/folder/file", "")
	f.put(u, 4, 10, "456789", 200)
	f.has("/folder/file", "0123456789")
	f.clean()
}
