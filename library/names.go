package library

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/quire-docs/quire"
)

// illegal are the characters that Windows forbids in names. Office syncs to
// it, so nobody may use them.
const illegal = `\/:*?"<>|`

// CheckName tells whether a node may have a name, and returns the name as it
// is stored (NFC) and the key that it is unique by in its container: folded,
// so that names that differ only in case are one. The error is a
// *quire.InvalidName.
func CheckName(name string) (clean, key string, err error) {
	bad := func(reason string) (string, string, error) {
		return "", "", &quire.InvalidName{Name: clip(strings.ToValidUTF8(name, "\uFFFD"), 80), Reason: reason}
	}
	if !utf8.ValidString(name) {
		return bad("is not valid UTF-8: send names as UTF-8")
	}
	clean = norm.NFC.String(name)
	switch {
	case clean == "":
		return bad("is empty: choose a name")
	case clean == "." || clean == "..":
		return bad("stands for a folder: choose another name")
	case len(clean) > quire.MaxNameBytes:
		return bad("is too long: use at most " + strconv.Itoa(quire.MaxNameBytes) + " bytes")
	case strings.HasSuffix(clean, ".") || strings.HasSuffix(clean, " "):
		return bad("ends with a dot or a space: leave that off")
	case strings.HasPrefix(clean, " "):
		return bad("begins with a space: leave that off")
	case reserved(clean):
		return bad("is reserved by Windows: choose another name")
	}
	for _, r := range clean {
		if badRune(r) {
			return bad(`has a character that is not allowed (\ / : * ? " < > | and control characters): leave it out`)
		}
	}
	key = foldName(clean)
	return clean, key, nil
}

func badRune(r rune) bool {
	return r < 0x20 || r == 0x7f || strings.ContainsRune(illegal, r) || unicode.Is(unicode.Noncharacter_Code_Point, r) ||
		r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == utf8.RuneError || isBidiControl(r)
}

// isBidiControl: characters that make a name read as another one, such as a
// program that looks like a document.
func isBidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// foldName returns the key of a clean name, by Unicode's canonical caseless
// matching: decomposed first, since folding alone treats a composed iota
// subscript in another way than the mark. Folding may undo the normal form, so
// it is restored.
func foldName(clean string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFD.String(clean)))
}

// reserved: the device names of Windows, which it finds whatever extension
// follows them.
func reserved(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	if rest, ok := cutAny(stem, "COM", "LPT"); ok {
		switch rest {
		case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
			return true
		}
	}
	return false
}

func cutAny(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest, true
		}
	}
	return s, false
}

// SanitizeName returns a legal name that is as near to a wish as can be, with
// its extension (WOPI's suggested mode: a wish never fails).
func SanitizeName(wish string) string {
	wish = norm.NFC.String(strings.ToValidUTF8(wish, "_"))
	var b strings.Builder
	for _, r := range wish {
		if badRune(r) {
			r = '_'
		}
		b.WriteRune(r)
	}
	name := strings.TrimLeft(strings.TrimRight(b.String(), ". "), " ")
	if stem, ext := splitExt(name); len(name) > quire.MaxNameBytes {
		name = strings.TrimRight(clip(stem, quire.MaxNameBytes-len(ext)), ". ") + ext
	}
	if name == "" {
		name = "unnamed"
	}
	if reserved(name) {
		name = "_" + name
	}
	if _, _, err := CheckName(name); err != nil {
		return "unnamed"
	}
	return name
}

// maxExt is the longest extension that is kept when a name is shortened. What
// is longer is no extension, and would leave no room for the rest.
const maxExt = 64

// splitExt cuts a name before its last dot, unless that is its first
// character.
func splitExt(name string) (stem, ext string) {
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= maxExt {
		return name[:i], name[i:]
	}
	return name, ""
}

// clip shortens text to at most n bytes without cutting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// numbered returns "name (n).ext", clipped so that it is not too long.
func numbered(name string, n int) string { return withNumber(name, " (", n) }

// numberedClose returns "name(n).ext", clipped so that it is not too long.
func numberedClose(name string, n int) string { return withNumber(name, "(", n) }

func withNumber(name, open string, n int) string {
	stem, ext := splitExt(name)
	tail := open + strconv.Itoa(n) + ")" + ext
	stem = clip(stem, quire.MaxNameBytes-len(tail))
	if bare := strings.TrimRight(stem, ". "); bare != "" {
		stem = bare // else the name would begin with a space
	}
	return stem + tail
}

// freeName returns a name near to the one given, with a number in a form, that
// taken says is free. The probes grow and then narrow down, so that a folder with ten thousand copies
// of one name costs some thirty.
func freeName(name string, form func(string, int) string, taken func(key string) (bool, error)) (string, error) {
	try := func(n int) (string, bool, error) {
		c := form(name, n)
		t, err := taken(foldName(c))
		return c, !t, err
	}
	high := 1
	for ; ; high *= 2 {
		c, free, err := try(high)
		if err != nil {
			return "", err
		}
		if free {
			if high == 1 {
				return c, nil
			}
			break
		}
		if high > 1<<20 {
			return form(name, int(randomUint32())), nil
		}
	}
	low := high / 2 // taken
	for high-low > 1 {
		mid := (low + high) / 2
		_, free, err := try(mid)
		if err != nil {
			return "", err
		}
		if free {
			high = mid
		} else {
			low = mid
		}
	}
	return form(name, high), nil
}

func randomUint32() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return uint32(b[0])<<23 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// NewID returns 128 random bits as 26 lower-case letters and digits.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: the runtime ends the program instead
	return idText.EncodeToString(b[:])
}

var idText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// SplitPath cuts a path in a site into names. It may begin and end with a
// slash; "" and "/" are the root. The error is a *quire.InvalidName.
func SplitPath(path string) ([]string, error) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return nil, nil
	}
	names := strings.Split(path, "/")
	if len(names) > quire.MaxDepth {
		return nil, &quire.Invalid{What: "path", Reason: "it has too many folders: use at most " + strconv.Itoa(quire.MaxDepth)}
	}
	for i, n := range names {
		clean, _, err := CheckName(n)
		if err != nil {
			return nil, err
		}
		names[i] = clean
	}
	return names, nil
}
