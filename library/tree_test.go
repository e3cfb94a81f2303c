package library_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

func (f *fixture) move(id quire.NodeID, t quire.Target) (library.Entry, error) {
	return f.Move(f.ctx, f.admin, id, t, quire.Precondition{}, nil)
}

func (f *fixture) lock(id quire.NodeID, name string) {
	f.t.Helper()
	if _, err := f.Lock(f.ctx, f.admin, id, lock.Request{Op: lock.Lock, ID: name, Name: "Ann"}); err != nil {
		f.t.Fatal(err)
	}
}

func TestMoveTable(t *testing.T) {
	// The tree: /a/f (file), /a/g (file), /a/l (locked file), /b/f (file),
	// /b/sub (folder), /c (empty folder).
	rows := []struct {
		name   string
		what   string
		target quire.Target // Parent is a path here
		want   string       // the new path, or an outcome
	}{
		{"another name", "/a/f", quire.Target{Name: "h"}, "/a/h"},
		{"another case", "/a/f", quire.Target{Name: "F"}, "/a/F"},
		{"the same name", "/a/f", quire.Target{Name: "f"}, "/a/f"},
		{"the same name, refused if taken", "/a/f", quire.Target{Name: "f", OnConflict: quire.Reject}, "/a/f"},
		{"a taken name", "/a/f", quire.Target{Name: "g"}, "/a/g (1)"},
		{"a taken name, refused", "/a/f", quire.Target{Name: "G", OnConflict: quire.Reject}, "exists"},
		{"a taken name, replaced", "/a/f", quire.Target{Name: "g", OnConflict: quire.Replace}, "/a/g"},
		{"the name of a locked file, replaced", "/a/f", quire.Target{Name: "l", OnConflict: quire.Replace}, "locked"},
		{"another folder", "/a/f", quire.Target{Parent: "/c"}, "/c/f"},
		{"another folder and name", "/a/f", quire.Target{Parent: "/c", Name: "h"}, "/c/h"},
		{"another folder, taken", "/a/f", quire.Target{Parent: "/b"}, "/b/f (1)"},
		{"another folder, replaced", "/a/f", quire.Target{Parent: "/b", OnConflict: quire.Replace}, "/b/f"},
		{"a folder's name, replaced", "/a/f", quire.Target{Parent: "/b", Name: "sub", OnConflict: quire.Replace}, "exists"},
		{"a path", "/a/f", quire.Target{Path: "/c/x/y/h"}, "/c/x/y/h"},
		{"its own path", "/a/f", quire.Target{Path: "/a/f"}, "/a/f"},
		{"its own path in another case", "/a/f", quire.Target{Path: "/A/F"}, "/a/F"},
		{"its own path, refused if taken", "/a/f", quire.Target{Path: "/a/F", OnConflict: quire.Reject}, "/a/F"},
		{"its own path, replaced", "/a/f", quire.Target{Path: "/a/f", OnConflict: quire.Replace}, "/a/f"},
		{"a path through a file", "/a/f", quire.Target{Path: "/a/g/h"}, "kind"},
		{"into a file", "/a/f", quire.Target{Parent: "/a/g"}, "kind"},
		{"nowhere", "/a/f", quire.Target{}, "invalid"},
		{"to the root's place", "/a/f", quire.Target{Path: "/"}, "invalid"},
		{"to no name", "/a/f", quire.Target{Name: "a:b"}, "name"},
		{"into an unknown folder", "/a/f", quire.Target{Parent: "unknown"}, "missing"},
		{"a locked file", "/a/l", quire.Target{Name: "h"}, "locked"},
		{"a folder", "/a", quire.Target{Parent: "/b"}, "/b/a"},
		{"a folder into itself", "/a", quire.Target{Parent: "/a"}, "invalid"},
		{"a folder into what is in it", "/b", quire.Target{Parent: "/b/sub"}, "invalid"},
		{"a folder deep into itself", "/b", quire.Target{Path: "/b/sub/x/y"}, "invalid"},
		{"a folder to its own path", "/b/sub", quire.Target{Path: "/b/sub"}, "/b/sub"},
		{"a folder over a file", "/c", quire.Target{Path: "/a/f", OnConflict: quire.Replace}, "exists"},
		{"the root", "/", quire.Target{Name: "x"}, "invalid"},
	}
	f := open(t, library.Options{})
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			top := fmt.Sprintf("/%d", i)
			for _, path := range []string{"/a/f", "/a/g", "/a/l", "/b/f"} {
				f.put(f.admin, top+path, path)
			}
			f.mkdir(f.admin, top+"/b/sub")
			f.mkdir(f.admin, top+"/c")
			f.lock(f.lookup(top+"/a/l").ID, "L")
			what := top + r.what
			if r.what == "/" {
				what = "/"
			}
			e, target := f.lookup(what), r.target
			if strings.HasPrefix(string(target.Parent), "/") {
				target.Parent = f.lookup(top + string(target.Parent)).ID
			}
			if target.Path != "" && target.Path != "/" {
				target.Path = top + target.Path
			}
			got, err := f.move(e.ID, target)
			if strings.HasPrefix(r.want, "/") {
				if err != nil || got.Path != top+r.want || f.lookup(top+r.want).ID != e.ID || got.Revision != e.Revision || !got.Modified.Equal(e.Modified) {
					t.Errorf("got %s, %v", got.Path, err)
				}
				if r.want != r.what && !strings.EqualFold(r.want, r.what) {
					if _, err := f.Lookup(f.ctx, f.admin, what); !errors.Is(err, quire.ErrNotFound) {
						t.Errorf("it is still there: %v", err)
					}
				}
				return
			}
			f.expect("move", r.want, err)
			if f.lookup(what).ID != e.ID {
				t.Error("it is not where it was")
			}
			if _, err := f.Lookup(f.ctx, f.admin, top+"/b/sub/x"); err == nil {
				t.Error("a folder was made all the same")
			}
		})
	}
	f.clean()
}

func (f *fixture) lookup(path string) library.Entry {
	f.t.Helper()
	e, err := f.Lookup(f.ctx, f.admin, path)
	if err != nil {
		f.t.Fatalf("lookup %s: %v", path, err)
	}
	return e
}

// How deep things may be, by whatever way they come there.
func TestDepth(t *testing.T) {
	f := open(t, library.Options{})
	path := func(n int) string { return strings.Repeat("/d", n) }
	deep := f.mkdir(f.admin, path(quire.MaxDepth-1))
	e := f.put(f.admin, path(quire.MaxDepth-1)+"/f", "x")
	f.expect("the deepest file can be read", "ok", func() error { _, err := f.Stat(f.ctx, f.admin, e.ID); return err }())
	_, _, err := f.CreateContainer(f.ctx, f.admin, quire.Target{Path: path(quire.MaxDepth)})
	f.expect("the deepest folder", "ok", err)
	last := f.lookup(path(quire.MaxDepth))
	_, err = f.save(f.admin, quire.Target{Parent: last.ID, Name: "f"}, "x", library.Save{})
	f.expect("a file below it", "invalid", err)
	_, _, err = f.CreateContainer(f.ctx, f.admin, quire.Target{Parent: last.ID, Name: "d"})
	f.expect("a folder below it", "invalid", err)
	_, err = f.save(f.admin, quire.Target{Path: path(quire.MaxDepth) + "/f"}, "x", library.Save{})
	f.expect("a path below it", "invalid", err)
	_, err = f.move(e.ID, quire.Target{Parent: last.ID})
	f.expect("a file moved below it", "invalid", err)
	_, err = f.Copy(f.ctx, f.admin, e.ID, quire.Target{Parent: last.ID})
	f.expect("a file copied below it", "invalid", err)

	f.put(f.admin, "/t/u/v/f", "x")
	tree := f.lookup("/t")
	_, err = f.move(tree.ID, quire.Target{Parent: deep.ID})
	f.expect("a tree moved so far down", "invalid", err)
	_, err = f.Copy(f.ctx, f.admin, tree.ID, quire.Target{Parent: deep.ID})
	f.expect("a tree copied so far down", "invalid", err)
	fits := f.lookup(path(quire.MaxDepth - 4))
	_, err = f.Copy(f.ctx, f.admin, tree.ID, quire.Target{Parent: fits.ID})
	f.expect("a tree copied where it fits", "ok", err)
	if got := f.lookup(path(quire.MaxDepth-4) + "/t/u/v/f"); got.Size != 1 {
		t.Errorf("got %+v", got)
	}
	f.expect("a deep tree deleted", "ok", f.Delete(f.ctx, f.admin, f.lookup("/d").ID, quire.Precondition{}, nil))
	if n, err := f.EmptyTrash(f.ctx, f.admin); err != nil || n != 1 {
		t.Errorf("purged %d, %v", n, err)
	}
	f.clean()
}

func TestTrash(t *testing.T) {
	f := open(t, library.Options{})
	ann := f.user("ann", quire.RoleMember, quire.Editor)
	bob := f.user("bob", quire.RoleMember, quire.Editor)
	e := f.put(ann, "/d/f", "one")
	f.put(ann, "/d/f", "two")
	del := func(c quire.Caller, id quire.NodeID) {
		t.Helper()
		if err := f.Delete(f.ctx, c, id, quire.Precondition{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	inTrash := func(c quire.Caller) int {
		t.Helper()
		list, _, err := f.Trash(f.ctx, c, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	del(bob, e.ID)
	for name, c := range map[string]quire.Caller{"who deleted it": bob, "whose it is": ann, "the administrator": f.admin} {
		if n := inTrash(c); n != 1 {
			t.Errorf("%s sees %d", name, n)
		}
	}
	if n := inTrash(f.user("cid", quire.RoleMember, quire.Owner)); n != 0 {
		t.Errorf("somebody else sees %d", n)
	}
	for _, op := range accessOps {
		if !op.need.folder && op.name != "Lookup" {
			f.expect(op.name+" in the trash", "missing", op.run(f, f.admin, e.ID, ""))
		}
	}
	limited := ann
	limited.Scope = quire.ScopeRead
	_, err := f.Untrash(f.ctx, limited, e.ID)
	f.expect("restored with a credential that only reads", "forbidden", err)
	f.expect("purged with it", "forbidden", f.Purge(f.ctx, limited, e.ID))
	limited = ann
	limited.Within = e.ID
	_, err = f.Untrash(f.ctx, limited, e.ID)
	f.expect("restored with a credential for one file", "missing", err)

	// The name was taken meanwhile.
	f.put(f.admin, "/d/F", "other")
	back, err := f.Untrash(f.ctx, ann, e.ID)
	if err != nil || back.Path != "/d/f (1)" || back.Trashed != nil || f.read(ann, e.ID, 1) != "one" {
		t.Errorf("got %+v, %v", back, err)
	}
	_, err = f.Untrash(f.ctx, ann, e.ID)
	f.expect("restored again", "missing", err)
	f.expect("purged when it is back", "missing", f.Purge(f.ctx, ann, e.ID))

	// The folder went as well; what is restored goes to the root then.
	del(f.admin, e.ID)
	folder := f.lookup("/d")
	del(f.admin, folder.ID)
	if back, err = f.Untrash(f.ctx, f.admin, e.ID); err != nil || back.Path != "/f (1)" {
		t.Errorf("got %+v, %v", back, err)
	}
	f.expect("purged", "ok", f.Purge(f.ctx, f.admin, folder.ID))
	_, err = f.Untrash(f.ctx, f.admin, folder.ID)
	f.expect("restored after that", "missing", err)

	// A lock below keeps a folder; an expired one does not.
	f.put(f.admin, "/x/y/f", "1")
	f.lock(f.lookup("/x/y/f").ID, "L")
	top := f.lookup("/x")
	f.expect("a folder with a locked file", "locked", f.Delete(f.ctx, f.admin, top.ID, quire.Precondition{}, nil))
	f.expect("which is not empty", "full", f.DeleteEmpty(f.ctx, f.admin, top.ID))
	f.clock.advance(30 * time.Minute)
	f.expect("when the lock has expired", "ok", f.Delete(f.ctx, f.admin, top.ID, quire.Precondition{}, nil))
	f.expect("the root", "invalid", f.Delete(f.ctx, f.admin, f.site.Root, quire.Precondition{}, nil))
	f.expect("the trash", "missing", f.Delete(f.ctx, f.admin, f.site.Trash, quire.Precondition{}, nil))
	f.expect("a file as an empty folder", "kind", f.DeleteEmpty(f.ctx, f.admin, e.ID))

	// The time in the trash ends.
	f.clock.advance(30*24*time.Hour - time.Minute)
	if err := f.Chores(f.ctx); err != nil || inTrash(f.admin) != 1 {
		t.Errorf("before its time: %v, %d in the trash", err, inTrash(f.admin))
	}
	f.clock.advance(time.Minute)
	if err := f.Chores(f.ctx); err != nil || inTrash(f.admin) != 0 {
		t.Errorf("after its time: %v, %d in the trash", err, inTrash(f.admin))
	}
	f.clean()
}

// What is being copied is seen by nobody until it is whole.
func TestCopyIsWhole(t *testing.T) {
	f := open(t, library.Options{})
	for i := range 250 {
		f.put(f.admin, fmt.Sprintf("/src/%d/f", i), fmt.Sprint(i))
	}
	f.put(f.admin, "/src/0/f", "newer")
	src := f.lookup("/src")
	if err := f.SetQuota(f.ctx, f.site.ID, f.used()+100); err != nil {
		t.Fatal(err)
	}
	_, err := f.Copy(f.ctx, f.admin, src.ID, quire.Target{Path: "/dup"})
	f.expect("a copy that breaks off", "quota", err)
	if list, _, err := f.Trash(f.ctx, f.admin, "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d in the trash, %v", len(list), err)
	}
	if err := f.SetQuota(f.ctx, f.site.ID, 0); err != nil {
		t.Fatal(err)
	}
	before := f.used()
	_, err = f.Copy(f.ctx, f.admin, src.ID, quire.Target{Path: "/src/1/dup"})
	f.expect("a copy into itself", "invalid", err)
	dup, err := f.Copy(f.ctx, f.admin, src.ID, quire.Target{Path: "/x/dup"})
	if err != nil || dup.Path != "/x/dup" {
		t.Fatal(err)
	}
	for i := range 250 {
		want := fmt.Sprint(i)
		if i == 0 {
			want = "newer"
		}
		e := f.lookup(fmt.Sprintf("/x/dup/%d/f", i))
		if got := f.read(f.admin, e.ID, 0); got != want || e.Revision != 1 {
			t.Fatalf("%d: revision %d, %q", i, e.Revision, got)
		}
	}
	if f.used() <= before {
		t.Error("the copy costs nothing")
	}
	again, err := f.Copy(f.ctx, f.admin, src.ID, quire.Target{Path: "/x/dup"})
	if err != nil || again.Path != "/x/dup (1)" {
		t.Errorf("got %s, %v", again.Path, err)
	}
	_, err = f.Copy(f.ctx, f.admin, src.ID, quire.Target{Path: "/x/dup", OnConflict: quire.Reject})
	f.expect("over a folder", "exists", err)
	f.clean()
}

func lockRelease(id string) lock.Request { return lock.Request{Op: lock.Unlock, ID: id} }
