package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/quire-docs/quire"
)

// The cost of a password hash: RFC 9106's second recommended option, for
// memory-constrained machines, so that a small server can check several at
// once.
const (
	hashTime    = 3
	hashMemory  = 64 << 10 // KiB
	hashThreads = 2
	hashBytes   = 32
	saltBytes   = 16
)

// Limits of passwords, in bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// hashing bounds how many hashes are worked out at once: each takes 64 MiB.
var hashing = make(chan struct{}, 4)

// HashPassword returns the encoded argon2id hash of a password, in the usual
// text form ($argon2id$v=19$m=...).
func HashPassword(ctx context.Context, password string) (string, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return "", &quire.Invalid{What: "password", Reason: fmt.Sprintf("use %d to %d bytes", MinPassword, MaxPassword)}
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	key, err := derive(ctx, password, salt, hashTime, hashMemory, hashThreads)
	if err != nil {
		return "", err
	}
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashThreads,
		enc.EncodeToString(salt), enc.EncodeToString(key)), nil
}

func derive(ctx context.Context, password string, salt []byte, time, memory uint32, threads uint8) ([]byte, error) {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, time, memory, threads, hashBytes), nil
}

var errHash = errors.New("identity: a password hash that cannot be read: set the password again")

// VerifyPassword says whether a password has an encoded hash. An empty hash
// has no password, and takes as long to say so.
func VerifyPassword(ctx context.Context, encoded, password string) (bool, error) {
	if len(password) > MaxPassword {
		return false, nil
	}
	if encoded == "" {
		_, err := derive(ctx, password, make([]byte, saltBytes), hashTime, hashMemory, hashThreads)
		return false, err
	}
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, errHash
	}
	var version int
	var memory, time uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads); err != nil ||
		memory == 0 || memory > 1<<20 || time == 0 || time > 100 || threads == 0 {
		return false, errHash
	}
	enc := base64.RawStdEncoding
	salt, err := enc.DecodeString(parts[4])
	if err != nil {
		return false, errHash
	}
	want, err := enc.DecodeString(parts[5])
	if err != nil || len(want) != hashBytes {
		return false, errHash
	}
	have, err := derive(ctx, password, salt, time, memory, threads)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(have, want) == 1, nil
}
