package dir

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustOpen(t testing.TB, path string, opts Options) *Driver {
	t.Helper()
	d, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func TestDriver(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) (a, b blob.Driver) {
		path := filepath.Join(t.TempDir(), "blobs")
		return mustOpen(t, path, Options{}), mustOpen(t, path, Options{})
	})
}

// TestDriverFaultless: the wrapper for tests is a good driver while it lets all
// calls through.
func TestDriverFaultless(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) (a, b blob.Driver) {
		path := t.TempDir()
		ok := func(string, int) blobtest.Fault { return blobtest.OK }
		return blobtest.NewFaulty(mustOpen(t, path, Options{}), ok), mustOpen(t, path, Options{})
	})
}

// TestLayout pins what is on disk.
func TestLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := mustOpen(t, path, Options{})
	key := blob.NewKey()
	if _, err := d.Put(t.Context(), key, strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	files, folders := map[string]string{}, 0
	err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		if e.IsDir() {
			folders++
			if fi.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %v", name, fi.Mode())
			}
			return nil
		}
		if fi.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
		b, err := os.ReadFile(name)
		rel, rerr := filepath.Rel(path, name)
		files[filepath.ToSlash(rel)] = string(b)
		return errors.Join(err, rerr)
	})
	if err != nil {
		t.Fatal(err)
	}
	if folders != 4 {
		t.Errorf("%d folders, want the root, tmp, segments and one in it", folders)
	}
	want := "segments/" + string(key[:2]) + "/" + string(key)
	if len(files) != 2 || files["format"] != "quire blob directory 1\n" || files[want] != "content" {
		t.Errorf("files: %q", files)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Run("things that are not ours", func(t *testing.T) {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, "thesis.docx"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("Open: %v", err)
		}
		if names, err := os.ReadDir(path); err != nil || len(names) != 1 {
			t.Errorf("Open touched what is not ours: %v, %v", names, err)
		}
	})
	t.Run("another version", func(t *testing.T) {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, formatName), []byte("quire blob directory 2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("Open: %v", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); err == nil {
			t.Error("Open of a file succeeded")
		}
	})
}

// TestOpenRepairs: empty folders that a backup has left out are made again, and
// what a new file system has in it is no hindrance.
func TestOpenRepairs(t *testing.T) {
	path := t.TempDir()
	if err := os.Mkdir(filepath.Join(path, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, Options{})
	for _, name := range []string{"tmp", "segments"} {
		if err := os.Remove(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	d := mustOpen(t, path, Options{})
	key := blob.Key("zz" + strings.Repeat("a", 24))
	if _, err := d.Put(t.Context(), key, strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}

// TestMissingFolder: a store that is pulled away from under the driver gives an
// error that is not taken for a missing object.
func TestMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs")
	d := mustOpen(t, path, Options{})
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(t.Context(), blob.NewKey(), strings.NewReader("x")); err == nil || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Put: %v", err)
	}
}

func TestStale(t *testing.T) {
	path := t.TempDir()
	mustOpen(t, path, Options{})
	tmp := filepath.Join(path, tmpName)
	now := time.Now()
	young, old, foreign := string(blob.NewKey()), string(blob.NewKey()), "notes.txt"
	for name, age := range map[string]time.Duration{young: time.Hour, old: 25 * time.Hour, foreign: 99 * time.Hour} {
		name = filepath.Join(tmp, name)
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		entries, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	for _, step := range []struct {
		staleAfter time.Duration
		want       []string
	}{
		{-1, []string{young, old, foreign}},
		{0, []string{young, foreign}},
		{2 * time.Hour, []string{young, foreign}},
		{time.Minute, []string{foreign}},
	} {
		mustOpen(t, path, Options{StaleAfter: step.staleAfter})
		slices.Sort(step.want)
		if got := left(); !slices.Equal(got, step.want) {
			t.Errorf("StaleAfter %v leaves %q, want %q", step.staleAfter, got, step.want)
		}
	}
}

// TestForeignFiles: what is not a segment does not disturb List.
func TestForeignFiles(t *testing.T) {
	path := t.TempDir()
	d := mustOpen(t, path, Options{})
	if err := os.Mkdir(filepath.Join(path, segmentsName, "aa"), 0o700); err != nil {
		t.Fatal(err)
	}
	misplaced := "bb" + strings.Repeat("a", 24)
	for _, name := range []string{"README", "aa/README", "aa/.nfs0001", "aa/" + misplaced} {
		if err := os.WriteFile(filepath.Join(path, segmentsName, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := d.List(t.Context(), "", 10); err != nil || len(got) != 0 {
		t.Errorf("List: %v, %v", got, err)
	}
}

// TestLinkAndRemove: the way to publish where there is no rename that does not
// overwrite.
func TestLinkAndRemove(t *testing.T) {
	path := t.TempDir()
	from, to := filepath.Join(path, "from"), filepath.Join(path, "to")
	for _, want := range []error{nil, fs.ErrExist} {
		if err := os.WriteFile(from, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := linkAndRemove(from, to); !errors.Is(err, want) {
			t.Errorf("publish: %v, want %v", err, want)
		}
	}
	if b, err := os.ReadFile(to); err != nil || string(b) != "x" {
		t.Errorf("published: %q, %v", b, err)
	}
}

// TestTruncated: a file that has lost its end is noticed while it is read.
func TestTruncated(t *testing.T) {
	d := mustOpen(t, t.TempDir(), Options{})
	store := blob.New(d, blob.Options{})
	seg, err := store.Put(t.Context(), bytes.NewReader(blobtest.Bytes(1, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.path(seg.Key), 500); err != nil {
		t.Fatal(err)
	}
	r, err := d.Open(context.Background(), seg.Key, 0, seg.Size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var buf bytes.Buffer
	if n, err := buf.ReadFrom(r); n != 500 || !errors.Is(err, blob.ErrRange) {
		t.Errorf("reading: %d bytes, %v", n, err)
	}
	var corrupt *blob.CorruptError
	if err := store.Verify(t.Context(), seg); !errors.As(err, &corrupt) || corrupt.Size != 500 {
		t.Errorf("Verify: %v", err)
	}
}
