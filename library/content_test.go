package library_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// pieces makes a file of many extents, some in the catalog and some in the blob
// store, and returns its content.
func (f *fixture) pieces(path string) (library.Entry, []byte) {
	f.t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	id := f.upload(f.admin, -1)
	var want bytes.Buffer
	for _, n := range []int{1, 10, 70_000, 3, 5000, 100_000, 1, 1, 66_000} {
		piece := make([]byte, n)
		for i := range piece {
			piece[i] = byte(rng.Uint32())
		}
		f.add(id, int64(want.Len()), string(piece))
		want.Write(piece)
	}
	e, err := f.commit(id, path)
	if err != nil {
		f.t.Fatal(err)
	}
	return e, want.Bytes()
}

func TestContentReads(t *testing.T) {
	f := open(t, library.Options{})
	_, want := f.pieces("/a/f")
	in, err := f.OpenPath(f.ctx, f.admin, "/A/F", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	size := in.Size
	if err := iotest.TestReader(in.Reader(0, size), want); err != nil {
		t.Error(err)
	}
	if err := iotest.TestReader(in.Reader(9, 70_100), want[9:70_109]); err != nil {
		t.Error(err)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		at := rng.Int64N(size + 1)
		n := rng.Int64N(size - at + 1)
		var out bytes.Buffer
		if m, err := in.WriteRange(&out, at, n); err != nil || m != n || !bytes.Equal(out.Bytes(), want[at:at+n]) {
			t.Fatalf("WriteRange(%d, %d): %d, %v", at, n, m, err)
		}
		buf := make([]byte, rng.IntN(80_000))
		m, err := in.ReadAt(buf, at)
		end := min(size, at+int64(len(buf)))
		if !bytes.Equal(buf[:m], want[at:end]) || (err == io.EOF) != (m < len(buf)) || err != nil && err != io.EOF {
			t.Fatalf("ReadAt(%d bytes, %d): %d, %v", len(buf), at, m, err)
		}
		s := in.Reader(at, n)
		if _, err := s.Seek(n/2, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		if m, err := s.WriteNTo(&out, 1000); err != nil || m != min(1000, n-n/2) || !bytes.Equal(out.Bytes(), want[at+n/2:at+n/2+m]) {
			t.Fatalf("WriteNTo: %d, %v", m, err)
		}
		out.Reset()
		if _, err := io.Copy(&out, s); err != nil || !bytes.Equal(out.Bytes(), want[min(at+n, at+n/2+1000):at+n]) {
			t.Fatalf("the rest: %d bytes, %v", out.Len(), err)
		}
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, size + 1}, {size + 1, 0}, {size, 1}, {1 << 62, 1 << 62}} {
		if _, err := in.WriteRange(io.Discard, r[0], r[1]); outcome(err) != "invalid" {
			t.Errorf("WriteRange(%d, %d): %v", r[0], r[1], err)
		}
	}
	if _, err := in.ReadAt(make([]byte, 1), -1); outcome(err) != "invalid" {
		t.Errorf("ReadAt -1: %v", err)
	}
	_, err = f.OpenPath(f.ctx, f.admin, "/a/g", 0)
	f.expect("no file", "missing", err)
	_, err = f.OpenPath(f.ctx, f.admin, "/a", 0)
	f.expect("a folder", "kind", err)
	_, err = f.OpenPath(f.ctx, f.admin, "/a/f", 2)
	f.expect("no revision", "missing", err)
	_, err = f.OpenStream(f.ctx, f.admin, in.Entry.ID, 0, "alt")
	f.expect("no stream", "missing", err)
}

// What is remembered of reads is forgotten as soon as it is no longer so.
func TestReadsAreFresh(t *testing.T) {
	f := open(t, library.Options{})
	other := f.twoNodes()[1]
	ann := f.user("ann", quire.RoleMember, quire.NoAccess)
	e := f.put(f.admin, "/f", "one")
	opens := func(c quire.Caller, want string) {
		t.Helper()
		for range 2 {
			in, err := f.Open(f.ctx, c, e.ID, 0)
			if err != nil {
				if outcome(err) != want {
					t.Errorf("got %v, want %q", err, want)
				}
				continue
			}
			b, err := io.ReadAll(in.Reader(0, in.Size))
			if in.Close(); err != nil || string(b) != want {
				t.Errorf("got %q, %v, want %q", b, err, want)
			}
		}
	}
	opens(f.admin, "one")
	opens(ann, "missing")
	f.share(ann, "/f", quire.Viewer)
	opens(ann, "one")
	if _, _, err := other.Save(f.ctx, f.admin, quire.Target{Node: e.ID}, strings.NewReader("two"), library.Save{}); err != nil {
		t.Fatal(err)
	}
	opens(ann, "two")
	limited := ann
	limited.Within = f.mkdir(f.admin, "/d").ID
	opens(limited, "missing")
	limited.Within = e.ID
	opens(limited, "two")
	limited.Scope = ""
	opens(limited, "forbidden")
	if err := f.Unshare(f.ctx, f.admin, e.ID, ann.User); err != nil {
		t.Fatal(err)
	}
	opens(ann, "missing")
	k, err := f.CreateLink(f.ctx, f.admin, e.ID, quire.Viewer, time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	ann.Link = k.ID
	opens(ann, "two")
	f.clock.advance(time.Hour) // nothing is written when a link expires
	opens(ann, "missing")
	if err := f.Delete(f.ctx, f.admin, e.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	opens(f.admin, "missing")
}

// Uploads of a protocol that does not say when they are complete become files
// when nothing more comes.
func TestPublishQuiet(t *testing.T) {
	f := open(t, library.Options{})
	begin := func(path string) quire.UploadID {
		t.Helper()
		u, err := f.CreateUpload(f.ctx, f.admin, library.NewUpload{
			Target: quire.Target{Path: path}, Declared: -1, Life: 24 * time.Hour,
			Meta: map[string]string{library.MetaBase: "0"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	send := func(id quire.UploadID, piece string) {
		t.Helper()
		if _, _, err := f.Append(f.ctx, f.admin, id, library.AtEnd, strings.NewReader(piece), library.Append{Quiet: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(d time.Duration) {
		t.Helper()
		f.clock.advance(d)
		if err := f.Chores(f.ctx); err != nil {
			t.Fatal(err)
		}
		f.clean()
	}
	id := begin("/d/f")
	send(id, "one ")
	wait(59 * time.Second)
	if _, err := f.Lookup(f.ctx, f.admin, "/d/f"); err == nil {
		t.Error("it was published too early")
	}
	send(id, "two ")
	wait(59 * time.Second)
	if _, err := f.Lookup(f.ctx, f.admin, "/d/f"); err == nil {
		t.Error("it was published though more came")
	}
	wait(time.Second)
	e := f.lookup("/d/f")
	if got := f.read(f.admin, e.ID, 0); got != "one two " {
		t.Errorf("got %q", got)
	}
	send(id, strings.Repeat("three ", 20_000)) // it goes on
	wait(time.Minute)
	if got := f.read(f.admin, e.ID, 0); got != "one two "+strings.Repeat("three ", 20_000) || f.lookup("/d/f").Revision != 2 {
		t.Errorf("it has %d bytes", len(got))
	}
	// A lock puts it off; another change makes a second file of it.
	f.lock(e.ID, "L")
	send(id, "four")
	wait(time.Minute)
	if f.lookup("/d/f").Revision != 2 {
		t.Error("it was published in spite of a lock")
	}
	if _, err := f.ForceUnlock(f.ctx, f.admin, e.ID); err != nil {
		t.Fatal(err)
	}
	f.put(f.admin, "/d/f", "somebody's")
	wait(time.Minute)
	if got := f.read(f.admin, e.ID, 0); got != "somebody's" {
		t.Errorf("another's content was replaced: %d bytes", len(got))
	}
	if beside := f.lookup("/d/f (1)"); !strings.HasSuffix(f.read(f.admin, beside.ID, 0), "four") {
		t.Error("what was uploaded is not kept beside it")
	}
	if last, err := f.commit(id, "/d/g"); err != nil || !strings.HasSuffix(f.read(f.admin, last.ID, 0), "four") {
		t.Errorf("a commit at the end: %v", err)
	}
	f.clean()
	// Started again, it forgets what it had.
	id = begin("/e")
	send(id, strings.Repeat("no ", 100_000))
	if u, err := f.RestartUpload(f.ctx, f.admin, id, 3); err != nil || u.Received != 0 || u.Declared != 3 {
		t.Errorf("got %+v, %v", u, err)
	}
	send(id, "yes")
	wait(time.Minute)
	if got := f.read(f.admin, f.lookup("/e").ID, 0); got != "yes" {
		t.Errorf("got %.10q", got)
	}
	if _, err := f.commit(id, "/e"); err != nil {
		t.Fatal(err)
	}
	f.clean()
}
