package library_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

var (
	modelSteps = flag.Int("model.steps", 1000, "how many random operations each seed of the model makes")
	modelSeed  = flag.Uint64("model.seed", 0, "the first seed of the model")
)

// fault is what goes wrong with a transaction.
type fault int

const (
	fine      fault = iota
	before          // it fails and nothing is done
	uncertain       // it is committed, and then fails as if the connection had broken
	lost            // it loses a race after it has run, and is run again
)

// faulty is a catalog driver whose transactions fail by plan.
type faulty struct {
	catalog.Driver
	mu   sync.Mutex // guards plan and n
	plan func(n int, write bool) fault
	n    int
}

func (d *faulty) next(write bool) fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	if d.plan == nil {
		return fine
	}
	return d.plan(d.n, write)
}

func (d *faulty) View(ctx context.Context, f func(catalog.Conn) error) error {
	if d.next(false) == before {
		return fmt.Errorf("view: %w", blobtest.ErrInjected)
	}
	return d.Driver.View(ctx, f)
}

func (d *faulty) Update(ctx context.Context, f func(catalog.Conn) error) error {
	switch d.next(true) {
	case before:
		return fmt.Errorf("update: %w", blobtest.ErrInjected)
	case uncertain:
		if err := d.Driver.Update(ctx, f); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", catalog.ErrUncertain, blobtest.ErrInjected)
	case lost:
		return d.Driver.Update(ctx, func(c catalog.Conn) error {
			if err := f(c); err != nil {
				return err
			}
			return catalog.ErrRetry
		})
	}
	return d.Driver.Update(ctx, f)
}

// newWorld makes a library and its model, with people of all kinds.
func newWorld(t *testing.T, seed uint64) *world {
	opt := library.Options{
		Retention: library.Retention{All: time.Hour, Hourly: 5 * time.Hour, Daily: 20 * time.Hour},
		TrashLife: 1e5 * time.Hour, EventLife: 1e5 * time.Hour,
	}
	f := open(t, opt)
	f.clock.stop()
	w := &world{f: f, lib: f.Library, m: newModel(f.site.Root), rng: rand.New(rand.NewPCG(seed, 2)), rule: opt.Retention}
	w.callers = []quire.Caller{
		f.admin,
		f.user("editor", quire.RoleMember, quire.Editor),
		f.user("viewer", quire.RoleMember, quire.Viewer),
		f.user("stranger", quire.RoleMember, quire.NoAccess),
		{Site: f.site.ID, Name: "guest", Scope: quire.ScopeWrite, Door: quire.DoorWeb},
	}
	w.m.grants[f.site.Root] = map[quire.UserID]quire.Access{w.callers[1].User: quire.Editor, w.callers[2].User: quire.Viewer}
	return w
}

// next decides what is done next.
func (w *world) next() step {
	kinds := []struct {
		often int
		make  func() step
	}{
		{8, w.save}, {3, w.mkdir}, {4, w.move}, {3, w.copy}, {2, w.untrash}, {8, w.lock}, {4, w.history},
		{2, w.share}, {6, w.upload}, {4, w.read}, {1, w.upkeep}, {1 + len(w.m.nodes)/15, w.delete},
	}
	sum := 0
	for _, k := range kinds {
		sum += k.often
	}
	at := w.rng.IntN(sum)
	for _, k := range kinds {
		if at -= k.often; at < 0 {
			return k.make()
		}
	}
	panic("not reached")
}

// take makes a step and compares how it ends.
func (w *world) take(i int, count map[string]int) {
	t := w.f.t
	w.f.clock.advance(10 * time.Millisecond)
	if w.rng.IntN(30) == 0 {
		w.f.clock.advance(time.Duration(1+w.rng.IntN(25)) * time.Minute)
	}
	s := w.next()
	err := s.run()
	injected := errors.Is(err, blobtest.ErrInjected)
	got := outcome(err)
	did := got == "ok"
	switch {
	case injected && errors.Is(err, catalog.ErrUncertain):
		got = "uncertain"
		did = s.want == "ok" && s.happened != nil && s.happened()
	case injected:
		got = "injected"
	case got != s.want:
		t.Fatalf("step %d: %s: got %q (%v), want %q", i, s.what, got, err, s.want)
	}
	count[got]++
	if did || s.always {
		if err := s.done(); err != nil {
			t.Fatalf("step %d: %s: %v", i, s.what, err)
		}
	}
	if testing.Verbose() && *modelSteps < 200 {
		t.Logf("%d: %s: %s", i, s.what, got)
	}
	w.compare(fmt.Sprintf("after step %d: %s (%s)", i, s.what, got), i%100 == 99)
}

// line writes a node for the comparison.
func line(path string, n *quire.Node, content string) string {
	if n.IsContainer() {
		return fmt.Sprintf("%s %s owner %.4s", path, n.ID, n.Owner)
	}
	if len(content) > 30 {
		content = fmt.Sprintf("%s... (%d)", content[:20], len(content))
	}
	return fmt.Sprintf("%s %s owner %.4s revision %d sequence %d %q %s", path, n.ID, n.Owner, n.Revision, n.Sequence, content, asJSON(n.Lock))
}

// compare fails the test if the store differs from the model: always the tree,
// and with all also contents, histories, what everybody may see, the trash, the
// uploads, the feed, and the store's own soundness.
func (w *world) compare(when string, all bool) {
	t, f, m := w.f.t, w.f, w.m
	t.Helper()
	var want, got []string
	for _, n := range m.below(m.root) {
		e := quire.Node{ID: n.id, Kind: quire.File, Owner: n.owner, Revision: n.current, Sequence: n.sequence, Lock: n.lock}
		if n.folder {
			e.Kind = quire.Container
		} else {
			e.Lock = lockAt(n, w.now())
		}
		content := ""
		if all && !n.folder {
			content = n.revs[n.current].content
		}
		want = append(want, line(m.path(n.id), &e, content))
	}
	var walk func(e library.Entry)
	walk = func(e library.Entry) {
		content := ""
		if all && !e.IsContainer() {
			content = f.read(f.admin, e.ID, 0)
		}
		got = append(got, line(e.Path, &e.Node, content))
		if !e.IsContainer() {
			return
		}
		list, _, err := f.List(f.ctx, f.admin, e.ID, library.Listing{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			walk(e)
		}
	}
	root, err := f.Lookup(f.ctx, f.admin, "/")
	if err != nil {
		t.Fatal(err)
	}
	walk(root)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s: the tree differs (- the model, + the store):\n%s", when, diff)
	}
	if all {
		w.compareRest(when)
	}
}

func (w *world) compareRest(when string) {
	t, f, m := w.f.t, w.f, w.m
	t.Helper()
	for _, n := range m.nodes {
		for _, c := range w.callers {
			e, err := f.Stat(f.ctx, c, n.id)
			if want := m.access(c, n.id); e.Access != want && (err == nil || want != quire.NoAccess) {
				t.Fatalf("%s: %s may %v %s, want %v (%v)", when, c.Name, e.Access, m.path(n.id), want, err)
			}
			if err == nil && e.Path != m.path(n.id) {
				t.Fatalf("%s: %s is at %s", when, m.path(n.id), e.Path)
			}
		}
		if !n.folder && m.inTree(n.id) {
			for number, r := range n.revs {
				if got := f.read(f.admin, n.id, number); got != r.content {
					t.Fatalf("%s: revision %d of %s has %.30q, want %.30q", when, number, m.path(n.id), got, r.content)
				}
			}
			if got := f.numbers(n.id); len(got) != len(n.revs) {
				t.Fatalf("%s: %s has the revisions %v", when, m.path(n.id), got)
			}
		}
	}
	var deleted []quire.NodeID
	for _, n := range m.trash() {
		deleted = append(deleted, n.id)
	}
	list, _, err := f.Trash(f.ctx, f.admin, "", 5000)
	var there []quire.NodeID
	for _, e := range list {
		there = append(there, e.ID)
	}
	slices.Sort(there)
	if diff := cmp.Diff(deleted, there); err != nil || diff != "" {
		t.Fatalf("%s: the trash differs: %v\n%s", when, err, diff)
	}
	for id, u := range m.uploads {
		now, err := f.Upload(f.ctx, w.callerOf(u.owner), id)
		if err != nil || now.Received != int64(len(u.content)) || (now.Done == nil) != (u.done == nil) {
			t.Fatalf("%s: an upload has %+v, %v; want %d bytes, %v", when, now, err, len(u.content), u.done)
		}
	}
	changes, _, _, err := f.Changes(f.ctx, f.admin, "", 0, time.Time{}, library.MaxPage)
	var feed []string
	for _, c := range changes {
		feed = append(feed, string(c.Kind)+" "+c.Path)
	}
	if diff := cmp.Diff(m.feed, feed); err != nil || diff != "" {
		t.Fatalf("%s: the feed differs: %v\n%s", when, err, diff)
	}
	f.clean()
	if t.Failed() {
		t.FailNow()
	}
}

// steps is how many operations each seed makes. The short test is the one with
// the race detector, which takes many times longer.
func steps() int {
	if testing.Short() {
		return min(*modelSteps, 250)
	}
	return *modelSteps
}

func TestModel(t *testing.T) {
	done, ran := 0, 0
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, *modelSeed+seed)
			count := make(map[string]int)
			for i := range steps() {
				w.take(i, count)
			}
			w.compare("at the end", true)
			t.Log(count)
			if count["ok"] < steps()/5 || count["locked"] == 0 || count["forbidden"] == 0 {
				t.Errorf("the test does not test much: %v", count)
			}
			done, ran = done+count["ok"], ran+steps()
		})
	}
	// One seed may be unlucky.
	if done < ran/3 {
		t.Errorf("the test does not test much: %d of %d steps did anything", done, ran)
	}
}

// The same over stores that fail. What was acknowledged is there, what failed
// is not, and of what is uncertain one or the other is true, wholly.
func TestModelWithFaults(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, *modelSeed+seed+100)
			rng := rand.New(rand.NewPCG(*modelSeed+seed, 3))
			db := &faulty{Driver: w.f.store, plan: func(_ int, write bool) fault {
				switch n := rng.IntN(100); {
				case n < 4:
					return before
				case n < 10 && write:
					return uncertain
				case n < 20 && write:
					return lost
				}
				return fine
			}}
			files := blobtest.NewFaulty(w.f.local, blobtest.Randomly(*modelSeed+seed, 0.1))
			w.lib = library.New(catalog.New(db), blob.New(files, blob.Options{}), library.Options{Retention: w.rule, TrashLife: 1e5 * time.Hour, EventLife: 1e5 * time.Hour})
			count := make(map[string]int)
			for i := range steps() {
				w.take(i, count)
			}
			w.compare("at the end", true)
			t.Log(count)
			if count["uncertain"] == 0 || count["injected"] == 0 {
				t.Errorf("the test does not test much: %v", count)
			}
			w.drain()
		})
	}
}

// drain deletes everything, and looks that nothing is left that costs anything.
func (w *world) drain() {
	f := w.f
	f.t.Helper()
	for _, n := range w.m.children(w.m.root) {
		for _, b := range w.m.below(n.id) {
			if !b.folder {
				if _, err := f.ForceUnlock(f.ctx, f.admin, b.id); err != nil {
					f.t.Fatal(err)
				}
			}
		}
		if err := f.Delete(f.ctx, f.admin, n.id, quire.Precondition{}, nil); err != nil {
			f.t.Fatal(err)
		}
	}
	if _, err := f.EmptyTrash(f.ctx, f.admin); err != nil {
		f.t.Fatal(err)
	}
	f.clock.advance(1e6 * time.Hour)
	f.age(2 * time.Hour)
	if err := f.Chores(f.ctx); err != nil { // what broke off while it was copied
		f.t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Collect(f.ctx, time.Hour); err != nil {
			f.t.Fatal(err)
		}
		f.clock.advance(2 * time.Hour)
	}
	sum, err := f.Check(f.ctx, true, func(p library.Problem) { f.t.Errorf("%+v", p) })
	want := library.Checked{Nodes: 2} // the root and the trash
	if err != nil || sum != want || f.used() != 0 {
		f.t.Errorf("what is left: %+v, %v; %d bytes are used", sum, err, f.used())
	}
	if left := blobFiles(f); left != 0 {
		f.t.Errorf("%d objects are left", left)
	}
}

func blobFiles(f *fixture) int {
	f.t.Helper()
	list, err := f.blobs.List(f.ctx, "", 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	return len(list)
}
