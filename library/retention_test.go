package library_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// noon is an hour that days and hours of the retention begin and end at.
var noon = time.Date(2030, 6, 15, 12, 0, 0, 0, time.UTC)

func TestKeepTable(t *testing.T) {
	// Each revision is its age, in order of age, the oldest (number 1) first.
	// A letter behind it says what it is: s and t sessions, L labelled, R
	// restored, C a conflict copy.
	type rule = library.Retention
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	rows := []struct {
		name string
		r    rule
		revs string
		drop string
		next time.Duration // from noon on; 0 is never
	}{
		{"one", rule{}, "9999h", "", 0},
		{"a day of all", rule{}, "23h59m 23h58m 2m 1m 0m", "", time.Minute},
		{"the current one is always kept", rule{}, "9999h 9998h", "", 0},
		{"one an hour", rule{}, "26h50m 26h40m 26h20m 25h50m 25h10m 0m", "1 2 4", days(8) - 26*time.Hour - 50*time.Minute},
		{"one a day", rule{}, "230h 229h 206h 205h 0m", "1 3", 0},
		{"one a day, for ever", rule{}, "40000h 20000h 0m", "", 0},
		{"one a day, for a time", rule{Daily: days(100)}, "2401h 2399h 2398h 0m", "1 2", time.Hour},
		{"labels, restored ones and conflict copies", rule{}, "230h-L 229h-R 228h-C 227h 226h 0m", "4", 0},
		{"a label takes nobody's place", rule{}, "230h 229h-L 0m", "", 0},
		{"the last of each session", rule{}, "230h-s 229h-s 228h-t 227h-t 226h 225h 0m", "3 5", 0},
		{"the session goes on", rule{}, "230h-s 229h-s 228h 0m-s", "1", 0},
		{"short retention", rule{All: time.Minute, Hourly: time.Hour, Daily: 2 * time.Hour}, "3h 100m 90m 30m 20m 1m 30s 0m", "1 2 4 5", 30 * time.Second},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var list []quire.Revision
			for i, text := range strings.Fields(r.revs) {
				age, what, _ := strings.Cut(text, "-")
				d, err := time.ParseDuration(age)
				if err != nil {
					t.Fatal(err)
				}
				v := quire.Revision{Number: int64(i + 1), Created: noon.Add(-d)}
				switch what {
				case "L":
					v.Label = "named"
				case "R":
					v.Kind = quire.SaveRestore
				case "C":
					v.Kind = quire.SaveConflict
				default:
					v.Session = what
				}
				list = append(list, v)
			}
			drop, next := r.r.Keep(list, int64(len(list)), noon)
			slices.Sort(drop)
			got := strings.Trim(fmt.Sprint(drop), "[]")
			if got != r.drop {
				t.Errorf("dropped %q, want %q", got, r.drop)
			}
			if r.next == 0 && !next.IsZero() || r.next != 0 && !next.Equal(noon.Add(r.next)) {
				t.Errorf("next after %v, want %v", next.Sub(noon), r.next)
			}
		})
	}
}

// What the retention promises, whatever the history is.
func TestKeepProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := library.Retention{
			All:    time.Duration(rapid.IntRange(1, 48).Draw(rt, "all")) * time.Hour,
			Hourly: time.Duration(rapid.IntRange(48, 200).Draw(rt, "hourly")) * time.Hour,
			Daily:  time.Duration(rapid.SampledFrom([]int{0, 200, 1000}).Draw(rt, "daily")) * time.Hour,
		}
		var list []quire.Revision
		at := noon
		for i := range rapid.IntRange(1, 60).Draw(rt, "revisions") {
			at = at.Add(time.Duration(rapid.IntRange(1, 1000).Draw(rt, "minutes")) * time.Minute)
			v := quire.Revision{Number: int64(i + 1), Created: at, Session: rapid.SampledFrom([]string{"", "", "s", "t", "u"}).Draw(rt, "session")}
			switch rapid.IntRange(0, 20).Draw(rt, "kind") {
			case 0:
				v.Label = "named"
			case 1:
				v.Kind = quire.SaveRestore
			}
			list = append(list, v)
		}
		current := int64(len(list))
		alive := slices.Clone(list)
		for range 6 {
			at = at.Add(time.Duration(rapid.IntRange(1, 30_000).Draw(rt, "pass")) * time.Minute)
			before := slices.Clone(alive)
			drop, next := rule.Keep(alive, current, at)
			if !slices.EqualFunc(before, alive, func(a, b quire.Revision) bool { return a.Number == b.Number }) {
				rt.Fatal("the list was changed")
			}
			shuffled := slices.Clone(alive)
			slices.Reverse(shuffled)
			drop2, next2 := rule.Keep(shuffled, current, at)
			slices.Sort(drop)
			slices.Sort(drop2)
			if !slices.Equal(drop, drop2) || !next.Equal(next2) {
				rt.Fatalf("the order matters: %v %v, %v %v", drop, next, drop2, next2)
			}
			gone := make(map[int64]bool)
			for _, n := range drop {
				gone[n] = true
			}
			alive = slices.DeleteFunc(alive, func(v quire.Revision) bool { return gone[v.Number] })
			for _, v := range before {
				if gone[v.Number] && (v.Number == current || v.Label != "" || v.Kind == quire.SaveRestore || at.Sub(v.Created) < rule.All) {
					rt.Fatalf("%+v was dropped at %v", v, at)
				}
			}
			for _, s := range []string{"s", "t", "u"} {
				if lastOf(list, s) != lastOf(alive, s) {
					rt.Fatalf("the last of session %s was dropped", s)
				}
			}
			// Each hour and day that had any has one left.
			for _, v := range before {
				age := at.Sub(v.Created)
				step := 24 * time.Hour
				if age < rule.Hourly {
					step = time.Hour
				} else if rule.Daily > 0 && age >= rule.Daily {
					continue
				}
				if !slices.ContainsFunc(alive, func(w quire.Revision) bool { return w.Created.Truncate(step).Equal(v.Created.Truncate(step)) }) {
					rt.Fatalf("nothing is left of the %v of %v", step, v.Created)
				}
			}
			// The decision is final, and stays the same until it says.
			if again, _ := rule.Keep(alive, current, at); len(again) != 0 {
				rt.Fatalf("a second look drops %v", again)
			}
			if until := next.Add(-time.Millisecond); !next.IsZero() {
				if again, _ := rule.Keep(alive, current, until); len(again) != 0 {
					rt.Fatalf("at %v, before %v, %v are to be dropped", until, next, again)
				}
			} else if again, _ := rule.Keep(alive, current, at.Add(1e6*time.Hour)); len(again) != 0 {
				rt.Fatalf("there is to be no other decision, but %v are to be dropped later", again)
			}
		}
	})
}

func lastOf(list []quire.Revision, session string) int64 {
	var n int64
	for _, v := range list {
		if v.Session == session {
			n = max(n, v.Number)
		}
	}
	return n
}

// numbers lists a file's revisions, the oldest first.
func (f *fixture) numbers(id quire.NodeID) []int64 {
	f.t.Helper()
	list, err := f.Revisions(f.ctx, f.admin, id, 0, 5000, true)
	if err != nil {
		f.t.Fatal(err)
	}
	var all []int64
	for _, r := range list {
		all = append(all, r.Number)
	}
	slices.SortFunc(all, cmp.Compare)
	return all
}

// Thinning drops revisions and frees their bytes, large and small.
func TestThinning(t *testing.T) {
	f := open(t, library.Options{Retention: library.Retention{All: time.Hour, Hourly: 2 * time.Hour, Daily: 3 * time.Hour}})
	body := func(i int) string { return strings.Repeat(fmt.Sprint(i), 100+i%2*100_000) }
	var id quire.NodeID
	for i := 1; i <= 450; i++ {
		id = f.put(f.admin, "/f", body(i)).ID
	}
	if _, err := f.LabelRevision(f.ctx, f.admin, id, 7, "named"); err != nil {
		t.Fatal(err)
	}
	before := f.used()
	if err := f.Chores(f.ctx); err != nil || f.used() != before {
		t.Errorf("before its time: %v, %d bytes", err, f.used())
	}
	f.clock.advance(10 * time.Hour)
	if err := f.Chores(f.ctx); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]int64{7, 450}, f.numbers(id)); diff != "" {
		t.Error(diff)
	}
	if want := int64(len(body(7)) + len(body(450))); f.used() != want {
		t.Errorf("%d bytes are used, want %d", f.used(), want)
	}
	f.clean()
	sum, err := f.Collect(f.ctx, 0)
	if err != nil || sum.Segments != 448 {
		t.Errorf("collected %+v, %v", sum, err)
	}
	if got := f.read(f.admin, id, 7); got != body(7) {
		t.Errorf("revision 7 has %d bytes", len(got))
	}
	f.clean()

	// A revision that loses its name, on a file that nobody saves again.
	if _, err := f.LabelRevision(f.ctx, f.admin, id, 7, ""); err != nil {
		t.Fatal(err)
	}
	if err := f.Chores(f.ctx); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]int64{450}, f.numbers(id)); diff != "" {
		t.Errorf("after its label was taken away:\n%s", diff)
	}
	_, err = f.Open(f.ctx, f.admin, id, 7)
	f.expect("a revision that is gone", "missing", err)
	_, _, err = f.RestoreRevision(f.ctx, f.admin, id, 7, quire.Precondition{})
	f.expect("restored", "missing", err)
	_, err = f.LabelRevision(f.ctx, f.admin, id, 7, "x")
	f.expect("labelled", "missing", err)
	f.clean()
}

// Old content comes back as a new revision, and shares its bytes.
func TestRestoreRevision(t *testing.T) {
	f := open(t, library.Options{Retention: library.Retention{All: time.Hour, Hourly: 2 * time.Hour, Daily: 3 * time.Hour}})
	e := f.put(f.admin, "/f", strings.Repeat("one", 50_000))
	f.put(f.admin, "/f", "two")
	before := f.used()
	back, done, err := f.RestoreRevision(f.ctx, f.admin, e.ID, 1, quire.Precondition{Revision: ptr(2)})
	if err != nil || back.Revision != 3 || back.Sequence != 3 || back.Size != 150_000 || done.Revision != 3 || f.used() != before {
		t.Errorf("got %+v, %+v, %v; %d bytes are used", back, done, err, f.used())
	}
	_, r, err := f.Revision(f.ctx, f.admin, e.ID, 3)
	if err != nil || r.Kind != quire.SaveRestore || r.From != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	_, _, err = f.RestoreRevision(f.ctx, f.admin, e.ID, 1, quire.Precondition{Revision: ptr(2)})
	f.expect("on an old revision", "conflict", err)
	for _, n := range []int64{0, -1, 4} {
		_, _, err = f.RestoreRevision(f.ctx, f.admin, e.ID, n, quire.Precondition{})
		f.expect(fmt.Sprint("revision ", n), "missing", err)
	}
	_, err = f.LabelRevision(f.ctx, f.admin, e.ID, 1, strings.Repeat("x", 256))
	f.expect("a long label", "invalid", err)
	// The original goes; its bytes stay for the one that was restored.
	f.put(f.admin, "/f", "four")
	f.clock.advance(10 * time.Hour)
	if err := f.Chores(f.ctx); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]int64{3, 4}, f.numbers(e.ID)); diff != "" {
		t.Error(diff)
	}
	if _, err := f.Collect(f.ctx, 0); err != nil {
		t.Fatal(err)
	}
	if got := f.read(f.admin, e.ID, 3); got != strings.Repeat("one", 50_000) {
		t.Errorf("got %d bytes", len(got))
	}
	f.clean()
}

// The bytes of what was purged are there for a slow reader until the grace
// period has passed.
func TestGrace(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/f", strings.Repeat("x", 100_000))
	small := f.put(f.admin, "/g", "small")
	in, err := f.Open(f.ctx, f.admin, e.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, id := range []quire.NodeID{e.ID, small.ID} {
		if err := f.Delete(f.ctx, f.admin, id, quire.Precondition{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Purge(f.ctx, f.admin, id); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.advance(59 * time.Minute)
	if sum, err := f.Collect(f.ctx, time.Hour); err != nil || sum.Segments != 0 {
		t.Errorf("in the grace period: %+v, %v", sum, err)
	}
	buf := make([]byte, 100_000)
	if _, err := in.ReadAt(buf, 0); err != nil || string(buf) != strings.Repeat("x", 100_000) {
		t.Errorf("a slow reader: %v", err)
	}
	f.clock.advance(2 * time.Minute)
	if sum, err := f.Collect(f.ctx, time.Hour); err != nil || sum.Segments != 2 || sum.Bytes != 100_005 {
		t.Errorf("after it: %+v, %v", sum, err)
	}
	f.clean()
}
