package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/zeebo/blake3"
	"go.uber.org/goleak"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newDir returns a directory driver and its path.
func newDir(t *testing.T) (*dir.Driver, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blobs")
	d, err := dir.Open(path, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, path
}

func newStore(t *testing.T) *blob.Store {
	d, _ := newDir(t)
	return blob.New(d, blob.Options{})
}

// sizes are around the borders of the pipeline's blocks.
var sizes = []int{0, 1, 1000, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20, 3<<20 + 5}

// hasSegment checks that a segment is what content is.
func hasSegment(t *testing.T, s *blob.Store, seg blob.Segment, content []byte) {
	t.Helper()
	want := blob.Segment{Key: seg.Key, Size: int64(len(content)), Sum: blake3.Sum256(content)}
	if !seg.Key.Valid() || seg != want {
		t.Errorf("segment %+v, want %+v", seg, want)
	}
	r, err := s.Open(t.Context(), seg.Key, 0, blob.ToEnd)
	if err != nil {
		t.Error(err)
		return
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
		t.Errorf("reading back: %d bytes of %d, %v", len(got), len(content), err)
	}
	if err := s.Verify(t.Context(), seg); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// stored returns how many objects there are.
func stored(t *testing.T, s *blob.Store) int {
	t.Helper()
	infos, err := s.List(t.Context(), "", blob.MaxList)
	if err != nil {
		t.Fatal(err)
	}
	return len(infos)
}

func TestPut(t *testing.T) {
	s := newStore(t)
	for i, n := range sizes {
		content := blobtest.Bytes(uint64(i), n)
		for name, r := range map[string]io.Reader{
			"plain":  bytes.NewReader(content),
			"halves": iotest.HalfReader(bytes.NewReader(content)),
			"ended":  iotest.DataErrReader(bytes.NewReader(content)),
		} {
			seg, err := s.Put(t.Context(), r)
			if err != nil {
				t.Fatalf("Put of %d bytes, %s: %v", n, name, err)
			}
			hasSegment(t, s, seg, content)
		}
	}
	if n := stored(t, s); n != 3*len(sizes) {
		t.Errorf("%d objects, want %d", n, 3*len(sizes))
	}
}

// TestPutByRead: a driver that reads instead of using WriteTo gets the same.
func TestPutByRead(t *testing.T) {
	d, _ := newDir(t)
	for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, func(r io.Reader) io.Reader { return struct{ io.Reader }{r} }} {
		s := blob.New(&sourceDriver{Driver: d, wrap: wrap}, blob.Options{})
		for i, n := range sizes {
			content := blobtest.Bytes(uint64(i), n)
			seg, err := s.Put(t.Context(), bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			hasSegment(t, s, seg, content)
		}
	}
}

// sourceDriver changes what a driver gets to store.
type sourceDriver struct {
	blob.Driver
	wrap func(io.Reader) io.Reader
}

func (d *sourceDriver) Put(ctx context.Context, key blob.Key, r io.Reader) (int64, error) {
	return d.Driver.Put(ctx, key, d.wrap(r))
}

// TestPutLosesNothing: a driver that stops early does not get away with it.
func TestPutLosesNothing(t *testing.T) {
	d, _ := newDir(t)
	for _, limit := range []int64{0, 1000, 256 << 10, 1 << 20} {
		s := blob.New(&sourceDriver{Driver: d, wrap: func(r io.Reader) io.Reader { return io.LimitReader(r, limit) }}, blob.Options{})
		if seg, err := s.Put(t.Context(), bytes.NewReader(blobtest.Bytes(1, 2<<20))); err == nil {
			t.Errorf("a driver stored %d bytes of 2 MiB: %+v", limit, seg)
		}
		if n := stored(t, s); n != 0 {
			t.Errorf("%d objects were left", n)
		}
	}
}

// TestPutMiscounted: a driver that says another size than there was has done
// something wrong.
func TestPutMiscounted(t *testing.T) {
	d, _ := newDir(t)
	s := blob.New(miscounting{d}, blob.Options{})
	if seg, err := s.Put(t.Context(), strings.NewReader("content")); err == nil {
		t.Errorf("Put: %+v", seg)
	}
	if n := stored(t, s); n != 0 {
		t.Errorf("%d objects were left", n)
	}
}

type miscounting struct{ blob.Driver }

func (d miscounting) Put(ctx context.Context, key blob.Key, r io.Reader) (int64, error) {
	n, err := d.Driver.Put(ctx, key, r)
	return n - 1, err
}

func TestPutFailingSource(t *testing.T) {
	s := newStore(t)
	broken := errors.New("broken")
	for _, n := range sizes {
		content := blobtest.Bytes(1, n)
		for _, r := range []io.Reader{
			io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)),
			&lastError{b: content, err: broken},
		} {
			seg, err := s.Put(t.Context(), r)
			var source *blob.SourceError
			if !errors.Is(err, broken) || !errors.As(err, &source) || source.Err != broken || seg != (blob.Segment{}) {
				t.Errorf("Put of a source that fails after %d bytes: %+v, %v", n, seg, err)
			}
		}
	}
	if n := stored(t, s); n != 0 {
		t.Errorf("%d objects were left", n)
	}
}

// lastError returns its error together with the last bytes, once; then it
// claims to have ended well.
type lastError struct {
	b   []byte
	err error
}

func (l *lastError) Read(p []byte) (int, error) {
	n := copy(p, l.b)
	l.b = l.b[n:]
	if len(l.b) > 0 {
		return n, nil
	}
	err := l.err
	l.err = io.EOF
	return n, err
}

func TestPutPartial(t *testing.T) {
	s := newStore(t)
	broken := errors.New("broken")
	want := 0
	for _, n := range sizes {
		content := blobtest.Bytes(1, n)
		for name, c := range map[string]struct {
			r   io.Reader
			err error
		}{
			"good":          {bytes.NewReader(content), nil},
			"breaking":      {io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), broken},
			"breaking last": {&lastError{b: content, err: broken}, broken},
			"short":         {io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
		} {
			seg, srcErr, err := s.PutPartial(t.Context(), c.r)
			if err != nil || srcErr != c.err {
				t.Errorf("%s, %d bytes: %v, %v", name, n, srcErr, err)
				continue
			}
			if n == 0 {
				if seg != (blob.Segment{}) {
					t.Errorf("%s: nothing was stored as %+v", name, seg)
				}
				continue
			}
			hasSegment(t, s, seg, content)
			want++
		}
	}
	if n := stored(t, s); n != want {
		t.Errorf("%d objects, want %d", n, want)
	}
	// Storage and source may both fail.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seg, srcErr, err := s.PutPartial(ctx, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)))
	if seg != (blob.Segment{}) || srcErr != broken || !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %+v, %v, %v", seg, srcErr, err)
	}
}

// TestPutPanics: a source that panics, as a request's body may, leaves no
// goroutine and no object.
func TestPutPanics(t *testing.T) {
	s := newStore(t)
	for range 2 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _ = s.Put(t.Context(), io.MultiReader(bytes.NewReader(blobtest.Bytes(1, 1<<20)), panicking{}))
		}()
	}
	if n := stored(t, s); n != 0 {
		t.Errorf("%d objects were left", n)
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("read") }

func TestPutConcurrently(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			content := blobtest.Bytes(uint64(i), i*100_000)
			seg, err := s.Put(t.Context(), bytes.NewReader(content))
			if err != nil {
				t.Error(err)
				return
			}
			hasSegment(t, s, seg, content)
		})
	}
	wg.Wait()
}

func TestPutFaults(t *testing.T) {
	d, _ := newDir(t)
	for fault, want := range map[blobtest.Fault]error{
		blobtest.FailBefore: blobtest.ErrInjected,
		blobtest.FailAfter:  blob.ErrUncertain,
		blobtest.NoSpace:    quire.ErrNoSpace, // as users get to see it
		blobtest.Transient:  blob.ErrTransient,
	} {
		var n int
		s := blob.New(blobtest.NewFaulty(d, func(op string, i int) blobtest.Fault {
			n = i
			return fault
		}), blob.Options{})
		seg, err := s.Put(t.Context(), strings.NewReader("content"))
		if !errors.Is(err, want) || seg != (blob.Segment{}) || n != 1 {
			t.Errorf("fault %d: %+v, %v after %d calls", fault, seg, err, n)
		}
		if seg, srcErr, err := s.PutPartial(t.Context(), strings.NewReader("content")); !errors.Is(err, want) || srcErr != nil || seg != (blob.Segment{}) {
			t.Errorf("fault %d: partial: %+v, %v, %v", fault, seg, srcErr, err)
		}
	}
}

func TestVerify(t *testing.T) {
	d, path := newDir(t)
	s := blob.New(d, blob.Options{})
	content := blobtest.Bytes(1, 600_000)
	seg, err := s.Put(t.Context(), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(path, "segments", string(seg.Key[:2]), string(seg.Key))
	for _, damage := range []struct {
		name  string
		bytes []byte
		sum   bool // only the sum tells
	}{
		{"the first byte", append([]byte{content[0] ^ 1}, content[1:]...), true},
		{"the last byte", append(bytes.Clone(content[:len(content)-1]), content[len(content)-1]^128), true},
		{"a byte too few", content[:len(content)-1], false},
		{"a byte too many", append(bytes.Clone(content), 0), false},
		{"nothing left", nil, false},
	} {
		if err := os.WriteFile(name, damage.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.Verify(t.Context(), seg)
		var corrupt *blob.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Want != seg || corrupt.Size != int64(len(damage.bytes)) || damage.sum != (corrupt.Sum != blob.Sum{}) {
			t.Errorf("%s: %v", damage.name, err)
		} else if !strings.Contains(err.Error(), string(seg.Key)) {
			t.Errorf("%s: the error does not name the segment: %v", damage.name, err)
		}
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), seg); err != nil {
		t.Errorf("restored: %v", err)
	}
	if err := s.Delete(t.Context(), seg.Key); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), seg); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestFile(t *testing.T) {
	d, _ := newDir(t)
	s := blob.New(d, blob.Options{})
	seg, err := s.Put(t.Context(), strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	f, ok, err := s.File(t.Context(), seg.Key)
	if err != nil || !ok {
		t.Fatalf("File: %v, %v", ok, err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if f, ok, err := s.File(t.Context(), blob.NewKey()); f != nil || !ok || !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("File of a missing key: %v, %v, %v", f, ok, err)
	}
	// A driver without files.
	s = blob.New(&sourceDriver{Driver: d}, blob.Options{})
	if f, ok, err := s.File(t.Context(), seg.Key); f != nil || ok || err != nil {
		t.Errorf("File without files: %v, %v, %v", f, ok, err)
	}
}

func TestObserve(t *testing.T) {
	d, _ := newDir(t)
	var events []string
	s := blob.New(d, blob.Options{Observe: func(_ context.Context, e blob.Event) {
		result := "ok"
		if e.Err != nil {
			result = "failed"
		}
		if e.Duration < 0 {
			t.Errorf("%s took %v", e.Op, e.Duration)
		}
		events = append(events, fmt.Sprint(e.Op, " ", e.Bytes, " ", result))
	}})
	ctx := t.Context()
	seg, err := s.Put(ctx, strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Put(ctx, iotest.ErrReader(io.ErrUnexpectedEOF))
	_, _, _ = s.PutPartial(ctx, io.MultiReader(strings.NewReader("part"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r, err := s.Open(ctx, seg.Key, 0, 5)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(r)
	_ = r.Close()
	r, err = s.Open(ctx, seg.Key, 0, 50)
	if err == nil {
		_, _ = io.ReadAll(r)
		_ = r.Close()
	}
	_, _ = s.Open(ctx, blob.NewKey(), 0, 5)
	if f, _, err := s.File(ctx, seg.Key); err == nil {
		_ = f.Close()
	}
	_, _ = s.Stat(ctx, seg.Key)
	_, _ = s.List(ctx, "", 0)
	_ = s.Verify(ctx, seg)
	_ = s.Delete(ctx, seg.Key)
	want := "put 7 ok|put 0 failed|put 4 ok|read 5 ok|read 7 failed|read 0 failed|file 0 ok|stat 0 ok|list 0 failed|verify 7 ok|delete 0 ok"
	if got := strings.Join(events, "|"); got != want {
		t.Errorf("events\n%s, want\n%s", got, want)
	}
}
