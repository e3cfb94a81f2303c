package library_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/library/librarytest"
	"github.com/quire-docs/quire/lock"
)

// fixture is a library over a temporary store, with one site and callers.
type fixture struct {
	*library.Library
	t     testing.TB
	ctx   context.Context
	cat   *catalog.Store
	blobs *blob.Store
	files string // the folder with the blob store's objects
	store catalog.Driver
	local blob.Driver
	clock *clock
	site  quire.Site
	admin quire.Caller
}

// clock is the catalog's clock: the real one, put forward, or one that stands
// still between steps.
type clock struct {
	ahead atomic.Int64
	stood atomic.Int64 // when it was stopped, in milliseconds; 0 is not
}

func (c *clock) now() time.Time {
	if at := c.stood.Load(); at != 0 {
		return time.UnixMilli(at).UTC().Add(time.Duration(c.ahead.Load()))
	}
	return time.Now().Add(time.Duration(c.ahead.Load()))
}

func (c *clock) stop() { c.stood.Store(time.Now().UnixMilli()) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func open(t testing.TB, opt library.Options) *fixture {
	t.Helper()
	ctx := context.Background()
	clock := new(clock)
	place, s := librarytest.Open(t, clock.now)
	f := &fixture{
		Library: library.New(s.Catalog, s.Blobs, opt), t: t, ctx: ctx, cat: s.Catalog, blobs: s.Blobs,
		files: place.Files, store: s.Records, local: s.Bytes, clock: clock,
	}
	var err error
	if f.site, err = f.CreateSite(ctx, "main", "default", 0); err != nil {
		t.Fatal(err)
	}
	f.admin = f.user("admin", quire.RoleAdmin, quire.NoAccess)
	return f
}

func (f *fixture) user(login string, role quire.Role, access quire.Access) quire.Caller {
	f.t.Helper()
	u, err := f.CreateUser(f.ctx, library.NewUser{Site: f.site.ID, Login: login, Role: role, Access: access})
	if err != nil {
		f.t.Fatal(err)
	}
	return quire.Caller{User: u.ID, Site: u.Site, Name: u.Name, Role: role, Scope: quire.ScopeAdmin, Door: quire.DoorFileAPI}
}

func (f *fixture) put(c quire.Caller, path, content string) library.Entry {
	f.t.Helper()
	e, _, err := f.Save(f.ctx, c, quire.Target{Path: path, OnConflict: quire.Replace}, strings.NewReader(content), library.Save{})
	if err != nil {
		f.t.Fatalf("put %s: %v", path, err)
	}
	return e
}

func (f *fixture) read(c quire.Caller, id quire.NodeID, revision int64) string {
	f.t.Helper()
	in, err := f.Open(f.ctx, c, id, revision)
	if err != nil {
		f.t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in.Reader(0, in.Size))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

// mkdir makes a folder, or finds it.
func (f *fixture) mkdir(c quire.Caller, path string) library.Entry {
	f.t.Helper()
	e, _, err := f.CreateContainer(f.ctx, c, quire.Target{Path: path, OnConflict: quire.Replace})
	if err != nil {
		f.t.Fatalf("mkdir %s: %v", path, err)
	}
	return e
}

// share gives a user access to the node at a path.
func (f *fixture) share(c quire.Caller, path string, access quire.Access) {
	f.t.Helper()
	e, err := f.Lookup(f.ctx, f.admin, path)
	if err == nil {
		err = f.Share(f.ctx, f.admin, e.ID, c.User, access)
	}
	if err != nil {
		f.t.Fatalf("share %s: %v", path, err)
	}
}

// used returns how many bytes the quota counts.
func (f *fixture) used() int64 {
	f.t.Helper()
	_, n, err := f.SiteOf(f.ctx, f.admin)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// held returns how many bytes the files and uploads of the store hold, by
// adding up what they name: the quota must count the same.
func (f *fixture) held() int64 {
	f.t.Helper()
	var sum int64
	err := f.cat.View(f.ctx, func(tx *catalog.Tx) error {
		sum = 0
		add := func(holder string) error {
			list, err := tx.Holds(holder)
			for _, id := range list {
				s, err := tx.Segment(id)
				if err != nil {
					return err
				}
				sum += s.Size
			}
			return err
		}
		for after := quire.NodeID(""); ; {
			page, err := tx.NodesAfter(after, 1000)
			if err != nil {
				return err
			}
			for _, n := range page {
				after = n.ID
				if err := add(catalog.NodeHolder(n.ID)); err != nil {
					return err
				}
			}
			if len(page) == 0 {
				break
			}
		}
		all, err := tx.Uploads("")
		for _, u := range all {
			if err := add(catalog.UploadHolder(u.ID)); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return sum
}

// clean fails the test if the store is not as it should be.
func (f *fixture) clean() {
	f.t.Helper()
	_, err := f.Check(f.ctx, true, func(p library.Problem) { f.t.Errorf("%s %s: %s", p.What, p.Where, p.Detail) })
	if err != nil {
		f.t.Fatal(err)
	}
	if used, held := f.used(), f.held(); used != held {
		f.t.Errorf("the quota counts %d bytes, but %d are held", used, held)
	}
}

// outcome names the kind of an error.
func outcome(err error) string {
	var (
		locked   *quire.Locked
		conflict *quire.Conflict
		exists   *quire.Exists
		name     *quire.InvalidName
		invalid  *quire.Invalid
		quota    *quire.QuotaExceeded
		large    *quire.TooLarge
		offset   *quire.OffsetMismatch
		short    *quire.Incomplete
		busy     *quire.Unavailable
	)
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &locked):
		return "locked"
	case errors.As(err, &conflict):
		return "conflict"
	case errors.As(err, &exists):
		return "exists"
	case errors.As(err, &name):
		return "name"
	case errors.As(err, &invalid):
		return "invalid"
	case errors.As(err, &quota):
		return "quota"
	case errors.As(err, &large):
		return "large"
	case errors.As(err, &offset):
		return "offset"
	case errors.As(err, &short):
		return "short"
	case errors.As(err, &busy):
		return "unavailable"
	case errors.Is(err, quire.ErrNotFound):
		return "missing"
	case errors.Is(err, quire.ErrForbidden):
		return "forbidden"
	case errors.Is(err, quire.ErrNotEmpty):
		return "full"
	case errors.Is(err, quire.ErrUploadGone):
		return "gone"
	case errors.Is(err, quire.ErrUploadBusy):
		return "busy"
	case errors.Is(err, quire.ErrNotAFile), errors.Is(err, quire.ErrNotAContainer):
		return "kind"
	}
	return err.Error()
}

// expect fails the test if an error is of another kind.
func (f *fixture) expect(what, want string, err error) {
	f.t.Helper()
	if got := outcome(err); got != want {
		f.t.Errorf("%s: got %q (%v), want %q", what, got, err, want)
	}
}

func TestSaveAndRead(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/a/b/Report.docx", "one")
	if e.Revision != 1 || e.Sequence != 1 || e.Size != 3 || e.Path != "/a/b/Report.docx" {
		t.Errorf("got %+v", e)
	}
	big := strings.Repeat("0123456789abcdef", 100_000)
	e = f.put(f.admin, "/A/B/report.DOCX", big)
	if e.Revision != 2 || e.Name != "Report.docx" {
		t.Errorf("got %+v", e)
	}
	if got := f.read(f.admin, e.ID, 0); got != big {
		t.Errorf("got %d bytes", len(got))
	}
	if got := f.read(f.admin, e.ID, 1); got != "one" {
		t.Errorf("got %q", got)
	}
	// The same bytes again: a new version, no new revision.
	again := f.put(f.admin, "/a/b/Report.docx", big)
	if again.Revision != 2 || again.Sequence != 3 || !again.Modified.After(e.Modified) {
		t.Errorf("got %+v", again)
	}
	f.clean()
}

func TestUploadInPieces(t *testing.T) {
	f := open(t, library.Options{})
	u, err := f.CreateUpload(f.ctx, f.admin, library.NewUpload{Declared: -1, Life: 1e12})
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range 20 {
		piece := bytes.Repeat([]byte{byte('a' + i)}, 30_000*(i%4)+1)
		at := int64(want.Len())
		want.Write(piece)
		if u, _, err = f.Append(f.ctx, f.admin, u.ID, at, bytes.NewReader(piece), library.Append{}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = f.Append(f.ctx, f.admin, u.ID, 3, strings.NewReader("x"), library.Append{})
	var off *quire.OffsetMismatch
	if !errors.As(err, &off) || off.Expected != int64(want.Len()) {
		t.Errorf("got %v", err)
	}
	e, _, err := f.CommitUpload(f.ctx, f.admin, u.ID, quire.Target{Path: "/big.bin"}, library.Save{})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.read(f.admin, e.ID, 0); got != want.String() {
		t.Errorf("got %d bytes, want %d", len(got), want.Len())
	}
	again, _, err := f.CommitUpload(f.ctx, f.admin, u.ID, quire.Target{Path: "/big.bin"}, library.Save{})
	if err != nil || again.ID != e.ID || again.Revision != e.Revision {
		t.Errorf("a second commit gave %+v, %v", again, err)
	}
	f.clean()
}

func TestLockHoldsAtEveryDoor(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/d/x.docx", "one")
	folder, err := f.Lookup(f.ctx, f.admin, "/d")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lock(f.ctx, f.admin, e.ID, lock.Request{Op: lock.Lock, ID: "L", Name: "Ann"}); err != nil {
		t.Fatal(err)
	}
	var locked *quire.Locked
	if _, _, err := f.Save(f.ctx, f.admin, quire.Target{Node: e.ID}, strings.NewReader("two"), library.Save{}); !errors.As(err, &locked) || locked.State.WOPI == nil {
		t.Errorf("save: %v", err)
	}
	if err := f.Delete(f.ctx, f.admin, e.ID, quire.Precondition{}, nil); !errors.As(err, &locked) {
		t.Errorf("delete: %v", err)
	}
	if err := f.Delete(f.ctx, f.admin, folder.ID, quire.Precondition{}, nil); !errors.As(err, &locked) {
		t.Errorf("delete of the folder: %v", err)
	}
	if _, err := f.Move(f.ctx, f.admin, e.ID, quire.Target{Name: "y.docx"}, quire.Precondition{}, nil); !errors.As(err, &locked) {
		t.Errorf("move: %v", err)
	}
	if _, _, err := f.RestoreRevision(f.ctx, f.admin, e.ID, 1, quire.Precondition{}); !errors.As(err, &locked) {
		t.Errorf("restore: %v", err)
	}
	if _, _, err := f.Save(f.ctx, f.admin, quire.Target{Node: e.ID}, strings.NewReader("two"), library.Save{Precondition: quire.Precondition{Key: quire.LockKey{WOPI: "L"}}}); err != nil {
		t.Errorf("save with the lock: %v", err)
	}
	if _, err := f.ForceUnlock(f.ctx, f.admin, e.ID); err != nil {
		t.Error(err)
	}
	if err := f.Delete(f.ctx, f.admin, folder.ID, quire.Precondition{}, nil); err != nil {
		t.Error(err)
	}
	if _, err := f.Stat(f.ctx, f.admin, e.ID); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("in the trash: %v", err)
	}
	if _, err := f.Untrash(f.ctx, f.admin, folder.ID); err != nil {
		t.Error(err)
	}
	if got := f.read(f.admin, e.ID, 0); got != "two" {
		t.Errorf("got %q", got)
	}
	f.clean()
}

func TestCopyMoveSharePurge(t *testing.T) {
	f := open(t, library.Options{})
	f.put(f.admin, "/src/one.txt", "1")
	f.put(f.admin, "/src/sub/two.bin", strings.Repeat("2", 200_000))
	src, _ := f.Lookup(f.ctx, f.admin, "/src")
	dup, err := f.Copy(f.ctx, f.admin, src.ID, quire.Target{Path: "/dup"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.Lookup(f.ctx, f.admin, "/dup/sub/two.bin")
	if err != nil {
		t.Fatal(err)
	}
	bob := f.user("bob", quire.RoleMember, quire.NoAccess)
	if _, err := f.Stat(f.ctx, bob, two.ID); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("without a grant: %v", err)
	}
	if err := f.Share(f.ctx, f.admin, dup.ID, bob.User, quire.Viewer); err != nil {
		t.Fatal(err)
	}
	if e, err := f.Stat(f.ctx, bob, two.ID); err != nil || e.Access != quire.Viewer {
		t.Errorf("with a grant: %+v %v", e, err)
	}
	if err := f.Delete(f.ctx, bob, two.ID, quire.Precondition{}, nil); !errors.Is(err, quire.ErrForbidden) {
		t.Errorf("a viewer deleted: %v", err)
	}
	if err := f.Delete(f.ctx, f.admin, src.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Purge(f.ctx, f.admin, src.ID); err != nil {
		t.Fatal(err)
	}
	sum, err := f.Collect(f.ctx, 0)
	t.Log(sum, err)
	if got := f.read(f.admin, two.ID, 0); len(got) != 200_000 {
		t.Errorf("got %d bytes", len(got))
	}
	into, _ := f.Lookup(f.ctx, f.admin, "/dup/sub")
	var invalid *quire.Invalid
	if _, err := f.Move(f.ctx, f.admin, dup.ID, quire.Target{Parent: into.ID}, quire.Precondition{}, nil); !errors.As(err, &invalid) {
		t.Errorf("a folder into itself: %v", err)
	}
	f.clean()
}

// age makes what is in the blob store older, for the garbage collection leaves
// young objects alone.
func (f *fixture) age(by time.Duration) {
	f.t.Helper()
	old := time.Now().Add(-by)
	err := filepath.WalkDir(f.files, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}
