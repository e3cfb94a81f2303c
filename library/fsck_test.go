package library_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// change changes records behind the library's back.
func (f *fixture) change(do func(*catalog.Tx) error) {
	f.t.Helper()
	if err := f.cat.Update(f.ctx, do); err != nil {
		f.t.Fatal(err)
	}
}

// object returns the path of the one file that holds a segment's bytes.
func (f *fixture) object() string {
	f.t.Helper()
	var found []string
	err := filepath.WalkDir(f.files, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil && info.Size() == 100_000 {
				found = append(found, path)
			}
		}
		return err
	})
	if err != nil || len(found) != 1 {
		f.t.Fatal(found, err)
	}
	return found[0]
}

// What fsck finds, each kind of damage by itself.
func TestCheckFinds(t *testing.T) {
	rows := []struct {
		name  string
		do    func(f *fixture, small, large quire.NodeID)
		quick []string // found without a look at the bytes
		full  []string
	}{
		{"nothing", func(*fixture, quire.NodeID, quire.NodeID) {}, nil, nil},
		{"an object is gone", func(f *fixture, _, _ quire.NodeID) {
			if err := os.Remove(f.object()); err != nil {
				f.t.Fatal(err)
			}
		}, []string{"missing-segment"}, []string{"missing-segment"}},
		{"an object has lost its end", func(f *fixture, _, _ quire.NodeID) {
			path := f.object()
			if err := os.Chmod(path, 0o600); err != nil {
				f.t.Fatal(err)
			}
			if err := os.Truncate(path, 99_999); err != nil {
				f.t.Fatal(err)
			}
		}, []string{"corrupt-segment"}, []string{"corrupt-segment"}},
		{"a bit has changed", func(f *fixture, _, _ quire.NodeID) {
			path := f.object()
			b, err := os.ReadFile(path)
			if err != nil {
				f.t.Fatal(err)
			}
			b[50_000] ^= 1
			if err := os.Chmod(path, 0o600); err != nil {
				f.t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				f.t.Fatal(err)
			}
		}, nil, []string{"corrupt-segment"}},
		{"a hold is gone", func(f *fixture, small, _ quire.NodeID) {
			f.change(func(tx *catalog.Tx) error { return tx.ReleaseAll(f.site.ID, catalog.NodeHolder(small)) })
		}, []string{"unheld-segment"}, []string{"unheld-segment"}},
		{"a segment's record is gone", func(f *fixture, small, _ quire.NodeID) {
			f.change(func(tx *catalog.Tx) error {
				list, err := tx.Holds(catalog.NodeHolder(small))
				if err != nil {
					return err
				}
				if err := tx.ReleaseAll(f.site.ID, catalog.NodeHolder(small)); err != nil {
					return err
				}
				_, err = tx.DeleteSegment(list[0])
				return err
			})
		}, []string{"missing-segment"}, []string{"missing-segment"}},
		{"a manifest does not add up", func(f *fixture, small, _ quire.NodeID) {
			f.change(func(tx *catalog.Tx) error {
				m, err := tx.Manifest(small, 1)
				if err != nil {
					return err
				}
				m.Streams[0].Extents[0].Length++
				m.Streams[0].Size++
				return tx.UpdateManifest(small, 1, &m)
			})
		}, []string{"bad-manifest", "bad-manifest"}, []string{"bad-manifest", "bad-manifest"}},
		{"a file's size is wrong", func(f *fixture, small, _ quire.NodeID) {
			f.change(func(tx *catalog.Tx) error {
				n, err := tx.Node(small)
				n.Size++
				if err != nil {
					return err
				}
				return tx.UpdateNode(&n)
			})
		}, []string{"bad-node"}, []string{"bad-node"}},
		{"the current revision is gone", func(f *fixture, small, _ quire.NodeID) {
			f.change(func(tx *catalog.Tx) error { return tx.DeleteRevision(small, 1) })
		}, []string{"bad-node"}, []string{"bad-node"}},
		{"a folder is gone", func(f *fixture, _, large quire.NodeID) {
			f.change(func(tx *catalog.Tx) error {
				n, err := tx.Node(large)
				n.Parent = quire.NodeID(library.NewID())
				if err != nil {
					return err
				}
				return tx.UpdateNode(&n)
			})
		}, []string{"lost-node"}, []string{"lost-node"}},
		{"an upload has a gap", func(f *fixture, _, _ quire.NodeID) {
			id := f.upload(f.admin, -1)
			f.add(id, 0, "one")
			f.add(id, 3, "two")
			f.change(func(tx *catalog.Tx) error { return tx.DeleteUploadExtent(id, 0) })
		}, []string{"bad-upload"}, []string{"bad-upload"}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			f := open(t, library.Options{})
			small := f.put(f.admin, "/a/small", "small").ID
			large := f.put(f.admin, "/b/large", strings.Repeat("x", 100_000)).ID
			r.do(f, small, large)
			for data, want := range map[bool][]string{false: r.quick, true: r.full} {
				var got []string
				sum, err := f.Check(f.ctx, data, func(p library.Problem) {
					got = append(got, p.What)
					if p.Where == "" || p.Detail == "" {
						t.Errorf("it does not say where and what: %+v", p)
					}
				})
				slices.Sort(got)
				if diff := cmp.Diff(want, got); err != nil || diff != "" || sum.Problems != len(want) {
					t.Errorf("with data %v: %v, %+v\n%s", data, err, sum, diff)
				}
			}
		})
	}
}

// A missing segment is the store's fault: it must not look like a missing file.
func TestMissingBytesAreNoMissingFile(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/large", strings.Repeat("x", 100_000))
	if err := os.Remove(f.object()); err != nil {
		t.Fatal(err)
	}
	in, err := f.Open(f.ctx, f.admin, e.ID, 0)
	if err == nil {
		_, err = in.ReadAt(make([]byte, 10), 0)
		in.Close()
	}
	if err == nil || outcome(err) == "missing" || !strings.Contains(err.Error(), "fsck") {
		t.Errorf("got %v", err)
	}
}

// Objects that no record names are removed when they are old enough, and
// nothing else is.
func TestOrphans(t *testing.T) {
	f := open(t, library.Options{})
	f.put(f.admin, "/large", strings.Repeat("x", 100_000))
	for range 3 {
		if _, err := f.blobs.Put(f.ctx, strings.NewReader("nobody's")); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := f.Collect(f.ctx, 0); err != nil || sum.Orphans != 0 {
		t.Errorf("young ones: %+v, %v", sum, err)
	}
	if n := f.orphans(); n != 3 {
		t.Errorf("fsck counts %d", n)
	}
	f.age(2 * time.Hour)
	if sum, err := f.Collect(f.ctx, time.Hour); err != nil || sum.Orphans != 3 || sum.Bytes != 24 {
		t.Errorf("old ones: %+v, %v", sum, err)
	}
	f.clean()
	if n := blobFiles(f); n != 1 {
		t.Errorf("%d objects are left", n)
	}
}
