package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
)

// Writer writes the frames of one body. How long the body will be is known before:
// it is the sum of MessageSize, ChunkSize and RangeSize of its frames and EndSize.
//
// A body is Message, then Chunk and Range in any order, then End; an upload session
// is Chunk alone. After an error the body is spoilt, and every further call returns
// that error. It is not safe for concurrent use.
type Writer struct {
	dst     io.Writer
	frames  int
	message bool
	err     error
	scratch [frameHeaderSize + rangeHeaderSize]byte
}

// NewWriter returns a Writer to w. Headers and payloads are written as they come,
// in small and large parts: give it a buffered w if small writes cost much.
// Payloads are handed to w's ReadFrom where it has one, so that a file's bytes can
// go to a connection without passing through the program.
func NewWriter(w io.Writer) *Writer { return &Writer{dst: w} }

// ErrFrameOrder reports a call that would have written a body that no Reader takes.
var ErrFrameOrder = errors.New("chunk: frame out of order")

// Message writes the MessageJSON frame. It must be the first.
func (w *Writer) Message(json []byte) error {
	if w.err == nil && w.frames > 0 {
		w.err = ErrFrameOrder
	}
	if w.err != nil {
		return w.err
	}
	w.message = true
	w.header(MessageJSON, int64(len(json)))
	if w.write(w.scratch[:frameHeaderSize]) == nil && len(json) > 0 {
		return w.write(json)
	}
	return w.err
}

// Chunk writes a Chunk frame whose payload is the first size bytes of r. If r gives
// fewer, the error wraps io.ErrUnexpectedEOF; if it gives more, they stay unread.
// Nothing checks that the bytes hash to id.
func (w *Writer) Chunk(id ID, size int64, r io.Reader) error {
	if w.err == nil && size < 0 {
		w.err = fmt.Errorf("chunk: writing %v: size %d", id, size)
	}
	if w.err != nil {
		return w.err
	}
	w.header(ChunkFrame, size)
	copy(w.scratch[frameHeaderSize:], id[:])
	return w.payload(id, frameHeaderSize+chunkHeaderSize, size, r)
}

// Range writes a ChunkRange frame whose payload is the first length bytes of r, as
// Chunk does. They are the chunk's bytes from offset; end says that the chunk's last
// byte is among them.
func (w *Writer) Range(id ID, offset, length int64, end bool, r io.Reader) error {
	if w.err == nil && (offset < 0 || length < 0 || offset > math.MaxInt64-length) {
		w.err = fmt.Errorf("chunk: writing %v: range of %d bytes from %d", id, length, offset)
	}
	if w.err != nil {
		return w.err
	}
	w.header(ChunkRange, length)
	b := w.scratch[frameHeaderSize:]
	copy(b, id[:])
	binary.BigEndian.PutUint64(b[16:], uint64(offset))
	binary.BigEndian.PutUint64(b[24:], uint64(length))
	flags := uint32(flagInside)
	if end {
		flags = flagEndOfChunk
	}
	binary.BigEndian.PutUint32(b[32:], flags)
	return w.payload(id, frameHeaderSize+rangeHeaderSize, length, r)
}

// End writes the EndFrame. Nothing may follow it.
func (w *Writer) End() error {
	if w.err == nil && !w.message {
		w.err = ErrFrameOrder
	}
	if w.err != nil {
		return w.err
	}
	w.header(EndFrame, 0)
	if err := w.write(w.scratch[:frameHeaderSize]); err != nil {
		return err
	}
	w.err = ErrFrameOrder
	return nil
}

func (w *Writer) header(t FrameType, size int64) {
	w.frames++
	binary.BigEndian.PutUint32(w.scratch[:], uint32(t))
	binary.BigEndian.PutUint32(w.scratch[4:], t.extendedSize())
	binary.BigEndian.PutUint64(w.scratch[8:], uint64(size))
}

func (w *Writer) write(b []byte) error {
	if _, err := w.dst.Write(b); err != nil {
		w.err = fmt.Errorf("chunk: writing frame %d: %w", w.frames, err)
	}
	return w.err
}

func (w *Writer) payload(id ID, header int, size int64, r io.Reader) error {
	if err := w.write(w.scratch[:header]); err != nil || size == 0 {
		return err
	}
	n, err := w.copy(&io.LimitedReader{R: r, N: size})
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		w.err = fmt.Errorf("chunk: writing frame %d: %d of %d bytes of %v: %w", w.frames, n, size, id, err)
	}
	return w.err
}

// A LimitedReader is what net/http looks through for a file that it can send without
// copying, so it must be the very reader that ReadFrom gets.
func (w *Writer) copy(r *io.LimitedReader) (int64, error) {
	if to, ok := w.dst.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	b := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(b)
	return io.CopyBuffer(w.dst, r, b[:])
}

const copyBufferSize = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBufferSize]byte) }}
