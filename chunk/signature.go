package chunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Scheme says how a stream is cut into chunks. The content decides it, never the
// request. Its zero value stands for none stated.
type Scheme uint8

// The schemes.
const (
	FullFile Scheme = 1 // the whole stream is one chunk
	Zip      Scheme = 2 // along the entries of a zip archive
)

// String returns the protocol's name of the scheme; empty for none.
func (s Scheme) String() string {
	switch s {
	case 0:
		return ""
	case FullFile:
		return "FullFile"
	case Zip:
		return "Zip"
	}
	return fmt.Sprintf("scheme %d", uint8(s))
}

// MarshalText returns the protocol's name. It fails for a value that is no scheme.
func (s Scheme) MarshalText() ([]byte, error) {
	if s > Zip {
		return nil, fmt.Errorf("chunk: no such scheme: %d", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText accepts the protocol's names, and the empty text as none.
func (s *Scheme) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*s = 0
	case "FullFile":
		*s = FullFile
	case "Zip":
		*s = Zip
	default:
		return fmt.Errorf("chunk: no such scheme: %.40q", text)
	}
	return nil
}

// Chunk is an entry of a signature.
type Chunk struct {
	ID     ID    `json:"ChunkId"`
	Length int64 `json:"Length"` // in bytes; may be 0
}

// Piece is where a chunk lies in its stream, in bytes.
type Piece struct {
	Offset, Length int64
}

// Signature lists the chunks that a stream is made of, in order: their concatenation
// is the stream. A chunk may occur several times.
type Signature struct {
	Scheme Scheme
	Chunks []Chunk
}

// Size returns the stream's length in bytes. It fails with a *FormatError if a
// length is negative or the sum is more than an int64 counts, which signatures that
// this package made or parsed never are.
func (s Signature) Size() (int64, error) {
	var sum int64
	for i, c := range s.Chunks {
		if c.Length < 0 || c.Length > math.MaxInt64-sum {
			return 0, &FormatError{Rule: RuleMessage, Detail: fmt.Sprintf("length %d of chunk %d", c.Length, i)}
		}
		sum += c.Length
	}
	return sum, nil
}

// Pieces returns where each chunk lies in the stream.
func (s Signature) Pieces() []Piece {
	pieces := make([]Piece, len(s.Chunks))
	var at int64
	for i, c := range s.Chunks {
		pieces[i] = Piece{at, c.Length}
		at += c.Length
	}
	return pieces
}

// LastZipChunk returns the chunk that holds a zip archive's central directory; false
// for a stream that is not cut as one.
func (s Signature) LastZipChunk() (Chunk, bool) {
	if s.Scheme != Zip || len(s.Chunks) == 0 {
		return Chunk{}, false
	}
	return s.Chunks[len(s.Chunks)-1], true
}

// The stored form is a version byte, the scheme byte, the number of chunks, and for
// each chunk its 16 bytes of id and its length. Numbers are unsigned varints in their
// shortest form, so each signature has one encoding.
const signatureVersion = 1

// ErrSignature reports bytes that are not an encoded signature.
var ErrSignature = errors.New("chunk: not an encoded signature")

// AppendBinary appends the stored form of s. It fails if a length is negative or
// their sum overflows.
func (s Signature) AppendBinary(b []byte) ([]byte, error) {
	if s.Scheme > Zip {
		return b, fmt.Errorf("chunk: no such scheme: %d", uint8(s.Scheme))
	}
	if _, err := s.Size(); err != nil {
		return b, err
	}
	b = append(b, signatureVersion, byte(s.Scheme))
	b = binary.AppendUvarint(b, uint64(len(s.Chunks)))
	for _, c := range s.Chunks {
		b = append(b, c.ID[:]...)
		b = binary.AppendUvarint(b, uint64(c.Length))
	}
	return b, nil
}

// MarshalBinary returns the stored form of s, as AppendBinary appends it.
func (s Signature) MarshalBinary() ([]byte, error) {
	return s.AppendBinary(make([]byte, 0, 12+20*len(s.Chunks)))
}

// UnmarshalBinary decodes what MarshalBinary gave, all of b. Anything else gives
// ErrSignature and leaves s as it was. It keeps nothing of b.
func (s *Signature) UnmarshalBinary(b []byte) error {
	if len(b) < 2 || b[0] != signatureVersion || Scheme(b[1]) > Zip {
		return ErrSignature
	}
	out := Signature{Scheme: Scheme(b[1])}
	count, b, ok := cutUvarint(b[2:])
	// Each chunk takes 17 bytes or more, so the count can't make the slice larger than
	// the input warrants.
	if !ok || count > uint64(len(b)/(len(ID{})+1)) {
		return ErrSignature
	}
	if count > 0 {
		out.Chunks = make([]Chunk, count)
	}
	var sum uint64
	for i := range out.Chunks {
		if len(b) < len(ID{}) {
			return ErrSignature
		}
		c := &out.Chunks[i]
		c.ID = ID(b[:len(c.ID)])
		var length uint64
		if length, b, ok = cutUvarint(b[len(c.ID):]); !ok || length > math.MaxInt64-sum {
			return ErrSignature
		}
		c.Length = int64(length)
		sum += length
	}
	if len(b) > 0 {
		return ErrSignature
	}
	*s = out
	return nil
}

// cutUvarint takes a varint in its shortest form off b.
func cutUvarint(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, nil, false
	}
	return v, b[n:], true
}
