package library_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

func TestCheckName(t *testing.T) {
	good := []string{
		"a", "Report.docx", "no extension", ".hidden", "..a", "a..b", "...x", "ünïcödé.txt", "日本語.docx", "a'b", "100%", "a&b=c;d",
		"COM", "COM10", "LPTX", "CONSOLE", "CON_", "xCON.txt", "com¼", "a\u200db", "שלום.docx", "~$lock.docx", "{}[]()!@#^`",
		strings.Repeat("x", 255), strings.Repeat("é", 127),
		"e\u0301" + strings.Repeat("x", 253), // 256 bytes as sent, 255 in NFC
	}
	for _, name := range good {
		if _, _, err := library.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := []struct{ what, name string }{
		{"empty", ""}, {"this folder", "."}, {"the folder above", ".."}, {"only dots", "..."}, {"only a space", " "},
		{"NUL", "a\x00b"}, {"newline", "a\nb"}, {"escape", "\x1b[1m"}, {"delete", "a\x7f"}, {"C1 control", "a\u0085b"},
		{"slash", "a/b"}, {"backslash", `a\b`}, {"colon", "a:b"}, {"star", "*"}, {"question mark", "a?"}, {"quote", `"a"`},
		{"less", "a<b"}, {"greater", "a>b"}, {"bar", "a|b"},
		{"300 bytes", strings.Repeat("x", 300)}, {"256 bytes", strings.Repeat("x", 256)}, {"256 bytes of two", strings.Repeat("é", 128)},
		{"wrong UTF-8", "a\xff"}, {"half a character", "a\xc3"}, {"a surrogate", "a\xed\xa0\x80"}, {"the replacement character", "a\ufffd"},
		{"right-to-left override", "gpj\u202eexe.doc"}, {"embedding", "a\u202a"}, {"pop", "a\u202cb"}, {"isolate", "a\u2066b"}, {"pop isolate", "\u2069"},
		{"line separator", "a\u2028b"}, {"paragraph separator", "a\u2029b"}, {"a noncharacter", "a\uffff"}, {"another", "\ufdd0"},
		{"trailing dot", "a."}, {"trailing dots", "a.."}, {"trailing space", "a "}, {"trailing dot and space", "a. ."}, {"leading space", " a"},
		{"CON", "CON"}, {"con", "con"}, {"nul.txt", "nul.txt"}, {"Aux.tar.gz", "Aux.tar.gz"}, {"PRN with a space", "PRN .txt"}, {"CONIN$", "conin$"},
		{"COM1", "COM1"}, {"com0", "com0.x"}, {"LPT9", "LPT9.docx"}, {"COM¹", "COM¹.txt"}, {"LPT³", "lpt³"},
	}
	for _, b := range bad {
		_, _, err := library.CheckName(b.name)
		var invalid *quire.InvalidName
		if !errors.As(err, &invalid) {
			t.Errorf("%s: got %v", b.what, err)
		} else if !utf8.ValidString(err.Error()) || len(err.Error()) > 300 {
			t.Errorf("%s: the message is %q", b.what, err)
		}
	}
}

// Names that differ only in case or in how characters are composed are one.
func TestNameKeys(t *testing.T) {
	rows := []struct {
		a, b string
		one  bool
	}{
		{"Report.docx", "REPORT.DOCX", true},
		{"é", "e\u0301", true},
		{"É", "e\u0301", true},
		{"straße", "STRASSE", true},
		{"ΣΑΣ", "σας", true},
		{"Å", "\u212b", true}, // Ångström sign
		{"K", "\u212a", true}, // Kelvin sign
		{"Ά\u0345\u0301", "ά\u0345\u0301", true},
		{"ﬁle", "FILE", true},
		{"가", "\u1100\u1161", true},
		{"e", "é", false},
		{"a", "а", false}, // Cyrillic
		{"a b", "ab", false},
		{"İ", "i", false},
		{"ﾊ", "ハ", false}, // compatibility forms are not folded
	}
	for _, r := range rows {
		_, a, err1 := library.CheckName(r.a)
		_, b, err2 := library.CheckName(r.b)
		if err1 != nil || err2 != nil || (a == b) != r.one {
			t.Errorf("%q and %q: keys %q and %q, %v %v", r.a, r.b, a, b, err1, err2)
		}
	}
}

func TestNamesCollide(t *testing.T) {
	f := open(t, library.Options{})
	one := f.put(f.admin, "/Straße é.txt", "1")
	two := f.put(f.admin, "/STRASSE E\u0301.TXT", "2")
	if two.ID != one.ID || two.Name != "Straße é.txt" {
		t.Errorf("got %+v", two)
	}
	var exists *quire.Exists
	_, _, err := f.Save(f.ctx, f.admin, quire.Target{Path: "/strasse É.txt", OnConflict: quire.Reject}, strings.NewReader("3"), library.Save{})
	if !errors.As(err, &exists) || exists.Node != one.ID || exists.Free != "Straße é (1).txt" {
		t.Errorf("got %v", err)
	}
	e, _, err := f.Save(f.ctx, f.admin, quire.Target{Path: "/strasse É.txt"}, strings.NewReader("3"), library.Save{})
	if err != nil || e.Name != "strasse É (1).txt" {
		t.Errorf("got %q, %v", e.Name, err)
	}
	if e, err = f.Move(f.ctx, f.admin, one.ID, quire.Target{Name: "STRASSE é.txt"}, quire.Precondition{}, nil); err != nil || e.Name != "STRASSE é.txt" {
		t.Errorf("a change of case: %q, %v", e.Name, err)
	}
	f.clean()
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "..", "CON.txt", "e\u0301", "\u0345\u0301α", "ß", "İ", "ΐ", "a\x00", "\u1e9e", "\u0390", "ᾳ\u0301", "Ά\u0345\u0301z", "ά\u0301\u0345"} {
		f.Add(s, strings.ToUpper(s))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		clean, key, err := library.CheckName(a)
		if err != nil {
			return
		}
		if len(clean) > quire.MaxNameBytes || !norm.NFC.IsNormalString(clean) || strings.ContainsAny(clean, "/\\\x00") {
			t.Fatalf("%q was let through as %q", a, clean)
		}
		again, key2, err := library.CheckName(clean)
		if err != nil || again != clean || key2 != key {
			t.Fatalf("%q is %q with key %q, which is %q with key %q, %v", a, clean, key, again, key2, err)
		}
		_, other, err := library.CheckName(b)
		if err == nil && (key == other) != (folded(a) == folded(b)) {
			t.Fatalf("%q has key %q, %q has key %q", a, key, b, other)
		}
		for _, variant := range []string{norm.NFD.String(a), strings.ToUpper(a), strings.ToLower(a)} {
			_, other, err := library.CheckName(variant)
			if err == nil && (key == other) != (folded(a) == folded(variant)) {
				t.Fatalf("%q has key %q, %q has key %q", a, key, variant, other)
			}
		}
	})
}

// folded is what two texts have in common when they match without regard to
// case (Unicode, canonical caseless matching).
func folded(s string) string {
	return norm.NFD.String(cases.Fold().String(norm.NFD.String(s)))
}

func TestSanitizeName(t *testing.T) {
	long := strings.Repeat("x", 300)
	rows := []struct{ wish, want string }{
		{"Report.docx", "Report.docx"},
		{"a/b.docx", "a_b.docx"},
		{`<a>|"b".txt`, `_a___b_.txt`},
		{"..", "unnamed"},
		{"", "unnamed"},
		{"  a  ", "a"},
		{"a. . .", "a"},
		{"CON.docx", "_CON.docx"},
		{"a\xffb", "a_b"},
		{"x\u202efdp.exe", "x_fdp.exe"},
		{long + ".docx", strings.Repeat("x", 250) + ".docx"},
		{long, strings.Repeat("x", 255)},
		{"a." + long, "a." + strings.Repeat("x", 253)},
		{strings.Repeat("é", 200) + ".docx", strings.Repeat("é", 125) + ".docx"},
	}
	for _, r := range rows {
		if got := library.SanitizeName(r.wish); got != r.want {
			t.Errorf("%.40q: got %q, want %q", r.wish, got, r.want)
		}
	}
}

func FuzzSanitizeName(f *testing.F) {
	for _, s := range []string{"", ".", "CON", "NUL." + strings.Repeat("x", 251), " .a", "a\u0338<", "<\u0338", "\u0338", strings.Repeat("\u0301", 200), "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, wish string) {
		got := library.SanitizeName(wish)
		clean, _, err := library.CheckName(got)
		if err != nil || clean != got {
			t.Fatalf("%q became %q, which is %q, %v", wish, got, clean, err)
		}
		if again := library.SanitizeName(got); again != got {
			t.Fatalf("%q became %q, and that %q", wish, got, again)
		}
		if clean, _, err := library.CheckName(wish); err == nil && clean != got {
			t.Fatalf("the legal name %q became %q", clean, got)
		}
	})
}

func TestSplitPath(t *testing.T) {
	rows := []struct {
		path string
		want string // joined with "|"; "!" is an error
	}{
		{"", ""}, {"/", ""}, {"a", "a"}, {"/a", "a"}, {"/a/", "a"}, {"a/b/", "a|b"}, {"/e\u0301/B c", "é|B c"},
		{"//", ""}, {"//a", "!"}, {"a//b", "!"}, {"/a/../b", "!"}, {"/./a", "!"}, {"/..", "!"}, {"/a/\x00", "!"}, {"/CON/x", "!"}, {"/a./b", "!"}, {`/a\..\b`, "!"},
		{strings.Repeat("/a", 200), strings.Repeat("|a", 200)[1:]}, {strings.Repeat("/a", 201), "!"},
	}
	for _, r := range rows {
		names, err := library.SplitPath(r.path)
		got := strings.Join(names, "|")
		if err != nil {
			got = "!"
		}
		if got != r.want {
			t.Errorf("%.40q: got %q, %v", r.path, got, err)
		}
	}
}

func FuzzSplitPath(f *testing.F) {
	for _, s := range []string{"", "/", "/a/b", "a//b", "/../", "e\u0301/É", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		names, err := library.SplitPath(path)
		if err != nil {
			return
		}
		for _, n := range names {
			if clean, _, err := library.CheckName(n); err != nil || clean != n {
				t.Fatalf("%q has %q: %v", path, n, err)
			}
		}
		again, err := library.SplitPath("/" + strings.Join(names, "/") + "/")
		if err != nil || strings.Join(again, "/") != strings.Join(names, "/") {
			t.Fatalf("%q has %q, and these %q, %v", path, names, again, err)
		}
	})
}
