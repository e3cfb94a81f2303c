package library_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/library"
)

// remote is a driver without local files, as a bucket is, that counts what is
// opened, and may be away.
type remote struct {
	blob.Driver
	opens atomic.Int64
	away  atomic.Bool
}

func (r *remote) Open(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, error) {
	r.opens.Add(1)
	if r.away.Load() {
		return nil, blob.ErrTransient
	}
	return r.Driver.Open(ctx, key, offset, length)
}

// TestRemoteReads: whoever reads in small steps does not make a request for each.
func TestRemoteReads(t *testing.T) {
	f := open(t, library.Options{})
	_, want := f.pieces("/f")
	far := &remote{Driver: f.local}
	l := library.New(f.cat, blob.New(far, blob.Options{Attempts: 1}), library.Options{})
	in, err := l.OpenPath(f.ctx, f.admin, "/f", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got, err := io.ReadAll(iotest.OneByteReader(in.Reader(0, in.Size)))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	// A segment that is not in the catalog has more than 64 KiB.
	if n := far.opens.Load(); n == 0 || n > in.Size>>16+1 {
		t.Errorf("%d requests for %d bytes, one at a time", n, in.Size)
	}
	far.opens.Store(0)
	var out bytes.Buffer
	s := in.Reader(0, in.Size)
	if err := s.Prepare(in.Size); err != nil {
		t.Fatal(err)
	}
	prepared := far.opens.Load()
	if _, err := s.WriteNTo(&out, in.Size); err != nil || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("what was prepared: %d bytes, %v", out.Len(), err)
	}
	all := far.opens.Swap(0)
	out.Reset()
	if _, err := in.WriteRange(&out, 0, in.Size); err != nil || far.opens.Load() != all {
		t.Errorf("%d requests with %d before, %d without; %v", all, prepared, far.opens.Load(), err)
	}
	// What was prepared and is not wanted does no harm.
	if err := s.Prepare(1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{70_000, 5, 0, 1 << 40} {
		if err := s.Prepare(n); err != nil {
			t.Errorf("Prepare(%d): %v", n, err)
		}
	}
	out.Reset()
	if _, err := s.WriteNTo(&out, 80_000); err != nil || !bytes.Equal(out.Bytes(), want[:min(80_000, len(want))]) {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	far.away.Store(true)
	var later *quire.Unavailable
	e := f.put(f.admin, "/large", string(bytes.Repeat([]byte("large "), 20_000)))
	gone, err := l.Open(f.ctx, f.admin, e.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if err := gone.Reader(0, gone.Size).Prepare(10); !errors.As(err, &later) {
		t.Errorf("with the storage away: %v", err)
	}
	if _, err := gone.ReadAt(make([]byte, 10), 0); !errors.As(err, &later) {
		t.Errorf("reading with the storage away: %v", err)
	}
}
