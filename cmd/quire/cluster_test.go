package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob/s3/s3test"
	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
	"github.com/quire-docs/quire/internal/needs"
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
		t.Fatal(err)
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

// clusterClient saves, uploads, reads and renames files of its own, each request at
// whichever node is next, and knows what each path may have.
type clusterClient struct {
	c      *cluster
	folder string
	http   *http.Client
	// may is what a path may have: one content after an acknowledged change, more
	// after one whose connection broke. nothing is one of them.
	may     map[string][]content
	asked   int // requests
	done    int // acknowledged changes
	cut     int // requests whose connection broke
	refused int // 503s
	bad     []string
	last    string // the answer
}

// content is the hash of a file's bytes; the zero value is no file.
type content [32]byte

var nothing content

func (c *cluster) client(folder string) *clusterClient {
	return &clusterClient{c: c, folder: folder, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 2}}, may: map[string][]content{}}
}

func (w *clusterClient) wrong(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

// do makes a request. The status is 0 if the connection broke.
func (w *clusterClient) do(method, path string, q url.Values, body string) (int, string) {
	r, err := http.NewRequestWithContext(context.Background(), method, w.c.url+"/api/v1/"+path+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		w.wrong("%v", err)
		return 0, ""
	}
	r.Header.Set("Authorization", "Bearer "+w.c.token)
	w.asked++
	resp, err := w.http.Do(r)
	if err != nil {
		w.cut++
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusBadGateway {
		w.cut++
		return 0, ""
	}
	w.last = string(b)
	if resp.StatusCode == http.StatusServiceUnavailable {
		w.refused++
		var say struct{ Error, Msg string }
		if err := json.Unmarshal(b, &say); err != nil || say.Error == "" || say.Msg == "" || resp.Header.Get("Retry-After") == "" {
			w.wrong("%s %s: an unclear 503: %q, %.200s", method, path, resp.Header.Get("Retry-After"), b)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return resp.StatusCode, w.last
}

// expect says whether a status is one of those that are right, or notes it as
// wrong. A broken connection and, where that may be, a 503 are neither.
func (w *clusterClient) expect(what string, status int, mayFail bool, right ...int) bool {
	if slices.Contains(right, status) {
		return true
	}
	if status != 0 && !(mayFail && status == http.StatusServiceUnavailable) {
		w.wrong("%s: %d %s", what, status, w.last)
	}
	return false
}

// now is what a path may have: nothing, unless it is known.
func (w *clusterClient) now(path string) []content {
	if list := w.may[path]; list != nil {
		return list
	}
	return []content{nothing}
}

// round makes one change, and reads something.
func (w *clusterClient) round(n int, mayFail bool) {
	size := 5000
	if n%3 == 0 {
		size = 100_000
	}
	body := strings.Repeat(fmt.Sprintf("%d", n)+w.folder, size/20)
	path := fmt.Sprintf("%s/f%d", w.folder, n%20)
	switch {
	case n%7 == 0:
		w.upload(fmt.Sprintf("%s/u%d", w.folder, n), body)
	case n%5 == 0:
		w.rename(path, fmt.Sprintf("%s/r%d", w.folder, n), mayFail)
	default:
		w.put(path, body, mayFail)
	}
	w.read(fmt.Sprintf("%s/f%d", w.folder, (n*3)%20), mayFail)
}

func (w *clusterClient) put(path, body string, mayFail bool) {
	sum := content(sha256.Sum256([]byte(body)))
	before := w.now(path)
	w.may[path] = append(slices.Clone(before), sum)
	status, _ := w.do("PUT", "file/put", url.Values{"path": {path}, "overwrite": {"true"}}, body)
	switch {
	case w.expect("put "+path, status, mayFail, 200, 201):
		w.may[path] = []content{sum}
		w.done++
	case status == http.StatusServiceUnavailable && len(before) == 1:
		// Either is right: a commit whose answer got lost is told as a 503.
	}
}

// rename moves a file, and finds out what became of it if the answer is lost.
func (w *clusterClient) rename(from, to string, mayFail bool) {
	what := w.now(from)
	status, _ := w.do("POST", "file/fileops/move", url.Values{"path": {from}, "to_path": {to}}, "")
	switch {
	case status == http.StatusNotFound && slices.Contains(what, nothing):
		w.may[from] = []content{nothing}
	case w.expect("move "+from, status, mayFail, 200, 201):
		w.may[from], w.may[to] = []content{nothing}, slices.DeleteFunc(slices.Clone(what), func(c content) bool { return c == nothing })
		w.done++
	default:
		// It is at one of the two.
		here, there := w.find(from), w.find(to)
		if here != nothing && there != nothing || here == nothing && there == nothing && !slices.Contains(what, nothing) {
			w.wrong("after a move that was cut, %s is there: %v, and %s: %v", from, here != nothing, to, there != nothing)
		}
		for _, c := range []content{here, there} {
			if !slices.Contains(what, c) && c != nothing {
				w.wrong("after a move that was cut, %s or %s has something else", from, to)
			}
		}
		w.may[from], w.may[to] = []content{here}, []content{there}
	}
}

// find reads a path until there is an answer.
func (w *clusterClient) find(path string) content {
	for begin := time.Now(); time.Since(begin) < time.Minute; {
		switch status, body := w.do("GET", "file/get", url.Values{"path": {path}}, ""); status {
		case http.StatusOK:
			return sha256.Sum256([]byte(body))
		case http.StatusNotFound:
			return nothing
		case 0, http.StatusServiceUnavailable:
		default:
			w.wrong("get %s: %d %s", path, status, body)
			return nothing
		}
	}
	w.wrong("get %s: no answer in a minute", path)
	return nothing
}

// read compares a file with what it may have.
func (w *clusterClient) read(path string, mayFail bool) {
	status, body := w.do("GET", "file/get", url.Values{"path": {path}}, "")
	if !w.expect("get "+path, status, mayFail, 200, 404) {
		return
	}
	var got content
	if status == http.StatusOK {
		got = sha256.Sum256([]byte(body))
	}
	if !slices.Contains(w.now(path), got) {
		w.wrong("get %s: %d, %d bytes that it must not have", path, status, len(body))
	}
}

// upload sends a file in pieces, each of which goes to whichever node is next, and
// goes on where the last piece that was recorded ends.
func (w *clusterClient) upload(path, body string) {
	id, offset := "", 0
	end := time.Now().Add(time.Minute)
	for offset < len(body) {
		q := url.Values{"offset": {fmt.Sprint(offset)}}
		if id != "" {
			q.Set("upload_id", id)
		}
		status, text := w.do("PUT", "file/chunked_upload", q, body[offset:min(len(body), offset+20_000)])
		var got struct {
			ID     string `json:"upload_id"`
			Offset int    `json:"offset"`
		}
		switch {
		case status == http.StatusOK || status == http.StatusBadRequest: // the latter tells the offset
			if err := decode(text, &got); err != nil || got.ID == "" {
				w.wrong("upload %s: %d %s", path, status, text)
				return
			}
			id, offset = got.ID, got.Offset
		case status != 0 && status != http.StatusServiceUnavailable:
			w.wrong("the upload %s has to start again: %d %s", path, status, text)
			return
		case id == "":
			return // it never began
		case time.Now().After(end):
			w.wrong("the upload %s does not go on: %d %s", path, status, text)
			return
		}
	}
	w.may[path] = []content{sha256.Sum256([]byte(body))}
	for {
		status, text := w.do("POST", "file/commit_chunked_upload", url.Values{"upload_id": {id}, "path": {path}, "overwrite": {"true"}}, "")
		switch {
		case status == http.StatusOK || status == http.StatusCreated:
			w.done++
			return
		case status != 0 && status != http.StatusServiceUnavailable, time.Now().After(end):
			w.wrong("the upload %s cannot be completed: %d %s", path, status, text)
			return
		}
	}
}

// load runs clients for a while, and what happens beside them.
func (c *cluster) load(what string, clients int, mayFail bool, beside func()) (workers []*clusterClient) {
	var all sync.WaitGroup
	var stop atomic.Bool
	for i := range clients {
		w := c.client(fmt.Sprintf("/%s %d", what, i))
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

// check reads back what was acknowledged, and returns how many 503s there were. No
// connection may have been cut but so many.
func (c *cluster) check(what string, cuts int, workers []*clusterClient) (refused int) {
	c.t.Helper()
	var asked, done, cut, files, wrong int
	for _, w := range workers {
		asked, done, cut, refused = asked+w.asked, done+w.done, cut+w.cut, refused+w.refused
		for path, may := range w.may {
			if got := w.find(path); !slices.Contains(may, got) {
				w.wrong("%s is there: %v, and it has not what was acknowledged", path, got != nothing)
			}
			files++
		}
		wrong += len(w.bad)
		for _, b := range w.bad[:min(3, len(w.bad))] {
			c.t.Errorf("%s: %s: %.300s", what, w.folder, b)
		}
	}
	if done == 0 {
		c.t.Errorf("%s: nothing was saved", what)
	}
	if cut > cuts {
		c.t.Errorf("%s: %d requests were cut", what, cut)
	}
	c.t.Logf("%s: %d clients, %d requests, %d acknowledged changes, %d requests cut, %d times 503, %d errors; %d files read back", what, len(workers), asked, done, cut, refused, wrong, files)
	return refused
}

var clusterTime = flag.Duration("cluster", 20*time.Second, "how long TestCluster loads the cluster while it kills a node every 5 seconds; the full test is 2m")

// TestCluster: three nodes are one server for 32 clients. Nothing acknowledged is
// lost, no upload starts again, no lock is lost, comes back or outlives its lease,
// and nothing fails but what is cut, while nodes are killed; and while the database
// or the bucket is away, everybody is told so, nothing is lost, and afterwards all
// is as before.
func TestCluster(t *testing.T) {
	needs.Time(t)
	c := startCluster(t)
	leases := c.leases(4)
	locks := c.lockers("nodes are killed", 4)
	kills := 0
	c.check("nodes are killed", 1<<30, c.load("nodes are killed", 28, false, func() {
		for end := time.Now().Add(*clusterTime); time.Now().Before(end); kills++ {
			time.Sleep(4 * time.Second)
			c.nodes[kills%3].Swap(nil).kill()
			time.Sleep(time.Second)
			c.start(kills % 3)
		}
	}))
	t.Logf("%d nodes killed", kills)
	c.checkLocks("nodes are killed", locks)

	locks = c.lockers("the database restarts", 4)
	refused := c.check("the database restarts", 0, c.load("the database restarts", 28, true, func() {
		time.Sleep(time.Second)
		if err := errors.Join(c.pg.Stop(), c.pg.Again()); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
	}))
	c.checkLocks("the database restarts", locks)
	if refused == 0 {
		t.Error("nobody was told that the database is away")
	}

	locks = c.lockers("the bucket is away", 4)
	// A download that is under way when the bucket goes is cut.
	refused = c.check("the bucket is away", 28, c.load("the bucket is away", 28, true, func() {
		time.Sleep(time.Second)
		c.s3.Stop()
		time.Sleep(10 * time.Second)
		if err := c.s3.Run(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
	}))
	c.checkLocks("the bucket is away", locks)
	if refused == 0 {
		t.Error("nobody was told that the bucket is away")
	}

	locks = c.lockers("afterwards", 4)
	if n := c.check("afterwards", 0, c.load("afterwards", 28, false, func() { time.Sleep(3 * time.Second) })); n != 0 {
		t.Errorf("afterwards there are %d 503s", n)
	}
	c.checkLocks("afterwards", locks)
	if err := leases(); err != nil {
		t.Error(err)
	}
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
