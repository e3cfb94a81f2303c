package tus_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bdragon300/tusgo"

	"github.com/quire-docs/quire/internal/needs"
)

// TestNodeClient drives the door with tus-js-client under Node.
func TestNodeClient(t *testing.T) {
	folder := needs.Node(t, "testdata/client")
	f := open(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, "node", "node.js", f.base, f.token)
	run.Dir = folder
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := strings.TrimSpace(string(out))
	for _, name := range []string{"whole", "pieces", "paused", "stream", "with-creation", "parallel", "override"} {
		sum := sha256.Sum256([]byte(f.read("/" + name + ".bin")))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s.bin has the SHA-256 %s, want %s", name, got, want)
		}
	}
	if got := f.read("/empty.bin"); got != "" {
		t.Errorf("empty.bin has %q", got)
	}
	if got := f.read("/terminated.bin"); !strings.Contains(got, "not found") {
		t.Error("what was terminated became a file")
	}
}

// TestBrowserClient uploads with tus-js-client in a real browser, from another
// origin, with a pause.
func TestBrowserClient(t *testing.T) {
	browser, folder := needs.Chromium(t), needs.Node(t, "testdata/client")
	f := open(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>upload</title><body data-base=%q data-token=%q><script src="/tus.js"></script><script src="/page.js"></script>`, f.base, f.token)
	})
	mux.HandleFunc("/tus.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(folder, "node_modules/tus-js-client/dist/tus.min.js"))
	})
	mux.HandleFunc("/page.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(folder, "page.js"))
	})
	result := make(chan string, 1)
	mux.HandleFunc("POST /done", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		result <- string(b)
	})
	site := httptest.NewServer(mux)
	defer site.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--remote-debugging-port=0", site.URL)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-result:
		if got != "done" {
			t.Errorf("the page says %q", got)
		}
	case <-ctx.Done():
		t.Errorf("the page did not finish\n%s", said.String())
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Log("the browser ended by itself")
	}
	want := strings.Repeat("0123456789abcdef", 100_000)
	if got := f.read("/from/browser.txt"); got != want {
		t.Errorf("it has %d bytes, want %d", len(got), len(want))
	}
}

// TestGoClient drives the door with a Go client that keeps to the protocol's
// letter: pieces with checksums, pauses, parts that are joined.
func TestGoClient(t *testing.T) {
	f := open(t)
	base, err := url.Parse(f.base + "/uploads")
	if err != nil {
		t.Fatal(err)
	}
	c := tusgo.NewClient(&http.Client{}, base)
	c.GetRequest = func(method, url string, body io.Reader, _ *tusgo.Client, _ *http.Client) (*http.Request, error) {
		r, err := http.NewRequest(method, url, body)
		if err == nil {
			r.Header.Set("Authorization", "Bearer "+f.token)
		}
		return r, err
	}
	if _, err := c.UpdateCapabilities(); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789", 300_000)
	send := func(u *tusgo.Upload, from io.ReadSeeker, options func(*tusgo.UploadStream)) {
		t.Helper()
		s := tusgo.NewUploadStream(c, u)
		options(s)
		for try := 0; ; try++ {
			if _, err := s.Sync(); err != nil {
				t.Fatal(err)
			}
			if _, err := from.Seek(s.Tell(), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			// A pause after a part of it: the reader breaks off.
			n := int64(700_000)
			_, err := io.Copy(s, io.LimitReader(from, n))
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && try > 20 {
				t.Fatal(err)
			}
			if s.Tell() == s.Len() {
				return
			}
		}
	}
	for name, options := range map[string]func(*tusgo.UploadStream){
		"plain":     func(*tusgo.UploadStream) {},
		"checksums": func(s *tusgo.UploadStream) { s.ChunkSize = 250_000; s.WithChecksumAlgorithm("sha1") },
	} {
		u := new(tusgo.Upload)
		if _, err := c.CreateUpload(u, int64(len(content)), false, map[string]string{"filename": name}); err != nil {
			t.Fatal(err)
		}
		send(u, strings.NewReader(content), options)
		if got := f.read("/" + name); got != content {
			t.Errorf("%s has %d bytes", name, len(got))
		}
	}
	var parts []tusgo.Upload
	for i := range 3 {
		part := content[i*1_000_000 : (i+1)*1_000_000]
		u := new(tusgo.Upload)
		if _, err := c.CreateUpload(u, int64(len(part)), true, nil); err != nil {
			t.Fatal(err)
		}
		send(u, strings.NewReader(part), func(*tusgo.UploadStream) {})
		parts = append(parts, *u)
	}
	final := new(tusgo.Upload)
	if _, err := c.ConcatenateUploads(final, parts, map[string]string{"filename": "joined"}); err != nil {
		t.Fatal(err)
	}
	if got := f.read("/joined"); got != content {
		t.Errorf("joined has %d bytes", len(got))
	}
	u := new(tusgo.Upload)
	if _, err := c.CreateUpload(u, 5, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteUpload(*u); err != nil {
		t.Error(err)
	}
	if _, err := c.GetUpload(new(tusgo.Upload), u.Location); !errors.Is(err, tusgo.ErrUploadDoesNotExist) {
		t.Errorf("what was terminated: %v", err)
	}
}
