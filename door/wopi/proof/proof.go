// Package proof checks the signatures that WOPI clients put on their requests
// with the proof keys of their discovery, and makes them for clients of our own.
package proof

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxAge is how old a request's timestamp may be. A client's clock may be ahead
// of ours by as much, since the protocol says nothing about that.
const MaxAge = 20 * time.Minute

// Request is what a signature covers, and the signatures.
type Request struct {
	Token    string // the access token, percent-decoded
	RawToken string // the token as the query has it; clients differ in which of the two they sign
	// URL is what the client called: scheme, host, path and the whole query,
	// percent-encoded as it was sent. Behind a proxy it has to be rebuilt from
	// the configured public address.
	URL       string
	Timestamp string // X-WOPI-TimeStamp
	Proof     string // X-WOPI-Proof
	ProofOld  string // X-WOPI-ProofOld
}

// Match says which signature and key of a request went together.
type Match int

// The accepted combinations. ProofOld with the old key is not one of them: it
// would let a key that was rotated away live on.
const (
	NoMatch Match = iota
	// Current: Proof with the current key.
	Current
	// OldProofCurrentKey: ProofOld with the current key. The client has rotated
	// its keys and our copy of its discovery is behind.
	OldProofCurrentKey
	// CurrentProofOldKey: Proof with the old key. Our copy of the discovery is
	// of another moment than the server that signed.
	CurrentProofOldKey
)

// String names the combination for logs.
func (m Match) String() string {
	switch m {
	case NoMatch:
		return "none"
	case Current:
		return "proof with current key"
	case OldProofCurrentKey:
		return "old proof with current key"
	case CurrentProofOldKey:
		return "proof with old key"
	}
	return "Match(" + strconv.Itoa(int(m)) + ")"
}

// Rotated says that the client's keys and our copy of them differ, so that its
// discovery should be read again.
func (m Match) Rotated() bool { return m != Current }

// What an *Error is about.
var (
	// ErrMissing: there is no signature, or no usable timestamp.
	ErrMissing = errors.New("the request carries no proof")
	// ErrStale: the signature is right, but the timestamp is too far from now.
	ErrStale = errors.New("the proof's timestamp is too far from this server's clock")
	// ErrBadSignature: no accepted combination of signature and key fits. The
	// keys may have been rotated or never read, or this server expects another
	// URL than the client called.
	ErrBadSignature = errors.New("no proof key fits the request")
)

// Error says why a request was refused and for which URL the signature was
// checked, since a wrong public address behind a proxy is the usual reason. It
// holds no token, so that it can be logged.
type Error struct {
	Kind error         // ErrMissing, ErrStale or ErrBadSignature
	URL  string        // the URL that the signature should cover, with the token taken out
	Age  time.Duration // ErrStale: how old the timestamp is; negative if it lies ahead
}

func (e *Error) Error() string {
	text := e.Kind.Error()
	if e.Kind == ErrStale {
		text += fmt.Sprintf(" (age %v, at most %v)", e.Age.Round(time.Second), MaxAge)
	}
	return fmt.Sprintf("%s; expected a signature of %q", text, e.URL)
}

func (e *Error) Unwrap() error { return e.Kind }

// maxField is the longest token or URL that is hashed: far more than an HTTP
// server lets through.
const maxField = 1 << 20

// Verify checks a request's signatures, then its timestamp. Its errors are
// *Error. The first of the accepted combinations in the order of Match that
// verifies is returned; within one, the decoded token is tried before the raw
// one.
func Verify(keys Keys, req Request, now time.Time) (Match, error) {
	refuse := func(kind error, age time.Duration) (Match, error) {
		return NoMatch, &Error{Kind: kind, URL: req.redactedURL(), Age: age}
	}
	if req.Proof == "" && req.ProofOld == "" {
		return refuse(ErrMissing, 0)
	}
	ticks, ok := parseTicks(req.Timestamp)
	if !ok {
		return refuse(ErrMissing, 0)
	}
	m := match(keys, req, ticks)
	if m == NoMatch {
		return refuse(ErrBadSignature, 0)
	}
	if age := now.Sub(FromTicks(ticks)); age > MaxAge || age < -MaxAge {
		return refuse(ErrStale, age)
	}
	return m, nil
}

func match(keys Keys, req Request, ticks int64) Match {
	if len(req.Token) > maxField || len(req.RawToken) > maxField || len(req.URL) > maxField {
		return NoMatch
	}
	sums := [][sha256.Size]byte{digest(req.Token, req.URL, ticks)}
	if req.RawToken != "" && req.RawToken != req.Token {
		sums = append(sums, digest(req.RawToken, req.URL, ticks))
	}
	for _, try := range []struct {
		match     Match
		key       *Key
		signature string
	}{
		{Current, keys.Current, req.Proof},
		{OldProofCurrentKey, keys.Current, req.ProofOld},
		{CurrentProofOldKey, keys.Old, req.Proof},
	} {
		if try.key == nil || try.signature == "" {
			continue
		}
		sig, err := decodeBase64(try.signature, maxKeyBits/8)
		if err != nil {
			continue
		}
		for _, sum := range sums {
			if rsa.VerifyPKCS1v15(try.key.pub, crypto.SHA256, sum[:], sig) == nil {
				return try.match
			}
		}
	}
	return NoMatch
}

// Sign makes the signature of a request for X-WOPI-Proof or X-WOPI-ProofOld, as
// a WOPI client does. The token is the decoded one, the URL is exactly what will
// be called, and ticks is what X-WOPI-TimeStamp will say; see Ticks.
func Sign(priv *rsa.PrivateKey, token, url string, ticks int64) (string, error) {
	if len(token) > maxField || len(url) > maxField {
		return "", errors.New("sign proof: token or URL is too long")
	}
	sum := digest(token, url, ticks)
	sig, err := rsa.SignPKCS1v15(nil, priv, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign proof: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// digest hashes the signed bytes: each field with its length before it, all
// integers big-endian.
func digest(token, url string, ticks int64) [sha256.Size]byte {
	b := make([]byte, 0, 4+len(token)+4+len(url)+4+8)
	b = binary.BigEndian.AppendUint32(b, uint32(len(token)))
	b = append(b, token...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(url)))
	// Upper-cased without regard to any locale. A percent-encoded URL is ASCII;
	// bytes that are not stay as they are.
	for i := range len(url) {
		c := url[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b = append(b, c)
	}
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(ticks))
	return sha256.Sum256(b)
}

// X-WOPI-TimeStamp counts ticks of 100 ns since the year 1.
const (
	ticksPerSecond = 10_000_000
	unixEpoch      = 621355968000000000  // 1970 in ticks
	maxTicks       = 3155378975999999999 // the last tick of the year 9999
)

// Ticks is a time as X-WOPI-TimeStamp counts it. Times before the year 1 or
// after 9999 give the nearest tick that there is.
func Ticks(t time.Time) int64 {
	s := t.Unix()
	switch {
	case s < -unixEpoch/ticksPerSecond:
		return 0
	case s > (maxTicks-unixEpoch)/ticksPerSecond:
		return maxTicks
	}
	return unixEpoch + s*ticksPerSecond + int64(t.Nanosecond()/100)
}

// FromTicks is the time that ticks stand for, in UTC.
func FromTicks(ticks int64) time.Time {
	ticks = min(max(ticks, 0), maxTicks) - unixEpoch
	return time.Unix(ticks/ticksPerSecond, ticks%ticksPerSecond*100).UTC()
}

// parseTicks refuses what .NET cannot have written, so that the arithmetic
// cannot overflow.
func parseTicks(s string) (int64, bool) {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= maxTicks
}

const (
	redacted = "REDACTED"
	// maxShown is how much of a URL an error shows, in bytes.
	maxShown = 2048
)

// redactedURL is the URL with the access token taken out wherever it stands.
func (req Request) redactedURL() string {
	head, query, found := strings.Cut(req.URL, "?")
	if found {
		pairs := strings.Split(query, "&")
		for i, pair := range pairs {
			name, _, hasValue := strings.Cut(pair, "=")
			if plain, err := url.QueryUnescape(name); err == nil {
				name = plain
			}
			if hasValue && strings.EqualFold(strings.TrimSpace(name), "access_token") {
				pairs[i] = "access_token=" + redacted
			}
		}
		head += "?" + strings.Join(pairs, "&")
	}
	for _, token := range []string{req.Token, req.RawToken} {
		// A shorter one is no secret, and replacing it would garble the URL.
		if len(token) >= len(redacted) {
			head = strings.ReplaceAll(head, token, redacted)
		}
	}
	if len(head) > maxShown {
		head = strings.ToValidUTF8(head[:maxShown], "") + "..."
	}
	return head
}
