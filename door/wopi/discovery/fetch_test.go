package discovery

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-docs/quire/door/wopi/proof"
)

// fakeEditor serves what a test puts into it.
type fakeEditor struct {
	mu           sync.Mutex
	discovery    string // empty: status 503
	capabilities string // empty: status 404
	capsStatus   int
	asked        []time.Time // for the discovery
}

func (f *fakeEditor) answer(path string) (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch path {
	case discoveryPath:
		f.asked = append(f.asked, time.Now())
		if f.discovery == "" {
			return http.StatusServiceUnavailable, "starting"
		}
		return http.StatusOK, f.discovery
	case capabilitiesPath:
		if f.capsStatus != 0 {
			return f.capsStatus, ""
		}
		if f.capabilities != "" {
			return http.StatusOK, f.capabilities
		}
	}
	return http.StatusNotFound, ""
}

func (f *fakeEditor) set(discovery string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.discovery = discovery
}

func (f *fakeEditor) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeEditor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := f.answer(r.URL.Path)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func (f *fakeEditor) client() *http.Client {
	return &http.Client{Transport: webFunc(func(r *http.Request) (int, string, error) {
		status, body := f.answer(r.URL.Path)
		return status, body, nil
	})}
}

func serve(t testing.TB, h http.Handler) *httptest.Server {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

func newSet(t testing.TB, opts Options, cfgs ...Config) *Set {
	t.Helper()
	s, err := New(opts, cfgs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withKey is a document of an editor that signs with the given key, after
// rotating away the other, which may be nil.
func withKey(t testing.TB, current, old *proof.Key) string {
	t.Helper()
	attrs := fmt.Sprintf(` modulus="%s" exponent="%s" value="%s"`, current.Modulus(), current.Exponent(), current.Blob())
	if old != nil {
		attrs += fmt.Sprintf(` oldmodulus="%s" oldexponent="%s" oldvalue="%s"`, old.Modulus(), old.Exponent(), old.Blob())
	}
	return inDocument("<proof-key" + attrs + "/>")
}

func newKey(t testing.TB) *proof.Key {
	t.Helper()
	priv, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := proof.NewKey(&priv.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A page that is refused leaves what was known in use.
func TestBadPages(t *testing.T) {
	var page atomic.Pointer[http.HandlerFunc]
	use := func(h http.HandlerFunc) { page.Store(&h) }
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*page.Load())(w, r) }))
	good := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(inDocument(""))) }
	s := newSet(t, Options{Client: srv.Client()}, Config{Name: "e", URL: srv.URL})
	use(good)
	if fresh, err := s.Refresh(t.Context(), "e"); !fresh || err != nil {
		t.Fatalf("Refresh = %v, %v", fresh, err)
	}
	e := s.editors[0]
	before := e.current.Load()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		says    string
	}{
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), MaxDocument+1))
		}, "more than 8388608 bytes"},
		"hostile":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<!DOCTYPE x>")) }, "document type"},
		"truncated": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(inDocument("")[:60])) }, "XML"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(inDocument("")))
		}, "EOF"},
		"not found": {http.NotFound, "status 404"},
		"no content": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}, "status 204"},
		"redirect loop": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "redirects"},
	} {
		use(c.handler)
		e.tried = time.Time{} // as if it had been long ago
		fresh, err := s.Refresh(t.Context(), "e")
		if fresh || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v, want an error that says %q", name, fresh, err, c.says)
		}
		if e.current.Load() != before {
			t.Fatalf("%s: what was known is gone", name)
		}
	}
}

func TestRedirects(t *testing.T) {
	final := serve(t, &fakeEditor{discovery: inDocument("")})
	hop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, final.URL+r.URL.Path, http.StatusMovedPermanently)
	}))
	s := newSet(t, Options{}, Config{Name: "e", URL: hop.URL})
	if fresh, err := s.Refresh(t.Context(), "e"); !fresh || err != nil {
		t.Errorf("one redirect: %v, %v", fresh, err)
	}
	// Keys must not come by plain HTTP when TLS was configured.
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, final.URL+r.URL.Path, http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	s = newSet(t, Options{Client: secure.Client()}, Config{Name: "e", URL: secure.URL})
	if _, err := s.Refresh(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "away from https") {
		t.Errorf("redirect to http: %v", err)
	}
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newKey(t), newKey(t)
		f := &fakeEditor{discovery: withKey(t, first, nil)}
		s := newSet(t, Options{Client: f.client()}, Config{Name: "e", URL: "https://e"})
		refresh := func(want bool) {
			t.Helper()
			if got, err := s.Refresh(t.Context(), "e"); got != want || err != nil {
				t.Fatalf("Refresh = %v, %v, want %v", got, err, want)
			}
		}
		refresh(true)
		f.set(withKey(t, second, first))
		refresh(false) // too soon
		if k := s.Keys("e"); !k.Current.Equal(first) || k.Old != nil {
			t.Fatal("the keys changed without a reading")
		}
		time.Sleep(MinRefresh - time.Nanosecond)
		refresh(false)
		time.Sleep(time.Nanosecond)
		refresh(true)
		if k := s.Keys("e"); !k.Current.Equal(second) || !k.Old.Equal(first) {
			t.Fatal("the new keys are not there")
		}
		// A failure counts as well: an editor in trouble is not pestered.
		f.set("")
		time.Sleep(MinRefresh)
		if _, err := s.Refresh(t.Context(), "e"); err == nil {
			t.Fatal("an editor that is down was refreshed")
		}
		refresh(false)
		if n := len(f.times()); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
	})
}

// Many requests that fail together ask the editor once and all learn of the
// outcome.
func TestRefreshTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		release := make(chan struct{})
		client := &http.Client{Transport: webFunc(func(r *http.Request) (int, string, error) {
			if r.URL.Path == capabilitiesPath {
				return 404, "", nil
			}
			asked.Add(1)
			<-release
			return 200, inDocument(""), nil
		})}
		s := newSet(t, Options{Client: client}, Config{Name: "e", URL: "https://e"})
		leave, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var fresh atomic.Int32
		for range 20 {
			wg.Go(func() {
				if ok, err := s.Refresh(t.Context(), "e"); ok && err == nil {
					fresh.Add(1)
				}
			})
		}
		synctest.Wait()
		// One that waits and leaves learns of that, not of the editor.
		wg.Go(func() {
			if _, err := s.Refresh(leave, "e"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if asked.Load() != 1 || fresh.Load() != 20 {
			t.Errorf("asked %d times, %d of 20 learnt of it", asked.Load(), fresh.Load())
		}
	})
}

// A stranger who asks and goes away must not use up the turn.
func TestRefreshOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		client := &http.Client{Transport: webFunc(func(r *http.Request) (int, string, error) {
			cancel()
			if err := r.Context().Err(); err != nil {
				return 0, "", err
			}
			return 200, inDocument(""), nil
		})}
		s := newSet(t, Options{Client: client}, Config{Name: "e", URL: "https://e"})
		if fresh, err := s.Refresh(ctx, "e"); !fresh || err != nil {
			t.Errorf("Refresh = %v, %v", fresh, err)
		}
	})
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, up := &fakeEditor{}, &fakeEditor{discovery: inDocument("")}
		client := &http.Client{Transport: webFunc(func(r *http.Request) (int, string, error) {
			if r.URL.Host == "down" {
				status, body := down.answer(r.URL.Path)
				return status, body, nil
			}
			status, body := up.answer(r.URL.Path)
			return status, body, nil
		})}
		start := time.Now()
		s := newSet(t, Options{Client: client}, Config{Name: "down", URL: "https://down"}, Config{Name: "up", URL: "https://up"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()

		synctest.Wait()
		if e, _, ok := s.Find("x", "view"); !ok || e.Name != "up" {
			t.Errorf("at the start: %q, %v, want the editor that is up", e.Name, ok)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		asked := down.times()
		for i, at := range asked {
			// 5 s, 10 s, 20 s ... at most 10 min; each a tenth more or less.
			if i == 0 {
				if at != start {
					t.Errorf("first asked after %v", at.Sub(start))
				}
				continue
			}
			want := min(firstRetry<<(i-1), lastRetry)
			if d := at.Sub(asked[i-1]); d < want*9/10 || d > want*11/10 {
				t.Errorf("pause %d is %v, want about %v", i, d, want)
			}
		}
		if n := len(asked); n < 8 || n > 11 {
			t.Errorf("an editor that is down was asked %d times in 30 min", n)
		}
		down.set(inDocument(""))
		time.Sleep(2 * lastRetry)
		synctest.Wait()
		if e, _, ok := s.Find("x", "view"); !ok || e.Name != "down" {
			t.Errorf("once it is up: %q, %v, want the first editor", e.Name, ok)
		}

		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		asked = up.times()
		if n := len(asked); n < 9 || n > 12 {
			t.Errorf("asked %d times in 5 days", n)
		}
		exact := 0
		for i := 1; i < len(asked); i++ {
			d := asked[i].Sub(asked[i-1])
			if d < RefreshInterval*9/10 || d > RefreshInterval*11/10 {
				t.Errorf("a pause of %v", d)
			}
			if d == RefreshInterval {
				exact++
			}
		}
		if exact > 1 {
			t.Error("the pauses have no jitter")
		}

		// An editor that goes down keeps what was known of it.
		up.set("")
		time.Sleep(24 * time.Hour)
		if _, ok := s.FindIn("up", "x", "view"); !ok {
			t.Error("an editor that went down is forgotten")
		}
		cancel()
		<-done // the bubble fails if a goroutine is left
	})
}

// An editor that never answers is given up, and Run ends at once when told to.
func TestRunHangingEditor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		client := &http.Client{Transport: webFunc(func(r *http.Request) (int, string, error) {
			asked.Add(1)
			<-r.Context().Done()
			return 0, "", r.Context().Err()
		})}
		s := newSet(t, Options{Client: client}, Config{Name: "e", URL: "https://e"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		time.Sleep(fetchTimeout + 2*firstRetry)
		synctest.Wait()
		if asked.Load() != 2 {
			t.Errorf("asked %d times, want 2", asked.Load())
		}
		stopped := time.Now()
		cancel()
		<-done
		if d := time.Since(stopped); d != 0 {
			t.Errorf("it took %v to stop", d)
		}
	})
}

// What an editor says about conversion stays while it cannot be asked.
func TestCapabilities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeEditor{discovery: inDocument("")}
		s := newSet(t, Options{Client: f.client(), Dir: t.TempDir()}, Config{Name: "e", URL: "https://e"})
		const yes = `{"convert-to":{"available":true}}`
		for _, c := range []struct {
			status int
			text   string
			want   bool
			why    string
		}{
			{0, "", false, "the editor has no such page"},
			{500, "", false, "nothing is known"},
			{0, yes, true, "it converts"},
			{502, "", true, "it cannot be asked"},
			{0, "<html>", true, "its answer is no answer"},
			{0, `{"x":"` + strings.Repeat("x", maxCapabilities) + `"}`, true, "its answer is too long"},
			{0, `{"convert-to":{"available":false}}`, false, "it says no"},
			{0, yes, true, "it converts again"},
			{404, "", false, "the page is gone"},
		} {
			f.mu.Lock()
			f.capsStatus, f.capabilities = c.status, c.text
			f.mu.Unlock()
			time.Sleep(MinRefresh)
			if fresh, err := s.Refresh(t.Context(), "e"); !fresh || err != nil {
				t.Fatalf("Refresh = %v, %v", fresh, err)
			}
			if _, ok := s.ConvertTo(); ok != c.want {
				t.Errorf("converts = %v although %s", ok, c.why)
			}
			again := newSet(t, Options{Dir: s.dir}, Config{Name: "e", URL: "https://e"})
			if _, ok := again.ConvertTo(); ok != c.want {
				t.Errorf("restored: converts = %v although %s", ok, c.why)
			}
		}
	})
}

// Readers never wait and never see half of a change.
func TestConcurrentUse(t *testing.T) {
	keys := [2]*proof.Key{newKey(t), newKey(t)}
	pages := [2]string{withKey(t, keys[0], nil), withKey(t, keys[1], keys[0])}
	var n atomic.Int32
	client := &http.Client{Transport: webFunc(func(r *http.Request) (int, string, error) {
		if r.URL.Path == capabilitiesPath {
			return 404, "", nil
		}
		return 200, pages[n.Add(1)%2], nil
	})}
	s := newSet(t, Options{Client: client, Dir: t.TempDir()}, Config{Name: "e", URL: "https://e"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := s.ask(t.Context(), t.Context(), s.editors[0], func() bool { return true }); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 2000 {
				e, _, ok := s.Find("x", "view")
				if ok && e.Keys.Current.Equal(keys[1]) != (e.Keys.Old != nil) {
					t.Error("keys of two discoveries were mixed")
				}
				s.FrameOrigins()
				s.Endpoints("x")
				s.Editors()
			}
		})
	}
	wg.Wait()
}
