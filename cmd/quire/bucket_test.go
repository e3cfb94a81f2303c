package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/s3/s3test"
)

// TestBucketExtras: the real server keeps what is read often beside a bucket, says
// so to Prometheus, and sends large downloads to the bucket, but never an editor.
func TestBucketExtras(t *testing.T) {
	bucket := s3test.Start(t)
	env := append(bucket.Environment(), "QUIRE_BLOBS="+bucket.URL("x"), "QUIRE_REDIRECT_FROM=2", "QUIRE_BLOB_CACHE=40", "QUIRE_ADMIN_LISTEN=127.0.0.1:0", "QUIRE_LIBREOFFICE=off")
	n, err := launchWith(env, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(program(t), args...)
		cmd.Env = append(append(os.Environ(), env[:len(env)-4]...), "QUIRE_DATA="+n.data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	token := run("token", "create", "--user", "admin", "--scope", "write")
	plain := *http.DefaultClient
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	do := func(method, at string, body []byte) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, at, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(at, "access_token") {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := plain.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b
	}
	files := n.url + "/api/v1/file/"
	large, middle := blobtest.Bytes(1, 3<<20), blobtest.Bytes(2, 1<<20)
	for path, content := range map[string][]byte{"/large.docx": large, "/middle.docx": middle} {
		if status, text := do("PUT", files+"put?path="+path, content); status != http.StatusOK {
			t.Fatal(status, string(text))
		}
	}
	if status, _ := do("GET", files+"get?path=/large.docx", nil); status != http.StatusFound {
		t.Errorf("a large download: %d", status)
	}
	var office struct {
		Src   string `json:"wopisrc"`
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(run("wopi", "url", "/large.docx", "--user", "admin", "--public-url", n.url)), &office); err != nil {
		t.Fatal(err)
	}
	if status, got := do("GET", office.Src+"/contents?access_token="+url.QueryEscape(office.Token), nil); status != http.StatusOK || !bytes.Equal(got, large) {
		t.Errorf("an editor: %d, %d bytes", status, len(got))
	}
	metric := func(name string) string {
		t.Helper()
		_, text := do("GET", "http://"+n.admin+"/metrics", nil)
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				return strings.TrimSpace(value)
			}
		}
		t.Fatalf("there is no %s", name)
		return ""
	}
	for begin := time.Now(); metric("quire_cache_hits_total{cache=\"segments\"}") == "0"; {
		if status, got := do("GET", files+"get?path=/middle.docx", nil); status != http.StatusOK || !bytes.Equal(got, middle) {
			t.Fatalf("a download: %d, %d bytes", status, len(got))
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatal("the cache serves nothing")
		}
	}
	if metric("quire_cache_misses_total{cache=\"segments\"}") == "0" || metric("quire_segment_cache_bytes") == "0" || metric("quire_segment_cache_damaged_total") != "0" || metric("quire_segment_cache_evicted_total") != "0" {
		t.Error("the metrics of the cache are wrong")
	}
	// With the bucket away, what is read often is still there.
	bucket.Stop()
	if status, got := do("GET", files+"get?path=/middle.docx", nil); status != http.StatusOK || !bytes.Equal(got, middle) {
		t.Errorf("with the bucket away: %d, %d bytes", status, len(got))
	}
	if list, err := filepath.Glob(filepath.Join(n.data, "cache", "*")); err != nil || len(list) == 0 {
		t.Errorf("the cache's folder has %v, %v", list, err)
	}
}
