package chunk

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// ID names a chunk within one file: the 128 bit SpookyHash V2 of the chunk's bytes,
// with both seeds 0, each half written little-endian, the first half first. Frames
// carry these 16 bytes, JSON their padded standard base64.
//
// An ID is neither a secret nor proof against collisions: anyone can make two chunks
// with one ID. Resolve it only among the chunks of one file, and compare lengths.
type ID [16]byte

// idTextLen is the length of 16 bytes in padded base64.
const idTextLen = 24

// Strict refuses padding bits that are not zero, so that each ID has one spelling.
var idText = base64.StdEncoding.Strict()

// ErrID reports a text that is not the canonical base64 of 16 bytes.
var ErrID = errors.New("chunk: id is not the padded base64 of 16 bytes")

// ParseID returns the ID that s spells, or ErrID.
func ParseID(s string) (ID, error) {
	var id ID
	err := id.UnmarshalText([]byte(s))
	return id, err
}

// String returns the padded standard base64 of id.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// AppendText appends what String returns. It never fails.
func (id ID) AppendText(b []byte) ([]byte, error) { return idText.AppendEncode(b, id[:]), nil }

// MarshalText returns what String returns. It never fails.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(make([]byte, 0, idTextLen)) }

// UnmarshalText accepts only what String gives; else it returns ErrID and leaves id
// as it was.
func (id *ID) UnmarshalText(text []byte) error {
	// The decoder skips line ends; with the length fixed on both sides none fits in.
	if len(text) != idTextLen {
		return ErrID
	}
	var b [idTextLen / 4 * 3]byte
	n, err := idText.Decode(b[:], text)
	if err != nil || n != len(id) {
		return ErrID
	}
	*id = ID(b[:len(id)])
	return nil
}

func makeID(h1, h2 uint64) ID {
	var id ID
	binary.LittleEndian.PutUint64(id[:8], h1)
	binary.LittleEndian.PutUint64(id[8:], h2)
	return id
}

// Sum returns the ID of the chunk b.
func Sum(b []byte) ID {
	if len(b) < shortLimit {
		return makeID(short(b))
	}
	s := longStart
	s.blocks(b)
	return makeID(s.finish(b[len(b)-len(b)%blockSize:]))
}

// Hasher computes the ID of a chunk that arrives in parts. Its zero value is ready
// for use. It is not safe for concurrent use.
type Hasher struct {
	state longState
	size  int64
	// Which form hashes a message is known only at shortLimit bytes, so all bytes are
	// kept until then; later only those of an unfinished block are.
	buf  [shortLimit]byte
	n    int
	long bool
}

// Write takes p in. It never fails and does not keep p.
func (h *Hasher) Write(p []byte) (int, error) {
	taken := len(p)
	h.size += int64(taken)
	full := blockSize
	if !h.long {
		full = shortLimit
	}
	if h.n+len(p) < full {
		h.n += copy(h.buf[h.n:], p)
		return taken, nil
	}
	if !h.long {
		h.state, h.long = longStart, true
	}
	if h.n > 0 {
		p = p[copy(h.buf[h.n:full], p):]
		h.state.blocks(h.buf[:full])
	}
	h.state.blocks(p)
	h.n = copy(h.buf[:], p[len(p)-len(p)%blockSize:])
	return taken, nil
}

// Sum returns the ID of what was written since the last Reset. More may be written
// after it.
func (h *Hasher) Sum() ID {
	if !h.long {
		return makeID(short(h.buf[:h.n]))
	}
	return makeID(h.state.finish(h.buf[:h.n]))
}

// Size returns how many bytes were written since the last Reset.
func (h *Hasher) Size() int64 { return h.size }

// Reset makes h ready for another chunk.
func (h *Hasher) Reset() { h.n, h.size, h.long = 0, 0, false }
