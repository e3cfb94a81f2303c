package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire/client"
)

var crashes = flag.Int("crashes", 50, "how many times TestCrash kills the server")

// TestCrash kills the real server at random moments under a mixed load, and
// looks after each restart whether everything that it acknowledged is there,
// byte for byte, and nothing half-done can be seen.
//
// Each worker has a folder of its own and knows what its files must be. An
// operation that was under way when the server died may have happened or not:
// the worker accepts both, and then knows.
func TestCrash(t *testing.T) {
	rounds := *crashes
	if testing.Short() {
		rounds = min(rounds, 5)
	}
	data := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var workers []*worker
	for i := range 6 {
		workers = append(workers, &worker{name: fmt.Sprintf("w%d", i), rnd: rand.New(rand.NewPCG(seed, uint64(i+2))), files: map[string]state{}})
	}
	token := ""
	done := 0
	for round := range rounds {
		s, err := launch(data)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if token == "" {
			token = newToken(t, data)
			for _, w := range workers {
				w.prepareLock(t, data, s.url, token)
			}
		}
		for _, w := range workers {
			w.moved(s.url)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wait sync.WaitGroup
		errs := make(chan error, len(workers))
		for _, w := range workers {
			wait.Go(func() {
				if err := w.run(ctx, s.url, token); err != nil {
					errs <- fmt.Errorf("%s: %w", w.name, err)
				}
			})
		}
		time.Sleep(time.Duration(50+rnd.IntN(250)) * time.Millisecond)
		s.kill()
		cancel()
		wait.Wait()
		close(errs)
		for err := range errs {
			t.Fatalf("round %d: %v\nserver: %s", round, err, s.log)
		}
	}
	s, err := launch(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workers {
		w.moved(s.url)
		if err := w.verify(context.Background(), s.url, token); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		done += w.done
	}
	s.kill()
	if err := fsck(t, data); err != nil {
		t.Error(err)
	}
	t.Logf("%d acknowledged operations, %d kills", done, rounds)
	if done < rounds {
		t.Error("hardly anything was acknowledged: this test tests nothing")
	}
}

func program(t testing.TB) string {
	t.Helper()
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func newToken(t testing.TB, data string) string {
	t.Helper()
	cmd := exec.Command(program(t), "token", "create", "--user", "admin", "--data", data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func fsck(t *testing.T, data string) error {
	t.Helper()
	out, err := exec.Command(program(t), "fsck", "--data", data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fsck: %w\n%s", err, out)
	}
	t.Logf("fsck: %s", bytes.TrimSpace(out))
	return nil
}

// state is what a worker knows of a path: the contents that it may have, ""
// standing for no file.
type state []string

// worker is one client with a folder of its own.
type worker struct {
	name    string
	rnd     *rand.Rand
	n       int // counts contents, so that each is different
	done    int // acknowledged operations
	files   map[string]state
	session string // an upload that is under way
	sent    []byte // what it was acknowledged to have
	maybe   []byte // a piece that was sent when the server died: it may be there
	http    *http.Client
	base    string
	token   string
	wopi    string   // the URL of a file of this worker's that is only locked
	locks   []string // the lock ids that it may have
}

// run first looks whether everything is as it must be, and then changes things
// until the server is gone. It returns only what is wrong, not that the server
// is gone.
func (w *worker) run(ctx context.Context, base, token string) error {
	if err := w.verify(ctx, base, token); err != nil {
		return w.gone(ctx, err)
	}
	for ctx.Err() == nil {
		if err := w.step(ctx); err != nil {
			return w.gone(ctx, err)
		}
	}
	return nil
}

// wrong is an answer that a working server must not give.
type wrong struct{ error }

// gone hides errors that only say that the server was killed.
func (w *worker) gone(_ context.Context, err error) error {
	var bad wrong
	if errors.As(err, &bad) {
		return err
	}
	return nil
}

func (w *worker) verify(ctx context.Context, base, token string) error {
	w.base, w.token, w.http = base, token, &http.Client{Timeout: 20 * time.Second}
	for name, may := range w.files {
		got, err := w.read(ctx, name)
		if err != nil {
			return err
		}
		ok := false
		for _, m := range may {
			ok = ok || m == got
		}
		if !ok {
			return wrong{fmt.Errorf("%s has %q (%d bytes); it may have %d contents, the last %q", name, head(got), len(got), len(may), head(may[len(may)-1]))}
		}
		w.files[name] = state{got}
	}
	id, err := w.lockID(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(w.locks, id) {
		return wrong{fmt.Errorf("the lock is %q, and may be %q", id, w.locks)}
	}
	w.locks = []string{id}
	// Nothing else may be there.
	c, err := client.New(base, token)
	if err != nil {
		return err
	}
	c.Patience = 0
	err = c.List(ctx, "/"+w.name, func(m client.Metadata) error {
		if may, ok := w.files[m.Filename]; !ok || len(may) == 1 && may[0] == "" {
			return wrong{fmt.Errorf("%s is there, and should not be", m.Path)}
		}
		return nil
	})
	var no *client.Error
	if errors.As(err, &no) && no.Status == http.StatusNotFound {
		return nil
	}
	return err
}

func head(s string) string { return s[:min(len(s), 40)] }

// call makes a request; an answer of 500 is always wrong.
func (w *worker) call(ctx context.Context, method, path string, q url.Values, body []byte) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, w.base+path+"?"+q.Encode(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := w.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusInternalServerError {
		return 0, nil, wrong{fmt.Errorf("%s %s: %s", method, path, b)}
	}
	return resp.StatusCode, b, err
}

func (w *worker) read(ctx context.Context, name string) (string, error) {
	status, b, err := w.call(ctx, http.MethodGet, "/api/v1/file/get", url.Values{"path": {"/" + w.name + "/" + name}}, nil)
	switch {
	case err != nil:
		return "", err
	case status == http.StatusNotFound:
		return "", nil
	case status != http.StatusOK:
		return "", wrong{fmt.Errorf("get %s: %d %s", name, status, b)}
	}
	return string(b), nil
}

// content makes bytes that no other operation of the worker makes.
func (w *worker) content(size int) []byte {
	w.n++
	b := bytes.Repeat(fmt.Appendf(nil, "%s-%d|", w.name, w.n), size/8+1)
	return b[:min(len(b), max(size, 12))]
}

// step does one operation.
func (w *worker) step(ctx context.Context) error {
	name := "f" + strconv.Itoa(w.rnd.IntN(5))
	was := w.files[name]
	if was == nil {
		was = state{""}
	}
	full := "/" + w.name + "/" + name
	switch op := w.rnd.IntN(12); {
	case op >= 10:
		return w.lock(ctx)
	case op < 4: // a small or a large put
		size := 20 + w.rnd.IntN(5000)
		if w.rnd.IntN(4) == 0 {
			size = 100_000 + w.rnd.IntN(900_000)
		}
		b := w.content(size)
		return w.change(ctx, name, append(was, string(b)), string(b), http.MethodPut, "/api/v1/file/put", url.Values{"path": {full}, "overwrite": {"true"}}, b)
	case op < 6: // delete
		if len(was) == 1 && was[0] == "" {
			return nil
		}
		return w.change(ctx, name, append(was, ""), "", http.MethodPost, "/api/v1/file/fileops/delete", url.Values{"path": {full}}, nil)
	case op < 7: // rename
		to := "f" + strconv.Itoa(w.rnd.IntN(5))
		there := w.files[to]
		if len(was) != 1 || was[0] == "" || to == name || len(there) > 1 || len(there) == 1 && there[0] != "" {
			return nil
		}
		w.files[name], w.files[to] = state{was[0], ""}, state{"", was[0]}
		status, b, err := w.call(ctx, http.MethodPost, "/api/v1/file/fileops/move", url.Values{"path": {full}, "to_path": {"/" + w.name + "/" + to}}, nil)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return wrong{fmt.Errorf("move: %d %s", status, b)}
		}
		w.done++
		w.files[name], w.files[to] = state{""}, state{was[0]}
		return nil
	default:
		return w.chunk(ctx, name, was)
	}
}

// prepareLock makes the file that is only locked, and gets a token for it.
func (w *worker) prepareLock(t *testing.T, data, base, token string) {
	t.Helper()
	c, err := client.New(base, token)
	if err != nil {
		t.Fatal(err)
	}
	path := "/locks/" + w.name
	if _, err := c.Put(context.Background(), strings.NewReader("x"), 1, client.Upload{Path: path}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program(t), "wopi", "url", path, "--user", "admin", "--data", data, "--public-url", base).Output()
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		Src   string `json:"wopisrc"`
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatal(err)
	}
	w.wopi = strings.TrimPrefix(a.Src, base) + "?access_token=" + url.QueryEscape(a.Token)
	w.locks = []string{""}
}

// moved tells the worker where the server is now.
func (w *worker) moved(base string) { w.base = base }

// override makes a WOPI request and returns its status and X-WOPI-Lock.
func (w *worker) override(ctx context.Context, op, id string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+w.wopi, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("X-WOPI-Override", op)
	r.Header.Set("X-WOPI-Lock", id)
	resp, err := w.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("X-WOPI-Lock"), nil
}

func (w *worker) lockID(ctx context.Context) (string, error) {
	status, id, err := w.override(ctx, "GET_LOCK", "")
	if err == nil && status != http.StatusOK {
		err = wrong{fmt.Errorf("GetLock: %d", status)}
	}
	return id, err
}

// lock takes or releases the worker's lock.
func (w *worker) lock(ctx context.Context) error {
	held := w.locks[0]
	op, id, then := "UNLOCK", held, ""
	if held == "" {
		w.n++
		op, id = "LOCK", "lock-"+strconv.Itoa(w.n)
		then = id
	}
	w.locks = []string{held, then}
	status, _, err := w.override(ctx, op, id)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return wrong{fmt.Errorf("%s: %d", op, status)}
	}
	w.done++
	w.locks = []string{then}
	return nil
}

// change makes a request whose success makes a file's content what it says.
func (w *worker) change(ctx context.Context, name string, may state, then, method, path string, q url.Values, body []byte) error {
	w.files[name] = may
	status, b, err := w.call(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return wrong{fmt.Errorf("%s: %d %s", path, status, b)}
	}
	w.done++
	w.files[name] = state{then}
	return nil
}

// chunk adds to an upload, or commits it. Bytes that were acknowledged must
// still be there after a crash; those that were not may be.
func (w *worker) chunk(ctx context.Context, name string, was state) error {
	if w.session != "" && len(w.sent) > 0 && w.rnd.IntN(3) == 0 {
		// Ask how far it is: the piece that was sent last may have arrived.
		if err := w.align(ctx); err != nil {
			return err
		}
		all := string(w.sent)
		err := w.change(ctx, name, append(was, all), all, http.MethodPost, "/api/v1/file/commit_chunked_upload",
			url.Values{"path": {"/" + w.name + "/" + name}, "overwrite": {"true"}, "upload_id": {w.session}}, nil)
		w.session, w.sent = "", nil // after a crash it may have happened: begin a new one
		return err
	}
	if err := w.align(ctx); err != nil {
		return err
	}
	piece := w.content(1000 + w.rnd.IntN(200_000))
	q := url.Values{"offset": {strconv.Itoa(len(w.sent))}}
	if w.session != "" {
		q.Set("upload_id", w.session)
	}
	w.maybe = piece
	status, b, err := w.call(ctx, http.MethodPut, "/api/v1/file/chunked_upload", q, piece)
	if err != nil {
		return err
	}
	w.maybe = nil
	var a chunkAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return wrong{err}
	}
	if status != http.StatusOK {
		return wrong{fmt.Errorf("chunk at %d: %d %s", len(w.sent), status, b)}
	}
	w.done++
	w.session, w.sent = a.UploadID, append(w.sent, piece...)
	if a.Offset != len(w.sent) {
		return wrong{fmt.Errorf("the upload is at %d, not %d", a.Offset, len(w.sent))}
	}
	return nil
}

type chunkAnswer struct {
	UploadID string `json:"upload_id"`
	Offset   int    `json:"offset"`
}

// align finds out whether the piece that was on its way when the server died
// has arrived. All of it may have, or nothing.
func (w *worker) align(ctx context.Context) error {
	if w.maybe == nil || w.session == "" {
		return nil
	}
	status, b, err := w.call(ctx, http.MethodPut, "/api/v1/file/chunked_upload", url.Values{"upload_id": {w.session}, "offset": {"0"}}, nil)
	if err != nil {
		return err
	}
	var a chunkAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return wrong{err}
	}
	switch a.Offset {
	case len(w.sent):
	case len(w.sent) + len(w.maybe):
		w.sent = append(w.sent, w.maybe...)
	default:
		return wrong{fmt.Errorf("after a crash the upload is at %d (%d), which is neither %d nor %d", a.Offset, status, len(w.sent), len(w.sent)+len(w.maybe))}
	}
	w.maybe = nil
	return nil
}
