// Package blob stores segments: immutable runs of bytes with a checksum. Store
// is what the rest of the program uses. What differs from one kind of storage
// to another is behind Driver: package dir keeps files in a directory. Package
// blobtest holds the tests that every driver must pass.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Store stores segments by a Driver. It chooses their keys, computes their
// checksums, repeats calls that fail for a passing reason, and tells an
// observer what it does. It may be used concurrently.
type Store struct {
	driver Driver
	opts   Options
	pool   sync.Pool // of *block
}

// Options are the settings of a Store. The zero value is good.
type Options struct {
	// Observe, if set, is called once after each operation, with the
	// operation's context, on the goroutine that asked for it and possibly on
	// many at the same time. It must be quick.
	Observe func(context.Context, Event)
	// Attempts is how often a call is made in all while it fails with
	// ErrTransient; 0 means 4. A Put is never repeated, because its source
	// can't be read twice.
	Attempts int
	// Backoff is the pause before the second attempt; it doubles each time, up
	// to 32 times as long, and varies by half so that many callers spread out.
	// 0 means 50 ms.
	Backoff time.Duration
	// Cache, if set, keeps copies of what is read often. The Store closes it.
	Cache *Cache
}

// Op is an operation of a Store, as observers see it.
type Op string

// The operations.
const (
	OpPut    Op = "put"
	OpRead   Op = "read" // from Open to the reader's Close
	OpFile   Op = "file"
	OpStat   Op = "stat"
	OpDelete Op = "delete"
	OpList   Op = "list"
	OpVerify Op = "verify"
)

// Event is one finished operation.
type Event struct {
	Op       Op
	Duration time.Duration
	// Bytes is how many bytes went through: stored, read or verified. It is 0
	// for other operations, and for a Put that failed.
	Bytes int64
	Err   error // nil if it succeeded
}

// Segment is what there is to know about a stored run of bytes. Whoever stores
// one keeps this; the storage itself has the bytes only.
type Segment struct {
	Key  Key
	Size int64 // bytes
	Sum  Sum
}

// SourceError reports that what was to be stored could not be read to its end.
// The fault is the source's (a client that went away), not the storage's.
type SourceError struct {
	Err error // what the source's Read returned
}

func (e *SourceError) Error() string { return "reading what is to be stored: " + e.Err.Error() }

// Unwrap gives the source's own error.
func (e *SourceError) Unwrap() error { return e.Err }

// CorruptError reports that a segment's bytes are not those that were stored.
type CorruptError struct {
	Want Segment // as it was when it was stored
	Size int64   // of what is there now, in bytes
	Sum  Sum     // of what is there now; zero if the size alone is wrong
}

func (e *CorruptError) Error() string {
	if e.Size != e.Want.Size {
		return fmt.Sprintf("blob: segment %s is damaged: it has %d bytes instead of %d; restore it from a backup", e.Want.Key, e.Size, e.Want.Size)
	}
	return fmt.Sprintf("blob: segment %s is damaged: its checksum is %v instead of %v; restore it from a backup", e.Want.Key, e.Sum, e.Want.Sum)
}

// New makes a Store over d, which it owns from then on.
func New(d Driver, opts Options) *Store {
	if opts.Attempts <= 0 {
		opts.Attempts = 4
	}
	if opts.Backoff <= 0 {
		opts.Backoff = 50 * time.Millisecond
	}
	s := &Store{driver: d, opts: opts}
	s.pool.New = func() any { return new(block) }
	return s
}

// Close closes the cache and the driver; see Driver.Close.
func (s *Store) Close() error {
	if s.opts.Cache != nil {
		s.opts.Cache.close()
	}
	return s.driver.Close()
}

// Put stores what r yields, up to io.EOF, as a new segment. When it returns
// nil, the segment is durable: it survives a crash and the loss of power. When
// it returns an error there is no segment that anybody knows of; at worst
// (ErrUncertain) there is garbage, which List finds.
//
// If r fails, the error is a *SourceError. Put does not read r after it has
// returned, and needs at most 1 MiB of memory however much r yields. If ctx
// ends, Put fails as soon as the Read of r that is under way returns. A full
// storage gives ErrNoSpace.
func (s *Store) Put(ctx context.Context, r io.Reader) (Segment, error) {
	p := newPipeline(r, &s.pool, false)
	defer p.close() // also if r panics
	return s.put(ctx, p)
}

// PutPartial is Put for a source whose bytes are worth keeping even if it
// breaks off, such as a part of an upload that can be resumed. If r fails, what
// it yielded until then is stored as if it had ended there, and srcErr is r's
// error. Where r yields nothing, nothing is stored: seg is the zero Segment.
//
// err is nil if and only if seg.Size bytes, which are all that r yielded, are
// durable. srcErr and err may both be set. Once ctx ends nothing is kept, so the
// caller passes one that does not end with the request that the bytes come
// from: context.WithoutCancel, with a deadline of its own. The request's end is
// noticed by r failing.
func (s *Store) PutPartial(ctx context.Context, r io.Reader) (seg Segment, srcErr, err error) {
	p := newPipeline(r, &s.pool, true)
	defer p.close()
	if err := p.fill(); err != nil {
		return Segment{}, p.srcErr, nil
	}
	seg, err = s.put(ctx, p)
	return seg, p.srcErr, err
}

func (s *Store) put(ctx context.Context, p *pipeline) (seg Segment, err error) {
	defer s.observe(ctx, OpPut, time.Now(), &seg.Size, &err)
	key := NewKey()
	size, err := s.driver.Put(ctx, key, p)
	if err != nil {
		return Segment{}, err
	}
	if !p.complete() || size != p.size {
		// Better no segment than one that silently lacks its end.
		return Segment{}, errors.Join(
			fmt.Errorf("blob: put %s: the driver stored %d bytes of %d or more", key, size, p.size),
			s.driver.Delete(ctx, key))
	}
	return Segment{Key: key, Size: size, Sum: p.sum()}, nil
}

// File opens a segment as a file of the operating system, for the server to
// send without copying; see LocalFiles. ok is false, and the rest nil, if the
// driver has no such files and the cache no copy; use Open then. A missing key gives ErrNotFound. The
// caller closes the file.
func (s *Store) File(ctx context.Context, key Key) (f *os.File, ok bool, err error) {
	if s.opts.Cache != nil {
		if f, _ := s.opts.Cache.file(key); f != nil {
			s.observe(ctx, OpFile, time.Now(), nil, &err)
			return f, true, nil
		}
	}
	local, ok := s.driver.(LocalFiles)
	if !ok {
		return nil, false, nil
	}
	defer s.observe(ctx, OpFile, time.Now(), nil, &err)
	f, err = local.File(ctx, key)
	return f, true, err
}

// Presign makes a URL of the storage itself by which anybody can read a segment
// for a while. ok is false, and the rest nothing, if the driver has no such URLs;
// see Presigner.
func (s *Store) Presign(ctx context.Context, key Key, link Link) (text string, ok bool, err error) {
	p, ok := s.driver.(Presigner)
	if !ok {
		return "", false, nil
	}
	text, err = p.Presign(ctx, key, link)
	return text, err == nil, err
}

// Stat describes the object under key, or gives ErrNotFound.
func (s *Store) Stat(ctx context.Context, key Key) (info Info, err error) {
	defer s.observe(ctx, OpStat, time.Now(), nil, &err)
	err = s.retry(ctx, func() error {
		info, err = s.driver.Stat(ctx, key)
		return err
	})
	return info, err
}

// Delete removes a segment durably. Deleting one that does not exist is no
// error. The caller makes sure that nothing refers to it.
func (s *Store) Delete(ctx context.Context, key Key) (err error) {
	defer s.observe(ctx, OpDelete, time.Now(), nil, &err)
	err = s.retry(ctx, func() error { return s.driver.Delete(ctx, key) })
	if s.opts.Cache != nil && err == nil {
		s.opts.Cache.drop(key)
	}
	return err
}

// List describes what is stored, in order of the keys, from the one after the
// given key on; see Driver.List. Fewer than limit (1 to MaxList) results mean
// that there are no more.
func (s *Store) List(ctx context.Context, after Key, limit int) (infos []Info, err error) {
	defer s.observe(ctx, OpList, time.Now(), nil, &err)
	err = s.retry(ctx, func() error {
		infos, err = s.driver.List(ctx, after, limit)
		return err
	})
	return infos, err
}

// Verify reads the whole segment from the storage, not from the cache, and compares it with its size and checksum.
// It gives a *CorruptError if they differ and ErrNotFound if there is no such
// segment; any other error means that it could not find out.
func (s *Store) Verify(ctx context.Context, seg Segment) (err error) {
	var n int64
	defer s.observe(ctx, OpVerify, time.Now(), &n, &err)
	var info Info
	err = s.retry(ctx, func() error {
		info, err = s.driver.Stat(ctx, seg.Key)
		return err
	})
	if err != nil {
		return err
	}
	if info.Size != seg.Size {
		return &CorruptError{Want: seg, Size: info.Size}
	}
	r, err := s.open(ctx, seg.Key, 0, seg.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	p := newPipeline(r, &s.pool, false)
	defer p.close()
	n, err = p.WriteTo(io.Discard)
	if err != nil {
		return fmt.Errorf("blob: verify %s: %w", seg.Key, p.srcErr)
	}
	if sum := p.sum(); n != seg.Size || sum != seg.Sum {
		return &CorruptError{Want: seg, Size: n, Sum: sum}
	}
	return nil
}

// observe is deferred with the addresses of the results.
func (s *Store) observe(ctx context.Context, op Op, start time.Time, n *int64, err *error) {
	if s.opts.Observe == nil {
		return
	}
	e := Event{Op: op, Duration: time.Since(start), Err: *err}
	if n != nil {
		e.Bytes = *n
	}
	s.opts.Observe(ctx, e)
}
