package utf7

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// The rows that .NET's encoder produced, both ways.
var dotnet = []struct{ name, encoded string }{
	{"", ""},
	{"plain.docx", "plain.docx"},
	{"madeup_name.wopitest", "madeup+AF8-name.wopitest"},
	{"日本語.docx", "+ZeVnLIqe-.docx"},
	{"Résumé (1).docx", "R+AOk-sum+AOk- (1).docx"},
	{"a+b", "a+-b"},
	{"a&b", "a+ACY-b"},
	{"😀", "+2D3eAA-"},
	{"[a]{b}", "+AFs-a+AF0Aew-b+AH0-"},
	{"日-本", "+ZeU--+Zyw-"},
	{"日a", "+ZeU-a"},
	{"+", "+-"},
	{"++", "+-+-"},
	{"日+", "+ZeUAKw-"},
	{"+日", "+-+ZeU-"},
	{"A-Za-z0-9 '(),-./:?x", "A-Za-z0-9 '(),-./:?x"},
}

func TestEncodeAsDotNet(t *testing.T) {
	for _, c := range dotnet {
		if got := Encode(c.name); got != c.encoded {
			t.Errorf("Encode(%q) = %q, want %q", c.name, got, c.encoded)
		}
		got, err := Decode(c.encoded)
		if err != nil || got != c.name {
			t.Errorf("Decode(%q) = %q, %v, want %q", c.encoded, got, err, c.name)
		}
	}
}

// .NET's table says which characters of ASCII go out as they are.
func TestEncodeTable(t *testing.T) {
	const table = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '(),-./:?"
	for c := range 128 {
		s := "x" + string(rune(c)) + "x"
		got := Encode(s)
		switch {
		case c == '+':
			if got != "x+-x" {
				t.Errorf("Encode(%q) = %q", s, got)
			}
		case strings.ContainsRune(table, rune(c)) && c != 0:
			if got != s {
				t.Errorf("Encode(%q) = %q, want it as it is", s, got)
			}
		default:
			if !strings.HasPrefix(got, "x+A") || !strings.HasSuffix(got, "-x") {
				t.Errorf("Encode(%q) = %q, want a base64 run", s, got)
			}
		}
		if back, err := Decode(got); err != nil || back != s {
			t.Errorf("Decode(%q) = %q, %v, want %q", got, back, err, s)
		}
	}
}

func TestEncodeIsHeaderSafe(t *testing.T) {
	for name, want := range map[string]string{
		"a\r\nX-Evil: 1": "a+AA0ACg-X-Evil: 1",
		"a\tb":           "a+AAk-b",
		"a\x00b\x7f":     "a+AAA-b+AH8-",
		" a ":            "+ACA-a+ACA-",
		"a b":            "a b",
		"  ":             "+ACAAIA-",
		"a\xffb":         "a+//0-b",
	} {
		if got := Encode(name); got != want {
			t.Errorf("Encode(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ in, want, why string }{
		{"+ZeVnLIqe.docx", "日本語.docx", "a run may end without a minus sign"},
		{"+ZeVnLIqe", "日本語", "the end of the text ends a run"},
		{"a_b&c;%41", "a_b&c;%41", "optional direct characters"},
		{"R+AOk-sum+AOk-+(1).docx", "Résumé (1).docx", "a bare plus is a space"},
		{"Kopie +AOQ +AOk.docx", "Kopie ä é.docx", "as Collabora sends it"},
		{"a+", "a ", "a bare plus at the end"},
		{"+ +.+_", "   . _", "several bare pluses"},
		{"+--", "+-", "only one minus sign is swallowed"},
		{"+AGE--b", "a-b", "a minus sign after the one that ends a run"},
		{"+AGE-+AGI-", "ab", "one run after another"},
		{"+AGEAYg-", "ab", "ASCII in a run"},
		{"+AOl", "é", "left-over bits that are not zero are thrown away"},
		{"+//8-", "\uFFFF", "slashes are base64"},
		{"++/8-", "\uFBFF", "the plus sign is base64 too"},
		{"+ACs-", "+", "a plus sign in base64"},
		{"+AAA-", "\x00", "the caller checks for control characters"},
		{"+2D3eAA", "😀", "a surrogate pair"},
		{"Résumé.docx", "Résumé.docx", "plain UTF-8"},
		{"é+AOk-", "éé", "UTF-8 beside UTF-7"},
		{"+AOké", "éé", "a byte of UTF-8 ends a run"},
	} {
		got, err := Decode(c.in)
		if err != nil || got != c.want {
			t.Errorf("Decode(%q) = %q, %v, want %q: %s", c.in, got, err, c.want, c.why)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	for _, in := range []string{
		"+A", "+A-", "+AA", "+AA-", // less than a code unit
		"+AGEA", "+AGEAY", "+AGEAA-", // a fragment after a whole one
		"+2D0-", "+2D0", // a high surrogate alone
		"+3gA-",         // a low surrogate alone
		"+3gDYPQ-",      // the halves in the wrong order
		"+2D0AYQ-",      // a high surrogate, then a letter
		"+2D0-+3gA-",    // a pair does not span two runs
		"+2D3YPQ-",      // two high surrogates
		"R\xe9sum\xe9",  // Latin-1
		"\xed\xa0\x80a", // a surrogate in UTF-8
		"+AOk-\xff",
	} {
		if got, err := Decode(in); !errors.Is(err, ErrMalformed) {
			t.Errorf("Decode(%q) = %q, %v, want ErrMalformed", in, got, err)
		}
	}
}

func FuzzEncode(f *testing.F) {
	for _, c := range dotnet {
		f.Add(c.name)
	}
	f.Add(" \r\n\x00\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		out := Encode(s)
		for i := range len(out) {
			if out[i] < ' ' || out[i] > '~' {
				t.Fatalf("Encode(%q) = %q: byte %#x is not safe in a header", s, out, out[i])
			}
		}
		if out != strings.TrimSpace(out) {
			t.Fatalf("Encode(%q) = %q: HTTP strips its spaces", s, out)
		}
		got, err := Decode(out)
		if err != nil || got != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Fatalf("Decode(%q) = %q, %v, want %q", out, got, err, s)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, c := range dotnet {
		f.Add(c.encoded)
	}
	for _, s := range []string{"+", "+A", "+2D0-", "\xff", "é+AOk", "++++"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Decode(s)
		if err != nil {
			if got != "" {
				t.Fatalf("Decode(%q) = %q beside an error", s, got)
			}
			return
		}
		if !utf8.ValidString(got) {
			t.Fatalf("Decode(%q) = %q: not UTF-8", s, got)
		}
		// What was read means the same in the one canonical form.
		if back, err := Decode(Encode(got)); err != nil || back != got {
			t.Fatalf("Decode(Encode(%q)) = %q, %v", got, back, err)
		}
	})
}
