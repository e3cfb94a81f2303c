package library_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

func (f *fixture) save(c quire.Caller, t quire.Target, content string, o library.Save) (library.Entry, error) {
	e, _, err := f.Save(f.ctx, c, t, strings.NewReader(content), o)
	return e, err
}

func ptr(n int64) *int64 { return &n }

// The file there is at revision 2 and sequence number 2.
func TestPreconditions(t *testing.T) {
	f := open(t, library.Options{})
	when := f.put(f.admin, "/seed", "x").Modified
	rows := []struct {
		name  string
		pre   quire.Precondition
		there string // the outcome for a file that is there,
		none  string // and for one that is not
	}{
		{"nothing", quire.Precondition{}, "ok", "ok"},
		{"the revision", quire.Precondition{Revision: ptr(2)}, "ok", "missing"},
		{"an old revision", quire.Precondition{Revision: ptr(1)}, "conflict", "missing"},
		{"a revision to come", quire.Precondition{Revision: ptr(3)}, "conflict", "missing"},
		{"revision 0", quire.Precondition{Revision: ptr(0)}, "conflict", "missing"},
		{"the sequence", quire.Precondition{Sequence: ptr(2)}, "ok", "missing"},
		{"an old sequence", quire.Precondition{Sequence: ptr(1)}, "conflict", "missing"},
		{"both, one old", quire.Precondition{Revision: ptr(2), Sequence: ptr(1)}, "conflict", "missing"},
		{"not changed since long ago", quire.Precondition{Modified: when.Add(-time.Hour)}, "conflict", "ok"},
		{"not changed since a time to come", quire.Precondition{Modified: when.Add(time.Hour)}, "ok", "ok"},
		{"absent", quire.Precondition{Absent: true}, "exists", "ok"},
		{"present", quire.Precondition{Present: true}, "ok", "missing"},
		{"a WOPI lock that nobody holds", quire.Precondition{Key: quire.LockKey{WOPI: "L"}}, "locked", "locked"},
		{"only with a lock", quire.Precondition{Unlocked: quire.OnlyEmptyUnlocked}, "locked", "ok"},
	}
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			path := fmt.Sprintf("/d/%d", i)
			f.put(f.admin, path, "one")
			e := f.put(f.admin, path, "two")
			_, err := f.save(f.admin, quire.Target{Path: path, OnConflict: quire.Replace}, "three", library.Save{Precondition: r.pre})
			f.expect("by path", r.there, err)
			want := map[bool]string{true: "three", false: "two"}[r.there == "ok"]
			if got := f.read(f.admin, e.ID, 0); got != want {
				t.Errorf("it has %q, want %q", got, want)
			}
			path += " new"
			_, err = f.save(f.admin, quire.Target{Path: path, OnConflict: quire.Replace}, "three", library.Save{Precondition: r.pre})
			f.expect("a new one", r.none, err)
			_, err = f.Lookup(f.ctx, f.admin, path)
			if (err == nil) != (r.none == "ok") {
				t.Errorf("the new file: %v", err)
			}
		})
	}
	f.clean()
}

// A refusal by precondition carries the state that refused.
func TestConflictCarriesState(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/x", "one")
	_, err := f.save(f.admin, quire.Target{Node: e.ID}, "two", library.Save{Precondition: quire.Precondition{Revision: ptr(9)}})
	var conflict *quire.Conflict
	if !errors.As(err, &conflict) || conflict.Current.Revision != 1 || conflict.Current.ID != e.ID {
		t.Errorf("got %v", err)
	}
}

// Bodies: their size as announced, as limited, and when they break off.
func TestBodies(t *testing.T) {
	f := open(t, library.Options{})
	small, big := strings.Repeat("s", 100), strings.Repeat("b", 300_000)
	e := f.put(f.admin, "/x", "before")
	boom := errors.New("the connection broke")
	rows := []struct {
		name string
		body io.Reader
		o    library.Save
		want string
	}{
		{"small, exact", strings.NewReader(small), library.Save{Sized: true, Length: 100}, "ok"},
		{"small, too short", strings.NewReader(small), library.Save{Sized: true, Length: 101}, "short"},
		{"small, too long", strings.NewReader(small), library.Save{Sized: true, Length: 99}, "short"},
		{"big, exact", strings.NewReader(big), library.Save{Sized: true, Length: 300_000}, "ok"},
		{"big, too short", strings.NewReader(big), library.Save{Sized: true, Length: 300_001}, "short"},
		{"big, too long", strings.NewReader(big), library.Save{Sized: true, Length: 299_999}, "short"},
		{"empty, announced as empty", strings.NewReader(""), library.Save{Sized: true}, "ok"},
		{"not empty, announced as empty", strings.NewReader("x"), library.Save{Sized: true}, "short"},
		{"at the limit", strings.NewReader(big), library.Save{Max: 300_000}, "ok"},
		{"over the limit", strings.NewReader(big), library.Save{Max: 299_999}, "large"},
		{"over the limit, announced", strings.NewReader(""), library.Save{Sized: true, Length: 300_000, Max: 299_999}, "large"},
		{"small, breaks off", io.MultiReader(strings.NewReader(small), iotest.ErrReader(boom)), library.Save{}, boom.Error()},
		{"big, breaks off", io.MultiReader(strings.NewReader(big), iotest.ErrReader(boom)), library.Save{}, "boom"},
		{"a byte at a time", iotest.OneByteReader(strings.NewReader(big[:100_000])), library.Save{}, "ok"},
		{"data with EOF", iotest.DataErrReader(strings.NewReader(big)), library.Save{}, "ok"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			before, err := f.Stat(f.ctx, f.admin, e.ID)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = f.Save(f.ctx, f.admin, quire.Target{Node: e.ID}, r.body, r.o)
			if r.want == "boom" {
				if !errors.Is(err, boom) {
					t.Errorf("got %v", err)
				}
			} else {
				f.expect("save", r.want, err)
			}
			after, _ := f.Stat(f.ctx, f.admin, e.ID)
			if err != nil && after.Sequence != before.Sequence {
				t.Errorf("a failed save changed the file: %+v", after)
			}
		})
	}
	f.clean()
	if n := f.orphans(); n != 0 {
		t.Errorf("failed saves left %d objects", n)
	}
}

// orphans counts objects of the blob store that nothing names, whatever their
// age.
func (f *fixture) orphans() int {
	f.t.Helper()
	f.age(time.Hour)
	sum, err := f.Check(f.ctx, false, func(library.Problem) {})
	if err != nil {
		f.t.Fatal(err)
	}
	return sum.Orphans
}

// Editors that ask for a late save's rescue get it in a copy beside the file.
func TestRescue(t *testing.T) {
	f := open(t, library.Options{})
	ann := f.user("Ann", quire.RoleMember, quire.NoAccess)
	e := f.put(f.admin, "/d/Report.docx", "one")
	f.share(ann, "/d/Report.docx", quire.Editor) // on the file, not on its folder
	if _, err := f.Lock(f.ctx, f.admin, e.ID, lock.Request{Op: lock.Lock, ID: "L"}); err != nil {
		t.Fatal(err)
	}
	copyName := "/d/Report (conflict, Ann, " + time.Now().UTC().Format(time.DateOnly) + ").docx"
	big := strings.Repeat("mine ", 100_000)
	for i, content := range []string{"mine", "mine too", big} {
		_, err := f.save(ann, quire.Target{Node: e.ID}, content, library.Save{Rescue: true})
		f.expect("save", "locked", err)
		kept, err := f.Lookup(f.ctx, f.admin, copyName)
		if err != nil {
			t.Fatalf("no copy: %v", err)
		}
		if got := f.read(f.admin, kept.ID, 0); got != content || kept.Revision != int64(i+1) {
			t.Errorf("the copy has revision %d with %d bytes", kept.Revision, len(got))
		}
	}
	_, err := f.save(ann, quire.Target{Node: e.ID}, "conflict", library.Save{Rescue: true, Precondition: quire.Precondition{Key: quire.LockKey{WOPI: "L"}, Sequence: ptr(9)}})
	f.expect("a save on an old sequence", "conflict", err)
	if got := f.read(f.admin, e.ID, 0); got != "one" {
		t.Errorf("the file has %q", got)
	}
	_, err = f.save(ann, quire.Target{Node: e.ID}, "no", library.Save{})
	f.expect("without rescue", "locked", err)
	if list, _, err := f.List(f.ctx, f.admin, f.mkdir(f.admin, "/d").ID, library.Listing{}); err != nil || len(list) != 2 {
		t.Errorf("%d files, %v", len(list), err)
	}
	viewer := f.user("vic", quire.RoleMember, quire.Viewer)
	_, err = f.save(viewer, quire.Target{Node: e.ID}, "no", library.Save{Rescue: true})
	f.expect("a viewer's save", "forbidden", err)
	f.clean()
}

func TestQuota(t *testing.T) {
	f := open(t, library.Options{})
	const limit = 1 << 20
	if err := f.SetQuota(f.ctx, f.site.ID, limit); err != nil {
		t.Fatal(err)
	}
	quota := func(what string, err error, used int64) {
		t.Helper()
		var over *quire.QuotaExceeded
		if !errors.As(err, &over) || over.Quota != limit || over.Used != used {
			t.Errorf("%s: got %v", what, err)
		}
	}
	half := strings.Repeat("h", limit/2)
	e := f.put(f.admin, "/d/a", half)
	_, err := f.Copy(f.ctx, f.admin, e.ID, quire.Target{Path: "/d/b"})
	f.expect("a copy that just fits", "ok", err)
	if f.used() != limit {
		t.Errorf("%d bytes are used", f.used())
	}
	_, err = f.save(f.admin, quire.Target{Path: "/c"}, "x", library.Save{})
	quota("one byte more", err, limit)
	_, err = f.save(f.admin, quire.Target{Path: "/c"}, "x", library.Save{Sized: true, Length: 1})
	quota("one byte more, announced", err, limit)
	_, err = f.save(f.admin, quire.Target{Path: "/c"}, strings.Repeat("y", 100_000), library.Save{})
	quota("a body that is streamed", err, limit)
	_, err = f.save(f.admin, quire.Target{Path: "/empty"}, "", library.Save{})
	f.expect("an empty file costs nothing", "ok", err)
	_, err = f.Copy(f.ctx, f.admin, e.ID, quire.Target{Path: "/c"})
	quota("a copy", err, limit)
	_, err = f.Copy(f.ctx, f.admin, f.mkdir(f.admin, "/d").ID, quire.Target{Path: "/c"})
	quota("a copy of a folder", err, limit)
	if _, err := f.Lookup(f.ctx, f.admin, "/c"); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("something of the copies is there: %v", err)
	}
	_, err = f.CreateUpload(f.ctx, f.admin, library.NewUpload{Declared: 1, Life: time.Hour})
	quota("an upload that says its size", err, limit)
	u, err := f.CreateUpload(f.ctx, f.admin, library.NewUpload{Declared: -1, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	_, n, err := f.Append(f.ctx, f.admin, u.ID, 0, strings.NewReader("x"), library.Append{})
	quota("an upload", err, limit)
	if n != 0 {
		t.Errorf("%d bytes were taken", n)
	}
	_, n, err = f.Append(f.ctx, f.admin, u.ID, 0, iotest.ErrReader(errors.New("it was read")), library.Append{Sized: true, Length: 1})
	quota("an upload that announces its body", err, limit)
	if n != 0 {
		t.Errorf("%d bytes were taken", n)
	}
	_, _, err = f.RestoreRevision(f.ctx, f.admin, e.ID, 1, quire.Precondition{})
	f.expect("a restored revision costs nothing", "ok", err)
	f.clean()

	// What is in the trash counts; what is purged does not.
	folder := f.mkdir(f.admin, "/d")
	if err := f.Delete(f.ctx, f.admin, folder.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	if f.used() != limit {
		t.Errorf("with all in the trash, %d bytes are used", f.used())
	}
	if err := f.Purge(f.ctx, f.admin, folder.ID); err != nil {
		t.Fatal(err)
	}
	if f.used() != 0 {
		t.Errorf("after the purge, %d bytes are used", f.used())
	}
	if _, n, err = f.Append(f.ctx, f.admin, u.ID, 0, strings.NewReader(half), library.Append{}); err != nil || n != limit/2 || f.used() != limit/2 {
		t.Errorf("an upload with room: %d bytes, %v; %d bytes are used", n, err, f.used())
	}
	_, _, err = f.CommitUpload(f.ctx, f.admin, u.ID, quire.Target{Path: "/up"}, library.Save{})
	f.expect("its commit", "ok", err)
	if f.used() != limit/2 {
		t.Errorf("after the commit %d bytes are used", f.used())
	}
	f.clean()
}

// A file copied onto one with the same content holds nothing that it does not
// need.
func TestCopyOfTheSame(t *testing.T) {
	f := open(t, library.Options{})
	a, b := f.put(f.admin, "/a", strings.Repeat("x", 1000)), f.put(f.admin, "/b", strings.Repeat("x", 1000))
	before := f.used()
	e, err := f.Copy(f.ctx, f.admin, a.ID, quire.Target{Path: "/b", OnConflict: quire.Replace})
	if err != nil || e.ID != b.ID || e.Revision != 1 || e.Sequence != 2 {
		t.Errorf("got %+v, %v", e, err)
	}
	if f.used() != before {
		t.Errorf("%d bytes are used, %d were", f.used(), before)
	}
	f.clean()
}
