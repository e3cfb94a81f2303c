package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/iotest"

	"github.com/quire-docs/quire/blob"
)

func (s *suite) ranges() {
	const n = 1000
	content := Bytes(1, n)
	key, empty := s.put(s.a, content), s.put(s.a, nil)
	for _, r := range []struct{ offset, length, want int64 }{ // want -1: ErrRange
		{0, blob.ToEnd, n}, {0, n, n}, {0, 1, 1}, {0, 0, 0}, {n - 1, 1, 1}, {500, 250, 250},
		{1, blob.ToEnd, n - 1}, {n - 1, blob.ToEnd, 1}, {n, blob.ToEnd, 0}, {n, 0, 0}, {500, 0, 0},
		{0, n + 1, -1}, {1, n, -1}, {n, 1, -1}, {n + 1, 0, -1}, {n + 1, blob.ToEnd, -1}, {n + 1, 1, -1},
		{n - 1, 2, -1}, {-1, 1, -1}, {-1, 0, -1}, {-1, blob.ToEnd, -1}, {0, -2, -1}, {500, -2, -1},
		{0, math.MaxInt64, -1}, {1, math.MaxInt64, -1}, {math.MaxInt64, 1, -1},
		{math.MaxInt64, math.MaxInt64, -1}, {math.MaxInt64, blob.ToEnd, -1}, {math.MinInt64, 1, -1},
		{0, math.MinInt64, -1},
	} {
		got, err := s.read(s.b, key, r.offset, r.length)
		switch {
		case r.want < 0:
			if !errors.Is(err, blob.ErrRange) {
				s.Errorf("%d bytes from %d of %d: %d bytes, %v", r.length, r.offset, n, len(got), err)
			}
		case err != nil || !bytes.Equal(got, content[r.offset:r.offset+r.want]):
			s.Errorf("%d bytes from %d of %d: %d bytes, %v", r.length, r.offset, n, len(got), err)
		}
	}
	for _, r := range []struct {
		offset, length int64
		ok             bool
	}{{0, 0, true}, {0, blob.ToEnd, true}, {0, 1, false}, {1, 0, false}, {1, blob.ToEnd, false}} {
		got, err := s.read(s.b, empty, r.offset, r.length)
		if r.ok && (err != nil || len(got) != 0) || !r.ok && !errors.Is(err, blob.ErrRange) {
			s.Errorf("%d bytes from %d of an empty object: %d bytes, %v", r.length, r.offset, len(got), err)
		}
	}
	// A reader behaves as readers do.
	r, err := s.b.Open(s.ctx, key, 100, 800)
	if err != nil {
		s.Fatal(err)
	}
	if err := iotest.TestReader(r, content[100:900]); err != nil {
		s.Error(err)
	}
	if err := r.Close(); err != nil {
		s.Error(err)
	}
}

func (s *suite) randomRanges() {
	rng := rand.New(rand.NewPCG(3, 4))
	const n = 2<<20 + 17
	content := Bytes(1, n)
	key := s.put(s.a, content)
	for range 200 {
		offset := rng.Int64N(n + 1)
		length := rng.Int64N(n - offset + 1)
		if rng.IntN(2) == 0 {
			length = min(length, 5000)
		}
		got, err := s.read(s.b, key, offset, length)
		if err != nil || !bytes.Equal(got, content[offset:offset+length]) {
			s.Fatalf("%d bytes from %d: %d bytes, %v", length, offset, len(got), err)
		}
		over := n - offset + 1 + rng.Int64N(1<<20)
		if got, err := s.read(s.b, key, offset, over); !errors.Is(err, blob.ErrRange) {
			s.Fatalf("%d bytes from %d, beyond the end: %d bytes, %v", over, offset, len(got), err)
		}
	}
}

func (s *suite) cancelledRead() {
	key := s.put(s.a, Bytes(1, 8<<20))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	r, err := s.b.Open(ctx, key, 0, blob.ToEnd)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		s.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		s.Errorf("reading on after the context has ended: %v", err)
	}
	_ = r.Close()
}

// readWhileWriting: readers get whole objects while others are written.
func (s *suite) readWhileWriting() {
	const rounds = 60
	keys := make(chan int, rounds)
	all := make([]blob.Key, rounds)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(keys)
		for i := range rounds {
			all[i] = blob.NewKey()
			if err := s.tryPut(s.ctx, s.a, all[i], bytes.NewReader(Bytes(uint64(i), i*5000))); err != nil {
				s.Errorf("Put: %v", err)
				return
			}
			keys <- i
		}
	})
	for range 3 {
		wg.Go(func() {
			for i := range keys {
				s.has(s.b, all[i], Bytes(uint64(i), i*5000))
				s.has(s.b, all[0], nil)
			}
		})
	}
	wg.Wait()
}

func (s *suite) readWhileDeleting() {
	content := Bytes(1, 6<<20)
	for _, deleter := range []blob.Driver{s.a, s.b} {
		key := s.put(s.a, content)
		r, err := s.a.Open(s.ctx, key, 1, blob.ToEnd)
		if err != nil {
			s.Fatal(err)
		}
		got := make([]byte, 1000)
		if _, err := io.ReadFull(r, got); err != nil {
			s.Fatal(err)
		}
		if err := deleter.Delete(s.ctx, key); err != nil {
			s.Errorf("Delete under a reader: %v", err)
		}
		s.lacks(key)
		rest, err := io.ReadAll(r)
		got = append(got, rest...)
		if err == nil && len(got) != len(content)-1 {
			s.Errorf("a reader ended after %d bytes, without an error, when its object was deleted", len(got))
		}
		if !bytes.HasPrefix(content[1:], got) {
			s.Error("a reader yields wrong bytes when its object is deleted")
		}
		_ = r.Close()
	}
}

func (s *suite) deleting() {
	a, b := s.put(s.a, []byte("a")), s.put(s.a, []byte("b"))
	for range 2 {
		if err := s.b.Delete(s.ctx, a); err != nil {
			s.Errorf("Delete: %v", err)
		}
		s.lacks(a)
		s.has(s.a, b, []byte("b"))
	}
	if err := s.a.Delete(s.ctx, a); err != nil {
		s.Errorf("Delete of what another driver has deleted: %v", err)
	}
	// Many at once.
	key := s.put(s.a, []byte("c"))
	var wg sync.WaitGroup
	for i := range 8 {
		d := s.either(i)
		wg.Go(func() {
			if err := d.Delete(s.ctx, key); err != nil {
				s.Errorf("concurrent Delete: %v", err)
			}
		})
	}
	wg.Wait()
	s.lacks(key)
	s.has(s.b, b, []byte("b"))
}

func (s *suite) listing() {
	if got, err := s.a.List(s.ctx, "", 10); err != nil || len(got) != 0 {
		s.Errorf("List of nothing: %v, %v", got, err)
	}
	const n = 60
	sizes := map[blob.Key]int64{}
	var keys []blob.Key
	for i := range n {
		key := blob.NewKey()
		if i < 10 {
			// Neighbours, wherever a driver puts a border.
			key = blob.Key("ab") + key[2:]
		}
		if err := s.tryPut(s.ctx, s.a, key, bytes.NewReader(Bytes(0, i))); err != nil {
			s.Fatal(err)
		}
		keys, sizes[key] = append(keys, key), int64(i)
	}
	slices.Sort(keys)
	for _, limit := range []int{1, 7, n - 1, n, n + 1, blob.MaxList} {
		got := s.list(s.b, limit)
		if len(got) != n {
			s.Errorf("List by %d: %d objects, want %d", limit, len(got), n)
			continue
		}
		for i, info := range got {
			if info.Key != keys[i] || info.Size != sizes[info.Key] || info.Modified.IsZero() {
				s.Errorf("List by %d: %+v, want %s with %d bytes", limit, info, keys[i], sizes[keys[i]])
			}
		}
	}
	// From a key that is not there, or not any more, or is the last.
	for range 50 {
		after := blob.NewKey()
		i, _ := slices.BinarySearch(keys, after)
		got, err := s.b.List(s.ctx, after, n)
		if err != nil || len(got) != n-i || len(got) > 0 && got[0].Key != keys[i] {
			s.Errorf("List after %s: %d objects, want %d, %v", after, len(got), n-i, err)
		}
	}
	if err := s.a.Delete(s.ctx, keys[5]); err != nil {
		s.Fatal(err)
	}
	if got, err := s.b.List(s.ctx, keys[5], 3); err != nil || len(got) != 3 || got[0].Key != keys[6] {
		s.Errorf("List after a deleted key: %v, %v", got, err)
	}
	if got, err := s.b.List(s.ctx, keys[n-1], 3); err != nil || len(got) != 0 {
		s.Errorf("List after the last key: %v, %v", got, err)
	}
	for _, limit := range []int{0, -1, blob.MaxList + 1, math.MaxInt, math.MinInt} {
		if _, err := s.a.List(s.ctx, "", limit); !errors.Is(err, blob.ErrRange) {
			s.Errorf("List with the limit %d: %v", limit, err)
		}
	}
}

// listWhileChanging: what is there all the time is listed, once.
func (s *suite) listWhileChanging() {
	steady := map[blob.Key]bool{}
	for range 40 {
		steady[s.put(s.a, []byte("steady"))] = true
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				key := blob.NewKey()
				if err := s.tryPut(s.ctx, s.a, key, bytes.NewReader([]byte("passing"))); err != nil {
					s.Errorf("Put: %v", err)
				}
				if err := s.b.Delete(s.ctx, key); err != nil {
					s.Errorf("Delete: %v", err)
				}
			}
		})
	}
	for range 10 {
		found := 0
		for _, info := range s.list(s.b, 9) {
			if steady[info.Key] {
				found++
			}
		}
		if found != len(steady) {
			s.Errorf("List while others write: %d of %d objects", found, len(steady))
		}
	}
}

func (s *suite) localFiles() {
	local, ok := s.b.(blob.LocalFiles)
	if !ok {
		s.Skip("not a driver with local files")
	}
	for _, n := range []int{0, 1, 2 << 20} {
		content := Bytes(1, n)
		key := s.put(s.a, content)
		f, err := local.File(s.ctx, key)
		if err != nil {
			s.Errorf("File: %v", err)
			continue
		}
		if err := s.a.Delete(s.ctx, key); err != nil {
			s.Error(err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content) {
			s.Errorf("File of a deleted object: %d bytes of %d, %v", len(got), n, err)
		}
		if _, err := f.WriteAt([]byte("x"), 0); err == nil {
			s.Error("File can be written to")
		}
		if err := f.Close(); err != nil {
			s.Error(err)
		}
	}
}
