package proof

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Limits of a key. WOPI clients publish RSA-2048; a smaller key is not worth
// trusting, and a larger one than this only costs time on every request.
const (
	minKeyBits = 2048
	maxKeyBits = 8192

	maxExponent = 1<<31 - 1
)

// Key is a public key that a WOPI client signs its requests with. It cannot be
// changed and may be used by many goroutines.
type Key struct {
	pub *rsa.PublicKey
}

// Keys are what a client's discovery publishes. Old is nil until the client has
// rotated its key for the first time; both are nil for a client that does not
// sign.
type Keys struct {
	Current, Old *Key
}

// NewKey wraps a public key.
func NewKey(pub *rsa.PublicKey) (*Key, error) {
	if pub == nil || pub.N == nil {
		return nil, errors.New("proof key: no key")
	}
	if n := pub.N.BitLen(); n < minKeyBits || n > maxKeyBits {
		return nil, fmt.Errorf("proof key: %d bits, want %d to %d", n, minKeyBits, maxKeyBits)
	}
	if pub.N.Bit(0) == 0 {
		return nil, errors.New("proof key: even modulus")
	}
	if pub.E < 3 || pub.E > maxExponent || pub.E%2 == 0 {
		return nil, fmt.Errorf("proof key: exponent %d is not usable", pub.E)
	}
	return &Key{pub: &rsa.PublicKey{N: new(big.Int).Set(pub.N), E: pub.E}}, nil
}

// ParseKey reads a key from a discovery's proof-key element: modulus and
// exponent (base64 of big-endian integers), or else value (base64 of a .NET CSP
// blob), which is only looked at when the other two cannot be used. It returns
// nil and no error when there is neither a modulus nor a value: the client does
// not sign. (Some publish an exponent all the same.)
func ParseKey(modulus, exponent, value string) (*Key, error) {
	if modulus == "" && value == "" {
		return nil, nil
	}
	k, err := parseNumbers(modulus, exponent)
	if err == nil {
		return k, nil
	}
	if value != "" {
		if k, blobErr := parseBlob(value); blobErr == nil {
			return k, nil
		}
	}
	return nil, err
}

func parseNumbers(modulus, exponent string) (*Key, error) {
	n, err := decodeBase64(modulus, maxKeyBits/8+8)
	if err != nil {
		return nil, fmt.Errorf("proof key: modulus: %w", err)
	}
	e, err := decodeBase64(exponent, 16)
	if err != nil {
		return nil, fmt.Errorf("proof key: exponent: %w", err)
	}
	exp := new(big.Int).SetBytes(e)
	if !exp.IsInt64() || exp.Int64() > maxExponent {
		return nil, errors.New("proof key: exponent is too large")
	}
	return NewKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exp.Int64())})
}

// A CSP blob is a BLOBHEADER (type, version, two reserved bytes, algorithm), an
// RSAPUBKEY ("RSA1", bits, exponent) and the modulus; all little-endian.
const (
	blobHeader     = 20
	blobPublicKey  = 0x06
	blobVersion    = 0x02
	blobKeyXchange = 0x0000A400
	blobSign       = 0x00002400
)

func parseBlob(value string) (*Key, error) {
	b, err := decodeBase64(value, blobHeader+maxKeyBits/8)
	if err != nil {
		return nil, fmt.Errorf("proof key: value: %w", err)
	}
	if len(b) < blobHeader || b[0] != blobPublicKey || b[1] != blobVersion || string(b[8:12]) != "RSA1" {
		return nil, errors.New("proof key: value is not the blob of a public RSA key")
	}
	if alg := binary.LittleEndian.Uint32(b[4:]); alg != blobKeyXchange && alg != blobSign {
		return nil, errors.New("proof key: value is for another algorithm")
	}
	bits := binary.LittleEndian.Uint32(b[12:])
	exp := binary.LittleEndian.Uint32(b[16:])
	if bits > maxKeyBits || int(bits+7)/8 != len(b)-blobHeader {
		return nil, errors.New("proof key: value has the wrong length")
	}
	if exp > maxExponent {
		return nil, errors.New("proof key: exponent is too large")
	}
	mod := reversed(b[blobHeader:])
	return NewKey(&rsa.PublicKey{N: new(big.Int).SetBytes(mod), E: int(exp)})
}

// Modulus is the public modulus, as discovery publishes it.
func (k *Key) Modulus() string {
	return base64.StdEncoding.EncodeToString(k.pub.N.Bytes())
}

// Exponent is the public exponent, as discovery publishes it.
func (k *Key) Exponent() string {
	return base64.StdEncoding.EncodeToString(big.NewInt(int64(k.pub.E)).Bytes())
}

// Blob is the key as a .NET CSP blob, as discovery publishes it in value.
func (k *Key) Blob() string {
	mod := k.pub.N.Bytes()
	b := make([]byte, blobHeader, blobHeader+len(mod))
	b[0], b[1] = blobPublicKey, blobVersion
	binary.LittleEndian.PutUint32(b[4:], blobKeyXchange)
	copy(b[8:], "RSA1")
	binary.LittleEndian.PutUint32(b[12:], uint32(8*len(mod)))
	binary.LittleEndian.PutUint32(b[16:], uint32(k.pub.E))
	return base64.StdEncoding.EncodeToString(append(b, reversed(mod)...))
}

// Equal says whether both are the same key. Nil is only equal to nil.
func (k *Key) Equal(other *Key) bool {
	if k == nil || other == nil {
		return k == other
	}
	return k.pub.Equal(other.pub)
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[len(b)-1-i] = c
	}
	return out
}

var errBase64 = errors.New("not base64 of an acceptable length")

// decodeBase64 reads at most limit bytes. Padding may be missing, and white space
// around the text is dropped: XML attributes that were wrapped come with it.
func decodeBase64(s string, limit int) ([]byte, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	if s == "" || len(s) > base64.RawStdEncoding.EncodedLen(limit) {
		return nil, errBase64
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}
