package blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
)

// failFirst plans the same fault for the first calls, and counts all.
func failFirst(failures int, fault blobtest.Fault, calls *int) func(string, int) blobtest.Fault {
	return func(_ string, n int) blobtest.Fault {
		*calls = n
		if n <= failures {
			return fault
		}
		return blobtest.OK
	}
}

func TestRetry(t *testing.T) {
	d, _ := newDir(t)
	content := blobtest.Bytes(1, 1000)
	seg, err := blob.New(d, blob.Options{}).Put(t.Context(), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context, *blob.Store) error{
		"Stat": func(ctx context.Context, s *blob.Store) error {
			info, err := s.Stat(ctx, seg.Key)
			if err == nil && info.Size != seg.Size {
				return fmt.Errorf("%+v", info)
			}
			return err
		},
		"List": func(ctx context.Context, s *blob.Store) error {
			infos, err := s.List(ctx, "", 10)
			if err == nil && len(infos) != 1 {
				return fmt.Errorf("%+v", infos)
			}
			return err
		},
		"Open": func(ctx context.Context, s *blob.Store) error {
			r, err := s.Open(ctx, seg.Key, 0, blob.ToEnd)
			if err != nil {
				return err
			}
			return r.Close()
		},
		"Delete": func(ctx context.Context, s *blob.Store) error { return s.Delete(ctx, blob.NewKey()) },
		"Verify": func(ctx context.Context, s *blob.Store) error { return s.Verify(ctx, seg) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				failures int
				fault    blobtest.Fault
				ok       bool
				calls    int // at least
			}{
				{0, blobtest.Transient, true, 1},
				{1, blobtest.Transient, true, 2},
				{3, blobtest.Transient, true, 4},
				{4, blobtest.Transient, false, 4},
				{1, blobtest.FailBefore, false, 1},
				{1, blobtest.NoSpace, false, 1},
			} {
				synctest.Test(t, func(t *testing.T) {
					calls := 0
					s := blob.New(blobtest.NewFaulty(d, failFirst(c.failures, c.fault, &calls)), blob.Options{})
					start := time.Now()
					err := call(t.Context(), s)
					if (err == nil) != c.ok || calls < c.calls || !c.ok && calls != c.calls {
						t.Errorf("%d faults %d: %v after %d calls", c.failures, c.fault, err, calls)
					}
					if err != nil && !errors.Is(err, blobtest.ErrInjected) {
						t.Errorf("%d faults %d: %v", c.failures, c.fault, err)
					}
					// 50, 100 and 200 ms, each times 0.5 to 1.5.
					if waited := time.Since(start); waited > 525*time.Millisecond || c.fault == blobtest.Transient && c.failures == 3 && waited < 175*time.Millisecond {
						t.Errorf("%d faults %d: waited %v", c.failures, c.fault, waited)
					}
				})
			}
		})
	}
}

// TestRetryCancelled: waiting ends with the context.
func TestRetryCancelled(t *testing.T) {
	d, _ := newDir(t)
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s := blob.New(blobtest.NewFaulty(d, failFirst(1000, blobtest.Transient, &calls)), blob.Options{Attempts: 1000, Backoff: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := s.Stat(ctx, blob.NewKey()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// breaking is a driver whose readers break off after some bytes, for a passing
// reason.
type breaking struct {
	blob.Driver
	each  int64 // bytes that a reader yields
	opens int
}

func (b *breaking) Open(ctx context.Context, key blob.Key, offset, length int64) (io.ReadCloser, error) {
	b.opens++
	r, err := b.Driver.Open(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	return &breakingReader{ReadCloser: r, left: b.each}, nil
}

type breakingReader struct {
	io.ReadCloser
	left int64
}

func (b *breakingReader) Read(p []byte) (int, error) {
	gone := fmt.Errorf("connection reset: %w", blob.ErrTransient)
	if b.left == 0 {
		return 0, gone
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 && err == nil && n%2 == 0 {
		err = gone // together with the last bytes
	}
	return n, err
}

// TestResume: a reader goes on where the storage broke off.
func TestResume(t *testing.T) {
	d, _ := newDir(t)
	content := blobtest.Bytes(1, 10_000)
	seg, err := blob.New(d, blob.Options{}).Put(t.Context(), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []int64{0, 1, 2, 999, 1000, 5000, 20_000} {
		for _, length := range []int64{blob.ToEnd, 5000} {
			synctest.Test(t, func(t *testing.T) {
				b := &breaking{Driver: d, each: each}
				s := blob.New(b, blob.Options{})
				r, err := s.Open(t.Context(), seg.Key, 1000, length)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if cerr := r.Close(); cerr != nil {
					t.Error(cerr)
				}
				want := content[1000:]
				if length > 0 {
					want = want[:length]
				}
				if each == 0 {
					// No progress: give up after the attempts.
					if !errors.Is(err, blob.ErrTransient) || b.opens != 4 || len(got) != 0 {
						t.Errorf("%d bytes, %v after %d opens", len(got), err, b.opens)
					}
					return
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("by %d: %d bytes of %d, %v", each, len(got), len(want), err)
				}
			})
		}
	}
}
