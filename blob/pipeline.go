package blob

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"
)

const (
	// blockSize is how many bytes are read, hashed and written at a time.
	blockSize = 256 << 10
	// blocksQueued is how many blocks may wait for the hash. With the one that
	// is being hashed and the one that is being filled or written, a pipeline
	// holds at most blocksQueued+2 blocks: 1 MiB.
	blocksQueued = 2
)

// block is a buffer that the hash and the driver read at the same time, and
// that goes back to the pool when both have finished with it.
type block struct {
	buf  [blockSize]byte
	n    int // how many bytes of buf are in use
	refs atomic.Int32
}

// pipeline is the reader that a driver gets to store from. It hashes what
// passes on another goroutine, since hashing between reading and writing would
// halve the throughput. Reading the source itself stays on the goroutine that
// reads the pipeline: a request's body must not be read after its handler has
// returned.
//
// It is for one goroutine at a time. close must be called.
type pipeline struct {
	src  io.Reader
	pool *sync.Pool
	// keep makes an error of the source look like its end, so that what has
	// come is stored.
	keep bool

	cur    *block // being consumed by the driver, nil if none is
	pos    int    // what of cur has been consumed
	size   int64  // bytes that the source has yielded
	end    error  // what to say when cur is used up: io.EOF or a SourceError
	srcErr error  // what the source failed with, nil if it ended well

	hash   *blake3.Hasher // the hashing goroutine's until hashed is closed
	work   chan *block
	hashed chan struct{}
	closed bool
}

func newPipeline(src io.Reader, pool *sync.Pool, keep bool) *pipeline {
	p := &pipeline{
		src:    src,
		pool:   pool,
		keep:   keep,
		hash:   blake3.New(),
		work:   make(chan *block, blocksQueued),
		hashed: make(chan struct{}),
	}
	go func() {
		defer close(p.hashed)
		for b := range p.work {
			p.hash.Write(b.buf[:b.n]) // never fails
			p.release(b)
		}
	}()
	return p
}

// fill gets the next block from the source and makes sure that cur has bytes,
// or returns why there are none.
func (p *pipeline) fill() error {
	if p.cur != nil {
		return nil
	}
	if p.end != nil {
		return p.end
	}
	b := p.pool.Get().(*block)
	var err error
	b.n, err = readBlock(p.src, b.buf[:])
	p.size += int64(b.n)
	switch {
	case err == io.EOF:
		p.end = io.EOF
	case err != nil:
		p.srcErr = err
		p.end = &SourceError{Err: err}
		if p.keep {
			p.end = io.EOF
		}
	}
	if b.n == 0 {
		p.pool.Put(b)
		return p.end
	}
	b.refs.Store(2) // the hash and the driver
	p.cur, p.pos = b, 0
	p.work <- b
	return nil
}

// readBlock fills buf as far as the source allows. Unlike io.ReadFull it keeps
// an error that comes with the last of the bytes.
func readBlock(r io.Reader, buf []byte) (n int, err error) {
	const patience = 100 // empty reads, as bufio has it
	for empty := 0; n < len(buf) && err == nil; {
		var m int
		m, err = r.Read(buf[n:])
		n += m
		if m > 0 {
			empty = 0
		} else if empty++; empty == patience && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// Read implements io.Reader, at the price of one copy.
func (p *pipeline) Read(buf []byte) (int, error) {
	if len(buf) == 0 {
		return 0, nil
	}
	if err := p.fill(); err != nil {
		return 0, err
	}
	n := copy(buf, p.cur.buf[p.pos:p.cur.n])
	p.pos += n
	if p.pos == p.cur.n {
		p.drop()
	}
	return n, nil
}

// WriteTo implements io.WriterTo, without copying.
func (p *pipeline) WriteTo(w io.Writer) (written int64, err error) {
	for {
		switch err := p.fill(); err {
		case nil:
		case io.EOF:
			return written, nil
		default:
			return written, err
		}
		n, err := w.Write(p.cur.buf[p.pos:p.cur.n])
		written += int64(n)
		p.pos += n
		if err == nil && p.pos < p.cur.n {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, err
		}
		p.drop()
	}
}

func (p *pipeline) drop() {
	p.release(p.cur)
	p.cur = nil
}

func (p *pipeline) release(b *block) {
	if b.refs.Add(-1) == 0 {
		p.pool.Put(b)
	}
}

// complete says whether the source ended as it should and all of it has been
// consumed.
func (p *pipeline) complete() bool { return p.end == io.EOF && p.cur == nil }

// close ends the hashing goroutine and waits for it.
func (p *pipeline) close() {
	if p.closed {
		return
	}
	p.closed = true
	close(p.work)
	<-p.hashed
	if p.cur != nil {
		p.drop()
	}
}

// sum closes p and returns the hash of all that the source yielded.
func (p *pipeline) sum() (s Sum) {
	p.close()
	p.hash.Sum(s[:0])
	return s
}
