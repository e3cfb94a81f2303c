package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/blake3"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
)

const (
	// copyWorkers is how many segments are copied or verified at a time.
	copyWorkers = 4
	// copyTries is how often the copy of a segment is begun while the storage
	// does not answer.
	copyTries = 6
)

// copied is what became of segments.
type copied struct {
	Segments int64    `json:"segments"` // that the catalog lists, besides those in itself
	Copied   int64    `json:"copied"`   // the others were there
	Bytes    int64    `json:"bytes"`    // of those that were copied
	Damaged  []string `json:"damaged"`  // ids of those that could not be had as they were stored
}

// errDamaged reports a segment that is missing or has other bytes than were
// stored.
var errDamaged = errors.New("the segment is missing or damaged")

// eachSegment calls f for every segment of the blob store that a catalog lists,
// from several goroutines, until one fails.
func eachSegment(ctx context.Context, cat *catalog.Store, f func(context.Context, quire.Segment) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan quire.Segment)
	var all sync.WaitGroup
	for range copyWorkers {
		all.Go(func() {
			for s := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := f(ctx, s); err != nil {
					cancel(fmt.Errorf("segment %s: %w", s.ID, err))
				}
			}
		})
	}
	err := listSegments(ctx, cat, func(s quire.Segment) {
		select {
		case work <- s:
		case <-ctx.Done():
		}
	})
	close(work)
	all.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func listSegments(ctx context.Context, cat *catalog.Store, f func(quire.Segment)) error {
	var after quire.SegmentID
	for {
		var page []quire.Segment
		err := cat.View(ctx, func(tx *catalog.Tx) (err error) {
			page, err = tx.SegmentsAfter(after, 500)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			if after = s.ID; !s.ID.InCatalog() {
				f(s)
			}
		}
	}
}

// segmentsOf counts the segments of the blob store that a catalog lists.
func segmentsOf(ctx context.Context, cat *catalog.Store) (n, size int64, err error) {
	err = listSegments(ctx, cat, func(s quire.Segment) { n, size = n+1, size+s.Size })
	return n, size, err
}

// copier copies the segments that a catalog lists from one storage to another.
type copier struct {
	from   *blob.Store
	folder blob.Driver // of the target
	target *blob.Store // the same
	// verify reads each copy back; all does so with those that were there, too.
	verify, all bool
	// known are segments that are damaged already where they come from: they
	// are passed over.
	known []string
	meter *meter
}

func (c *copier) run(ctx context.Context, cat *catalog.Store) (sum copied, err error) {
	var mu sync.Mutex // guards sum
	sum.Damaged = []string{}
	err = eachSegment(ctx, cat, func(ctx context.Context, s quire.Segment) error {
		fresh, err := false, error(errDamaged)
		if !slices.Contains(c.known, string(s.ID)) {
			fresh, err = c.one(ctx, s)
		}
		c.meter.add(s.Size)
		mu.Lock()
		defer mu.Unlock()
		sum.Segments++
		switch {
		case errors.Is(err, errDamaged):
			sum.Damaged = append(sum.Damaged, string(s.ID))
			err = nil
		case fresh:
			sum.Copied++
			sum.Bytes += s.Size
		}
		return err
	})
	slices.Sort(sum.Damaged)
	return sum, err
}

// one copies a segment, unless it is there. What breaks off for a passing reason
// is begun again.
func (c *copier) one(ctx context.Context, s quire.Segment) (fresh bool, err error) {
	pause := 200 * time.Millisecond
	for n := 1; ; n++ {
		fresh, err = c.try(ctx, s)
		passing := errors.Is(err, blob.ErrTransient) || errors.Is(err, blob.ErrUncertain) || errors.Is(err, blob.ErrExists)
		if !passing || n == copyTries {
			return fresh, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (c *copier) try(ctx context.Context, s quire.Segment) (fresh bool, err error) {
	key := blob.Key(s.ID)
	info, err := c.target.Stat(ctx, key)
	switch {
	case errors.Is(err, blob.ErrNotFound):
	case err != nil:
		return false, err
	case info.Size == s.Size && !c.all:
		return false, nil
	default:
		if info.Size == s.Size {
			if err = c.target.Verify(ctx, inBlobs(s)); !isCorrupt(err) {
				return false, err
			}
		}
		if err := c.target.Delete(ctx, key); err != nil {
			return false, err
		}
	}
	r, err := c.from.Open(ctx, key, 0, blob.ToEnd)
	if errors.Is(err, blob.ErrNotFound) {
		return false, errDamaged
	}
	if err != nil {
		return false, err
	}
	_, err = c.folder.Put(ctx, key, &checked{r: r, want: s, sum: blake3.New()})
	if err := errors.Join(err, r.Close()); err != nil {
		return false, err
	}
	if !c.verify {
		return true, nil
	}
	if err := c.target.Verify(ctx, inBlobs(s)); err != nil {
		return false, errors.Join(err, c.target.Delete(ctx, key))
	}
	return true, nil
}

// checked reads a segment and fails at the end if its bytes are not those that
// were stored, so that no wrong copy comes to be.
type checked struct {
	r    io.Reader
	want quire.Segment
	sum  *blake3.Hasher
	n    int64
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && (c.n != c.want.Size || !bytes.Equal(c.sum.Sum(nil), c.want.Sum)) {
		return n, errDamaged
	}
	return n, err
}

func inBlobs(s quire.Segment) blob.Segment {
	b := blob.Segment{Key: blob.Key(s.ID), Size: s.Size}
	copy(b.Sum[:], s.Sum)
	return b
}

func isCorrupt(err error) bool {
	var c *blob.CorruptError
	return errors.As(err, &c)
}

// verifyAll reads every segment that a catalog lists and compares it with its
// checksum. What is wrong is deleted if that is asked for, so that it is copied
// again.
func verifyAll(ctx context.Context, cat *catalog.Store, store *blob.Store, known []string, drop bool, m *meter) (damaged []string, err error) {
	var mu sync.Mutex // guards damaged
	err = eachSegment(ctx, cat, func(ctx context.Context, s quire.Segment) error {
		defer m.add(s.Size)
		if slices.Contains(known, string(s.ID)) {
			return nil
		}
		err := store.Verify(ctx, inBlobs(s))
		wrong := isCorrupt(err)
		if !wrong && !errors.Is(err, blob.ErrNotFound) {
			return err
		}
		mu.Lock()
		damaged = append(damaged, string(s.ID))
		mu.Unlock()
		if wrong && drop {
			return store.Delete(ctx, blob.Key(s.ID))
		}
		return nil
	})
	slices.Sort(damaged)
	return damaged, err
}

// meter tells how far something is: as a bar on a terminal, else as a line now
// and then.
type meter struct {
	a     *app
	name  string
	unit  string
	total int64
	n     atomic.Int64

	mu   sync.Mutex // guards the rest
	bar  *bar
	last time.Time
}

// meter begins to measure something; a total of 0 is not known.
func (a *app) meter(name, unit string, total int64) *meter {
	m := &meter{a: a, name: name, unit: unit, total: total, bar: a.progress(name, total), last: time.Now()}
	m.bar.unit = unit
	return m
}

func (m *meter) add(n int64) { m.set(m.n.Add(n)) }

func (m *meter) set(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bar.set(n)
	if m.bar.w != nil || m.a.json || time.Since(m.last) < 10*time.Second {
		return
	}
	m.last = time.Now()
	if m.total > 0 {
		fmt.Fprintf(m.a.errOut, "quire: %s: %d of %d %s\n", m.name, n, m.total, m.unit)
	} else {
		fmt.Fprintf(m.a.errOut, "quire: %s: %d %s\n", m.name, n, m.unit)
	}
}

func (m *meter) end() { m.bar.end() }
