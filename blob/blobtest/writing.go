package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing/iotest"
	"time"

	"github.com/quire-docs/quire/blob"
)

func (s *suite) putAndRead() {
	for i, n := range []int{0, 1, 26, 4095, 4096, 4097, 256 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1, 9<<20 + 7} {
		content := Bytes(uint64(i), n)
		key := s.put(s.a, content)
		// At once, by the other driver too, and again.
		s.has(s.b, key, content)
		s.has(s.a, key, content)
	}
}

// sources: whatever a Reader may do, the bytes are the same.
func (s *suite) sources() {
	content := Bytes(1, 3000)
	for name, r := range map[string]io.Reader{
		"one byte at a time": iotest.OneByteReader(bytes.NewReader(content)),
		"halves":             iotest.HalfReader(bytes.NewReader(content)),
		"end with the data":  iotest.DataErrReader(bytes.NewReader(content)),
		"empty reads":        &emptyReads{r: bytes.NewReader(content)},
	} {
		key := blob.NewKey()
		if err := s.tryPut(s.ctx, s.a, key, r); err != nil {
			s.Errorf("%s: %v", name, err)
			continue
		}
		s.has(s.b, key, content)
	}
	// A source with WriteTo, which the guard of the others hides.
	for _, n := range []int{0, 3000, 5 << 20} {
		content := Bytes(2, n)
		key := blob.NewKey()
		size, err := s.a.Put(s.ctx, key, bytes.NewReader(content))
		if err != nil || size != int64(n) {
			s.Errorf("by WriteTo: %d, %v", size, err)
			continue
		}
		s.has(s.b, key, content)
	}
}

// emptyReads returns nothing every other time.
type emptyReads struct {
	r   io.Reader
	odd bool
}

func (e *emptyReads) Read(p []byte) (int, error) {
	if e.odd = !e.odd; e.odd {
		return 0, nil
	}
	return e.r.Read(p[:min(len(p), 100)])
}

func (s *suite) createOnly() {
	for _, first := range [][]byte{[]byte("first"), {}} {
		key := s.put(s.a, first)
		for _, d := range []blob.Driver{s.a, s.b} {
			for _, second := range []string{"", "first", "other", strings.Repeat("longer", 1<<20)} {
				if err := s.tryPut(s.ctx, d, key, strings.NewReader(second)); !errors.Is(err, blob.ErrExists) {
					s.Errorf("Put over an object: %v", err)
				}
				s.has(s.b, key, first)
			}
		}
	}
}

func (s *suite) concurrentCreators() {
	const rounds, creators = 10, 16
	for round := range rounds {
		key := blob.NewKey()
		errs := make([]error, creators)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range creators {
			d := s.either(i)
			wg.Go(func() {
				<-start
				errs[i] = s.tryPut(s.ctx, d, key, bytes.NewReader(Bytes(uint64(i), 1000+i)))
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				s.Errorf("round %d: two creators of one key succeeded", round)
			case !errors.Is(err, blob.ErrExists):
				s.Errorf("round %d: a creator that was late: %v", round, err)
			}
		}
		if winner < 0 {
			s.Fatalf("round %d: no creator succeeded", round)
		}
		s.has(s.a, key, Bytes(uint64(winner), 1000+winner))
		s.has(s.b, key, Bytes(uint64(winner), 1000+winner))
	}
}

func (s *suite) invisibleUntilComplete() {
	content := Bytes(1, 3<<20)
	key, g := blob.NewKey(), newGate(content)
	done := make(chan error)
	go func() { done <- s.tryPut(s.ctx, s.a, key, g) }()
	<-g.reached
	s.lacks(key)
	close(g.open)
	if err := <-done; err != nil {
		s.Fatalf("Put: %v", err)
	}
	s.has(s.a, key, content)
	s.has(s.b, key, content)
}

func (s *suite) cancelledPut() {
	for _, n := range []int{1, 2, 100, 3 << 20, 20 << 20} {
		ctx, cancel := context.WithCancel(s.ctx)
		key, g := blob.NewKey(), newGate(Bytes(1, n))
		done := make(chan error)
		go func() { done <- s.tryPut(ctx, s.a, key, g) }()
		<-g.reached
		cancel()
		close(g.open) // the source goes on and ends well all the same
		if err := <-done; !errors.Is(err, context.Canceled) {
			s.Errorf("a cancelled Put of %d bytes: %v", n, err)
		}
		s.lacks(key)
		s.has(s.b, s.put(s.a, []byte("after")), []byte("after"))
	}
	// At the last moment: with the end of the source.
	for _, n := range []int{0, 1000, 2 << 20} {
		ctx, cancel := context.WithCancel(s.ctx)
		key := blob.NewKey()
		if err := s.tryPut(ctx, s.a, key, &cancelAtEnd{bytes.NewReader(Bytes(1, n)), cancel}); !errors.Is(err, context.Canceled) {
			s.Errorf("a Put of %d bytes that is cancelled at the end: %v", n, err)
		}
		s.lacks(key)
	}
	// A source without an end: Put has to look at the context by itself.
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Millisecond)
	defer cancel()
	key := blob.NewKey()
	if err := s.tryPut(ctx, s.a, key, endless{}); !errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("Put of an endless source: %v", err)
	}
	s.lacks(key)
}

// cancelAtEnd cancels a context when its bytes have been read.
type cancelAtEnd struct {
	r      io.Reader
	cancel context.CancelFunc
}

func (c *cancelAtEnd) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil {
		c.cancel()
	}
	return n, err
}

// endless is a source of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	n := min(len(p), 64<<10)
	clear(p[:n])
	return n, nil
}

func (s *suite) failingSource() {
	broken := errors.New("the source broke")
	for _, n := range []int{0, 1, 1000, 1 << 20, 10<<20 + 1} {
		content := Bytes(1, n)
		key := blob.NewKey()
		r := io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken))
		if err := s.tryPut(s.ctx, s.a, key, r); !errors.Is(err, broken) {
			s.Errorf("Put of a source that fails after %d bytes: %v", n, err)
		}
		s.lacks(key)
		// An error that only looks like an end is none.
		if err := s.tryPut(s.ctx, s.a, key, io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF))); !errors.Is(err, io.ErrUnexpectedEOF) {
			s.Errorf("Put of a source that ends unexpectedly: %v", err)
		}
		s.lacks(key)
		// With the last bytes.
		g := newGate(append(content, 0))
		g.last = broken
		close(g.open)
		if err := s.tryPut(s.ctx, s.a, key, iotest.DataErrReader(g)); !errors.Is(err, broken) {
			s.Errorf("Put of a source that fails with its last bytes: %v", err)
		}
		s.lacks(key)
		// The key is as good as new.
		if err := s.tryPut(s.ctx, s.b, key, bytes.NewReader(content)); err != nil {
			s.Errorf("Put after one that failed: %v", err)
		}
		s.has(s.a, key, content)
	}
}

func (s *suite) concurrentWriters() {
	const writers, each = 16, 4
	var wg sync.WaitGroup
	keys := make([][each]blob.Key, writers)
	for i := range writers {
		d := s.either(i)
		wg.Go(func() {
			for j := range each {
				keys[i][j] = blob.NewKey()
				if err := s.tryPut(s.ctx, d, keys[i][j], bytes.NewReader(Bytes(uint64(i*each+j), i*30_000+j))); err != nil {
					s.Errorf("Put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for i := range writers {
		for j := range each {
			s.has(s.b, keys[i][j], Bytes(uint64(i*each+j), i*30_000+j))
		}
	}
	if n := len(s.list(s.a, 10)); n != writers*each {
		s.Errorf("List: %d objects, want %d", n, writers*each)
	}
}

// putBesideDeletes: an object can be put at any moment of the deletion of what
// was the last, when the storage may be tidying up after it.
func (s *suite) putBesideDeletes() {
	var wg sync.WaitGroup
	for i := range 4 {
		d := s.either(i)
		wg.Go(func() {
			for range 100 {
				key := blob.NewKey()
				if err := s.tryPut(s.ctx, d, key, bytes.NewReader([]byte("passing"))); err != nil {
					s.Errorf("Put: %v", err)
				}
				if err := d.Delete(s.ctx, key); err != nil {
					s.Errorf("Delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if left := s.list(s.a, 10); len(left) != 0 {
		s.Errorf("List: %d objects after all were deleted", len(left))
	}
}

// closing: Close waits for a Put, and refuses everything from then on.
func (s *suite) closing() {
	content := Bytes(1, 1<<20)
	early := s.put(s.a, content)
	reader, err := s.a.Open(s.ctx, early, 0, blob.ToEnd)
	if err != nil {
		s.Fatal(err)
	}
	key, g := blob.NewKey(), newGate(content)
	put, closed := make(chan error, 1), make(chan error, 1)
	go func() { put <- s.tryPut(s.ctx, s.a, key, g) }()
	<-g.reached
	go func() { closed <- s.a.Close() }()
	for {
		if _, err := s.a.Stat(s.ctx, early); errors.Is(err, blob.ErrClosed) {
			break
		} else if err != nil {
			s.Fatalf("Stat while closing: %v", err)
		}
		runtime.Gosched()
	}
	select {
	case err := <-closed:
		s.Errorf("Close did not wait for a Put: %v", err)
		closed <- err
	default:
	}
	close(g.open)
	if err := <-put; err != nil {
		s.Errorf("a Put that Close waited for: %v", err)
	}
	if err := <-closed; err != nil {
		s.Errorf("Close: %v", err)
	}
	if err := s.a.Close(); err != nil {
		s.Errorf("closing again: %v", err)
	}
	for op, err := range s.everyCall(s.a, early) {
		if !errors.Is(err, blob.ErrClosed) {
			s.Errorf("%s after Close: %v", op, err)
		}
	}
	// A reader goes on or fails.
	got, err := io.ReadAll(reader)
	if err == nil && !bytes.Equal(got, content) {
		s.Error("a reader yields wrong bytes after Close")
	}
	_ = reader.Close()
	s.has(s.b, early, content)
	s.has(s.b, key, content)
}

// everyCall makes one call of each method and returns their errors.
func (s *suite) everyCall(d blob.Driver, key blob.Key) map[string]error {
	return s.everyCallWith(s.ctx, d, key)
}

func (s *suite) everyCallWith(ctx context.Context, d blob.Driver, key blob.Key) map[string]error {
	errs := map[string]error{}
	_, errs["Put"] = d.Put(ctx, key, strings.NewReader("x"))
	_, errs["Stat"] = d.Stat(ctx, key)
	errs["Delete"] = d.Delete(ctx, key)
	_, errs["List"] = d.List(ctx, key, 1)
	r, err := d.Open(ctx, key, 0, 1)
	if err == nil {
		_ = r.Close()
	}
	errs["Open"] = err
	if local, ok := d.(blob.LocalFiles); ok {
		f, err := local.File(ctx, key)
		if err == nil {
			_ = f.Close()
		}
		errs["File"] = err
	}
	return errs
}

func (s *suite) oddKeys() {
	good := string(s.put(s.a, []byte("content")))
	for _, odd := range []string{
		"", ".", "..", "/", "a", "../../../../../../../etc/pass", "..%2f..%2f..%2f..%2f..%2fab",
		good[:25], good + "a", strings.ToUpper(good), " " + good[1:], good[:25] + "\x00", good[:25] + "\n",
		good[:10] + "/" + good[11:], good[:10] + `\` + good[11:], good[:24] + "é", good[:25] + "1",
		good[:25] + "b", // bits that are not the key's
		strings.Repeat("a", 4096), "con", "tmp",
	} {
		for op, err := range s.everyCall(s.a, blob.Key(odd)) {
			if op == "List" && odd == "" {
				continue // from the beginning
			}
			if !errors.Is(err, blob.ErrBadKey) {
				s.Errorf("%s with the key %.40q: %v", op, odd, err)
			}
		}
	}
	if n := len(s.list(s.b, 10)); n != 1 {
		s.Errorf("List: %d objects, want 1", n)
	}
	s.has(s.b, blob.Key(good), []byte("content"))
	// The least and the greatest key.
	for _, edge := range []string{strings.Repeat("2", 25) + "4", strings.Repeat("z", 25) + "y"} {
		if err := s.tryPut(s.ctx, s.a, blob.Key(edge), strings.NewReader(edge)); err != nil {
			s.Errorf("Put %s: %v", edge, err)
		}
		s.has(s.b, blob.Key(edge), []byte(edge))
	}
	if n := len(s.list(s.b, 10)); n != 3 {
		s.Errorf("List: %d objects, want 3", n)
	}
}

func (s *suite) endedContext() {
	key := s.put(s.a, []byte("content"))
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	for op, err := range s.everyCallWith(ctx, s.a, key) {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s with an ended context: %v", op, err)
		}
	}
	s.has(s.b, key, []byte("content"))
	other := blob.NewKey()
	if err := s.tryPut(ctx, s.a, other, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		s.Errorf("Put with an ended context: %v", err)
	}
	s.lacks(other)
}

func (s *suite) missing() {
	key := blob.NewKey()
	s.lacks(key)
	for op, err := range s.everyCall(s.a, key) {
		switch op {
		case "Put", "Delete", "List":
			if err != nil {
				s.Errorf("%s of a key that does not exist: %v", op, err)
			}
		}
	}
	key = blob.NewKey()
	for op, err := range map[string]error{
		"Stat":           second(s.a.Stat(s.ctx, key)),
		"an empty range": second(s.read(s.a, key, 0, 0)),
		"a range":        second(s.read(s.a, key, 5, 10)),
		"to the end":     second(s.read(s.a, key, 5, blob.ToEnd)),
	} {
		if !errors.Is(err, blob.ErrNotFound) {
			s.Errorf("%s of a key that does not exist: %v", op, err)
		}
	}
	if local, ok := s.a.(blob.LocalFiles); ok {
		if _, err := local.File(s.ctx, key); !errors.Is(err, blob.ErrNotFound) {
			s.Errorf("File of a key that does not exist: %v", err)
		}
	}
	if err := fmt.Sprint(second(s.a.Stat(s.ctx, key))); !strings.Contains(err, string(key)) {
		s.Errorf("the error does not name the key: %s", err)
	}
}

func second[T any](_ T, err error) error { return err }
