package library_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		// The tests' PostgreSQL, where they use one, ends with the process.
		server := goleak.IgnoreAnyFunction("github.com/quire-docs/quire/catalog/postgres/postgrestest.(*Server).run.func1")
		if err := goleak.Find(server); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// together runs functions at once and returns their errors.
func together(fs ...func() error) []error {
	errs := make([]error, len(fs))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() {
			<-start
			errs[i] = f()
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// winners returns who succeeded; all others must have failed in a certain way.
func (f *fixture) winners(errs []error, lost string) []int {
	f.t.Helper()
	var won []int
	for i, err := range errs {
		if err == nil {
			won = append(won, i)
		} else {
			f.expect("who lost", lost, err)
		}
	}
	return won
}

// twoNodes returns two libraries over one store.
func (f *fixture) twoNodes() []*library.Library {
	return []*library.Library{f.Library, library.New(f.cat, f.blobs, library.Options{})}
}

// Of several who want to lock a file with different ids, one gets it; whoever
// asks learns whose it is.
func TestOneLockWins(t *testing.T) {
	f := open(t, library.Options{})
	nodes := f.twoNodes()
	for round := range 40 {
		e := f.put(f.admin, fmt.Sprint("/", round), "x")
		var tries []func() error
		for i := range 8 {
			r := lock.Request{Op: lock.Lock, ID: fmt.Sprint("L", i)}
			if i%4 == 3 {
				r = lock.Request{Op: lock.GetCoauth, ID: fmt.Sprint("C", i), Type: quire.CoauthExclusive, Timeout: time.Minute, Name: "Ann"}
			}
			tries = append(tries, func() error {
				_, err := nodes[i%2].Lock(f.ctx, f.admin, e.ID, r)
				return err
			})
		}
		errs := together(tries...)
		won := f.winners(errs, "locked")
		if len(won) != 1 {
			t.Fatalf("%d won: %v", len(won), errs)
		}
		now, err := f.Stat(f.ctx, f.admin, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		held := fmt.Sprint("L", won[0])
		if won[0]%4 == 3 {
			held = fmt.Sprint("C", won[0])
		}
		for _, err := range errs {
			var locked *quire.Locked
			if errors.As(err, &locked) && holder(locked.State) != held {
				t.Errorf("%s has it, but a refusal names %s", held, holder(locked.State))
			}
		}
		if holder(now.Lock) != held {
			t.Errorf("%s won, %s holds it", held, holder(now.Lock))
		}
	}
	f.clean()
}

func holder(s quire.LockState) string {
	switch {
	case s.WOPI != nil:
		return s.WOPI.ID
	case len(s.Coauth) == 1:
		return s.Coauth[0].ID
	}
	return fmt.Sprintf("%+v", s)
}

// A save without the lock never lands between Lock and the holder's save: if it
// came first, the holder has seen it when Lock returned.
func TestNoSaveBehindALock(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/f", "0")
	nodes := f.twoNodes()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				content := fmt.Sprintf("intruder %d %d%s", i, n, strings.Repeat(" ", n%3*40_000))
				_, _, err := nodes[i%2].Save(f.ctx, f.admin, quire.Target{Node: e.ID}, strings.NewReader(content), library.Save{})
				if o := outcome(err); o != "ok" && o != "locked" {
					t.Errorf("save: %v", err)
				}
			}
		})
	}
	for round := range 40 {
		key := fmt.Sprint("L", round)
		locked, err := f.Lock(f.ctx, f.admin, e.ID, lock.Request{Op: lock.Lock, ID: key})
		if err != nil {
			t.Fatal(err)
		}
		o := library.Save{Precondition: quire.Precondition{Key: quire.LockKey{WOPI: key}, Revision: &locked.Revision}}
		saved, err := f.save(f.admin, quire.Target{Node: e.ID}, key, o)
		if err != nil || saved.Revision != locked.Revision+1 {
			t.Fatalf("locked at revision %d, saved %d, %v", locked.Revision, saved.Revision, err)
		}
		if got := f.read(f.admin, e.ID, 0); got != key {
			t.Fatalf("it has %.20q while it is locked", got)
		}
		if _, err := f.Lock(f.ctx, f.admin, e.ID, lockRelease(key)); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	f.clean()
}

// itself is content that names its own length and repeats its number.
func itself(n, size int) string {
	line := fmt.Sprintf("%d %d\n", n, size)
	return strings.Repeat(line, 1+size/len(line))
}

// whole says whether content is one that itself makes.
func wholeContent(s string) bool {
	head, _, ok := strings.Cut(s, "\n")
	a, b, _ := strings.Cut(head, " ")
	n, err1 := strconv.Atoi(a)
	size, err2 := strconv.Atoi(b)
	return ok && err1 == nil && err2 == nil && s == itself(n, size)
}

// Readers see one revision, whole, while others save, thin and collect.
func TestReadersSeeOneRevision(t *testing.T) {
	f := open(t, library.Options{Retention: library.Retention{All: time.Millisecond, Hourly: 2 * time.Millisecond, Daily: 3 * time.Millisecond}})
	nodes := f.twoNodes()
	const files = 3
	var ids [files]quire.NodeID
	for i := range ids {
		ids[i] = f.put(f.admin, fmt.Sprint("/", i), itself(0, 10)).ID
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	sizes := []int{10, 5000, 70_000, 300_000}
	for w := range 2 {
		wg.Go(func() {
			for n := 1; !stop.Load(); n++ {
				id, content := ids[n%files], itself(n, sizes[(n+w)%len(sizes)])
				var err error
				if n%5 == 0 { // by an upload in pieces
					var u quire.Upload
					if u, err = nodes[w].CreateUpload(f.ctx, f.admin, library.NewUpload{Declared: int64(len(content)), Life: time.Hour}); err == nil {
						for at := 0; at < len(content) && err == nil; at += 40_000 {
							_, _, err = nodes[w].Append(f.ctx, f.admin, u.ID, int64(at), strings.NewReader(content[at:min(len(content), at+40_000)]), library.Append{})
						}
						if err == nil {
							_, _, err = nodes[w].CommitUpload(f.ctx, f.admin, u.ID, quire.Target{Node: id}, library.Save{})
						}
					}
				} else {
					_, _, err = nodes[w].Save(f.ctx, f.admin, quire.Target{Node: id}, strings.NewReader(content), library.Save{})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for !stop.Load() {
			if err := f.Chores(f.ctx); err != nil {
				t.Error(err)
			}
			if _, err := f.Collect(f.ctx, time.Hour); err != nil {
				t.Error(err)
			}
		}
	})
	for reads := range 600 {
		in, err := nodes[reads%2].Open(f.ctx, f.admin, ids[reads%files], 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		if reads%3 == 0 { // slowly, from the end
			got = make([]byte, in.Size)
			for at := in.Size; at > 0; {
				n := min(at, 7000)
				at -= n
				if _, err = in.ReadAt(got[at:at+n], at); err != nil {
					break
				}
			}
		} else {
			got, err = io.ReadAll(in.Reader(0, in.Size))
		}
		in.Close()
		if err != nil {
			t.Fatalf("revision %d: %v", in.Revision, err)
		}
		if !wholeContent(string(got)) || int64(len(got)) != in.Entry.Size {
			t.Fatalf("revision %d of %d bytes is mixed: %.30q", in.Revision, len(got), got)
		}
	}
	stop.Store(true)
	wg.Wait()
	f.clean()
}

// What is acknowledged to many callers at once all counts.
func TestConcurrentSaves(t *testing.T) {
	f := open(t, library.Options{})
	nodes := f.twoNodes()
	const callers, each = 8, 20
	var saves []func() error
	for i := range callers {
		saves = append(saves, func() error {
			for n := range each {
				_, _, err := nodes[i%2].Save(f.ctx, f.admin, quire.Target{Path: "/one", OnConflict: quire.Replace}, strings.NewReader(fmt.Sprint(i, " ", n)), library.Save{})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if won := f.winners(together(saves...), ""); len(won) != callers {
		t.Fatal(won)
	}
	e := f.lookup("/one")
	if e.Revision != callers*each || e.Sequence != callers*each {
		t.Errorf("revision %d, sequence %d", e.Revision, e.Sequence)
	}
	seen := make(map[string]bool)
	for n := int64(1); n <= e.Revision; n++ {
		seen[f.read(f.admin, e.ID, n)] = true
	}
	if len(seen) != callers*each {
		t.Errorf("%d different contents", len(seen))
	}
	f.clean()
}

// Of several who save on the same revision, or make the same file, one
// succeeds.
func TestOneSaveWins(t *testing.T) {
	f := open(t, library.Options{})
	nodes := f.twoNodes()
	for round := range 20 {
		e := f.put(f.admin, fmt.Sprint("/f", round), "x")
		var onOne, same, rename, moves []func() error
		for i := range 6 {
			l, content := nodes[i%2], strings.Repeat(fmt.Sprint(i), 1+i%2*70_000)
			onOne = append(onOne, func() error {
				_, _, err := l.Save(f.ctx, f.admin, quire.Target{Node: e.ID}, strings.NewReader(content), library.Save{Precondition: quire.Precondition{Revision: ptr(1)}})
				return err
			})
			same = append(same, func() error {
				_, _, err := l.Save(f.ctx, f.admin, quire.Target{Path: fmt.Sprintf("/new%d/sub/f", round), OnConflict: quire.Reject}, strings.NewReader(content), library.Save{})
				return err
			})
			rename = append(rename, func() error {
				_, _, err := l.Save(f.ctx, f.admin, quire.Target{Path: fmt.Sprintf("/many%d/f", round)}, strings.NewReader(content), library.Save{})
				return err
			})
			moves = append(moves, func() error {
				_, err := l.Move(f.ctx, f.admin, e.ID, quire.Target{Path: fmt.Sprintf("/to%d/%d", round, i)}, quire.Precondition{Revision: ptr(2)}, nil)
				return err
			})
		}
		if won := f.winners(together(onOne...), "conflict"); len(won) != 1 {
			t.Fatalf("%d saves on one revision won", len(won))
		}
		if won := f.winners(together(same...), "exists"); len(won) != 1 {
			t.Fatalf("%d made one file", len(won))
		}
		if won := f.winners(together(rename...), ""); len(won) != 6 {
			t.Fatalf("%d of 6 got a name", len(won))
		}
		if list, _, err := f.List(f.ctx, f.admin, f.lookup(fmt.Sprint("/many", round)).ID, library.Listing{}); err != nil || len(list) != 6 {
			t.Fatalf("%d files, %v", len(list), err)
		}
		f.winners(together(moves...), "")
	}
	f.clean()
	if n := f.orphans(); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}
