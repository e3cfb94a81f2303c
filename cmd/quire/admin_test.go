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
	for _, want := range []string{`quire_requests_total{door="fileapi",operation="account",status="401"} 1`, "quire_conversions_waiting 0", "quire_uploads_open 0", "quire_users 1"} {
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

// TestMetrics: what people do shows in the metrics, by door and operation, and
// nothing that they choose does.
func TestMetrics(t *testing.T) {
	data := t.TempDir()
	s, err := launchWith([]string{"QUIRE_ADMIN_LISTEN=127.0.0.1:0"}, data, "--rate-user", "0.001", "--rate-burst", "8")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	token := quireOutput(t, data, "token", "create", "--user", "admin")
	must := func(what string, status int, want int, text string) {
		t.Helper()
		if status != want {
			t.Fatalf("%s: %d %s", what, status, text)
		}
	}
	resp, text := ask(t, "PUT", s.url+"/api/v1/file/put?path=/secret-name.bin", token, strings.Repeat("x", 100_000))
	must("put", resp.StatusCode, 200, text)
	resp, text = ask(t, "GET", s.url+"/api/v1/file/get?path=/secret-name.bin", token, "")
	must("get", resp.StatusCode, 200, text[:min(100, len(text))])
	resp, text = ask(t, "POST", s.url+"/uploads", token, "", "Tus-Resumable", "1.0.0", "Upload-Length", "10", "Upload-Metadata", "filename c2VjcmV0LW5hbWU=")
	must("tus", resp.StatusCode, 201, text)
	resp, text = ask(t, "POST", s.url+"/api/v1/wopi/url?path=/secret-name.bin", token, "")
	must("wopi url", resp.StatusCode, 200, text)
	var access struct {
		Source string `json:"wopisrc"`
		Token  string `json:"access_token"`
	}
	if err := decode(text, &access); err != nil {
		t.Fatal(err)
	}
	resp, text = ask(t, "POST", access.Source+"?access_token="+access.Token, "", "", "X-WOPI-Override", "LOCK", "X-WOPI-Lock", "mine")
	must("lock", resp.StatusCode, 200, text)
	ask(t, "POST", access.Source+"?access_token="+access.Token, "", "", "X-WOPI-Override", "SECRET-NAME", "X-WOPI-Lock", "mine")
	ask(t, "GET", s.url+"/api/v1/secret-name", token, "")
	ask(t, "GET", s.url+"/secret-name", "", "")
	for range 5 {
		resp, text = ask(t, "GET", s.url+"/api/v1/account", token, "")
	}
	must("the limit", resp.StatusCode, 429, text)

	_, text = ask(t, "GET", "http://"+s.admin+"/metrics", "", "")
	for _, want := range []string{
		`quire_requests_total{door="fileapi",operation="file/put",status="200"} 1`,
		`quire_received_bytes_total{door="fileapi",operation="file/put"} 100000`,
		`quire_sent_bytes_total{door="fileapi",operation="file/get"} 100000`,
		`quire_request_seconds_count{door="fileapi",operation="file/get"} 1`,
		`quire_requests_total{door="tus",operation="POST",status="201"} 1`,
		`quire_requests_total{door="wopi",operation="files LOCK",status="200"} 1`,
		`quire_requests_total{door="wopi",operation="files",status="501"} 1`,
		`quire_requests_total{door="fileapi",operation="/api/v1/",status="404"} 1`,
		`quire_requests_total{door="web",operation="/",status="404"} 1`,
		"quire_uploads_open 1", "quire_locks_held 1", "quire_conversions_waiting 0", "quire_deliveries_waiting 0", "quire_users 1",
		`quire_blob_bytes_total{operation="put"} 100000`,
		`quire_limited_total{limit="user"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	for _, counted := range []string{`quire_catalog_seconds_count{kind="update"}`, `quire_catalog_seconds_count{kind="view"}`, `quire_cache_misses_total{cache="tokens"}`, `quire_cache_hits_total{cache="tokens"}`} {
		_, after, ok := strings.Cut(text, counted+" ")
		if !ok || strings.HasPrefix(after, "0\n") {
			t.Errorf("%s is not counted", counted)
		}
	}
	if strings.Contains(strings.ToLower(text), "secret-name") {
		t.Error("a name is a label")
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "quire_") && !strings.Contains(line, "_bucket") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}
