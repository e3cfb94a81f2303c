package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAdminListener: metrics, profiles and the log level are on a listener of
// their own, and nowhere else.
func TestAdminListener(t *testing.T) {
	s, err := launchWith([]string{"QUIRE_ADMIN_LISTEN=127.0.0.1:0"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	ask := func(method, at string) (int, string) {
		r, err := http.NewRequest(method, at, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, _ := ask("GET", s.url+"/api/v1/account"); status != 401 {
		t.Errorf("%d", status)
	}
	admin := "http://" + s.admin
	status, text := ask("GET", admin+"/metrics")
	for _, want := range []string{`quire_requests_total{door="fileapi",method="GET",status="401"} 1`, "quire_conversions_waiting 0", "quire_uploads_open 0", "quire_users 1"} {
		if status != 200 || !strings.Contains(text, want) {
			t.Errorf("%d: there is no %s", status, want)
		}
	}
	if status, text := ask("GET", admin+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(text, "goroutine profile") {
		t.Errorf("%d %.100s", status, text)
	}
	if status, text := ask("PUT", admin+"/loglevel?level=debug"); status != 200 || text != "DEBUG\n" {
		t.Errorf("%d %s", status, text)
	}
	if _, text := ask("GET", admin+"/loglevel"); text != "DEBUG\n" {
		t.Errorf("%s", text)
	}
	if status, _ := ask("PUT", admin+"/loglevel?level=loud"); status != 400 {
		t.Errorf("%d", status)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/loglevel"} {
		if status, _ := ask("GET", s.url+path); status != 404 {
			t.Errorf("everybody gets %s: %d", path, status)
		}
	}
}
