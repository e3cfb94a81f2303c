package library_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// shout is a converter: it writes the source in capitals.
func shout(_ context.Context, c library.Conversion, w io.Writer) error {
	b, err := io.ReadAll(io.NewSectionReader(c.Source, 0, c.Size))
	if err == nil {
		_, err = io.WriteString(w, strings.ToUpper(string(b)))
	}
	return err
}

// work runs conversions until the test ends.
func (f *fixture) work(t *testing.T, convert library.Converter, workers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { f.RunConversions(ctx, convert, workers, time.Minute) })
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			all.Wait()
		})
	}
	t.Cleanup(stop)
	return stop
}

var capitals = library.Shape{Target: "text/plain"}

func (f *fixture) ask(t *testing.T, c quire.Caller, id quire.NodeID, number int64, s library.Shape) library.Rendition {
	t.Helper()
	r, err := f.AskRendition(context.Background(), c, id, number, s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// done waits for a rendition.
func (f *fixture) done(t *testing.T, c quire.Caller, id quire.NodeID, number int64, s library.Shape) library.Rendition {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		r := f.ask(t, c, id, number, s)
		if r.State.Over() {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("it is still %s", r.State)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (f *fixture) rendered(t *testing.T, c quire.Caller, id library.RenditionID) string {
	t.Helper()
	in, _, err := f.OpenRendition(context.Background(), c, id)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in.Reader(0, in.Size))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestOneConversion: however many ask, the same thing is converted once, and each
// revision has its own, small or large.
func TestOneConversion(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/a.txt", "one")
	big := f.put(f.admin, "/big.txt", strings.Repeat("x", 200_000))
	var runs atomic.Int64
	f.work(t, func(ctx context.Context, c library.Conversion, w io.Writer) error {
		runs.Add(1)
		return shout(ctx, c, w)
	}, 4)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { f.done(t, f.admin, e.ID, 0, capitals) })
	}
	all.Wait()
	if runs.Load() != 1 {
		t.Errorf("%d conversions", runs.Load())
	}
	f.put(f.admin, "/a.txt", "two")
	if got := f.rendered(t, f.admin, f.done(t, f.admin, e.ID, 0, capitals).ID); got != "TWO" {
		t.Errorf("%q", got)
	}
	if got := f.rendered(t, f.admin, f.done(t, f.admin, e.ID, 1, capitals).ID); got != "ONE" {
		t.Errorf("%q", got)
	}
	if got := f.rendered(t, f.admin, f.done(t, f.admin, big.ID, 0, capitals).ID); got != strings.Repeat("X", 200_000) {
		t.Errorf("%d bytes", len(got))
	}
	// Who may not read the file may not read what was made of it.
	stranger := f.user("eve", quire.RoleMember, quire.NoAccess)
	if _, err := f.AskRendition(t.Context(), stranger, e.ID, 0, capitals); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, _, err := f.OpenRendition(t.Context(), stranger, f.ask(t, f.admin, e.ID, 0, capitals).ID); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("%v", err)
	}
	for what, s := range map[string]library.Shape{"nothing": {}, "a width of text": {Target: "text/plain", Width: 5}, "too wide": {Target: "image/png", Width: 5000}, "page -1": {Target: "image/png", Page: -1}} {
		if _, err := f.AskRendition(t.Context(), f.admin, e.ID, 0, s); !errors.As(err, new(*quire.Invalid)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestConversionTries: what may go well the next time is tried again, later; what
// cannot is not; what kills its workers is given up.
func TestConversionTries(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/a.txt", "one")
	var runs atomic.Int64
	f.work(t, func(_ context.Context, c library.Conversion, _ io.Writer) error {
		n := runs.Add(1)
		if c.Shape.Target == "text/html" {
			return &library.Unconvertible{Reason: "never"}
		}
		return fmt.Errorf("not now: %d", n)
	}, 1)
	if r := f.done(t, f.admin, e.ID, 0, library.Shape{Target: "text/html"}); r.State != library.RenditionFailed || r.Reason != "never" || runs.Load() != 1 {
		t.Errorf("%+v after %d", r, runs.Load())
	}
	f.ask(t, f.admin, e.ID, 0, capitals)
	for end := time.Now().Add(20 * time.Second); runs.Load() < 4; {
		f.clock.advance(time.Minute)
		f.ask(t, f.admin, e.ID, 0, library.Shape{Target: "image/png", Width: int(time.Since(end.Add(-20*time.Second)).Milliseconds())%4000 + 1}) // wakes the workers
		if time.Now().After(end) {
			t.Fatal("it is not tried again")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestTakeOver: what a worker that died had begun is taken over, not sooner than
// its lease is over.
func TestTakeOver(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/a.txt", "one")
	began := make(chan struct{})
	never := make(chan struct{})
	f.work(t, func(context.Context, library.Conversion, io.Writer) error {
		close(began)
		<-never // as good as dead: it does not even hear that it is to end
		return errors.New("too late")
	}, 1)
	t.Cleanup(func() { close(never) }) // before the workers are waited for
	f.ask(t, f.admin, e.ID, 0, capitals)
	<-began
	other := library.New(f.cat, f.blobs, library.Options{})
	g := *f
	g.Library = other
	g.work(t, shout, 1)
	if r := g.ask(t, f.admin, e.ID, 0, capitals); r.State != library.RenditionRunning {
		t.Errorf("within its lease it is %s", r.State)
	}
	f.clock.advance(time.Minute)
	if got := g.rendered(t, f.admin, g.done(t, f.admin, e.ID, 0, capitals).ID); got != "ONE" {
		t.Errorf("%q", got)
	}
}

// TestRenditionGarbage: renditions go with their revisions and files, and what
// they held goes with them.
func TestRenditionGarbage(t *testing.T) {
	f := open(t, library.Options{Retention: library.Retention{All: time.Hour, Hourly: 2 * time.Hour, Daily: 3 * time.Hour}})
	f.work(t, shout, 1)
	e := f.put(f.admin, "/a.txt", "one")
	gone := f.put(f.admin, "/gone.txt", strings.Repeat("g", 100_000))
	first := f.done(t, f.admin, e.ID, 0, capitals)
	whole := f.done(t, f.admin, gone.ID, 0, capitals)
	f.put(f.admin, "/a.txt", "two")
	f.clock.advance(30 * 24 * time.Hour)
	if err := f.Delete(t.Context(), f.admin, gone.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(60 * 24 * time.Hour)
	for range 3 {
		if err := f.Chores(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Collect(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Hour)
	sum, err := f.Collect(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", sum)
	for what, id := range map[string]library.RenditionID{"of the old revision": first.ID, "of the file": whole.ID} {
		if _, _, err := f.OpenRendition(t.Context(), f.admin, id); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if checked, err := f.Check(t.Context(), true, func(p library.Problem) { t.Errorf("%+v", p) }); err != nil || checked.Segments != 1 {
		t.Errorf("%+v %v", checked, err)
	}
}

// TestCancel: a job's conversions end, but for those that another job waits for.
func TestCancel(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/a.txt", "one")
	ctx := t.Context()
	both := []library.Shape{{Target: "text/html"}, capitals}
	j, _, err := f.Transform(ctx, f.admin, e.ID, 0, "/a.txt", both, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := f.Transform(ctx, f.admin, e.ID, 0, "/a.txt", both[:1], nil)
	if err != nil {
		t.Fatal(err)
	}
	other := f.user("bob", quire.RoleMember, quire.Viewer)
	if err := f.CancelJob(ctx, other, j.ID); !errors.Is(err, quire.ErrForbidden) {
		t.Errorf("somebody else: %v", err)
	}
	// A viewer link's caller may see everything, and change nothing.
	if err := f.CancelJob(ctx, library.Viewers(quire.Site{ID: f.admin.Site}, "", ""), j.ID); !errors.Is(err, quire.ErrForbidden) {
		t.Errorf("a viewer link: %v", err)
	}
	if err := f.CancelJob(ctx, f.admin, j.ID); err != nil {
		t.Fatal(err)
	}
	_, list, err := f.JobOf(ctx, f.admin, j.ID)
	if err != nil || list[0].State != library.RenditionWaiting || list[1].State != library.RenditionCancelled {
		t.Errorf("%v %v", list, err)
	}
	f.work(t, shout, 1)
	if r := f.done(t, f.admin, e.ID, 0, both[0]); r.State != library.RenditionReady {
		t.Errorf("%+v", r)
	}
	if r := f.done(t, f.admin, e.ID, 0, capitals); r.State != library.RenditionReady {
		t.Errorf("asked for again: %+v", r)
	}
	if _, list, err := f.JobOf(ctx, f.admin, k.ID); err != nil || list[0].State != library.RenditionReady {
		t.Errorf("%v %v", list, err)
	}
}

// TestThumbnails: pictures of a new revision are made in the background once it
// has rested, in three widths.
func TestThumbnails(t *testing.T) {
	f := open(t, library.Options{Thumbnails: func(name string) bool { return strings.HasSuffix(name, ".txt") }})
	f.work(t, shout, 1)
	e, other := f.put(f.admin, "/a.txt", "one"), f.put(f.admin, "/a.bin", "one")
	made := func(id quire.NodeID) (n int) {
		for _, width := range library.Thumbnails() {
			err := f.cat.View(t.Context(), func(tx *catalog.Tx) error {
				_, err := tx.RenditionOf(id, 1, "image/png", fmt.Sprint("width=", width))
				return err
			})
			if err == nil {
				n++
			}
		}
		return n
	}
	if err := f.Chores(t.Context()); err != nil || made(e.ID) != 0 {
		t.Errorf("at once: %d, %v", made(e.ID), err)
	}
	f.clock.advance(time.Minute)
	if err := f.Chores(t.Context()); err != nil || made(e.ID) != 3 || made(other.ID) != 0 {
		t.Errorf("%d and %d, %v", made(e.ID), made(other.ID), err)
	}
	if r := f.done(t, f.admin, e.ID, 0, library.Shape{Target: "image/png", Width: 320}); r.State != library.RenditionReady {
		t.Errorf("%+v", r)
	}
}
