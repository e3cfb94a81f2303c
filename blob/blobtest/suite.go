// Package blobtest holds the tests that every blob.Driver must pass, and tools
// for tests of what is built on one.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/quire-docs/quire/blob"
)

// BigVariable is the environment variable that, set to anything, makes the
// tests store objects of 5 GiB instead of 64 MiB.
const BigVariable = "QUIRE_TEST_BIG"

// Run tests drivers. Each call of open makes new, empty storage and opens two
// drivers on it, which stand for two nodes, or for the time before and after a
// restart. Run closes the drivers; open removes the storage by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) (a, b blob.Driver)) {
	for _, test := range []struct {
		name string
		f    func(*suite)
	}{
		{"PutAndRead", (*suite).putAndRead},
		{"Sources", (*suite).sources},
		{"CreateOnly", (*suite).createOnly},
		{"ConcurrentCreators", (*suite).concurrentCreators},
		{"InvisibleUntilComplete", (*suite).invisibleUntilComplete},
		{"CancelledPut", (*suite).cancelledPut},
		{"FailingSource", (*suite).failingSource},
		{"ConcurrentWriters", (*suite).concurrentWriters},
		{"PutBesideDeletes", (*suite).putBesideDeletes},
		{"Close", (*suite).closing},
		{"Ranges", (*suite).ranges},
		{"RandomRanges", (*suite).randomRanges},
		{"OddKeys", (*suite).oddKeys},
		{"Missing", (*suite).missing},
		{"EndedContext", (*suite).endedContext},
		{"CancelledRead", (*suite).cancelledRead},
		{"ReadWhileWriting", (*suite).readWhileWriting},
		{"ReadWhileDeleting", (*suite).readWhileDeleting},
		{"Delete", (*suite).deleting},
		{"List", (*suite).listing},
		{"ListWhileChanging", (*suite).listWhileChanging},
		{"LocalFiles", (*suite).localFiles},
		{"Model", (*suite).model},
		{"Big", (*suite).big},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := open(t)
			t.Cleanup(func() {
				for _, d := range []blob.Driver{a, b} {
					if err := d.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
			})
			test.f(&suite{T: t, a: a, b: b, ctx: t.Context()})
		})
	}
}

// suite is one test with its two drivers.
type suite struct {
	*testing.T
	a, b blob.Driver
	ctx  context.Context
}

// either gives the two drivers in turn.
func (s *suite) either(i int) blob.Driver {
	if i%2 == 1 {
		return s.b
	}
	return s.a
}

// put stores b under a new key by d, or ends the test.
func (s *suite) put(d blob.Driver, content []byte) blob.Key {
	s.Helper()
	key := blob.NewKey()
	if err := s.tryPut(s.ctx, d, key, bytes.NewReader(content)); err != nil {
		s.Fatalf("Put: %v", err)
	}
	return key
}

// tryPut calls Put with a guarded source and checks the size it returns.
func (s *suite) tryPut(ctx context.Context, d blob.Driver, key blob.Key, r io.Reader) error {
	s.Helper()
	c := &counter{r: r}
	g := &guarded{t: s.T, r: c}
	size, err := d.Put(ctx, key, g)
	g.over.Store(true)
	if err == nil && size != c.n {
		s.Errorf("Put says %d bytes, its source had %d", size, c.n)
	}
	if err == nil && !c.ended {
		s.Error("Put succeeded before the end of its source")
	}
	return err
}

type counter struct {
	r     io.Reader
	n     int64
	ended bool
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.ended = c.ended || err == io.EOF
	return n, err
}

// read returns a range, or the error of Open or of a Read.
func (s *suite) read(d blob.Driver, key blob.Key, offset, length int64) ([]byte, error) {
	s.Helper()
	r, err := d.Open(s.ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil {
		s.Errorf("closing a reader: %v", cerr)
	}
	return b, err
}

// has checks that d has an object with that content.
func (s *suite) has(d blob.Driver, key blob.Key, content []byte) {
	s.Helper()
	got, err := s.read(d, key, 0, blob.ToEnd)
	if err != nil {
		s.Errorf("reading %s: %v", key, err)
		return
	}
	if !bytes.Equal(got, content) {
		s.Errorf("%s has other bytes than were put: %d instead of %d", key, len(got), len(content))
	}
	info, err := d.Stat(s.ctx, key)
	if err != nil {
		s.Errorf("Stat %s: %v", key, err)
	} else if info.Key != key || info.Size != int64(len(content)) || info.Modified.IsZero() {
		s.Errorf("Stat %s: %+v, want size %d", key, info, len(content))
	}
}

// lacks checks that neither driver knows of the object.
func (s *suite) lacks(key blob.Key) {
	s.Helper()
	for _, d := range []blob.Driver{s.a, s.b} {
		if _, err := d.Stat(s.ctx, key); !errors.Is(err, blob.ErrNotFound) {
			s.Errorf("Stat of what must not exist: %v", err)
		}
		if _, err := s.read(d, key, 0, blob.ToEnd); !errors.Is(err, blob.ErrNotFound) {
			s.Errorf("reading what must not exist: %v", err)
		}
		for _, info := range s.list(d, 100) {
			if info.Key == key {
				s.Error("List shows what must not exist")
			}
		}
	}
}

// list reads all pages.
func (s *suite) list(d blob.Driver, limit int) (all []blob.Info) {
	s.Helper()
	after := blob.Key("")
	for {
		page, err := d.List(s.ctx, after, limit)
		if err != nil {
			s.Fatalf("List: %v", err)
		}
		for _, info := range page {
			if info.Key <= after {
				s.Fatalf("List: %s comes after %s", info.Key, after)
			}
			after = info.Key
		}
		all = append(all, page...)
		if len(page) > limit {
			s.Fatalf("List: %d results, at most %d asked for", len(page), limit)
		}
		if len(page) < limit {
			return all
		}
	}
}

// model does random things by both drivers and compares with a map.
func (s *suite) model() {
	steps := 300
	if testing.Short() {
		steps = 60
	}
	rng := rand.New(rand.NewPCG(1, 2))
	content := map[blob.Key][]byte{}
	var keys []blob.Key // all that ever were, so that deleted ones are tried too
	for step := range steps {
		d := s.a
		if rng.IntN(2) == 0 {
			d = s.b
		}
		if len(keys) == 0 || rng.IntN(4) == 0 {
			b := Bytes(uint64(step), rng.IntN(1<<rng.IntN(18)))
			key := s.put(d, b)
			keys, content[key] = append(keys, key), b
			continue
		}
		key := keys[rng.IntN(len(keys))]
		want, exists := content[key]
		switch rng.IntN(5) {
		case 0:
			if err := d.Delete(s.ctx, key); err != nil {
				s.Fatalf("Delete: %v", err)
			}
			delete(content, key)
		case 1:
			if exists {
				if err := s.tryPut(s.ctx, d, key, bytes.NewReader([]byte("other"))); !errors.Is(err, blob.ErrExists) {
					s.Fatalf("Put over an object: %v", err)
				}
			}
		case 2:
			if got := s.list(d, 1+rng.IntN(20)); len(got) != len(content) {
				s.Fatalf("List: %d objects, want %d", len(got), len(content))
			}
		default:
			if exists {
				s.has(d, key, want)
			} else if _, err := d.Stat(s.ctx, key); !errors.Is(err, blob.ErrNotFound) {
				s.Fatalf("Stat of a deleted object: %v", err)
			}
		}
	}
	for key, want := range content {
		s.has(s.b, key, want)
	}
}

// bigSize is the size of a big object, in bytes.
func bigSize() int64 {
	switch {
	case os.Getenv(BigVariable) != "":
		return 5<<30 + 12345
	case testing.Short():
		return 8<<20 + 12345
	}
	return 64<<20 + 12345
}

// big stores more than 32 bits can count, if asked to.
func (s *suite) big() {
	size := bigSize()
	key := blob.NewKey()
	if err := s.tryPut(s.ctx, s.a, key, Sparse(size)); err != nil {
		s.Fatalf("Put: %v", err)
	}
	if info, err := s.b.Stat(s.ctx, key); err != nil || info.Size != size {
		s.Fatalf("Stat: %+v, %v", info, err)
	}
	want := make([]byte, 300)
	for _, middle := range []int64{150, 1 << 20, 3 << 20, 1 << 31, 1 << 32, size - 150} {
		if middle+150 > size {
			continue
		}
		SparseAt(want, middle-150)
		if got, err := s.read(s.b, key, middle-150, 300); err != nil || !bytes.Equal(got, want) {
			s.Errorf("300 bytes around %d: wrong, %v", middle, err)
		}
	}
	if _, err := s.read(s.b, key, size-1, 2); !errors.Is(err, blob.ErrRange) {
		s.Errorf("reading over the end: %v", err)
	}
	if err := s.b.Delete(s.ctx, key); err != nil {
		s.Errorf("Delete: %v", err)
	}
}
