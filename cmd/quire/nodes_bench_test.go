package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob/s3/s3test"
	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
)

var benchSize = flag.Int64("large", 1<<30, "how many bytes the large file of BenchmarkNodes has")

// deployment is a way to run the server: real processes, with a database that
// makes each commit durable.
type deployment struct {
	b     *testing.B
	env   []string
	nodes []*process
	token string
}

// BenchmarkNodes compares ways to run the server, in one run: SQLite and
// PostgreSQL, a folder and a bucket, one node and three. Clients spread over the
// nodes by themselves; all processes share the machine, so three nodes show what
// sharing costs, not what more machines gain.
func BenchmarkNodes(b *testing.B) {
	type figures struct{ locks, puts, up, down float64 }
	var first *figures
	for _, way := range []struct {
		name         string
		postgres, s3 bool
		nodes        int
	}{
		{"SQLite, folder, 1 node", false, false, 1},
		{"SQLite, S3, 1 node", false, true, 1},
		{"PostgreSQL, folder, 1 node", true, false, 1},
		{"PostgreSQL, folder, 3 nodes", true, false, 3},
		{"PostgreSQL, S3, 1 node", true, true, 1},
		{"PostgreSQL, S3, 3 nodes", true, true, 3},
	} {
		b.Run(way.name, func(b *testing.B) {
			d := deploy(b, way.postgres, way.s3, way.nodes)
			for b.Loop() {
				var f figures
				f.locks, f.puts = d.locks(16, 5*time.Second), d.puts(16, 5*time.Second)
				f.up, f.down = d.large(*benchSize)
				if first == nil {
					first = &f
				}
				for _, m := range []struct {
					name       string
					here, base float64
				}{{"locks/s", f.locks, first.locks}, {"4KiB-puts/s", f.puts, first.puts}, {"up-MB/s", f.up, first.up}, {"down-MB/s", f.down, first.down}} {
					b.ReportMetric(m.here, m.name)
					b.ReportMetric(m.here/m.base, m.name+"-ratio")
				}
			}
		})
	}
}

func deploy(b *testing.B, database, bucket bool, nodes int) *deployment {
	b.Helper()
	d := &deployment{b: b, env: []string{"QUIRE_DATA=" + b.TempDir()}}
	if database {
		pg, err := postgrestest.Start(postgrestest.Options{Durable: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { pg.Close() })
		_, at, err := pg.New(context.Background(), "")
		if err != nil {
			b.Fatal(err)
		}
		d.env = append(d.env, "QUIRE_CATALOG="+at)
	}
	if bucket {
		s := s3test.Start(b)
		d.env = append(append(d.env, s.Environment()...), "QUIRE_BLOBS="+s.URL("bench"))
	}
	for range nodes {
		n, err := launchWith(d.env, "")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(n.kill)
		d.nodes = append(d.nodes, n)
	}
	d.token = strings.TrimSpace(d.command("token", "create", "--user", "admin", "--scope", "admin"))
	return d
}

func (d *deployment) command(args ...string) string {
	d.b.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		d.b.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), d.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.b.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// send makes a request of the file API at a node and returns how many bytes the
// answer had.
func (d *deployment) send(c *http.Client, node int, method, at string, q url.Values, body io.Reader, size int64) int64 {
	r, err := http.NewRequest(method, d.nodes[node%len(d.nodes)].url+"/api/v1/"+at+"?"+q.Encode(), body)
	if err != nil {
		d.b.Error(err)
		return 0
	}
	r.ContentLength = size
	r.Header.Set("Authorization", "Bearer "+d.token)
	return d.answer(c, r)
}

func (d *deployment) answer(c *http.Client, r *http.Request) int64 {
	resp, err := c.Do(r)
	if err != nil {
		d.b.Error(err)
		return 0
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		d.b.Errorf("%s %s: %d %v", r.Method, r.URL.Path, resp.StatusCode, err)
	}
	return n
}

// rate runs clients for a time and returns how many calls they made in a second.
func (d *deployment) rate(clients int, life time.Duration, call func(c *http.Client, client, n int)) float64 {
	var wait sync.WaitGroup
	var count atomic.Int64
	begin := time.Now()
	for i := range clients {
		wait.Go(func() {
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for n := 0; time.Since(begin) < life && !d.b.Failed(); n++ {
				call(c, i, n)
				count.Add(1)
			}
		})
	}
	wait.Wait()
	return float64(count.Load()) / time.Since(begin).Seconds()
}

// locks refreshes locks by WOPI, each client its own.
func (d *deployment) locks(clients int, life time.Duration) float64 {
	d.b.Helper()
	urls := make([]string, clients)
	lock := func(c *http.Client, i int, op string) {
		r, err := http.NewRequest(http.MethodPost, urls[i], nil)
		if err != nil {
			d.b.Error(err)
			return
		}
		r.Header.Set("X-WOPI-Override", op)
		r.Header.Set("X-WOPI-Lock", "one")
		d.answer(c, r)
	}
	for i := range urls {
		path, base := fmt.Sprintf("/lock%d", i), d.nodes[i%len(d.nodes)].url
		d.send(http.DefaultClient, 0, "PUT", "file/put", url.Values{"path": {path}}, strings.NewReader("x"), 1)
		var a struct {
			Src   string `json:"wopisrc"`
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal([]byte(d.command("wopi", "url", path, "--user", "admin", "--public-url", base)), &a); err != nil {
			d.b.Fatal(err)
		}
		urls[i] = a.Src + "?access_token=" + url.QueryEscape(a.Token)
		lock(http.DefaultClient, i, "LOCK")
	}
	rate := d.rate(clients, life, func(c *http.Client, i, _ int) { lock(c, i, "REFRESH_LOCK") })
	for i := range urls {
		lock(http.DefaultClient, i, "UNLOCK")
	}
	return rate
}

// puts saves small files, each client in its own folder.
func (d *deployment) puts(clients int, life time.Duration) float64 {
	body := bytes.Repeat([]byte("quire "), 4096/6+1)[:4096]
	return d.rate(clients, life, func(c *http.Client, i, n int) {
		q := url.Values{"path": {fmt.Sprintf("/puts%d/%d", i, n%100)}, "overwrite": {"true"}}
		d.send(c, i, "PUT", "file/put", q, bytes.NewReader(body), int64(len(body)))
	})
}

// tus uploads noise in one piece, by tus.
func (d *deployment) tus(c *http.Client, path string, size int64) {
	at, body, want := d.nodes[0].url+"/uploads", io.Reader(http.NoBody), http.StatusCreated
	for _, method := range []string{http.MethodPost, http.MethodPatch} {
		r, err := http.NewRequest(method, at, body)
		if err != nil {
			d.b.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+d.token)
		r.Header.Set("Tus-Resumable", "1.0.0")
		if method == http.MethodPost {
			r.Header.Set("Upload-Length", fmt.Sprint(size))
			r.Header.Set("Upload-Metadata", "path "+base64.StdEncoding.EncodeToString([]byte(path)))
		} else {
			r.ContentLength = size
			r.Header.Set("Upload-Offset", "0")
			r.Header.Set("Content-Type", "application/offset+octet-stream")
		}
		resp, err := c.Do(r)
		if err != nil {
			d.b.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			d.b.Fatalf("%s: %d %s", method, resp.StatusCode, text)
		}
		at, body, want = resp.Header.Get("Location"), io.LimitReader(newNoise(7), size), http.StatusNoContent
	}
}

// large uploads and downloads a file, and returns how many MB/s each had.
func (d *deployment) large(size int64) (up, down float64) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	begin := time.Now()
	d.tus(c, "/large", size)
	up = float64(size) / 1e6 / time.Since(begin).Seconds()
	begin = time.Now()
	if n := d.send(c, 1, "GET", "file/get", url.Values{"path": {"/large"}}, nil, 0); n != size {
		d.b.Errorf("%d of %d bytes came back", n, size)
	}
	return up, float64(size) / 1e6 / time.Since(begin).Seconds()
}
