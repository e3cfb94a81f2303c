package chunk

import (
	"encoding/binary"
	"math/bits"
)

// SpookyHash V2 with both seeds 0, written out without loops over the state so that
// the compiler keeps it in registers as far as they reach. The rotations are the
// algorithm's constants.

const (
	// blockSize is what one step of the long form takes in.
	blockSize = 96
	// shortLimit is the first length that the long form hashes.
	shortLimit = 192
	// spookyConst fills the parts of the state that no seed sets.
	spookyConst = 0xdeadbeefdeadbeef
)

// longState is the state of the long form between two blocks.
type longState [12]uint64

var longStart = longState{0, 0, spookyConst, 0, 0, spookyConst, 0, 0, spookyConst, 0, 0, spookyConst}

// blocks takes in every whole block of p; what follows the last one is not looked at.
func (s *longState) blocks(p []byte) {
	le := binary.LittleEndian
	h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11]
	for len(p) >= blockSize {
		b := (*[blockSize]byte)(p)
		h0 += le.Uint64(b[0:])
		h2 ^= h10
		h11 ^= h0
		h0 = bits.RotateLeft64(h0, 11)
		h11 += h1
		h1 += le.Uint64(b[8:])
		h3 ^= h11
		h0 ^= h1
		h1 = bits.RotateLeft64(h1, 32)
		h0 += h2
		h2 += le.Uint64(b[16:])
		h4 ^= h0
		h1 ^= h2
		h2 = bits.RotateLeft64(h2, 43)
		h1 += h3
		h3 += le.Uint64(b[24:])
		h5 ^= h1
		h2 ^= h3
		h3 = bits.RotateLeft64(h3, 31)
		h2 += h4
		h4 += le.Uint64(b[32:])
		h6 ^= h2
		h3 ^= h4
		h4 = bits.RotateLeft64(h4, 17)
		h3 += h5
		h5 += le.Uint64(b[40:])
		h7 ^= h3
		h4 ^= h5
		h5 = bits.RotateLeft64(h5, 28)
		h4 += h6
		h6 += le.Uint64(b[48:])
		h8 ^= h4
		h5 ^= h6
		h6 = bits.RotateLeft64(h6, 39)
		h5 += h7
		h7 += le.Uint64(b[56:])
		h9 ^= h5
		h6 ^= h7
		h7 = bits.RotateLeft64(h7, 57)
		h6 += h8
		h8 += le.Uint64(b[64:])
		h10 ^= h6
		h7 ^= h8
		h8 = bits.RotateLeft64(h8, 55)
		h7 += h9
		h9 += le.Uint64(b[72:])
		h11 ^= h7
		h8 ^= h9
		h9 = bits.RotateLeft64(h9, 54)
		h8 += h10
		h10 += le.Uint64(b[80:])
		h0 ^= h8
		h9 ^= h10
		h10 = bits.RotateLeft64(h10, 22)
		h9 += h11
		h11 += le.Uint64(b[88:])
		h1 ^= h9
		h10 ^= h11
		h11 = bits.RotateLeft64(h11, 46)
		h10 += h0
		p = p[blockSize:]
	}
	*s = longState{h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11}
}

// finish takes in the tail of less than one block and returns the two halves. It
// leaves the state as it was.
func (s *longState) finish(tail []byte) (uint64, uint64) {
	var b [blockSize]byte
	copy(b[:], tail)
	b[blockSize-1] = byte(len(tail))
	le := binary.LittleEndian
	h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11]
	h0 += le.Uint64(b[0:])
	h1 += le.Uint64(b[8:])
	h2 += le.Uint64(b[16:])
	h3 += le.Uint64(b[24:])
	h4 += le.Uint64(b[32:])
	h5 += le.Uint64(b[40:])
	h6 += le.Uint64(b[48:])
	h7 += le.Uint64(b[56:])
	h8 += le.Uint64(b[64:])
	h9 += le.Uint64(b[72:])
	h10 += le.Uint64(b[80:])
	h11 += le.Uint64(b[88:])
	for range 3 {
		h11 += h1
		h2 ^= h11
		h1 = bits.RotateLeft64(h1, 44)
		h0 += h2
		h3 ^= h0
		h2 = bits.RotateLeft64(h2, 15)
		h1 += h3
		h4 ^= h1
		h3 = bits.RotateLeft64(h3, 34)
		h2 += h4
		h5 ^= h2
		h4 = bits.RotateLeft64(h4, 21)
		h3 += h5
		h6 ^= h3
		h5 = bits.RotateLeft64(h5, 38)
		h4 += h6
		h7 ^= h4
		h6 = bits.RotateLeft64(h6, 33)
		h5 += h7
		h8 ^= h5
		h7 = bits.RotateLeft64(h7, 10)
		h6 += h8
		h9 ^= h6
		h8 = bits.RotateLeft64(h8, 13)
		h7 += h9
		h10 ^= h7
		h9 = bits.RotateLeft64(h9, 38)
		h8 += h10
		h11 ^= h8
		h10 = bits.RotateLeft64(h10, 53)
		h9 += h11
		h0 ^= h9
		h11 = bits.RotateLeft64(h11, 42)
		h10 += h0
		h1 ^= h10
		h0 = bits.RotateLeft64(h0, 54)
	}
	return h0, h1
}

// short hashes a message of less than shortLimit bytes.
func short(p []byte) (uint64, uint64) {
	le := binary.LittleEndian
	length := uint64(len(p))
	var h0, h1, h2, h3 uint64 = 0, 0, spookyConst, spookyConst
	for len(p) >= 32 {
		h2 += le.Uint64(p)
		h3 += le.Uint64(p[8:])
		h0, h1, h2, h3 = shortMix(h0, h1, h2, h3)
		h0 += le.Uint64(p[16:])
		h1 += le.Uint64(p[24:])
		p = p[32:]
	}
	if len(p) >= 16 {
		h2 += le.Uint64(p)
		h3 += le.Uint64(p[8:])
		h0, h1, h2, h3 = shortMix(h0, h1, h2, h3)
		p = p[16:]
	}
	// Only the low byte of the length survives the shift; the algorithm is so.
	h3 += length << 56
	if len(p) == 0 {
		h2 += spookyConst
		h3 += spookyConst
	} else {
		var t [16]byte
		copy(t[:], p)
		h2 += le.Uint64(t[:])
		h3 += le.Uint64(t[8:])
	}
	return shortEnd(h0, h1, h2, h3)
}

func shortMix(h0, h1, h2, h3 uint64) (uint64, uint64, uint64, uint64) {
	h2 = bits.RotateLeft64(h2, 50)
	h2 += h3
	h0 ^= h2
	h3 = bits.RotateLeft64(h3, 52)
	h3 += h0
	h1 ^= h3
	h0 = bits.RotateLeft64(h0, 30)
	h0 += h1
	h2 ^= h0
	h1 = bits.RotateLeft64(h1, 41)
	h1 += h2
	h3 ^= h1
	h2 = bits.RotateLeft64(h2, 54)
	h2 += h3
	h0 ^= h2
	h3 = bits.RotateLeft64(h3, 48)
	h3 += h0
	h1 ^= h3
	h0 = bits.RotateLeft64(h0, 38)
	h0 += h1
	h2 ^= h0
	h1 = bits.RotateLeft64(h1, 37)
	h1 += h2
	h3 ^= h1
	h2 = bits.RotateLeft64(h2, 62)
	h2 += h3
	h0 ^= h2
	h3 = bits.RotateLeft64(h3, 34)
	h3 += h0
	h1 ^= h3
	h0 = bits.RotateLeft64(h0, 5)
	h0 += h1
	h2 ^= h0
	h1 = bits.RotateLeft64(h1, 36)
	h1 += h2
	h3 ^= h1
	return h0, h1, h2, h3
}

func shortEnd(h0, h1, h2, h3 uint64) (uint64, uint64) {
	h3 ^= h2
	h2 = bits.RotateLeft64(h2, 15)
	h3 += h2
	h0 ^= h3
	h3 = bits.RotateLeft64(h3, 52)
	h0 += h3
	h1 ^= h0
	h0 = bits.RotateLeft64(h0, 26)
	h1 += h0
	h2 ^= h1
	h1 = bits.RotateLeft64(h1, 51)
	h2 += h1
	h3 ^= h2
	h2 = bits.RotateLeft64(h2, 28)
	h3 += h2
	h0 ^= h3
	h3 = bits.RotateLeft64(h3, 9)
	h0 += h3
	h1 ^= h0
	h0 = bits.RotateLeft64(h0, 47)
	h1 += h0
	h2 ^= h1
	h1 = bits.RotateLeft64(h1, 54)
	h2 += h1
	h3 ^= h2
	h2 = bits.RotateLeft64(h2, 32)
	h3 += h2
	h0 ^= h3
	h3 = bits.RotateLeft64(h3, 25)
	h0 += h3
	h1 ^= h0
	h0 = bits.RotateLeft64(h0, 63)
	h1 += h0
	return h0, h1
}
