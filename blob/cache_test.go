package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
)

// remote is a driver without local files, that counts what is read from it.
type remote struct {
	blob.Driver
	opens atomic.Int64
	fail  atomic.Bool // reads of more than 10 bytes break off
}

func (r *remote) Open(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, error) {
	r.opens.Add(1)
	in, err := r.Driver.Open(ctx, key, offset, length)
	if err == nil && r.fail.Load() && (length < 0 || length > 10) {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(in, 10), broken{}), in}, nil
	}
	return in, err
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// cached is a store with a cache.
type cached struct {
	*blob.Store
	t      *testing.T
	remote *remote
	cache  *blob.Cache
	folder string // the cache's
	limit  int64
}

func newCached(t *testing.T, limit int64) *cached {
	t.Helper()
	d, _ := newDir(t)
	s := &cached{t: t, remote: &remote{Driver: d}, folder: filepath.Join(t.TempDir(), "cache"), limit: limit}
	s.open()
	t.Cleanup(func() { s.Close() })
	return s
}

// open opens the store, again with a new process's cache.
func (s *cached) open() {
	s.t.Helper()
	var err error
	if s.cache, err = blob.OpenCache(s.folder, s.limit); err != nil {
		s.t.Fatal(err)
	}
	s.Store = blob.New(noClose{s.remote}, blob.Options{Cache: s.cache})
}

type noClose struct{ blob.Driver }

func (noClose) Close() error { return nil }

func (s *cached) put(size int) (blob.Key, []byte) {
	s.t.Helper()
	content := blobtest.Bytes(rand.Uint64(), size)
	seg, err := s.Put(s.t.Context(), bytes.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return seg.Key, content
}

// reads reads a range, which must have those bytes, and says whether the storage
// was asked for it.
func (s *cached) reads(key blob.Key, offset, length int64, want []byte) (remote bool) {
	s.t.Helper()
	before := s.cache.Stats()
	r, err := s.Open(s.t.Context(), key, offset, length)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
		s.t.Fatalf("%d bytes from %d: %d other bytes, %v", length, offset, len(got), err)
	}
	s.cache.Settle()
	after := s.cache.Stats()
	if after.Hits+after.Misses != before.Hits+before.Misses+1 {
		s.t.Errorf("one read counts as %d hits and %d misses", after.Hits-before.Hits, after.Misses-before.Misses)
	}
	return after.Misses > before.Misses
}

// files are the names in the cache's folder, and how many bytes they have.
func (s *cached) files() (names []string, size int64) {
	s.t.Helper()
	list, err := os.ReadDir(s.folder)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range list {
		info, err := f.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			s.t.Fatal(err)
		}
		names, size = append(names, f.Name()), size+info.Size()
	}
	return names, size
}

// TestCache: what is asked for twice is copied, and from then on comes from the
// copy, in any range.
func TestCache(t *testing.T) {
	s := newCached(t, 1<<20)
	key, content := s.put(100_000)
	if !s.reads(key, 0, 10, content[:10]) || s.cache.Stats().Segments != 0 {
		t.Error("it was copied when it was asked for the first time")
	}
	if !s.reads(key, 0, blob.ToEnd, content) || s.cache.Stats().Segments != 1 {
		t.Error("it was not copied when it was asked for the second time")
	}
	opens := s.remote.opens.Load()
	for range 100 {
		from := rand.IntN(len(content) + 1)
		to := from + rand.IntN(len(content)-from+1)
		if s.reads(key, int64(from), int64(to-from), content[from:to]) {
			t.Error("a range was read from the storage")
		}
	}
	if s.reads(key, 99_990, blob.ToEnd, content[99_990:]) {
		t.Error("the end was read from the storage")
	}
	f, ok, err := s.File(t.Context(), key)
	if err != nil || !ok {
		t.Fatalf("File: %v, %v", ok, err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has other bytes, %v", err)
	}
	if n := s.remote.opens.Load(); n != opens {
		t.Errorf("the storage was asked %d times", n-opens)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, 100_001}, {100_001, 0}, {100_001, blob.ToEnd}, {1, 1<<63 - 1}} {
		in, err := s.Open(t.Context(), key, r[0], r[1])
		if err == nil {
			_, err = io.ReadAll(in)
			in.Close()
		}
		if !errors.Is(err, blob.ErrRange) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), key, 0, 1); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
	if names, _ := s.files(); len(names) != 0 || s.cache.Stats().Bytes != 0 {
		t.Errorf("after its deletion the cache has %v", names)
	}
	ctx, cancel := context.WithCancel(t.Context())
	key, content = s.put(1000)
	s.reads(key, 0, 1000, content)
	s.reads(key, 0, 1000, content)
	in, err := s.Open(ctx, key, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cancel()
	if _, err := io.ReadAll(in); !errors.Is(err, context.Canceled) {
		t.Errorf("reading a copy after its context's end: %v", err)
	}
}

// TestCacheVerify: checking a segment reads the storage, not the copy.
func TestCacheVerify(t *testing.T) {
	s := newCached(t, 1<<20)
	seg, err := s.Put(t.Context(), bytes.NewReader([]byte("content")))
	if err != nil {
		t.Fatal(err)
	}
	s.reads(seg.Key, 0, 7, []byte("content"))
	s.reads(seg.Key, 0, 7, []byte("content"))
	if err := s.remote.Delete(t.Context(), seg.Key); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), seg); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a segment that is gone from the storage: %v", err)
	}
}

// TestCacheLarge: small reads do not copy a large segment, and some are too large
// for the cache.
func TestCacheLarge(t *testing.T) {
	s := newCached(t, 64<<20)
	key, content := s.put(10 << 20)
	for i := range int64(100) {
		s.reads(key, i*1000, 1000, content[i*1000:][:1000])
	}
	if s.cache.Stats().Segments != 0 {
		t.Error("it was copied for a hundredth of it")
	}
	s.reads(key, 0, 6<<20, content[:6<<20])
	if s.cache.Stats().Segments != 1 {
		t.Error("it was not copied after most of it was read")
	}
	s = newCached(t, 1000)
	key, content = s.put(251)
	for range 5 {
		s.reads(key, 0, 251, content)
	}
	if n := s.cache.Stats().Filled; n != 0 {
		t.Error("a segment was copied that takes more than a quarter of the cache")
	}
}

// TestCacheLimit: the copies never take more than the limit, and those that are
// used stay.
func TestCacheLimit(t *testing.T) {
	s := newCached(t, 1000)
	hot, want := s.put(200)
	s.reads(hot, 0, 200, want)
	s.reads(hot, 0, 200, want)
	for range 50 {
		key, content := s.put(1 + rand.IntN(250))
		s.reads(key, 0, int64(len(content)), content)
		s.reads(key, 0, int64(len(content)), content)
		if s.reads(key, 0, int64(len(content)), content) {
			t.Error("what was just copied is not there")
		}
		if s.reads(hot, 0, 200, want) {
			t.Fatal("what is used most had to make room")
		}
		st := s.cache.Stats()
		if _, size := s.files(); size > s.limit || size != st.Bytes {
			t.Fatalf("the copies have %d bytes, the cache says %d", size, st.Bytes)
		}
	}
	if st := s.cache.Stats(); st.Evicted == 0 || st.Filled != st.Evicted+st.Segments {
		t.Errorf("%+v", st)
	}
	s.cache.Sweep(time.Now().Add(23 * time.Hour))
	if s.cache.Stats().Segments == 0 {
		t.Error("copies went before a day was over")
	}
	s.cache.Sweep(time.Now().Add(25 * time.Hour))
	if names, _ := s.files(); len(names) != 0 {
		t.Errorf("after a day without use there is %v", names)
	}
}

// TestCacheAgain: the next process uses what is whole, and nothing else.
func TestCacheAgain(t *testing.T) {
	s := newCached(t, 1<<20)
	whole, content := s.put(1000)
	damaged, other := s.put(1000)
	for range 2 {
		s.reads(whole, 0, 1000, content)
		s.reads(damaged, 0, 1000, other)
	}
	s.Close()
	names, _ := s.files()
	for _, name := range names {
		if name[:26] == string(damaged) {
			wrong := bytes.Clone(other)
			wrong[500] ^= 1
			if err := os.WriteFile(filepath.Join(s.folder, name), wrong, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"partial-x", "somebody's notes"} {
		if err := os.WriteFile(filepath.Join(s.folder, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	if st := s.cache.Stats(); st.Segments != 2 || st.Bytes != 2000 {
		t.Errorf("it found %+v", st)
	}
	if !s.reads(whole, 0, 1000, content) || !s.reads(damaged, 0, 1000, other) {
		t.Error("a copy was used before it was checked")
	}
	if s.reads(whole, 0, 1000, content) {
		t.Error("a whole copy is not used")
	}
	if !s.reads(damaged, 0, 1000, other) || s.cache.Stats().Damaged != 1 {
		t.Errorf("a damaged copy is used, or not counted: %+v", s.cache.Stats())
	}
	if names, _ := s.files(); len(names) != 2 || !contains(names, "somebody's notes") {
		t.Errorf("the folder has %v", names)
	}
	s.Close()
	s.limit = 1200
	s.open()
	if st := s.cache.Stats(); st.Segments != 1 {
		t.Errorf("with a lower limit: %+v", st)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// TestCacheDamagedInUse: a copy that loses its end, or goes, while it is used
// makes the reader go on from the storage.
func TestCacheDamagedInUse(t *testing.T) {
	s := newCached(t, 64<<20)
	key, content := s.put(1 << 20)
	for _, damage := range []func(string) error{func(f string) error { return os.Truncate(f, 5000) }, os.Remove} {
		s.reads(key, 0, blob.ToEnd, content)
		s.reads(key, 0, blob.ToEnd, content)
		in, err := s.Open(t.Context(), key, 0, blob.ToEnd)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 3000)
		if _, err := io.ReadFull(in, first); err != nil {
			t.Fatal(err)
		}
		names, _ := s.files()
		if len(names) != 1 {
			t.Fatalf("the cache has %v", names)
		}
		if err := damage(filepath.Join(s.folder, names[0])); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(in)
		if err := errors.Join(err, in.Close()); err != nil || !bytes.Equal(append(first, rest...), content) {
			t.Errorf("%d bytes, %v", len(first)+len(rest), err)
		}
		s.reads(key, 10, 10, content[10:20])
	}
}

// TestCacheFillFails: a copy that cannot be completed leaves nothing.
func TestCacheFillFails(t *testing.T) {
	s := newCached(t, 1<<20)
	key, content := s.put(1000)
	s.reads(key, 0, 5, content[:5])
	s.remote.fail.Store(true)
	s.reads(key, 0, 5, content[:5])
	if names, _ := s.files(); len(names) != 0 || s.cache.Stats().Bytes != 0 {
		t.Errorf("the cache has %v", names)
	}
	s.remote.fail.Store(false)
	if !s.reads(key, 0, 5, content[:5]) || s.reads(key, 0, 1000, content) {
		t.Error("it is not copied later")
	}
	if _, err := blob.OpenCache(s.folder, 0); err == nil {
		t.Error("a cache without a limit was opened")
	}
	if _, err := blob.OpenCache(filepath.Join(s.folder, "x\x00"), 1); err == nil {
		t.Error("an impossible folder was opened")
	}
}

// TestCacheConcurrently: many readers get the right bytes while copies come and
// go.
func TestCacheConcurrently(t *testing.T) {
	s := newCached(t, 200_000)
	keys, contents := make([]blob.Key, 20), make([][]byte, 20)
	for i := range keys {
		keys[i], contents[i] = s.put(20_000 + i*1000)
	}
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for range 300 {
				i := rng.IntN(1 + rng.IntN(len(keys)))
				content := contents[i]
				from := rng.IntN(len(content))
				to := from + rng.IntN(len(content)-from)
				in, err := s.Open(t.Context(), keys[i], int64(from), int64(to-from))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(in)
				if err := errors.Join(err, in.Close()); err != nil || !bytes.Equal(got, content[from:to]) {
					t.Errorf("%d bytes of %d, %v", len(got), to-from, err)
					return
				}
				if _, size := s.files(); size > s.limit {
					t.Errorf("the copies have %d bytes", size)
				}
			}
		})
	}
	wait.Wait()
	if st := s.cache.Stats(); st.Hits == 0 || st.Evicted == 0 || st.Misses == 0 || st.Damaged != 0 || st.Hits+st.Misses != 8*300 {
		t.Errorf("%+v", st)
	}
}
