// Package utf7 reads and writes the UTF-7 (RFC 2152) header values that WOPI
// uses for names: X-WOPI-SuggestedTarget, X-WOPI-RelativeTarget,
// X-WOPI-RequestedName and X-WOPI-ValidRelativeTarget.
//
// The encoder writes what .NET's encoder writes, since that is what Microsoft's
// editors send and expect. The decoder takes everything that RFC 2152 allows
// and two things that it does not, because clients send them: see Decode.
package utf7

import (
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrMalformed says that a header value is no UTF-7; WOPI answers 400.
var ErrMalformed = errors.New("malformed UTF-7")

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// sextet gives the value of a base64 character, or false for any other byte.
func sextet(c byte) (uint32, bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return uint32(c - 'A'), true
	case 'a' <= c && c <= 'z':
		return uint32(c-'a') + 26, true
	case '0' <= c && c <= '9':
		return uint32(c-'0') + 52, true
	case c == '+':
		return 62, true
	case c == '/':
		return 63, true
	}
	return 0, false
}

// Decode reads a UTF-7 header value. The result is valid UTF-8, but otherwise
// any text at all: it may hold control characters, slashes or nothing, so the
// caller still has to check it as a name.
//
// Beyond RFC 2152 it is lenient in two ways:
//
//   - A plus sign that is followed by neither a base64 character nor a minus
//     sign is a space. Clients that unescape a header as if it were a form send
//     spaces so.
//   - Bytes from 0x80 up stand for themselves when the whole value is valid
//     UTF-8: some clients send names as plain UTF-8, and nothing else that they
//     can have meant reads as UTF-8 by accident.
//
// Everything else that is wrong is ErrMalformed: a fragment of a UTF-16 code
// unit, a surrogate without its other half, bytes that are not UTF-8.
func Decode(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", ErrMalformed
	}
	if strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		i++
		if c != '+' {
			b.WriteByte(c)
			continue
		}
		if i < len(s) && s[i] == '-' {
			b.WriteByte('+')
			i++
			continue
		}
		n, err := decodeRun(&b, s[i:])
		if err != nil {
			return "", err
		}
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		i += n
		if i < len(s) && s[i] == '-' {
			i++
		}
	}
	return b.String(), nil
}

// decodeRun reads the base64 characters at the start of s as UTF-16 and returns
// how many there were.
func decodeRun(b *strings.Builder, s string) (int, error) {
	var (
		bits uint32
		have int    // how many low bits of bits are not used yet
		high uint16 // a high surrogate that waits for its low half; 0 is none
		n    int
	)
	for n < len(s) {
		v, ok := sextet(s[n])
		if !ok {
			break
		}
		n++
		bits = bits<<6 | v
		have += 6
		if have < 16 {
			continue
		}
		have -= 16
		unit := uint16(bits >> have)
		switch {
		case high != 0:
			r := utf16.DecodeRune(rune(high), rune(unit))
			if r == utf8.RuneError {
				return 0, ErrMalformed
			}
			b.WriteRune(r)
			high = 0
		case 0xD800 <= unit && unit < 0xDC00:
			high = unit
		case 0xDC00 <= unit && unit < 0xE000:
			return 0, ErrMalformed
		default:
			b.WriteRune(rune(unit))
		}
	}
	// Up to five bits only fill the last base64 character. Six or more are a
	// character that belongs to no whole code unit.
	if have >= 6 || high != 0 {
		return 0, ErrMalformed
	}
	return n, nil
}

// Encode writes s as a UTF-7 header value, as .NET does, with two differences
// that keep the value whole on its way through HTTP: TAB, CR and LF are
// base64-encoded like every other control character, and so is a space at
// either end, which HTTP would strip. The result is printable ASCII. Bytes of s
// that are not UTF-8 become U+FFFD.
func Encode(s string) string {
	first, last := 0, len(s)
	for first < last && s[first] == ' ' {
		first++
	}
	for last > first && s[last-1] == ' ' {
		last--
	}
	var (
		b    strings.Builder
		bits uint32
		have = -1 // unwritten bits of the current run; -1 is outside a run
	)
	b.Grow(len(s) + 8)
	unit := func(u uint16) {
		bits = bits<<16 | uint32(u)
		have += 16
		for have >= 6 {
			have -= 6
			b.WriteByte(base64Alphabet[bits>>have&0x3F])
		}
	}
	closeRun := func() {
		if have < 0 {
			return
		}
		if have > 0 {
			b.WriteByte(base64Alphabet[bits<<(6-have)&0x3F])
		}
		b.WriteByte('-')
		have = -1
	}
	for i, r := range s {
		switch {
		case direct(r) && first <= i && i < last:
			closeRun()
			b.WriteByte(byte(r))
		case r == '+' && have < 0:
			b.WriteString("+-")
		default:
			if have < 0 {
				b.WriteByte('+')
				have = 0
			}
			if r > 0xFFFF {
				hi, lo := utf16.EncodeRune(r)
				unit(uint16(hi))
				unit(uint16(lo))
			} else {
				unit(uint16(r))
			}
		}
	}
	closeRun()
	return b.String()
}

// direct is .NET's table of characters that stand for themselves, less TAB, CR
// and LF.
func direct(r rune) bool {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		return true
	case r == 0 || r > 0x7F:
		return false
	}
	return strings.ContainsRune(" '(),-./:?", r)
}
