package fileapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// The benchmarks compare two things in one run and report the ratio, because
// machines differ and are noisy. Run them with
//
//	go test -run '^$' -bench . -benchtime 1x ./door/fileapi

// rate runs f for a while from several goroutines and returns how often it ran
// a second.
func rate(b *testing.B, callers int, d time.Duration, f func(worker, n int)) float64 {
	b.Helper()
	var count atomic.Int64
	var wait sync.WaitGroup
	stop := time.Now().Add(d)
	began := time.Now()
	for w := range callers {
		wait.Go(func() {
			for n := 0; time.Now().Before(stop); n++ {
				f(w, n)
				count.Add(1)
			}
		})
	}
	wait.Wait()
	return float64(count.Load()) / time.Since(began).Seconds()
}

func serve(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}

func client(callers int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}}
}

func fetch(b *testing.B, c *http.Client, u, token string) int64 {
	r, err := http.NewRequest("GET", u, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatalf("%d %v", resp.StatusCode, err)
	}
	return n
}

func send(b *testing.B, c *http.Client, method, u, token string, body []byte) []byte {
	r, err := http.NewRequest(method, u, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		b.Fatalf("%d %s %v", resp.StatusCode, out, err)
	}
	return out
}

// large is how many bytes a large file has: about the most that one put may.
const large = 140 << 20

func noise(n int) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{1})
	_, _ = c.Read(b)
	return b
}

// uploadChunks uploads bytes in 4 MiB pieces.
func (f *fixture) uploadChunks(b *testing.B, c *http.Client, content []byte, path string) {
	b.Helper()
	id, at := "", 0
	for at < len(content) {
		n := min(4<<20, len(content)-at)
		out := send(b, c, "PUT", f.http.URL+"/api/v1/file/chunked_upload?offset="+strconv.Itoa(at)+"&upload_id="+id, f.token, content[at:at+n])
		if id == "" {
			_, rest, _ := strings.Cut(string(out), `"upload_id":"`)
			id, _, _ = strings.Cut(rest, `"`)
		}
		at += n
	}
	send(b, c, "POST", f.http.URL+"/api/v1/file/commit_chunked_upload?overwrite=true&upload_id="+id+"&path="+path, f.token, nil)
}

// BenchmarkUpload puts large files, whole and in pieces that are durable one by
// one, beside writing a file of the same size with one fsync at the end.
func BenchmarkUpload(b *testing.B) {
	f := open(b)
	c := client(1)
	content := noise(large)
	dir := b.TempDir()
	var whole, pieces, disk time.Duration
	rounds := 0
	for b.Loop() {
		for range 6 { // in turns, so that noise hits all
			path := "/" + strconv.Itoa(rounds)
			t := time.Now()
			send(b, c, "PUT", f.http.URL+"/api/v1/file/put?path=/whole"+path, f.token, content)
			whole += time.Since(t)
			t = time.Now()
			f.uploadChunks(b, c, content, "/pieces"+path)
			pieces += time.Since(t)
			t = time.Now()
			writeSynced(b, dir+path, content)
			disk += time.Since(t)
			rounds++
		}
	}
	total := float64(rounds) * large / 1e6
	b.ReportMetric(total/disk.Seconds(), "disk-MB/s")
	b.ReportMetric(total/whole.Seconds(), "put-MB/s")
	b.ReportMetric(total/pieces.Seconds(), "pieces-MB/s")
	b.ReportMetric(disk.Seconds()/whole.Seconds(), "put-ratio")
	b.ReportMetric(disk.Seconds()/pieces.Seconds(), "pieces-ratio")
}

func writeSynced(b *testing.B, path string, content []byte) {
	b.Helper()
	w, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(content)}); err != nil {
		b.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSmallPut puts files of 4 KiB from 16 callers, beside making a file
// for each: create, fsync, rename, fsync of the folder; from one caller, and
// from 16, whose fsyncs the file system then does together.
func BenchmarkSmallPut(b *testing.B) {
	f := open(b)
	c := client(16)
	content := noise(4096)
	dir := b.TempDir()
	var serial atomic.Int64
	for b.Loop() {
		single := func(w, n int) {
			name := filepath.Join(dir, fmt.Sprintf("%d-%d", w, serial.Add(1)))
			writeSynced(b, name+".tmp", content)
			if err := os.Rename(name+".tmp", name); err != nil {
				b.Fatal(err)
			}
			d, err := os.Open(dir)
			if err != nil {
				b.Fatal(err)
			}
			if err := d.Sync(); err != nil {
				b.Fatal(err)
			}
			d.Close()
		}
		one := rate(b, 1, 3*time.Second, single)
		plain := rate(b, 16, 3*time.Second, single)
		ours := rate(b, 16, 3*time.Second, func(w, n int) {
			body := append([]byte(strconv.FormatInt(serial.Add(1), 10)), content...)[:4096]
			send(b, c, "PUT", f.http.URL+"/api/v1/file/put?path="+url.QueryEscape(fmt.Sprintf("/w%d/%d", w, serial.Load())), f.token, body)
		})
		b.ReportMetric(one, "files/s-1")
		b.ReportMetric(plain, "files/s-16")
		b.ReportMetric(ours, "puts/s")
		b.ReportMetric(ours/one, "ratio-to-1")
		b.ReportMetric(ours/plain, "ratio-to-16")
	}
}

// BenchmarkSmallGet gets a file of 4 KiB with a token from 32 callers, beside a
// handler that returns 4 KiB.
func BenchmarkSmallGet(b *testing.B) {
	f := open(b)
	c := client(32)
	content := noise(4096)
	out := send(b, c, "PUT", f.http.URL+"/api/v1/file/put?path=/small.bin", f.token, content)
	_, rest, _ := strings.Cut(string(out), `"uid":"`)
	uid, _, _ := strings.Cut(rest, `"`)
	bare := serve(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4096")
		_, _ = w.Write(content)
	}))
	for b.Loop() {
		plain := rate(b, 32, 3*time.Second, func(int, int) { fetch(b, c, bare, "") })
		ours := rate(b, 32, 3*time.Second, func(int, int) { fetch(b, c, f.http.URL+"/api/v1/file/get?uid="+uid, f.token) })
		b.ReportMetric(plain, "bare/s")
		b.ReportMetric(ours, "gets/s")
		b.ReportMetric(ours/plain, "ratio")
	}
}

// BenchmarkFolder lists a page of a folder and puts a file into it, as it
// grows.
func BenchmarkFolder(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			f := open(b)
			ctx := context.Background()
			var wait sync.WaitGroup
			for w := range 32 {
				wait.Go(func() {
					for i := w; i < size; i += 32 {
						t := quire.Target{Path: fmt.Sprintf("/many/file-%07d.txt", i), OnConflict: quire.Replace}
						if _, _, err := f.lib.Save(ctx, f.admin, t, strings.NewReader("x"), library.Save{}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			c := client(1)
			var list, put time.Duration
			n := 0
			for b.Loop() {
				t := time.Now()
				from := fmt.Sprintf("file-%07d.txt", size/2)
				fetch(b, c, f.http.URL+"/api/v1/content/list?path=/many&limit=100&cursor="+from, f.token)
				list += time.Since(t)
				t = time.Now()
				send(b, c, "PUT", f.http.URL+"/api/v1/file/put?path=/many/new-"+strconv.Itoa(n), f.token, []byte("x"))
				put += time.Since(t)
				n++
			}
			b.ReportMetric(float64(list.Microseconds())/float64(n)/1000, "list-ms")
			b.ReportMetric(float64(put.Microseconds())/float64(n)/1000, "put-ms")
		})
	}
}
