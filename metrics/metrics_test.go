package metrics

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestCount(t *testing.T) {
	type key struct{}
	m := New("test", func(ctx context.Context) string { s, _ := ctx.Value(key{}).(*string); return *s })
	m.Gauge("quire_things", "Things.", func() float64 { return 7 })
	m.Counter("quire_events_total", "Events.", func() float64 { return 8 })
	mux := http.NewServeMux()
	mux.Handle("/{any}", m.Count("door", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operation := r.Context().Value(key{}).(*string)
		switch r.URL.Path {
		case "/copy":
			*operation = "copy"
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.Copy(w, strings.NewReader("12345"))
		case "/abort":
			*operation = "abort"
			panic(http.ErrAbortHandler)
		case "/socket":
			*operation = "socket"
			w.WriteHeader(http.StatusSwitchingProtocols)
		default:
			w.WriteHeader(404)
		}
	})))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, new(string))))
	}))
	defer s.Close()
	for _, at := range []struct{ method, path string }{{"PUT", "/copy"}, {"GET", "/secret-name"}, {"BREW", "/x"}, {"POST", "/abort"}, {"GET", "/socket"}} {
		body := io.Reader(io.LimitReader(strings.NewReader("abcdef"), 3)) // of unknown length
		if at.method == "GET" {
			body = nil
		}
		r, _ := http.NewRequest(at.method, s.URL+at.path, body)
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
	}
	text := scrape(m)
	for _, want := range []string{
		`quire_requests_total{door="door",operation="copy",status="200"} 1`, `quire_requests_total{door="door",operation="abort",status="200"} 1`,
		`quire_requests_total{door="door",operation="/{any}",status="404"} 2`, `quire_requests_total{door="door",operation="socket",status="101"} 1`,
		`quire_sent_bytes_total{door="door",operation="copy"} 5`, `quire_received_bytes_total{door="door",operation="copy"} 3`,
		`quire_requests_running{door="door"} 0`, `quire_request_seconds_count{door="door",operation="copy"} 1`, `quire_things 7`, "# TYPE quire_events_total counter", `quire_events_total 8`, `quire_info{version="test"} 1`, "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	for _, made := range []string{"secret-name", "BREW", `quire_request_seconds_count{door="door",operation="socket"}`} {
		if strings.Contains(text, made) {
			t.Errorf("there is %s", made)
		}
	}
}

func TestStores(t *testing.T) {
	m := New("test", func(context.Context) string { return "" })
	m.Transaction("update", 2*time.Millisecond, 3)
	m.Blob("put", time.Second, 100, false)
	m.Blob("put", time.Second, 0, true)
	m.Limited("user")
	hits := uint64(3)
	m.Cache("segments", func() (uint64, uint64) { return hits, 1 })
	m.Cache("tokens", func() (uint64, uint64) { return 0, 0 })
	hits = 5
	text := scrape(m)
	for _, want := range []string{
		`quire_catalog_seconds_bucket{kind="update",le="0.0025"} 1`, `quire_catalog_seconds_bucket{kind="update",le="0.001"} 0`, `quire_catalog_lost_races_total 2`,
		`quire_blob_seconds_count{operation="put"} 2`, `quire_blob_bytes_total{operation="put"} 100`, `quire_blob_failures_total{operation="put"} 1`,
		`quire_limited_total{limit="user"} 1`, `quire_cache_hits_total{cache="segments"} 5`, `quire_cache_misses_total{cache="segments"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
}
