package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Cut returns how the size bytes of ra are cut into chunks, in order. Their
// concatenation is the stream: they begin at 0, leave no gap and end at size. There
// is at least one; an empty stream is one piece of length 0.
//
// A zip archive is cut, without decompressing anything, into each entry's local
// header and its data, where it has any; what lies between an entry's data and the
// next header; what lies before the first; and last, everything from the central
// directory to the end. Any other stream is FullFile, as is an archive that lies,
// overlaps, spans disks or is too large to list. The error is only ever ra's, wrapped;
// io.ErrUnexpectedEOF if ra holds less than size.
//
// It reads the directory and then a few bytes of each entry, by rising offset.
func Cut(ra io.ReaderAt, size int64) (Scheme, []Piece, error) {
	if size < 0 {
		return 0, nil, fmt.Errorf("chunk: cutting a stream of %d bytes", size)
	}
	w := newWindow(context.Background(), ra, size)
	defer w.free()
	d, err := readDirectory(w)
	if err == nil {
		pieces := make([]Piece, 0, 2*len(d.entries)+2)
		w.ahead = headerAhead
		err = d.walk(w, func(p Piece) error {
			pieces = append(pieces, p)
			return nil
		})
		if err == nil {
			return Zip, pieces, nil
		}
	}
	if !errors.Is(err, errNotZip) {
		return 0, nil, fmt.Errorf("chunk: cutting: %w", err)
	}
	return FullFile, []Piece{{0, size}}, nil
}

// Sign cuts the size bytes of ra as Cut does and hashes the pieces. Its memory does
// not grow with a piece's length. It reads the directory and then the stream once,
// from start to end; only of an archive that turns out to lie is what was read read
// again. It ends early with ctx's error.
func Sign(ctx context.Context, ra io.ReaderAt, size int64) (Signature, error) {
	if size < 0 {
		return Signature{}, fmt.Errorf("chunk: signing a stream of %d bytes", size)
	}
	w := newWindow(ctx, ra, size)
	defer w.free()
	var h Hasher
	var chunks []Chunk
	sign := func(p Piece) error {
		h.Reset()
		for at, end := p.Offset, p.Offset+p.Length; at < end; {
			b, err := w.some(at, end-at)
			if err != nil {
				return err
			}
			h.Write(b)
			at += int64(len(b))
		}
		chunks = append(chunks, Chunk{h.Sum(), p.Length})
		return nil
	}
	d, err := readDirectory(w)
	if err == nil {
		chunks = make([]Chunk, 0, 2*len(d.entries)+2)
		if err = d.walk(w, sign); err == nil {
			return Signature{Zip, chunks}, nil
		}
	}
	if errors.Is(err, errNotZip) {
		chunks = nil
		err = sign(Piece{0, size})
	}
	if err != nil {
		return Signature{}, fmt.Errorf("chunk: signing: %w", err)
	}
	return Signature{FullFile, chunks}, nil
}

// walk calls emit for each piece of the archive in order, having read no further than
// the header of the entry that the piece belongs to. It gives errNotZip, perhaps after
// some pieces, if an entry is not where the directory says, or reaches into what
// follows it.
func (d *directory) walk(w *window, emit func(Piece) error) error {
	var at int64 // all before is emitted
	upTo := func(end int64) error {
		if end == at {
			return nil
		}
		p := Piece{at, end - at}
		at = end
		return emit(p)
	}
	for i, e := range d.entries {
		limit := d.start
		if i+1 < len(d.entries) {
			limit = d.entries[i+1].offset
		}
		if limit-e.offset < localHeaderSize {
			return errNotZip
		}
		if err := upTo(e.offset); err != nil {
			return err
		}
		b, err := w.bytes(e.offset, localHeaderSize)
		if err != nil {
			return err
		}
		if string(b[:4]) != localHeaderMark {
			return errNotZip
		}
		// The name and the extra fields are those of this header: the directory's may have
		// other lengths.
		header := localHeaderSize + int64(b[26]) + int64(b[27])<<8 + int64(b[28]) + int64(b[29])<<8
		if header > limit-e.offset || e.data > limit-e.offset-header {
			return errNotZip
		}
		if err := upTo(e.offset + header); err != nil {
			return err
		}
		if err := upTo(e.offset + header + e.data); err != nil {
			return err
		}
	}
	if err := upTo(d.start); err != nil {
		return err
	}
	return upTo(w.size)
}

const (
	// windowSize holds an end record with the longest comment, and is a fair size for
	// reading from a distant store.
	windowSize = 128 << 10
	// headerAhead is how much is read at once where only headers are of interest. It
	// covers those of many small entries.
	headerAhead = 4 << 10
)

var windowBuffers = sync.Pool{New: func() any { return new([windowSize]byte) }}

// window is the part of a stream that is in memory. It makes one read of many small
// and forward ones.
type window struct {
	ctx    context.Context
	ra     io.ReaderAt
	size   int64 // of the stream
	ahead  int   // how much to read at once, if more is not asked for
	start  int64 // of the bytes held
	held   int
	buffer *[windowSize]byte
}

func newWindow(ctx context.Context, ra io.ReaderAt, size int64) *window {
	return &window{ctx: ctx, ra: ra, size: size, ahead: windowSize, buffer: windowBuffers.Get().(*[windowSize]byte)}
}

func (w *window) free() {
	windowBuffers.Put(w.buffer)
	w.buffer = nil
}

// bytes returns the n bytes at the given place, which the stream has, and n is no more
// than windowSize. They are good until the next call.
func (w *window) bytes(at int64, n int) ([]byte, error) {
	if at < w.start || at-w.start > int64(w.held) || int64(w.held)-(at-w.start) < int64(n) {
		if err := w.move(at, n); err != nil {
			return nil, err
		}
	}
	i := int(at - w.start)
	return w.buffer[i : i+n], nil
}

// some returns at least one and at most the given number of bytes at the given place,
// as many as are in memory. They are good until the next call.
func (w *window) some(at, most int64) ([]byte, error) {
	if _, err := w.bytes(at, 1); err != nil {
		return nil, err
	}
	i := at - w.start
	return w.buffer[i : i+min(most, int64(w.held)-i)], nil
}

// move makes the window begin at the given place and hold n bytes or more. What it
// holds of them already is not read again.
func (w *window) move(at int64, n int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	kept := 0
	if i := at - w.start; i >= 0 && i < int64(w.held) {
		kept = copy(w.buffer[:], w.buffer[i:w.held])
	}
	w.start, w.held = at, kept
	want := int(min(int64(max(n, min(w.ahead, windowSize))), w.size-at))
	got, err := w.ra.ReadAt(w.buffer[kept:want], at+int64(kept))
	w.held += got
	if w.held >= want {
		return nil // a full read may come with io.EOF
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
