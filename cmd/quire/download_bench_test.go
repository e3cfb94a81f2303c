package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// static is a program of its own: the plain static file server that downloads are
// compared with. Its arguments are an address, a folder, and, for TLS, a
// certificate and its key.
func static() {
	l, err := net.Listen("tcp", os.Args[1])
	if err == nil {
		h := http.FileServer(http.Dir(os.Args[2]))
		if len(os.Args) > 3 {
			err = http.ServeTLS(l, h, os.Args[3], os.Args[4])
		} else {
			err = http.Serve(l, h)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// BenchmarkDownload downloads a large file from the program and from a static
// file server, each a process of its own and with the same TLS, in turns: one that
// was uploaded whole, and one that was uploaded in pieces.
//
//	go test -run '^$' -bench Download -benchtime 5x ./cmd/quire
func BenchmarkDownload(b *testing.B) {
	const (
		host  = "docs.example.test"
		size  = 128 << 20
		piece = 4 << 20
	)
	content := make([]byte, size)
	c := rand.NewChaCha8([32]byte{1})
	_, _ = c.Read(content)
	files := b.TempDir()
	if err := os.WriteFile(filepath.Join(files, "large.bin"), content, 0o600); err != nil {
		b.Fatal(err)
	}
	pool := writeCert(b, files, host, 1)
	cert, key := filepath.Join(files, "cert.pem"), filepath.Join(files, "key.pem")
	for _, scheme := range []string{"http", "https"} {
		base := scheme + "://" + host
		addr := "127.0.0.1:" + freePort(b)
		flags, args := []string{"--public-url", base}, []string{addr, files}
		if scheme == "https" {
			flags, args = append(flags, "--tls-cert", cert, "--tls-key", key), append(args, cert, key)
		}
		s, err := launch(b.TempDir(), flags...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.kill)
		plain := exec.Command("static", args...)
		if err := plain.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = plain.Process.Kill()
			_ = plain.Wait() // it was killed
		})
		token := newToken(b, s.data)
		do := func(client *http.Client, method, path string, body []byte) *http.Response {
			r, err := http.NewRequest(method, base+path, bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			resp, err := client.Do(r)
			if err != nil || resp.StatusCode != 200 {
				b.Fatalf("%s %s: %+v %v", method, path, resp, err)
			}
			return resp
		}
		ours, theirs := at(b, s.listen, pool), at(b, addr, pool)
		do(ours, "PUT", "/api/v1/file/put?path=/whole", content).Body.Close()
		var upload struct {
			ID string `json:"upload_id"`
		}
		for n := 0; n < size; n += piece {
			resp := do(ours, "PUT", fmt.Sprintf("/api/v1/file/chunked_upload?offset=%d&upload_id=%s", n, upload.ID), content[n:n+piece])
			if err := json.NewDecoder(resp.Body).Decode(&upload); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
		do(ours, "POST", "/api/v1/file/commit_chunked_upload?path=/pieces&upload_id="+upload.ID, nil).Body.Close()

		fetch := func(client *http.Client, path string) time.Duration {
			began := time.Now()
			resp := do(client, "GET", path, nil)
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				b.Fatalf("%s: %d bytes, %v", path, n, err)
			}
			return time.Since(began)
		}
		for _, name := range []string{"whole", "pieces"} {
			b.Run(scheme+"/"+name, func(b *testing.B) {
				var here, there time.Duration
				rounds := 0
				for b.Loop() {
					for range 8 { // in turns, so that noise hits both
						here += fetch(ours, "/api/v1/file/get?path=/"+name)
						there += fetch(theirs, "/large.bin")
						rounds++
					}
				}
				total := float64(rounds) * size / 1e6
				b.ReportMetric(total/here.Seconds(), "quire-MB/s")
				b.ReportMetric(total/there.Seconds(), "static-MB/s")
				b.ReportMetric(there.Seconds()/here.Seconds(), "ratio")
			})
		}
	}
}
