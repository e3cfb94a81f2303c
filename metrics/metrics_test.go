package metrics

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	m := New("test")
	m.Gauge("quire_things", "Things.", func() float64 { return 7 })
	m.Counter("quire_events_total", "Events.", func() float64 { return 8 })
	s := httptest.NewServer(m.Count("door", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/copy":
			_, _ = io.Copy(w, strings.NewReader("12345"))
		case "/abort":
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(404)
		}
	})))
	defer s.Close()
	for _, at := range []struct{ method, path string }{{"GET", "/copy"}, {"GET", "/secret-name"}, {"BREW", "/x"}, {"POST", "/abort"}} {
		r, _ := http.NewRequest(at.method, s.URL+at.path, strings.NewReader("abc"))
		if resp, err := http.DefaultClient.Do(r); err == nil {
			resp.Body.Close()
		}
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		`quire_requests_total{door="door",method="GET",status="200"} 1`, `quire_requests_total{door="door",method="POST",status="200"} 1`, `quire_requests_total{door="door",method="GET",status="404"} 1`, `quire_requests_total{door="door",method="other",status="404"} 1`,
		`quire_sent_bytes_total{door="door"} 5`, `quire_requests_running{door="door"} 0`, `quire_request_seconds_count{door="door"} 4`, `quire_things 7`, "# TYPE quire_events_total counter", `quire_events_total 8`, `quire_info{version="test"} 1`, "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(text, "secret-name") || strings.Contains(text, "BREW") {
		t.Error("a client makes labels")
	}
}
