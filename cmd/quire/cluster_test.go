package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
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

// cluster is three nodes on one PostgreSQL and one bucket, behind a proxy that
// takes them in turn.
type cluster struct {
	t     *testing.T
	env   []string
	nodes [3]atomic.Pointer[process]
	url   string
	token string
	pg    *postgrestest.Server
	s3    *s3test.Server
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	pg, err := postgrestest.Start(postgrestest.Options{})
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no PostgreSQL: %v", err)
	}
	t.Cleanup(func() { pg.Close() })
	name, _, err := pg.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	bucket := s3test.Start(t)
	c := &cluster{t: t, pg: pg, s3: bucket, env: append(bucket.Environment(), "QUIRE_CATALOG="+pg.URL(name), "QUIRE_BLOBS="+bucket.URL("cluster"), "QUIRE_LIBREOFFICE=off")}
	for i := range c.nodes {
		c.start(i)
	}
	var turn atomic.Uint64
	l := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			for range 30 {
				if n := c.nodes[turn.Add(1)%3].Load(); n != nil {
					u, _ := url.Parse(n.url)
					r.SetURL(u)
					r.Out.Host = r.In.Host
					return
				}
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	c.url = serveOn(t, l)
	out := c.command("token", "create", "--user", "admin", "--scope", "admin")
	c.token = strings.TrimSpace(out)
	t.Cleanup(func() {
		for i := range c.nodes {
			if n := c.nodes[i].Swap(nil); n != nil {
				n.kill()
			}
		}
	})
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	n, err := launchWith(c.env, c.t.TempDir())
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i].Store(n)
}

// command runs the program beside the nodes.
func (c *cluster) command(args ...string) string {
	c.t.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), bin, args...)
	cmd.Env = append(append(os.Environ(), c.env...), "QUIRE_DATA="+c.t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// clusterClient puts files and sends uploads, and knows what was acknowledged.
type clusterClient struct {
	c     *cluster
	id    int
	http  *http.Client
	saved map[string][32]byte
	puts  int
	cut   int // requests whose connection broke
	bad   []string
	last  string // the answer
}

func (w *clusterClient) do(method, path string, q url.Values, body string) (int, string) {
	r, err := http.NewRequestWithContext(context.Background(), method, w.c.url+"/api/v1/"+path+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		w.bad = append(w.bad, err.Error())
		return 0, ""
	}
	r.Header.Set("Authorization", "Bearer "+w.c.token)
	resp, err := w.http.Do(r)
	if err != nil {
		w.cut++
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || resp.StatusCode == http.StatusBadGateway:
		w.cut++
		return 0, ""
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "":
		w.bad = append(w.bad, fmt.Sprintf("%s %s: 503 without Retry-After", method, path))
	}
	w.last = string(b)
	return resp.StatusCode, w.last
}

// round makes one save, now and then by an upload in pieces, each of which goes to
// whichever node is next.
func (w *clusterClient) round(n int, mayFail bool) {
	path := fmt.Sprintf("/w%d/f%d", w.id, n%20)
	size := 5000
	if n%3 == 0 {
		size = 100_000
	}
	body := strings.Repeat(fmt.Sprintf("%d.%d ", w.id, n), size/6)
	ok := func(status int) bool {
		if status != 0 && status != 200 && status != 201 && !(mayFail && status == 503) {
			w.bad = append(w.bad, fmt.Sprintf("%s: %d %s", path, status, w.last))
		}
		return status == 200 || status == 201
	}
	if n%7 != 0 {
		status, text := w.do("PUT", "file/put", url.Values{"path": {path}, "overwrite": {"true"}}, body)
		if ok(status) {
			w.saved[path] = sha256.Sum256([]byte(body))
			w.puts++
		} else if status != 0 && len(w.bad) > 0 && len(w.bad) < 3 {
			w.bad = append(w.bad, text)
		} else {
			delete(w.saved, path) // either content is right now
		}
		return
	}
	path = fmt.Sprintf("/w%d/u%d", w.id, n)
	id, offset := "", 0
	for tries := 0; offset < len(body) && tries < 50; tries++ {
		q := url.Values{"offset": {fmt.Sprint(offset)}}
		if id != "" {
			q.Set("upload_id", id)
		}
		status, text := w.do("PUT", "file/chunked_upload", q, body[offset:min(len(body), offset+20_000)])
		var got struct {
			ID     string `json:"upload_id"`
			Offset int    `json:"offset"`
		}
		if status == 200 || status == 400 {
			if err := decode(text, &got); err != nil {
				w.bad = append(w.bad, text)
				return
			}
			id, offset = got.ID, got.Offset
			continue
		}
		if !ok(status) && status != 0 && status != 503 {
			w.bad = append(w.bad, "the upload has to start again: "+text)
			return
		}
		if id == "" {
			return // it never began
		}
	}
	for range 50 {
		status, _ := w.do("POST", "file/commit_chunked_upload", url.Values{"upload_id": {id}, "path": {path}, "overwrite": {"true"}}, "")
		if ok(status) {
			w.saved[path] = sha256.Sum256([]byte(body))
			w.puts++
			return
		}
		if status != 0 && status != 503 {
			return
		}
	}
}

// load runs clients for a while, and what happens beside them.
func (c *cluster) load(clients int, mayFail bool, beside func()) (workers []*clusterClient) {
	var all sync.WaitGroup
	var stop atomic.Bool
	for i := range clients {
		w := &clusterClient{c: c, id: i, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 2}}, saved: map[string][32]byte{}}
		workers = append(workers, w)
		all.Go(func() {
			for n := 1; !stop.Load(); n++ {
				w.round(n, mayFail)
			}
		})
	}
	beside()
	stop.Store(true)
	all.Wait()
	return workers
}

// check reads back what was acknowledged.
func (c *cluster) check(what string, workers []*clusterClient) {
	c.t.Helper()
	puts, cut, lost := 0, 0, 0
	for _, w := range workers {
		puts, cut = puts+w.puts, cut+w.cut
		for _, b := range w.bad[:min(3, len(w.bad))] {
			c.t.Errorf("%s: client %d: %.200s", what, w.id, b)
		}
		for path, sum := range w.saved {
			status, body := w.do("GET", "file/get", url.Values{"path": {path}}, "")
			if status != 200 || sha256.Sum256([]byte(body)) != sum {
				lost++
				c.t.Errorf("%s: %s is %d, %d bytes", what, path, status, len(body))
			}
		}
	}
	if puts == 0 {
		c.t.Errorf("%s: nothing was saved", what)
	}
	c.t.Logf("%s: %d saves, %d requests cut, %d lost", what, puts, cut, lost)
}

var clusterTime = flag.Duration("cluster", 20*time.Second, "how long TestCluster loads the cluster while it kills a node every 5 seconds")

// TestCluster: three nodes are one server. Nothing acknowledged is lost, no upload
// starts again, no lock is lost or comes back, and nothing fails but what is cut,
// while nodes are killed; and while the database or the bucket is away, everybody
// is told so and nothing is lost.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	c := startCluster(t)
	c.check("at rest", c.load(8, false, func() { time.Sleep(2 * time.Second) }))
	locks := c.lockers("nodes are killed", 4)
	c.check("nodes are killed", c.load(28, false, func() {
		for i, end := 0, time.Now().Add(*clusterTime); time.Now().Before(end); i++ {
			time.Sleep(4 * time.Second)
			c.nodes[i%3].Swap(nil).kill()
			time.Sleep(time.Second)
			c.start(i % 3)
		}
	}))
	c.checkLocks("nodes are killed", locks)
	locks = c.lockers("the database restarts", 4)
	c.check("the database restarts", c.load(12, true, func() {
		time.Sleep(time.Second)
		err := errors.Join(c.pg.Stop(), c.pg.Again())
		if err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
	}))
	c.checkLocks("the database restarts", locks)
	locks = c.lockers("the bucket is away", 4)
	c.check("the bucket is away", c.load(12, true, func() {
		time.Sleep(time.Second)
		c.s3.Stop()
		time.Sleep(10 * time.Second)
		if err := c.s3.Run(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
	}))
	c.checkLocks("the bucket is away", locks)
	if out := c.command("fsck"); !strings.Contains(out, "clean") {
		t.Errorf("fsck: %s", out)
	}
}

// checkLocks ends clients that lock.
func (c *cluster) checkLocks(what string, stop func() (int, error)) {
	c.t.Helper()
	done, err := stop()
	if err != nil || done == 0 {
		c.t.Errorf("%s: %d changes of locks: %v", what, done, err)
	}
	c.t.Logf("%s: %d changes of locks", what, done)
}
