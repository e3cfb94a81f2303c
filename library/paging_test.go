package library_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// fill makes n files in a folder, several at a time.
func (f *fixture) fill(folder string, n int) {
	f.t.Helper()
	f.mkdir(f.admin, folder)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				path := fmt.Sprintf("%s/%05d", folder, i)
				if _, err := f.save(f.admin, quire.Target{Path: path}, strings.Repeat("x", i%7), library.Save{}); err != nil {
					f.t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
	wg.Wait()
}

func names(list []library.Entry) []string {
	var all []string
	for _, e := range list {
		all = append(all, e.Name)
	}
	return all
}

func TestListPages(t *testing.T) {
	f := open(t, library.Options{})
	f.fill("/d", 1100)
	folder := f.lookup("/d").ID
	f.put(f.admin, "/dd", "not in it")
	var want []string
	for i := range 1100 {
		want = append(want, fmt.Sprintf("%05d", i))
	}
	for _, sort := range []catalog.SortKey{"", library.ByName, library.BySize, library.ByModified} {
		for _, descending := range []bool{false, true} {
			for _, limit := range []int{0, 90, 1100, 5000} {
				var got []library.Entry
				w := library.Listing{Sort: sort, Descending: descending, Limit: limit}
				for pages := 0; ; pages++ {
					page, next, err := f.List(f.ctx, f.admin, folder, w)
					if err != nil {
						t.Fatal(err)
					}
					if size := max(limit, 1000*(1-min(limit, 1))); len(page) > size || next != "" && len(page) < size {
						t.Fatalf("a page of %d, next %q", len(page), next)
					}
					got = append(got, page...)
					if w.After = next; next == "" {
						break
					}
				}
				all := names(got)
				if !slices.IsSortedFunc(got, func(a, b library.Entry) int {
					if descending {
						a, b = b, a
					}
					switch {
					case sort == library.BySize && a.Size != b.Size:
						return int(a.Size - b.Size)
					case sort == library.ByModified && !a.Modified.Equal(b.Modified):
						return a.Modified.Compare(b.Modified)
					}
					return strings.Compare(a.Name, b.Name)
				}) {
					t.Errorf("%s %v in pages of %d: not in order", sort, descending, limit)
				}
				slices.Sort(all)
				if diff := cmp.Diff(want, all); diff != "" {
					t.Errorf("%s %v in pages of %d:\n%.300s", sort, descending, limit, diff)
				}
			}
		}
	}
	for _, limit := range []int{-1, library.MaxPage + 1} {
		_, _, err := f.List(f.ctx, f.admin, folder, library.Listing{Limit: limit})
		f.expect("a page of no size", "invalid", err)
	}
	_, _, err := f.List(f.ctx, f.admin, folder, library.Listing{Sort: library.BySize, After: "x"})
	f.expect("a wrong cursor", "invalid", err)
	_, _, err = f.List(f.ctx, f.admin, f.lookup("/dd").ID, library.Listing{})
	f.expect("a file", "kind", err)
	// A page is where it is, whatever comes before it meanwhile.
	page, next, _ := f.List(f.ctx, f.admin, folder, library.Listing{Limit: 10})
	f.put(f.admin, "/d/00000a", "new")
	page2, _, err := f.List(f.ctx, f.admin, folder, library.Listing{Limit: 10, After: next})
	if err != nil || page[9].Name != "00009" || page2[0].Name != "00010" {
		t.Errorf("got %q then %q, %v", page[9].Name, page2[0].Name, err)
	}
}

func TestSearchPages(t *testing.T) {
	f := open(t, library.Options{})
	f.fill("/d", 1100)
	f.fill("/other", 20)
	for _, path := range []string{"/d/5%_a.tt", "/d/sub/Straße É", "/dx"} {
		f.put(f.admin, path, "x")
	}
	ann := f.user("ann", quire.RoleMember, quire.NoAccess)
	f.share(ann, "/d/00010", quire.Viewer)
	f.share(ann, "/other", quire.Viewer)
	f.clean()
	rows := []struct {
		who   quire.Caller
		where string
		text  string
		want  int
	}{
		{f.admin, "/d", "0", 1100}, // every name has one
		{f.admin, "/d", "00010", 1},
		{f.admin, "/", "00010", 2},
		{f.admin, "/", "d", 2}, // /d and /dx
		{f.admin, "/d", "%", 1},
		{f.admin, "/d", "_A", 1},
		{f.admin, "/d", `\`, 0},
		{f.admin, "/d", "STRASSE e\u0301", 1},
		{f.admin, "/d", "x", 0},
		{ann, "/other", "0", 20},
		{ann, "/d/00010", "0", 0},
	}
	for _, r := range rows {
		for _, limit := range []int{1, 3, 100, 5000} {
			if limit < 100 && r.want > 100 {
				continue
			}
			seen := make(map[quire.NodeID]bool)
			for after := ""; ; {
				page, next, err := f.Search(f.ctx, r.who, f.lookup(r.where).ID, r.text, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page {
					if seen[e.ID] {
						t.Errorf("%q: %s came twice", r.text, e.Path)
					}
					seen[e.ID] = true
				}
				if after = next; next == "" {
					break
				}
			}
			if len(seen) != r.want {
				t.Errorf("%q below %s in pages of %d: %d, want %d", r.text, r.where, limit, len(seen), r.want)
			}
		}
	}
	_, _, err := f.Search(f.ctx, f.admin, f.site.Root, "", "", 1)
	f.expect("nothing to search for", "invalid", err)
	if err := f.Delete(f.ctx, f.admin, f.lookup("/other").ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	if page, _, err := f.Search(f.ctx, f.admin, f.site.Root, "00010", "", 100); err != nil || len(page) != 1 {
		t.Errorf("what is in the trash is found: %v, %v", names(page), err)
	}
}

func TestRevisionPages(t *testing.T) {
	f := open(t, library.Options{})
	var id quire.NodeID
	// Each session is an autosave, another, and a save; every tenth autosave
	// has a label.
	for i := range 1200 {
		o := library.Save{Session: fmt.Sprint(i / 3), Kind: quire.SaveAutosave}
		if i%3 == 2 {
			o.Kind = quire.SaveManual
		}
		e, err := f.save(f.admin, quire.Target{Path: "/f", OnConflict: quire.Replace}, fmt.Sprint(i), o)
		if err != nil {
			t.Fatal(err)
		}
		id = e.ID
		if i%30 == 0 {
			if _, err := f.LabelRevision(f.ctx, f.admin, id, e.Revision, "mine"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, all := range []bool{false, true} {
		for _, limit := range []int{1, 7, 100, 0, 2000} {
			var got []int64
			for before := int64(0); ; {
				page, err := f.Revisions(f.ctx, f.admin, id, before, limit, all)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				for _, r := range page {
					got = append(got, r.Number)
				}
				before = got[len(got)-1]
			}
			var want []int64
			for n := int64(1200); n > 0; n-- {
				if all || n%3 == 0 || n%30 == 1 {
					want = append(want, n)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("all %v in pages of %d:\n%.300s", all, limit, diff)
			}
		}
	}
	f.clean()
}

func TestChangeFeed(t *testing.T) {
	f := open(t, library.Options{})
	start, err := f.LatestChange(f.ctx, f.admin)
	if err != nil {
		t.Fatal(err)
	}
	e := f.put(f.admin, "/a/f", "1")
	f.put(f.admin, "/a/f", "2")
	f.put(f.admin, "/a/f", "2") // the same: no new revision, no event
	f.lock(e.ID, "L")
	if _, err := f.Lock(f.ctx, f.admin, e.ID, lockRelease("L")); err != nil {
		t.Fatal(err)
	}
	f.mkdir(f.admin, "/b")
	mustMove := func(t2 quire.Target) {
		t.Helper()
		if _, err := f.move(e.ID, t2); err != nil {
			t.Fatal(err)
		}
	}
	mustMove(quire.Target{Name: "g"})
	mustMove(quire.Target{Parent: f.lookup("/b").ID})
	f.share(f.user("ann", quire.RoleMember, quire.NoAccess), "/b", quire.Viewer)
	if _, _, err := f.RestoreRevision(f.ctx, f.admin, e.ID, 1, quire.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Copy(f.ctx, f.admin, f.lookup("/b").ID, quire.Target{Path: "/c"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(f.ctx, f.admin, e.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Untrash(f.ctx, f.admin, e.ID); err != nil {
		t.Fatal(err)
	}
	feed := func(container quire.NodeID, limit int) []string {
		t.Helper()
		var got []string
		for cursor := start; ; {
			page, next, more, err := f.Changes(f.ctx, f.admin, container, cursor, time.Time{}, limit)
			if err != nil || len(page) > limit {
				t.Fatal(err)
			}
			for _, c := range page {
				got = append(got, string(c.Kind)+" "+c.Path)
				if (c.Entry == nil) != (c.Node != e.ID && c.Kind == quire.EventRemove) {
					t.Errorf("%s %s: its node is %v", c.Kind, c.Path, c.Entry)
				}
			}
			if cursor = next; !more {
				return got
			}
		}
	}
	want := []string{
		"new /a", "new /a/f", "update /a/f", "new /b", "rename /a/g", "moveout /a/g", "movein /b/g", "update /b/g",
		"new /c", "remove /b/g", "new /b/g",
	}
	for _, limit := range []int{1, 3, 1000} {
		if diff := cmp.Diff(want, feed("", limit)); diff != "" {
			t.Errorf("in pages of %d:\n%s", limit, diff)
		}
	}
	wantB := []string{"new /b", "movein /b/g", "update /b/g", "remove /b/g", "new /b/g"}
	if diff := cmp.Diff(wantB, feed(f.lookup("/b").ID, 2)); diff != "" {
		t.Errorf("below a folder:\n%s", diff)
	}
	for _, limit := range []int{-1, library.MaxPage + 1} {
		_, _, _, err := f.Changes(f.ctx, f.admin, "", 0, time.Time{}, limit)
		f.expect("a page of no size", "invalid", err)
	}
	if list, cursor, more, err := f.Changes(f.ctx, f.admin, "", 0, time.Time{}, 0); err != nil || len(list) != len(want) || more || cursor == 0 {
		t.Errorf("the default page: %d, %d, %v, %v", len(list), cursor, more, err)
	}
	f.clock.advance(time.Hour)
	f.put(f.admin, "/late", "x")
	list, _, _, err := f.Changes(f.ctx, f.admin, "", 0, f.clock.now().Add(-time.Minute), 10)
	if err != nil || len(list) != 1 || list[0].Path != "/late" {
		t.Errorf("since a time: %v, %v", list, err)
	}
	acts, err := f.Activities(f.ctx, f.admin, e.ID, 0, 100)
	var kinds []string
	for _, a := range acts {
		kinds = append(kinds, string(a.Kind))
	}
	if got := strings.Join(kinds, " "); err != nil || got != "new remove update movein moveout rename update new" {
		t.Errorf("the file's activities: %q, %v", got, err)
	}
	audit, err := f.Audit(f.ctx, f.admin, 0, time.Time{}, 1000)
	if err != nil || len(audit) < len(want)+1 {
		t.Errorf("%d in the audit log, %v", len(audit), err)
	}
	_, err = f.Audit(f.ctx, f.user("mem", quire.RoleMember, quire.Owner), 0, time.Time{}, 10)
	f.expect("a member asks for the audit log", "forbidden", err)
}

// Over a thousand events, page by page, none twice and none left out.
func TestChangePages(t *testing.T) {
	f := open(t, library.Options{})
	f.fill("/d", 1100)
	f.fill("/e", 5)
	var got []string
	pages := 0
	for cursor, more := int64(0), true; more; pages++ {
		var list []library.Change
		var err error
		if list, cursor, more, err = f.Changes(f.ctx, f.admin, f.lookup("/d").ID, cursor, time.Time{}, 100); err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			got = append(got, c.Path)
		}
	}
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != 1101 || len(got) != 1101 || pages < 11 || pages > 12 {
		t.Errorf("%d events in %d pages", len(got), pages)
	}
}
