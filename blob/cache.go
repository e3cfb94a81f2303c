package blob

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Cache keeps copies of segments that are read again and again in a folder of
// this machine, for a Store whose own storage is further away. Segments never
// change, so a copy is right for as long as there is one. The copies together
// never have more bytes than the cache's limit; those that were not used for the
// longest time make room.
//
// A segment is copied, whole and beside the reader that waits for nothing, when
// it is asked for the second time; a large one only when at least half of it has
// been asked for. A copy is in its place only when it is complete, and has its
// checksum in its name: those of an earlier process are read and compared before
// they serve, so that nothing a crash left behind does. Whatever goes wrong with
// a copy is a miss, and the segment is read from where it is.
//
// A copy that nobody used for a day goes, so that those of deleted segments do
// not stay. A Cache may be used concurrently, by one Store. Several processes may
// share a folder; each then keeps to the limit by itself.
type Cache struct {
	folder string
	limit  int64 // bytes
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup
	slots  chan struct{} // one for each copy that is being made
	pool   sync.Pool     // of *block

	mu      sync.Mutex            // guards those below
	copies  map[Key]*list.Element // of *cached, in recent
	recent  list.List             // the one used last in front
	size    int64                 // bytes of the copies, and of those being made
	asked   map[Key]*asked
	filling map[Key]bool
	stats   CacheStats
}

// cached is one copy.
type cached struct {
	key     Key
	sum     Sum
	size    int64
	used    time.Time
	checked bool // its bytes are those that its name says
}

// asked is what has been asked for of a segment without a copy.
type asked struct {
	times int
	bytes int64
	size  int64 // of the segment; -1 until it is known
}

// CacheStats says what a cache has done since it was opened, and what it has.
type CacheStats struct {
	Hits, Misses int64 // reads that were served from a copy, and that were not
	Filled       int64 // copies made
	Evicted      int64 // copies that made room for others, or were not used
	Damaged      int64 // copies whose bytes were not what they must be
	Segments     int64 // copies there are
	Bytes        int64 // of the copies, and of those being made
}

const (
	// cacheEager is up to which size, in bytes, a segment is copied whole
	// however little of it is asked for.
	cacheEager = 8 << 20
	// cacheMost is the size in bytes beyond which segments are not copied, and
	// cacheShare the part of the limit that one may take.
	cacheMost  = 256 << 20
	cacheShare = 4
	// cacheAtOnce is how many copies are made at a time.
	cacheAtOnce = 4
	// cacheAsked is how many segments without a copy are remembered.
	cacheAsked = 10_000
	// cacheIdle is how long a copy stays without being used.
	cacheIdle = 24 * time.Hour
	// cachePartial begins the names of copies that are being made.
	cachePartial = "partial-"
)

// OpenCache opens the cache in a folder, which it makes if need be, with a limit
// in bytes. The Store that it is given to closes it.
func OpenCache(folder string, limit int64) (*Cache, error) {
	if limit <= 0 {
		return nil, errors.New("blob: a cache needs a limit above 0")
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("blob: the cache's folder: %w", err)
	}
	c := &Cache{
		folder: folder, limit: limit, slots: make(chan struct{}, cacheAtOnce),
		copies: make(map[Key]*list.Element), asked: make(map[Key]*asked), filling: make(map[Key]bool),
	}
	c.pool.New = func() any { return new(block) }
	c.ctx, c.stop = context.WithCancel(context.Background())
	if err := c.scan(); err != nil {
		return nil, fmt.Errorf("blob: the cache's folder: %w", err)
	}
	c.work.Go(func() {
		tick := time.NewTicker(time.Hour)
		defer tick.Stop()
		for {
			select {
			case <-c.ctx.Done():
				return
			case now := <-tick.C:
				c.sweep(now)
			}
		}
	})
	return c, nil
}

// scan finds what an earlier process left.
func (c *Cache) scan() error {
	files, err := os.ReadDir(c.folder)
	if err != nil {
		return err
	}
	var found []*cached
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // it is gone, or not ours
		}
		if strings.HasPrefix(f.Name(), cachePartial) {
			_ = os.Remove(filepath.Join(c.folder, f.Name())) // at worst it stays
			continue
		}
		name, digits, _ := strings.Cut(f.Name(), ".")
		key, err1 := ParseKey(name)
		sum, err2 := ParseSum(sumPrefix + digits)
		if err1 == nil && err2 == nil {
			found = append(found, &cached{key: key, sum: sum, size: info.Size(), used: info.ModTime()})
		}
	}
	slices.SortFunc(found, func(a, b *cached) int { return cmp.Compare(b.used.UnixNano(), a.used.UnixNano()) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range found {
		if c.copies[e.key] != nil {
			continue
		}
		c.copies[e.key] = c.recent.PushBack(e)
		c.size += e.size
	}
	c.makeRoom(0)
	return nil
}

// Stats says what the cache has done.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Segments, s.Bytes = int64(len(c.copies)), c.size
	return s
}

// close ends the copies that are being made.
func (c *Cache) close() {
	c.stop()
	c.work.Wait()
}

func (c *Cache) path(e *cached) string {
	return filepath.Join(c.folder, string(e.key)+"."+strings.TrimPrefix(e.sum.String(), sumPrefix))
}

// file opens the copy of a segment, or returns nil.
func (c *Cache) file(key Key) (f *os.File, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.copies[key]
	if at == nil || !at.Value.(*cached).checked {
		return nil, 0
	}
	e := at.Value.(*cached)
	f, err := os.Open(c.path(e))
	if err == nil {
		info, err := f.Stat()
		if err == nil && info.Size() == e.size {
			e.used = time.Now()
			c.recent.MoveToFront(at)
			c.stats.Hits++
			return f, e.size
		}
		_ = f.Close() // it was only looked at
		c.stats.Damaged++
	}
	c.remove(at)
	return nil, 0
}

// open reads a range of a segment from its copy, or returns nil.
func (c *Cache) open(ctx context.Context, key Key, offset, length int64) io.ReadCloser {
	f, size := c.file(key)
	if f == nil {
		return nil
	}
	if length == ToEnd {
		length = size - offset
	}
	if offset < 0 || length < 0 || offset > size-length {
		_ = f.Close()
		return nil // the storage says what is wrong
	}
	return &cachedReader{in: io.NewSectionReader(f, offset, length), ctx: ctx, c: c, key: key, f: f, left: length}
}

// cachedReader reads a copy. What fails is a passing failure, so that the reader
// above goes on from the storage.
type cachedReader struct {
	in   *io.SectionReader
	ctx  context.Context
	c    *Cache
	key  Key
	f    *os.File
	left int64
}

func (r *cachedReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.in.Read(p)
	r.left -= int64(n)
	if err != nil && (err != io.EOF || r.left > 0) {
		r.c.drop(r.key)
		err = fmt.Errorf("%w: the local copy: %w", ErrTransient, err)
	}
	return n, err
}

func (r *cachedReader) Close() error { return r.f.Close() }

// drop forgets a segment's copy.
func (c *Cache) drop(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.asked, key)
	if at := c.copies[key]; at != nil {
		c.remove(at)
	}
}

// remove removes a copy, and says whether its bytes are free. The caller holds
// the lock.
func (c *Cache) remove(at *list.Element) bool {
	e := at.Value.(*cached)
	if err := os.Remove(c.path(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.checked = false // some systems do not remove what is open
		return false
	}
	c.recent.Remove(at)
	delete(c.copies, e.key)
	c.size -= e.size
	return true
}

// makeRoom removes copies until there is room for a number of bytes more, and
// says whether there is. The caller holds the lock.
func (c *Cache) makeRoom(n int64) bool {
	for at := c.recent.Back(); at != nil && c.size > c.limit-n; {
		before := at.Prev()
		if c.remove(at) {
			c.stats.Evicted++
		}
		at = before
	}
	return c.size <= c.limit-n
}

// sweep removes what nobody has used for long.
func (c *Cache) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := c.recent.Back(); at != nil && now.Sub(at.Value.(*cached).used) > cacheIdle; {
		before := at.Prev()
		if c.remove(at) {
			c.stats.Evicted++
		}
		at = before
	}
}

// missed notes that length bytes of a segment are read from the storage, and
// begins to copy it if it is worth that.
func (c *Cache) missed(s *Store, key Key, length int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Misses++
	if c.ctx.Err() != nil || c.filling[key] || !key.Valid() {
		return
	}
	do := c.check // there is a copy of an earlier process
	if c.copies[key] == nil {
		a := c.asked[key]
		if a == nil {
			if len(c.asked) >= cacheAsked {
				clear(c.asked)
			}
			a = &asked{size: -1}
			c.asked[key] = a
		}
		a.times++
		if length == ToEnd {
			length = cacheMost
		}
		a.bytes += min(length, cacheMost)
		if a.times < 2 || !c.worth(a) {
			return
		}
		do = func(key Key) { c.fill(s, key) }
	}
	select {
	case c.slots <- struct{}{}:
	default:
		return // the next time
	}
	c.filling[key] = true
	c.work.Go(func() {
		do(key)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.filling, key)
		<-c.slots
	})
}

// worth says whether a segment is to be copied, as far as is known.
func (c *Cache) worth(a *asked) bool {
	return a.size <= min(cacheMost, c.limit/cacheShare) && (a.size <= cacheEager || a.bytes >= a.size/2)
}

// check compares a copy with its checksum.
func (c *Cache) check(key Key) {
	c.mu.Lock()
	at := c.copies[key]
	c.mu.Unlock()
	if at == nil {
		return
	}
	e := at.Value.(*cached) // its key, size and sum do not change
	ok := false
	if f, err := os.Open(c.path(e)); err == nil {
		sum, n, err := c.copy(io.Discard, f)
		ok = err == nil && n == e.size && sum == e.sum
		_ = f.Close() // it was only read
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.copies[key] != at || c.ctx.Err() != nil:
	case ok:
		e.checked, e.used = true, time.Now()
	default:
		c.stats.Damaged++
		c.remove(at)
	}
}

// copy copies and sums up, until the cache is closed.
func (c *Cache) copy(w io.Writer, r io.Reader) (sum Sum, n int64, err error) {
	p := newPipeline(&stoppable{c.ctx, r}, &c.pool, false)
	defer p.close()
	n, err = p.WriteTo(w)
	return p.sum(), n, err
}

type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// fill makes the copy of a segment.
func (c *Cache) fill(s *Store, key Key) {
	info, err := s.driver.Stat(c.ctx, key)
	if err != nil {
		return // whoever reads it is told
	}
	c.mu.Lock()
	a := c.asked[key]
	if a == nil {
		a = &asked{bytes: cacheMost}
	}
	a.size = info.Size
	if !c.worth(a) || !c.makeRoom(info.Size) {
		c.mu.Unlock()
		return
	}
	c.size += info.Size
	c.mu.Unlock()
	e, err := c.write(s, key, info.Size)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size -= info.Size
	if err != nil {
		return
	}
	delete(c.asked, key)
	c.copies[key] = c.recent.PushFront(e)
	c.size += e.size
	c.stats.Filled++
}

// write writes a copy. It is not made durable: what the loss of power damages is
// found by its checksum.
func (c *Cache) write(s *Store, key Key, size int64) (e *cached, err error) {
	r, err := s.open(c.ctx, key, 0, size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	f, err := os.OpenFile(filepath.Join(c.folder, cachePartial+string(NewKey())), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // else the next process does it
		}
	}()
	sum, n, err := c.copy(f, r)
	if err = errors.Join(err, f.Close()); err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	e = &cached{key: key, sum: sum, size: size, used: time.Now(), checked: true}
	return e, os.Rename(f.Name(), c.path(e))
}
