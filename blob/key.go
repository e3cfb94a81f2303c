package blob

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
)

// Key names an object in the storage: 128 random bits as 26 characters of
// lower-case base32 (a to z, 2 to 7) without padding. A key is good as a file
// name on any file system, whether or not it tells case, and says nothing about
// what it names.
type Key string

// keyBytes and keyLen are a key's size in bytes and as text, in characters.
const (
	keyBytes = 16
	keyLen   = 26
)

// NewKey makes a key that nobody has had before.
func NewKey() Key {
	var b [keyBytes]byte
	rand.Read(b[:]) // never fails
	return Key(keyEncoding().EncodeToString(b[:]))
}

// ParseKey takes text for a key, or fails with ErrBadKey. Two different texts
// are never the same key.
func ParseKey(s string) (Key, error) {
	k := Key(s)
	if !k.Valid() {
		return "", fmt.Errorf("%w: %.40q", ErrBadKey, s)
	}
	return k, nil
}

// Valid says whether k is a key. Drivers build names of files from keys, so
// they check each that they are given.
func (k Key) Valid() bool {
	if len(k) != keyLen {
		return false
	}
	for i := range len(k) {
		if c := k[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	// 26 characters have two bits more than a key; they are zero, so that a
	// key has one text only.
	switch k[keyLen-1] {
	case 'a', 'e', 'i', 'm', 'q', 'u', 'y', '4':
		return true
	}
	return false
}

// keyEncoding is a function rather than a variable, so that nobody can change
// it.
func keyEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}
