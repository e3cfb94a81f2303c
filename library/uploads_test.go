package library_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

func (f *fixture) upload(c quire.Caller, declared int64) quire.UploadID {
	f.t.Helper()
	u, err := f.CreateUpload(f.ctx, c, library.NewUpload{Declared: declared, Life: time.Hour})
	if err != nil {
		f.t.Fatal(err)
	}
	return u.ID
}

// add appends to an upload, which must succeed.
func (f *fixture) add(id quire.UploadID, offset int64, content string) quire.Upload {
	f.t.Helper()
	u, n, err := f.Append(f.ctx, f.admin, id, offset, strings.NewReader(content), library.Append{Rewrite: true})
	if err != nil || n != int64(len(content)) {
		f.t.Fatalf("append at %d: %d bytes, %v", offset, n, err)
	}
	return u
}

func (f *fixture) commit(id quire.UploadID, path string) (library.Entry, error) {
	e, _, err := f.CommitUpload(f.ctx, f.admin, id, quire.Target{Path: path, OnConflict: quire.Replace}, library.Save{})
	return e, err
}

// Where a piece may begin, and what it may bring. The upload has 10 bytes of
// 100 that were announced.
func TestAppendTable(t *testing.T) {
	boom := errors.New("the connection broke")
	broken := func(n int) io.Reader {
		return io.MultiReader(strings.NewReader(strings.Repeat("b", n)), iotest.ErrReader(boom))
	}
	body := func(n int) io.Reader { return strings.NewReader(strings.Repeat("b", n)) }
	refuse := func() error { return &quire.Invalid{What: "checksum"} }
	rows := []struct {
		name   string
		offset int64
		body   io.Reader
		o      library.Append
		want   string // the outcome; "boom" is the error of the body
		has    int64  // bytes afterwards
	}{
		{"at the end", 10, body(20), library.Append{}, "ok", 30},
		{"at the end, wherever that is", library.AtEnd, body(20), library.Append{}, "ok", 30},
		{"to the last byte", 10, body(90), library.Append{}, "ok", 100},
		{"a byte beyond", 10, body(91), library.Append{}, "large", 10},
		{"a byte beyond, announced", 10, body(0), library.Append{Sized: true, Length: 91}, "large", 10},
		{"nothing", 10, body(0), library.Append{}, "ok", 10},
		{"a gap", 11, body(1), library.Append{}, "offset", 10},
		{"a gap, though rewriting", 11, body(1), library.Append{Rewrite: true}, "offset", 10},
		{"before the end", 9, body(1), library.Append{}, "offset", 10},
		{"before the beginning", -2, body(1), library.Append{Rewrite: true}, "offset", 10},
		{"rewriting", 5, body(2), library.Append{Rewrite: true}, "ok", 10},
		{"rewriting beyond the end", 5, body(20), library.Append{Rewrite: true}, "ok", 25},
		{"exactly as announced", 10, body(20), library.Append{Sized: true, Length: 20}, "ok", 30},
		{"shorter than announced", 10, body(19), library.Append{Sized: true, Length: 20}, "short", 29},
		{"shorter than announced, whole", 10, body(19), library.Append{Sized: true, Length: 20, Whole: true}, "short", 10},
		{"longer than announced", 10, body(21), library.Append{Sized: true, Length: 20}, "invalid", 10},
		{"announced over the limit", 10, body(0), library.Append{Sized: true, Length: 21, Max: 20}, "large", 10},
		{"over the limit", 10, body(21), library.Append{Max: 20}, "large", 10},
		{"at the limit", 10, body(20), library.Append{Max: 20}, "ok", 30},
		{"breaks off", 10, broken(20), library.Append{}, "boom", 30},
		{"breaks off, announced", 10, broken(20), library.Append{Sized: true, Length: 50}, "boom", 30},
		{"breaks off at once", 10, broken(0), library.Append{}, "boom", 10},
		{"breaks off, whole", 10, broken(20), library.Append{Whole: true}, "boom", 10},
		{"is refused by a check", 10, body(20), library.Append{Check: refuse}, "invalid", 10},
		{"breaks off before a check", 10, broken(20), library.Append{Check: refuse}, "boom", 30},
	}
	f := open(t, library.Options{})
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			id := f.upload(f.admin, 100)
			f.add(id, 0, "0123456789")
			u, n, err := f.Append(f.ctx, f.admin, id, r.offset, r.body, r.o)
			if r.want == "boom" {
				if !errors.Is(err, boom) {
					t.Errorf("got %v", err)
				}
			} else {
				f.expect("append", r.want, err)
			}
			now, err := f.Upload(f.ctx, f.admin, id)
			if err != nil || now.Received != r.has {
				t.Errorf("it has %d bytes, %v; want %d", now.Received, err, r.has)
			}
			if u.ID != "" && u.Received != now.Received {
				t.Errorf("it was told to have %d bytes", u.Received)
			}
			if grown := now.Received - 10; grown > 0 && !strings.HasPrefix(r.name, "rewriting") && n != grown {
				t.Errorf("%d bytes were added, told were %d", grown, n)
			}
			_, err = f.commit(id, "/x")
			f.expect("a commit", map[bool]string{true: "ok", false: "short"}[r.has == 100], err)
		})
	}
	f.clean()
}

// watching calls a function before each read, with how many bytes it has given.
type watching struct {
	r    io.Reader
	n    int64
	look func(n int64)
}

func (w *watching) Read(p []byte) (int, error) {
	w.look(w.n)
	n, err := w.r.Read(p)
	w.n += int64(n)
	return n, err
}

// A long body counts while it comes, up to a step behind: what a crash costs.
// One of which nothing may be kept if it is wrong does not.
func TestUploadSteps(t *testing.T) {
	const step = 100_000
	boom := errors.New("the connection broke")
	refuse := func() error { return &quire.Invalid{What: "checksum"} }
	for _, r := range []struct {
		name  string
		size  int // that comes
		end   error
		o     library.Append
		steps bool // it counts in steps
		want  string
		has   int64
	}{
		{"shorter than a step", 99_999, nil, library.Append{Sized: true, Length: 99_999}, true, "ok", 99_999},
		{"a step", step, nil, library.Append{Sized: true, Length: step}, true, "ok", step},
		{"a byte more", step + 1, nil, library.Append{Sized: true, Length: step + 1}, true, "ok", step + 1},
		{"many steps", 1_234_567, nil, library.Append{Sized: true, Length: 1_234_567}, true, "ok", 1_234_567},
		{"steps without a rest", 5 * step, nil, library.Append{Sized: true, Length: 5 * step}, true, "ok", 5 * step},
		{"breaks off in a step", 250_000, boom, library.Append{Sized: true, Length: 400_000}, true, "boom", 250_000},
		{"breaks off between steps", 2 * step, boom, library.Append{Sized: true, Length: 400_000}, true, "boom", 2 * step},
		{"shorter than announced", 250_000, nil, library.Append{Sized: true, Length: 400_000}, true, "short", 250_000},
		{"shorter by whole steps", 2 * step, nil, library.Append{Sized: true, Length: 400_000}, true, "short", 2 * step},
		{"without a length", 250_000, nil, library.Append{}, false, "ok", 250_000},
		{"without a length, too long", 2_000_001, nil, library.Append{}, false, "large", 0},
		{"announced too long", 0, nil, library.Append{Sized: true, Length: 2_000_001}, true, "large", 0},
		{"whole, and it breaks off", 250_000, boom, library.Append{Sized: true, Length: 400_000, Whole: true}, false, "boom", 0},
		{"whole", 250_000, nil, library.Append{Sized: true, Length: 250_000, Whole: true}, false, "ok", 250_000},
		{"refused by a check", 250_000, nil, library.Append{Sized: true, Length: 250_000, Whole: true, Check: refuse}, false, "invalid", 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			f := open(t, library.Options{UploadStep: step})
			id := f.upload(f.admin, 2_000_000)
			content := make([]byte, r.size)
			rand.NewChaCha8([32]byte{7}).Read(content)
			body := io.Reader(bytes.NewReader(content))
			if r.end != nil {
				body = io.MultiReader(body, iotest.ErrReader(r.end))
			}
			body = &watching{r: body, look: func(n int64) {
				u, err := f.Upload(f.ctx, f.admin, id)
				want := int64(0)
				if r.steps {
					want = n / step * step
				}
				if err != nil || u.Received != want {
					t.Errorf("when %d bytes had come, %d counted, %v", n, u.Received, err)
				}
			}}
			u, n, err := f.Append(f.ctx, f.admin, id, 0, body, r.o)
			if r.want == "boom" {
				if !errors.Is(err, boom) {
					t.Errorf("got %v", err)
				}
			} else {
				f.expect("append", r.want, err)
			}
			now, err := f.Upload(f.ctx, f.admin, id)
			if err != nil || now.Received != r.has || n != r.has || u.Received != r.has {
				t.Fatalf("it has %d bytes, %v; told were %d and %d, want %d", now.Received, err, n, u.Received, r.has)
			}
			if f.used() != r.has {
				t.Errorf("%d bytes are used", f.used())
			}
			if _, err := f.DescribeUpload(f.ctx, f.admin, id, func(u *quire.Upload) error { u.Declared = u.Received; return nil }); err != nil {
				t.Fatal(err)
			}
			e, err := f.commit(id, "/x")
			f.expect("the commit", "ok", err)
			if got := f.read(f.admin, e.ID, 0); got != string(content[:r.has]) {
				t.Errorf("the file has %d bytes that are not what was sent", len(got))
			}
			f.clean()
		})
	}
}

// A newer request takes over from one in the middle of its steps, and goes on
// from all that came.
func TestNewerRequestBetweenSteps(t *testing.T) {
	f := open(t, library.Options{UploadStep: 1000})
	id := f.upload(f.admin, -1)
	body := newPending(strings.Repeat("1", 3500))
	older := make(chan error)
	go func() {
		_, _, err := f.Append(f.ctx, f.admin, id, 0, body, library.Append{Sized: true, Length: 10_000, Interrupt: body.interrupt})
		older <- err
	}()
	<-body.waiting
	if u, err := f.Upload(f.ctx, f.admin, id); err != nil || u.Received != 3000 {
		t.Errorf("while it hangs, %d bytes count, %v", u.Received, err)
	}
	u, _, err := f.Append(f.ctx, f.admin, id, library.AtEnd, strings.NewReader("2"), library.Append{})
	f.expect("a newer request", "ok", err)
	if err := <-older; err == nil {
		t.Error("the older request succeeded")
	}
	if u.Received != 3501 {
		t.Errorf("it has %d bytes", u.Received)
	}
	f.clean()
}

// Pieces in any order over each other give what writing them over a slice of
// bytes gives.
func TestRewriteProperty(t *testing.T) {
	f := open(t, library.Options{})
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		id := f.upload(f.admin, -1)
		var want []byte
		for range rapid.IntRange(1, 12).Draw(rt, "pieces") {
			at := rapid.IntRange(0, len(want)).Draw(rt, "offset")
			piece := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "piece")
			if rapid.IntRange(0, 30).Draw(rt, "large") == 0 {
				piece = bytes.Repeat(append(piece, 'x'), 5000)
			}
			u, n, err := f.Append(f.ctx, f.admin, id, int64(at), bytes.NewReader(piece), library.Append{Rewrite: true})
			want = append(want[:at], append(piece, want[min(at+len(piece), len(want)):]...)...)
			if err != nil || n != int64(len(piece)) || u.Received != int64(len(want)) {
				rt.Fatalf("%d bytes of %d, %v; it has %d of %d", n, len(piece), err, u.Received, len(want))
			}
		}
		e, err := f.commit(id, fmt.Sprintf("/r/%d", round))
		if err != nil {
			rt.Fatal(err)
		}
		in, err := f.Open(f.ctx, f.admin, e.ID, 0)
		if err != nil {
			rt.Fatal(err)
		}
		defer in.Close()
		got, err := io.ReadAll(in.Reader(0, in.Size))
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("got %d bytes, %v; want %d", len(got), err, len(want))
		}
		at := rapid.IntRange(0, len(want)).Draw(rt, "from")
		to := rapid.IntRange(at, len(want)).Draw(rt, "to")
		var part bytes.Buffer
		if _, err := in.WriteRange(&part, int64(at), int64(to-at)); err != nil || !bytes.Equal(part.Bytes(), want[at:to]) {
			rt.Fatalf("bytes %d to %d: %v", at, to, err)
		}
	})
	f.clean()
}

// Several requests for one place: exactly one wins, and its bytes are whole;
// or, where they end each other, what one of them brought is kept. Two
// libraries stand for two nodes of a cluster.
func TestConcurrentAppends(t *testing.T) {
	f := open(t, library.Options{})
	nodes := []*library.Library{f.Library, library.New(f.cat, f.blobs, library.Options{})}
	size := []int{100, 80_000}
	for round := range 30 {
		id := f.upload(f.admin, -1)
		n := size[round%2]
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			wg.Go(func() {
				piece := strings.Repeat(string(rune('a'+i)), n)
				_, _, errs[i] = nodes[i%2].Append(f.ctx, f.admin, id, 0, strings.NewReader(piece), library.Append{Refuse: round%3 == 0})
			})
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			switch outcome(err) {
			case "ok":
				if won >= 0 {
					t.Fatalf("two requests won: %v", errs)
				}
				won = i
			case "offset", "busy":
			default:
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
		}
		e, err := f.commit(id, fmt.Sprint("/", round))
		if err != nil {
			t.Fatal(err)
		}
		got := f.read(f.admin, e.ID, 0)
		switch {
		case won >= 0 && got != strings.Repeat(string(rune('a'+won)), n):
			t.Fatalf("the bytes are mixed: %d of them, %.3q", len(got), got)
		case won < 0 && round%3 == 0:
			t.Fatalf("nobody won, though nobody was ended: %v", errs)
		case won < 0 && got != "" && got != strings.Repeat(got[:1], len(got)):
			t.Fatalf("what was kept of a request that was ended is mixed: %d bytes, %.3q", len(got), got)
		}
	}
	f.clean()
}

// pending is a body that brings some bytes and then waits, until it is
// interrupted, as a broken connection does that nobody has noticed.
type pending struct {
	head    io.Reader
	waiting chan struct{} // closed when the head has been read
	stop    chan struct{}
	once    [2]sync.Once
}

func newPending(head string) *pending {
	return &pending{head: strings.NewReader(head), waiting: make(chan struct{}), stop: make(chan struct{})}
}

func (p *pending) Read(b []byte) (int, error) {
	if n, err := p.head.Read(b); err == nil {
		return n, nil
	}
	p.once[0].Do(func() { close(p.waiting) })
	<-p.stop
	return 0, errors.New("the read was interrupted")
}

func (p *pending) interrupt() { p.once[1].Do(func() { close(p.stop) }) }

func TestNewerRequestTakesOver(t *testing.T) {
	for _, n := range []int{10, 200_000} {
		f := open(t, library.Options{})
		id := f.upload(f.admin, -1)
		stranger := f.user("stranger", quire.RoleMember, quire.Editor)
		body := newPending(strings.Repeat("1", n))
		older := make(chan error)
		go func() {
			_, _, err := f.Append(f.ctx, f.admin, id, 0, body, library.Append{Interrupt: body.interrupt})
			older <- err
		}()
		<-body.waiting

		_, _, err := f.Append(f.ctx, f.admin, id, 0, strings.NewReader("2"), library.Append{Refuse: true})
		f.expect("a request that gives way", "busy", err)
		_, _, err = f.Append(f.ctx, stranger, id, 0, strings.NewReader("2"), library.Append{})
		f.expect("a stranger's request", "gone", err)
		f.expect("a stranger's cancel", "gone", f.CancelUpload(f.ctx, stranger, id))
		select {
		case err := <-older:
			t.Fatalf("the older request was ended: %v", err)
		default:
		}

		u, _, err := f.Append(f.ctx, f.admin, id, library.AtEnd, strings.NewReader("2"), library.Append{})
		f.expect("a newer request", "ok", err)
		if err := <-older; err == nil {
			t.Error("the older request succeeded")
		}
		if u.Received != int64(n+1) {
			t.Errorf("it has %d bytes, want %d", u.Received, n+1)
		}
		e, err := f.commit(id, "/x")
		f.expect("the commit", "ok", err)
		if got := f.read(f.admin, e.ID, 0); got != strings.Repeat("1", n)+"2" {
			t.Errorf("got %d bytes", len(got))
		}
		f.clean()
	}
}

func TestCancelEndsTheRequest(t *testing.T) {
	f := open(t, library.Options{})
	id := f.upload(f.admin, -1)
	body := newPending(strings.Repeat("1", 200_000))
	done := make(chan error)
	go func() {
		_, _, err := f.Append(f.ctx, f.admin, id, 0, body, library.Append{Interrupt: body.interrupt})
		done <- err
	}()
	<-body.waiting
	f.expect("cancel", "ok", f.CancelUpload(f.ctx, f.admin, id))
	if err := <-done; err == nil {
		t.Error("the request succeeded")
	}
	_, err := f.Upload(f.ctx, f.admin, id)
	f.expect("afterwards", "gone", err)
	if f.used() != 0 {
		t.Errorf("%d bytes are used", f.used())
	}
	if sum, err := f.Collect(f.ctx, -time.Second); err != nil || sum.Segments != 1 {
		t.Errorf("collected %+v, %v", sum, err)
	}
	f.clean()
}

// What came before the client went away is kept, and durable.
func TestClientGoesAway(t *testing.T) {
	f := open(t, library.Options{})
	for _, n := range []int{1000, 300_000} {
		id := f.upload(f.admin, -1)
		ctx, cancel := context.WithCancel(f.ctx)
		body := newPending(strings.Repeat("1", n))
		go func() {
			<-body.waiting
			cancel()
			body.interrupt()
		}()
		_, got, err := f.Append(ctx, f.admin, id, 0, body, library.Append{})
		if err == nil || got != int64(n) {
			t.Errorf("%d bytes of %d, %v", got, n, err)
		}
		if u, err := f.Upload(f.ctx, f.admin, id); err != nil || u.Received != int64(n) {
			t.Errorf("it has %d bytes of %d, %v", u.Received, n, err)
		}
	}
	f.clean()
}

func TestCommit(t *testing.T) {
	f := open(t, library.Options{})
	id := f.upload(f.admin, 6)
	f.add(id, 0, "abc")
	_, err := f.commit(id, "/x")
	f.expect("before the end", "short", err)
	f.add(id, 3, "def")
	there := f.put(f.admin, "/x", "there")
	_, _, err = f.CommitUpload(f.ctx, f.admin, id, quire.Target{Node: there.ID}, library.Save{Precondition: quire.Precondition{Revision: ptr(7)}})
	f.expect("over another revision", "conflict", err)
	_, _, err = f.CommitUpload(f.ctx, f.admin, id, quire.Target{Path: "/x", OnConflict: quire.Reject}, library.Save{})
	f.expect("over a file", "exists", err)
	_, _, err = f.CommitUpload(f.ctx, f.admin, id, quire.Target{Path: "/no:good"}, library.Save{})
	f.expect("to no name", "name", err)
	_, _, err = f.CommitUpload(f.ctx, f.admin, id, quire.Target{}, library.Save{})
	f.expect("to nowhere", "invalid", err)
	stranger := f.user("stranger", quire.RoleMember, quire.Editor)
	_, _, err = f.CommitUpload(f.ctx, stranger, id, quire.Target{Path: "/y"}, library.Save{})
	f.expect("by somebody else", "gone", err)
	f.clean()

	e, done, err := f.CommitUpload(f.ctx, f.admin, id, quire.Target{Node: there.ID}, library.Save{Precondition: quire.Precondition{Revision: ptr(1)}})
	if err != nil || e.Revision != 2 || f.read(f.admin, e.ID, 0) != "abcdef" {
		t.Errorf("after all that: %+v, %v", e, err)
	}
	_, again, err := f.CommitUpload(f.ctx, f.admin, id, quire.Target{Node: there.ID}, library.Save{Precondition: quire.Precondition{Revision: ptr(1)}})
	if err != nil || again != done {
		t.Errorf("once more: %+v, %v", again, err)
	}
	_, _, err = f.Append(f.ctx, f.admin, id, 6, strings.NewReader("g"), library.Append{})
	f.expect("an append after that", "invalid", err)
	f.expect("a cancel after that", "ok", f.CancelUpload(f.ctx, f.admin, id))
	if got := f.read(f.admin, e.ID, 0); got != "abcdef" {
		t.Errorf("got %q", got)
	}
	// The same content by another upload costs nothing.
	f.put(f.admin, "/x", "same")
	before := f.used()
	id = f.upload(f.admin, -1)
	f.add(id, 0, "same")
	if e, err = f.commit(id, "/x"); err != nil || e.Revision != 3 || e.Sequence != 4 || f.used() != before {
		t.Errorf("the same content: %+v, %v; %d bytes are used", e, err, f.used())
	}
	empty := f.upload(f.admin, 0)
	if e, err = f.commit(empty, "/empty"); err != nil || e.Size != 0 || e.Revision != 1 {
		t.Errorf("nothing: %+v, %v", e, err)
	}
	f.clean()
}

func TestUploadLimitsAndExpiry(t *testing.T) {
	f := open(t, library.Options{MaxUploads: 3})
	other := f.user("other", quire.RoleMember, quire.Editor)
	var ids []quire.UploadID
	for range 3 {
		ids = append(ids, f.upload(f.admin, -1))
	}
	_, err := f.CreateUpload(f.ctx, f.admin, library.NewUpload{Declared: -1, Life: time.Hour})
	f.expect("one too many", "unavailable", err)
	f.upload(other, -1) // is not the administrator's
	f.add(ids[0], 0, strings.Repeat("x", 100_000))
	if _, err := f.commit(ids[0], "/x"); err != nil {
		t.Fatal(err)
	}
	f.upload(f.admin, -1) // a committed one does not count

	f.clock.advance(50 * time.Minute)
	f.add(ids[1], 0, strings.Repeat("y", 100_000)) // lives an hour from now on
	f.clock.advance(20 * time.Minute)
	_, err = f.Upload(f.ctx, f.admin, ids[2])
	f.expect("one that nothing came for", "gone", err)
	if _, err := f.Upload(f.ctx, f.admin, ids[1]); err != nil {
		t.Errorf("one that something came for: %v", err)
	}
	if sum, err := f.Collect(f.ctx, time.Hour); err != nil || sum.Uploads != 4 {
		t.Errorf("collected %+v, %v", sum, err)
	}
	f.clock.advance(time.Hour)
	if sum, err := f.Collect(f.ctx, -time.Second); err != nil || sum.Uploads != 1 || sum.Segments != 1 {
		t.Errorf("collected %+v, %v", sum, err)
	}
	if f.used() != 100_000 {
		t.Errorf("%d bytes are used", f.used())
	}
	_, err = f.CreateUpload(f.ctx, f.admin, library.NewUpload{Declared: -2, Life: time.Hour})
	f.expect("a size below nothing", "invalid", err)
	f.clean()
}

// Many pieces of one upload cost as many extents, and no copy of the bytes.
func TestManyPieces(t *testing.T) {
	f := open(t, library.Options{})
	id := f.upload(f.admin, -1)
	rng := rand.New(rand.NewPCG(1, 2))
	var want bytes.Buffer
	for range 500 {
		piece := strings.Repeat(string(rune('a'+rng.IntN(26))), 1+rng.IntN(300))
		f.add(id, int64(want.Len()), piece)
		want.WriteString(piece)
	}
	e, err := f.commit(id, "/x")
	if err != nil || f.read(f.admin, e.ID, 0) != want.String() {
		t.Errorf("got %v", err)
	}
	err = f.cat.View(f.ctx, func(tx *catalog.Tx) error {
		m, err := tx.Manifest(e.ID, 1)
		if len(m.Main().Extents) != 500 {
			t.Errorf("%d extents", len(m.Main().Extents))
		}
		return err
	})
	if err != nil || f.used() != int64(want.Len()) {
		t.Errorf("%d bytes are used, %v", f.used(), err)
	}
	f.clean()
}
