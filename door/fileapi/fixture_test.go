package fileapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/fileapi"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
	"github.com/quire-docs/quire/server"
	"github.com/quire-docs/quire/transform"
	"github.com/quire-docs/quire/transform/webhook"
)

// fixture is the door over a real store, behind the real server.
type fixture struct {
	t     testing.TB
	lib   *library.Library
	ids   *identity.Authority
	http  *httptest.Server
	site  quire.Site
	admin quire.Caller
	token string
	ahead atomic.Int64 // how far the catalog's clock is put forward

	files string // the folder with the blob store's objects
}

// settings are what a test may want to be otherwise.
type settings struct {
	library library.Options
	server  server.Options
	quota   int64
	// convert starts conversions and callbacks, with the engines that need no
	// other program.
	convert bool
	// local opens the store on SQLite and a folder, cluster on PostgreSQL and S3,
	// whatever the environment says.
	local, cluster bool
	redirectFrom   int64
}

func open(t testing.TB) *fixture { return openWith(t, settings{}) }

func openWith(t testing.TB, s settings) *fixture {
	t.Helper()
	f := &fixture{t: t}
	ctx := context.Background()
	place := librarytest.New
	switch {
	case s.local:
		place = librarytest.NewLocal
	case s.cluster:
		place = librarytest.NewCluster
	}
	at := place(t)
	store := at.OpenFor(t, func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) })
	f.files = at.Files
	cat, blobs := store.Catalog, store.Blobs
	var err error
	f.lib, f.ids = library.New(cat, blobs, s.library), identity.New(cat)
	if f.site, err = f.lib.CreateSite(ctx, "main", "default", s.quota); err != nil {
		t.Fatal(err)
	}
	f.admin, f.token = f.user("admin", quire.RoleAdmin, quire.NoAccess, quire.ScopeAdmin)
	public, _ := url.Parse("http://docs.example.org")
	f.http = httptest.NewUnstartedServer(nil)
	l := f.http.Listener
	serving, stop := context.WithCancel(ctx)
	opt := fileapi.Options{PublicURL: public, RedirectFrom: s.redirectFrom}
	if s.convert {
		opt.PublicURL, _ = url.Parse("http://" + l.Addr().String())
		opt.Engines, opt.Hooks = transform.Set{transform.Native{}}, webhook.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	}
	door := fileapi.New(f.lib, f.ids, opt)
	var background sync.WaitGroup
	if s.convert {
		background.Go(func() { f.lib.RunConversions(serving, fileapi.Convert(opt.Engines), 2, time.Minute) })
		background.Go(func() { f.lib.RunDeliveries(serving, door.Deliver, 5*time.Second) })
	}
	srv := server.New(door, s.server)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(serving, l) }()
	f.http.URL = "http://" + l.Addr().String()
	t.Cleanup(func() {
		stop()
		background.Wait()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) user(login string, role quire.Role, access quire.Access, scope quire.Scope) (quire.Caller, string) {
	f.t.Helper()
	ctx := context.Background()
	u, err := f.lib.CreateUser(ctx, library.NewUser{Site: f.site.ID, Login: login, Role: role, Access: access})
	if err != nil {
		f.t.Fatal(err)
	}
	text, _, err := f.ids.CreateToken(ctx, u.ID, "", scope, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return identity.CallerOf(u, scope), text
}

// answer is what the server said.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return m
}

// do makes a request; head is a list of names and values.
func (f *fixture) do(method, path string, body io.Reader, head ...string) answer {
	f.t.Helper()
	r, err := http.NewRequest(method, f.http.URL+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
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
	return answer{resp, b}
}

func (f *fixture) put(path, content string) answer {
	f.t.Helper()
	a := f.do("PUT", "/api/v1/file/put?overwrite=true&path="+url.QueryEscape(path), strings.NewReader(content))
	if a.StatusCode != http.StatusOK {
		f.t.Fatalf("put %s: %d %s", path, a.StatusCode, a.body)
	}
	return a
}

// state is all that a client can see, and what is stored.
func (f *fixture) state() string {
	f.t.Helper()
	ctx := context.Background()
	_, used, err := f.lib.SiteOf(ctx, f.admin)
	if err != nil {
		f.t.Fatal(err)
	}
	a := f.do("GET", "/api/v1/content/delta", nil)
	// The cursor counts what was refused too.
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || m["cursor"] == nil {
		f.t.Fatalf("%v: %s", err, a.body)
	}
	delete(m, "cursor")
	return fmt.Sprintf("%d bytes\n%v", used, m)
}
