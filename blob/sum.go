package blob

import (
	"encoding/hex"
	"errors"
	"strings"
)

// Sum is the BLAKE3-256 hash of a segment's bytes. It tells whether they are
// still what they were; it is not a name or a permission.
type Sum [32]byte

const sumPrefix = "blake3:"

// ErrBadSum: the text is not that of a Sum.
var ErrBadSum = errors.New(`blob: not a checksum: want "blake3:" and 64 lower-case hexadecimal digits`)

// String gives the text form: "blake3:" and 64 lower-case hexadecimal digits.
func (s Sum) String() string { return sumPrefix + hex.EncodeToString(s[:]) }

// ParseSum is the inverse of Sum.String, and takes no other text: anything else
// gives ErrBadSum.
func ParseSum(text string) (Sum, error) {
	var s Sum
	digits, ok := strings.CutPrefix(text, sumPrefix)
	if !ok || len(digits) != 2*len(s) || strings.ToLower(digits) != digits {
		return Sum{}, ErrBadSum
	}
	if _, err := hex.Decode(s[:], []byte(digits)); err != nil {
		return Sum{}, ErrBadSum
	}
	return s, nil
}

// MarshalText gives the text form. It does not fail.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSum for encoding/json and others.
func (s *Sum) UnmarshalText(text []byte) error {
	v, err := ParseSum(string(text))
	if err == nil {
		*s = v
	}
	return err
}
