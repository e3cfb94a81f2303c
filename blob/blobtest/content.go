package blobtest

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// Bytes returns n bytes that look random and are always the same for a seed.
func Bytes(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, n)
	rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// sparseMark is how far apart the marks in sparse content are, in bytes.
const sparseMark = 1 << 20

// Sparse returns a reader of size bytes that cost nothing to make: zeros, with
// the offset of each mebibyte as 8 little-endian bytes at its beginning.
// SparseAt tells what is where.
func Sparse(size int64) io.Reader { return &sparse{left: size} }

type sparse struct{ offset, left int64 }

func (s *sparse) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.left)]
	SparseAt(p, s.offset)
	s.offset += int64(len(p))
	s.left -= int64(len(p))
	return len(p), nil
}

// SparseAt fills p with what Sparse has at an offset.
func SparseAt(p []byte, offset int64) {
	clear(p)
	for m := offset / sparseMark * sparseMark; m < offset+int64(len(p)); m += sparseMark {
		var mark [8]byte
		binary.LittleEndian.PutUint64(mark[:], uint64(m))
		if m >= offset {
			copy(p[m-offset:], mark[:])
		} else if d := offset - m; d < int64(len(mark)) {
			copy(p, mark[d:])
		}
	}
}

// guarded complains about a driver that reads its source when it must not: from
// two goroutines at once, or after Put has returned.
type guarded struct {
	t    *testing.T
	r    io.Reader
	busy atomic.Bool
	over atomic.Bool
}

func (g *guarded) Read(p []byte) (int, error) {
	if g.over.Load() {
		g.t.Error("Put read its source after it had returned")
	}
	if !g.busy.CompareAndSwap(false, true) {
		g.t.Error("Put read its source from two goroutines at once")
	}
	defer g.busy.Store(false)
	return g.r.Read(p)
}

// gate is a reader of some bytes that stops before the last of them until it is
// opened.
type gate struct {
	b       []byte
	n       int
	reached chan struct{} // closed when all but one byte have been read
	open    chan struct{} // close it to let the last byte through
	once    sync.Once
	last    error // what to fail with instead of giving the last byte
}

func newGate(b []byte) *gate {
	return &gate{b: b, reached: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.n == len(g.b) {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if g.n == len(g.b)-1 {
		g.once.Do(func() { close(g.reached) })
		<-g.open
		if g.last != nil {
			return 0, g.last
		}
		p[0] = g.b[g.n]
		g.n++
		return 1, nil
	}
	n := copy(p, g.b[g.n:len(g.b)-1])
	g.n += n
	return n, nil
}
