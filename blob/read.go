package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Open reads length bytes of a segment from offset on; the length ToEnd reads
// to its end. A missing key gives ErrNotFound. A range that is not within the
// segment gives ErrRange, from Open or from a Read before any io.EOF; a reader
// never ends early without an error.
//
// If the storage fails for a passing reason (ErrTransient) while the reader is
// in use, it goes on where it was, a limited number of times. The reader must
// be closed, is for one goroutine, and fails once ctx ends. It does not check
// the checksum, which covers the whole segment; Verify does.
func (s *Store) Open(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, error) {
	start := time.Now()
	r, err := s.openAny(ctx, key, offset, length)
	if err != nil {
		s.observe(ctx, OpRead, start, nil, &err)
		return nil, err
	}
	return &observedReader{ctx: ctx, r: r, store: s, start: start}, nil
}

// observedReader counts what is read, for the observer.
type observedReader struct {
	ctx   context.Context
	r     io.ReadCloser
	store *Store
	start time.Time
	n     int64
	err   error // the first failure
	done  bool
}

func (o *observedReader) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	o.n += int64(n)
	if err != nil && err != io.EOF && o.err == nil {
		o.err = err
	}
	return n, err
}

func (o *observedReader) Close() error {
	err := o.r.Close()
	if o.err == nil {
		o.err = err
	}
	if !o.done {
		o.done = true
		o.store.observe(o.ctx, OpRead, o.start, &o.n, &o.err)
	}
	return err
}

// openAny opens the cache's copy, if there is one.
func (s *Store) openAny(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, error) {
	if s.opts.Cache == nil {
		return s.open(ctx, key, offset, length)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c := s.opts.Cache.open(ctx, key, offset, length); c != nil {
		return &resumingReader{ctx: ctx, store: s, key: key, offset: offset, left: length, toEnd: length == ToEnd, r: c}, nil
	}
	r, err := s.open(ctx, key, offset, length)
	if err == nil {
		s.opts.Cache.missed(s, key, length)
	}
	return r, err
}

// open is Open without the observer and the cache.
func (s *Store) open(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, error) {
	r := &resumingReader{ctx: ctx, store: s, key: key, offset: offset, left: length, toEnd: length == ToEnd}
	if err := r.reopen(); err != nil {
		return nil, err
	}
	return r, nil
}

// resumingReader reads a range and opens it again where the storage breaks off
// for a passing reason.
type resumingReader struct {
	ctx    context.Context
	store  *Store
	key    Key
	offset int64 // of the next byte
	left   int64 // bytes to come, unless toEnd
	toEnd  bool
	failed int           // passing failures since a byte came
	r      io.ReadCloser // nil after a failure
}

func (r *resumingReader) reopen() error {
	length := r.left
	if r.toEnd {
		length = ToEnd
	}
	return r.store.retry(r.ctx, func() (err error) {
		r.r, err = r.store.driver.Open(r.ctx, r.key, r.offset, length)
		return err
	})
}

func (r *resumingReader) Read(p []byte) (int, error) {
	for {
		if r.r == nil {
			if err := r.reopen(); err != nil {
				return 0, err
			}
		}
		n, err := r.r.Read(p)
		r.offset += int64(n)
		r.left -= int64(n)
		if n > 0 {
			r.failed = 0
		}
		if !errors.Is(err, ErrTransient) {
			return n, err
		}
		// Whatever closing says is of no interest beside the failure.
		_ = r.r.Close()
		r.r = nil
		r.failed++
		if r.failed >= r.store.opts.Attempts {
			return n, fmt.Errorf("blob: read %s, tried %d times: %w", r.key, r.failed, err)
		}
		if n > 0 {
			return n, nil // and reopen at the next call
		}
		if err := r.store.pause(r.ctx, r.failed); err != nil {
			return 0, err
		}
	}
}

func (r *resumingReader) Close() error {
	if r.r == nil {
		return nil
	}
	return r.r.Close()
}

// retry calls f until it does not fail with ErrTransient, as often as the
// options allow.
func (s *Store) retry(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		if err == nil || !errors.Is(err, ErrTransient) {
			return err
		}
		if n >= s.opts.Attempts {
			return fmt.Errorf("tried %d times: %w", n, err)
		}
		if err := s.pause(ctx, n); err != nil {
			return err
		}
	}
}

// pause waits between attempt n, from 1, and the next.
func (s *Store) pause(ctx context.Context, n int) error {
	d := s.opts.Backoff << min(n-1, 5)
	d = d/2 + rand.N(d)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
