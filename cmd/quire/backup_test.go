package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/s3/s3test"
	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
	"github.com/quire-docs/quire/internal/needs"
	"github.com/quire-docs/quire/library"
)

// realEngines are servers that installations of a test are kept on.
type realEngines struct {
	t      *testing.T
	folder string
	pg     *postgrestest.Server
	s3     *s3test.Server
	count  int
}

func startEngines(t *testing.T) *realEngines {
	t.Helper()
	pg, err := postgrestest.Start(postgrestest.Options{})
	if err != nil {
		needs.Missing(t, "no PostgreSQL: scripts/test installs it: %v", err)
	}
	t.Cleanup(func() { pg.Close() })
	return &realEngines{t: t, folder: t.TempDir(), pg: pg, s3: s3test.Start(t)}
}

// place is where an installation is.
type place struct {
	e                    *realEngines
	name                 string
	data, catalog, blobs string
}

// place makes a new one: with a database, with a bucket's prefix, or in a folder.
func (e *realEngines) place(database, bucket bool) *place {
	e.t.Helper()
	e.count++
	p := &place{e: e, name: fmt.Sprintf("%d: database %v, bucket %v", e.count, database, bucket), data: filepath.Join(e.folder, fmt.Sprint("place", e.count))}
	if database {
		name, _, err := e.pg.New(e.t.Context(), "")
		if err != nil {
			e.t.Fatal(err)
		}
		p.catalog = e.pg.URL(name)
	}
	if bucket {
		p.blobs = e.s3.URL(fmt.Sprint("place", e.count))
	}
	return p
}

func (p *place) env() []string {
	env := append(p.e.s3.Environment(), "QUIRE_DATA="+p.data, "QUIRE_LIBREOFFICE=off")
	if p.catalog != "" {
		env = append(env, "QUIRE_CATALOG="+p.catalog)
	}
	if p.blobs != "" {
		env = append(env, "QUIRE_BLOBS="+p.blobs)
	}
	return env
}

func (p *place) start(args ...string) *exec.Cmd {
	p.e.t.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		p.e.t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(os.Environ(), p.env()...)
	return cmd
}

// run runs a command on the place, which must succeed.
func (p *place) run(args ...string) string {
	p.e.t.Helper()
	out, err := p.start(args...).CombinedOutput()
	if err != nil {
		p.e.t.Fatalf("%s: %v: %v\n%s", p.name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// refused runs a command that must fail, and say something.
func (p *place) refused(says string, args ...string) {
	p.e.t.Helper()
	out, err := p.start(args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), says) {
		p.e.t.Errorf("%s: %v: %v, %q does not say %q", p.name, args, err, out, says)
	}
}

func (p *place) serve() *process {
	p.e.t.Helper()
	s, err := launchWith(p.env(), p.data)
	if err != nil {
		p.e.t.Fatalf("%s: %v", p.name, err)
	}
	p.e.t.Cleanup(s.kill)
	return s
}

// caller makes requests of the file API.
type caller struct {
	t     *testing.T
	url   string
	token string
}

func (c *caller) do(method, call string, q url.Values, body []byte) (int, []byte) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/api/v1/"+call+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	return resp.StatusCode, text
}

func (c *caller) must(method, call string, q url.Values, body []byte) []byte {
	c.t.Helper()
	status, text := c.do(method, call, q, body)
	if status != 200 && status != 201 {
		c.t.Errorf("%s %s %v: %d %s", method, call, q, status, text)
	}
	return text
}

func (c *caller) put(path string, body []byte) {
	c.t.Helper()
	c.must("PUT", "file/put", url.Values{"path": {path}, "overwrite": {"true"}}, body)
}

func (c *caller) get(path string) []byte {
	c.t.Helper()
	return c.must("GET", "file/get", url.Values{"path": {path}}, nil)
}

// names lists a folder.
func (c *caller) names(path string) (names []string) {
	c.t.Helper()
	var list struct {
		Contents []struct {
			Filename string `json:"filename"`
		} `json:"contents"`
	}
	if err := json.Unmarshal(c.must("GET", "content/list", url.Values{"path": {path}, "limit": {"20000"}}, nil), &list); err != nil {
		c.t.Error(err)
	}
	for _, e := range list.Contents {
		names = append(names, e.Filename)
	}
	return names
}

// occupied makes a place with documents: small and large ones, revisions, trash,
// an unfinished upload.
func (e *realEngines) occupied(database, bucket bool, large int) (p *place, token string) {
	e.t.Helper()
	p = e.place(database, bucket)
	s := p.serve()
	token = p.run("token", "create", "--user", "admin", "--scope", "admin")
	c := &caller{e.t, s.url, token}
	c.put("/folder/small", []byte("small"))
	c.put("/folder/small", []byte("small, again"))
	c.put("/folder/gone", []byte("gone"))
	c.must("POST", "file/fileops/delete", url.Values{"path": {"/folder/gone"}}, nil)
	for i := range large {
		c.put(fmt.Sprintf("/large/%03d", i), blobtest.Bytes(uint64(i), 100_000+i))
	}
	c.must("PUT", "file/chunked_upload", url.Values{"offset": {"0"}}, blobtest.Bytes(99, 200_000))
	s.stop(e.t)
	return p, token
}

// same compares a place with what occupied made.
func (p *place) same(token string, large int) {
	t := p.e.t
	t.Helper()
	s := p.serve()
	defer s.stop(t)
	c := &caller{t, s.url, token}
	if got := c.get("/folder/small"); string(got) != "small, again" {
		t.Errorf("%s: a small file has %q", p.name, got)
	}
	if got := c.must("GET", "file/get", url.Values{"path": {"/folder/small"}, "revision": {"1"}}, nil); string(got) != "small" {
		t.Errorf("%s: its first revision has %q", p.name, got)
	}
	for i := range large {
		if got := c.get(fmt.Sprintf("/large/%03d", i)); !bytes.Equal(got, blobtest.Bytes(uint64(i), 100_000+i)) {
			t.Errorf("%s: file %d has other bytes", p.name, i)
		}
	}
	if text := c.must("GET", "file/trash", nil, nil); !bytes.Contains(text, []byte("gone")) {
		t.Errorf("%s: the trash is %s", p.name, text)
	}
	if text := c.must("GET", "file/uploads", nil, nil); !bytes.Contains(text, []byte(`"offset":200000`)) {
		t.Errorf("%s: the uploads are %s", p.name, text)
	}
	c.put("/new", []byte("new")) // and it can be worked with
}

// TestBackupAndRestore: a backup of any engines is restored to any others, and
// has the content of the first.
func TestBackupAndRestore(t *testing.T) {
	e := startEngines(t)
	const large = 5
	p, token := e.occupied(false, false, large)
	clean := p.run("fsck")
	if !strings.HasPrefix(clean, "clean: ") {
		t.Fatal(clean)
	}
	for _, to := range []struct{ database, bucket bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		backup := filepath.Join(e.folder, fmt.Sprint("backup", e.count))
		args := []string{"backup", backup}
		if to.bucket { // keep the bytes of this one in a bucket
			args = append(args, "--to-blobs", e.s3.URL(fmt.Sprint("backup", e.count)))
		}
		p.run(args...)
		next := e.place(to.database, to.bucket)
		next.run("restore", "--dry-run", backup)
		next.run("restore", backup)
		if got := next.run("fsck"); got != clean {
			t.Errorf("%s: fsck says %q, of the first it said %q", next.name, got, clean)
		}
		next.refused("there is an installation already", "restore", backup)
		if to.bucket {
			// The bucket of the one is nobody else's.
			other := e.place(false, false)
			other.blobs = next.blobs
			other.refused("belong to another installation", "restore", backup)
			other.refused("belong to another installation", "restore", "--dry-run", backup)
			p.refused("belong to another installation", "fsck", "--blobs", next.blobs)
			p.refused("there are the segments of an installation", "backup", backup+"x", "--to-blobs", next.blobs)
		}
		p = next
	}
	p.same(token, large)
}

// TestBadTargets: what cannot be a target is refused with a sentence, and
// nothing is done to it.
func TestBadTargets(t *testing.T) {
	e := startEngines(t)
	p, _ := e.occupied(false, false, 1)
	p.run("backup", p.data+"-backup")
	foreign := e.place(true, false)
	name, at, err := e.pg.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	foreign.catalog = e.pg.URL(name)
	db, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	if _, err := db.Exec(t.Context(), "CREATE TABLE theirs (id INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	bucket := e.s3.URL("new")
	for _, bad := range []struct{ flag, value, says string }{
		{"to", foreign.catalog, "the database has tables of something else: make an empty one"},
		{"to", strings.Replace(foreign.catalog, name, "nosuch", 1), "nosuch"},
		{"to", "mysql://host/name", "write it like postgres://"},
		{"to-blobs", strings.Replace(bucket, s3test.Bucket, "nosuchbucket", 1), "no bucket"},
		{"to-blobs", bucket + "x", "is not the bucket's: correct region="},
		{"to-blobs", "s3://b", "bucket's name"},
		{"to-blobs", "https://host/bucket", "must begin with s3://"},
		{"to-data", p.data, "it is there already"},
		{"to-data", p.data + "-backup", "is a backup"},
	} {
		p.refused(bad.says, "migrate", "--"+bad.flag, bad.value)
		p.refused(bad.says, "migrate", "--dry-run", "--"+bad.flag, bad.value)
		if from, ok := map[string]string{"to": "catalog", "to-blobs": "blobs"}[bad.flag]; ok {
			e.place(false, false).refused(bad.says, "restore", p.data+"-backup", "--"+from, bad.value)
		}
	}
	p.refused("name where to move to", "migrate")
	p.refused("nothing is being moved", "migrate", "--give-up")
	// All of that has left the source as it was.
	p.serve().stop(t)
	p.run("migrate", "--dry-run", "--to-blobs", bucket)
	p.run("fsck")
}

// chain is what two clients do in turns: whatever moment one looks at, the second
// has done no more than the first, and at most one step less; and each
// client's own steps are there from the first on.
type chain struct {
	c    *caller
	acks atomic.Int64 // steps that both have been told of
	stop atomic.Bool
	done sync.WaitGroup
}

func (h *chain) run() {
	h.done.Go(func() {
		for n := int64(1); !h.stop.Load() && !h.c.t.Failed(); n++ {
			for _, who := range []string{"a", "b"} {
				size := 20
				if n%3 == 0 {
					size = 70_000 // in the blob store
				}
				body := bytes.Repeat(fmt.Appendf(nil, "%08d ", n), size/9+1)
				h.c.put(fmt.Sprintf("/%s/f%06d", who, n), body)
				if n > 1 {
					h.c.must("POST", "file/fileops/move", url.Values{"path": {fmt.Sprintf("/%s/f%06d", who, n-1)}, "to_path": {fmt.Sprintf("/%s/done/%06d", who, n-1)}}, nil)
				}
				h.c.put("/"+who+"/counter", body)
			}
			h.waste()
			h.acks.Store(n)
		}
	})
}

// waste uploads something and gives it up: garbage, which the catalog lists until
// it is collected.
func (h *chain) waste() {
	var u struct {
		ID string `json:"upload_id"`
	}
	text := h.c.must("PUT", "file/chunked_upload", url.Values{"offset": {"0"}}, blobtest.Bytes(7, 80_000))
	if err := json.Unmarshal(text, &u); err != nil {
		h.c.t.Error(err)
	}
	h.c.must("POST", "file/cancel_upload", url.Values{"upload_id": {u.ID}}, nil)
}

// moment checks that what a server has is a moment of the chain, with at least
// some steps, and returns how many it has.
func (h *chain) moment(c *caller, least int64) int64 {
	t := c.t
	t.Helper()
	count := func(who string) (n int64) {
		counter := c.get("/" + who + "/counter")
		if _, err := fmt.Sscanf(string(counter[:8]), "%d", &n); err != nil {
			t.Errorf("%s's counter is %.20q", who, counter)
		}
		if bytes.Count(counter, counter[:9])*9 != len(counter) {
			t.Errorf("%s's counter is of two saves", who)
		}
		if n < 2 {
			t.Errorf("%s has made %d steps", who, n)
			return n
		}
		// done/ has 1 to n-1 or n; beside it are the latest one or two.
		done := c.names("/" + who + "/done")
		for i, name := range done {
			if name != fmt.Sprintf("%06d", i+1) {
				t.Errorf("%s: file %d is %s", who, i+1, name)
				break
			}
		}
		if d := int64(len(done)); d != n-1 && d != n {
			t.Errorf("%s: %d files are done, the counter is %d", who, d, n)
		}
		var latest []string
		for _, name := range c.names("/" + who) {
			if strings.HasPrefix(name, "f0") {
				latest = append(latest, name)
			}
		}
		first := int64(len(done)) + 1
		for i, name := range latest {
			if name != fmt.Sprintf("f%06d", first+int64(i)) {
				t.Errorf("%s: after %d comes %s", who, first-1, name)
			}
		}
		if last := first + int64(len(latest)) - 1; last != n && last != n+1 {
			t.Errorf("%s: the last file is %d, the counter %d", who, last, n)
		}
		return n
	}
	a, b := count("a"), count("b")
	if b != a && b != a-1 {
		t.Errorf("a has made %d steps and b %d: that never was", a, b)
	}
	if b < least {
		t.Errorf("%d steps were over before the backup, it has %d", least, b)
	}
	return b
}

// TestBackupUnderLoad: backups that are made while files are saved and renamed
// are clean and equal some moment.
func TestBackupUnderLoad(t *testing.T) {
	e := startEngines(t)
	for _, from := range []struct{ database, bucket bool }{{false, false}, {true, true}} {
		p := e.place(from.database, from.bucket)
		s := p.serve()
		token := p.run("token", "create", "--user", "admin", "--scope", "write")
		h := &chain{c: &caller{t, s.url, token}}
		h.run()
		for h.acks.Load() < 4 && !t.Failed() {
			time.Sleep(10 * time.Millisecond)
		}
		backup := p.data + "-backup"
		var before int64
		var collected atomic.Int64
		var collecting sync.WaitGroup
		over := make(chan struct{})
		collecting.Go(func() { // as often as it can, without any grace
			for {
				select {
				case <-over:
					return
				default:
				}
				var sum library.Collected
				out, err := p.start("--json", "gc", "--grace", "0s").Output()
				if err := errors.Join(err, json.Unmarshal(out, &sum)); err != nil {
					t.Error(err)
					return
				}
				collected.Add(int64(sum.Segments))
			}
		})
		for range 4 {
			before = h.acks.Load()
			p.run("backup", backup)
		}
		close(over)
		collecting.Wait()
		after := h.acks.Load()
		h.stop.Store(true)
		h.done.Wait()
		s.stop(t)
		if after == before {
			t.Errorf("%s: nothing was saved during the last backup", p.name)
		}
		// Into engines that it was not made from.
		q := e.place(!from.database, !from.bucket)
		q.run("restore", backup)
		if out := q.run("fsck"); !strings.HasPrefix(out, "clean: ") {
			t.Error(out)
		}
		r := q.serve()
		steps := h.moment(&caller{t, r.url, token}, before)
		if steps > after+1 {
			t.Errorf("the backup has %d steps, when it was over there were %d", steps, after)
		}
		r.stop(t)
		if collected.Load() == 0 {
			t.Errorf("%s: no garbage was collected meanwhile", p.name)
		}
		t.Logf("%s: %d steps before the backup, %d in it, %d after it; %d segments of garbage were deleted meanwhile", p.name, before, steps, after, collected.Load())
	}
}

// TestBackupKilled: a backup or a restore that is killed says that it is not
// finished, and the next one goes on.
func TestBackupKilled(t *testing.T) {
	e := startEngines(t)
	p, token := e.occupied(true, false, 120)
	backup := p.data + "-backup"
	cmd := p.start("backup", backup)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	soon(t, func() bool { return countFiles(filepath.Join(backup, "blobs", "segments")) >= 20 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	have := countFiles(filepath.Join(backup, "blobs", "segments"))
	if have >= 121 {
		t.Fatalf("it was over before it was killed: %d files", have)
	}
	q := e.place(false, false)
	q.refused("its first run was interrupted", "restore", backup)
	var sum backedUp
	if err := json.Unmarshal([]byte(p.run("--json", "backup", backup)), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Segments != 121 || sum.Copied == 0 || sum.Copied > int64(121-have) {
		t.Errorf("%d were there, and then %+v", have, sum)
	}

	// And so does a restore.
	r := e.place(true, true)
	cmd = r.start("restore", backup)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	soon(t, func() bool { return r.objects() >= 15 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if n := r.objects(); n >= 121 {
		t.Fatalf("it was over before it was killed: %d objects", n)
	}
	r.refused("what 'quire restore' copies to it is not complete", "serve", "--listen", "127.0.0.1:0")
	r.run("restore", backup)
	r.same(token, 120)
	r.refused("there is an installation already", "restore", backup)
}

func countFiles(folder string) (n int) {
	_ = filepath.WalkDir(folder, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

// soon waits until something has happened.
func soon(t *testing.T, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !happened(); {
		if time.Now().After(end) {
			t.Fatal(errors.New("it does not happen"))
		}
		time.Sleep(time.Millisecond)
	}
}

// TestMeter: where there is no terminal, a line now and then tells how far
// something is; a program that reads JSON is told nothing.
func TestMeter(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		m := (&app{errOut: &out, json: asJSON}).meter("segments", "bytes", 100)
		m.add(1)
		m.last = time.Now().Add(-time.Minute)
		m.add(39)
		m.add(10)
		m.end()
		want := "quire: segments: 40 of 100 bytes\n"
		if asJSON {
			want = ""
		}
		if out.String() != want {
			t.Errorf("JSON %v: %q instead of %q", asJSON, out.String(), want)
		}
	}
}
