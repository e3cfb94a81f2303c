package fileapi

import (
	"mime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// FuzzETag: one ETag has one text.
func FuzzETag(f *testing.F) {
	for _, s := range []string{`"abc-1"`, `"abc-01"`, `W/"abc-1"`, `"abc-+1"`, `abc-1`, `"-1"`, `"a-b-1"`, `""`, `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, n, ok := parseETag(s)
		if ok && etag(id, n) != s {
			t.Errorf("%q was read as %q", s, etag(id, n))
		}
	})
}

// FuzzRev: a rev names one revision, and has one text.
func FuzzRev(f *testing.F) {
	f.Add("35e97029684fe", string(library.NewID()), int64(1))
	f.Add(boxRev("aaaa", 16), "0000", int64(1<<40))
	f.Fuzz(func(t *testing.T, rev, id string, n int64) {
		if node, r, ok := parseBoxRev(rev); ok && boxRev(node, r) != rev {
			t.Errorf("%q was read as %q", rev, boxRev(node, r))
		}
		if n < 1 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || len(id) > 30 {
			return
		}
		text := boxRev(quire.NodeID(id), n)
		node, r, ok := parseBoxRev(text)
		if !ok || string(node) != id || r != n || text != strings.ToLower(text) {
			t.Errorf("%q %d: %q, read as %q %d %v", id, n, text, node, r, ok)
		}
	})
}

// FuzzDisposition: what we write, we and others read.
func FuzzDisposition(f *testing.F) {
	for _, s := range []string{"a.txt", `"quoted"`, "100%.txt", "日本.pdf", "a;b=c", "a\\b", "x\r\ny", "' '", "*"} {
		f.Add(s, `attachment; filename="`+s+`"`)
	}
	f.Add("", `form-data; name="x"; filename*=UTF-8''%e2%82%ac`)
	f.Fuzz(func(t *testing.T, name, header string) {
		_ = dispositionName(header) // whatever it is
		clean, _, err := library.CheckName(name)
		if err != nil {
			return
		}
		text := disposition("attachment", clean)
		if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			t.Errorf("%q", text)
		}
		if got := dispositionName(text); got != clean {
			t.Errorf("%q, read as %q", text, got)
		}
		how, _, err := mime.ParseMediaType(text)
		if err != nil || how != "attachment" {
			t.Errorf("%q: %q %v", text, how, err)
		}
	})
}

func FuzzDeltaCursor(f *testing.F) {
	good, _ := deltaCursor{Top: "a", Seq: 3, Time: 4, Walks: []walk{{Top: "b", At: []step{{"c", "d"}}}}}.encode()
	f.Add(good)
	f.Add("")
	f.Add("e30")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDeltaCursor(s)
		if err != nil {
			return
		}
		text, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDeltaCursor(text)
		if diff := cmp.Diff(d, again); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	})
}

func TestConflictedCopy(t *testing.T) {
	long := strings.Repeat("é", 120)
	for in, want := range map[string]string{
		"/a/b.txt":               "/a/b (conflicted copy).txt",
		"/b":                     "/b (conflicted copy)",
		"/x.y/.profile":          "/x.y/.profile (conflicted copy)",
		"/" + long + ".docx":     "/" + long[:2*((255-18-5)/2)] + " (conflicted copy).docx",
		"/a." + long:             "/a." + long[:2*((255-18-2)/2)] + " (conflicted copy)",
		"/tar.gz/archive.tar.gz": "/tar.gz/archive.tar (conflicted copy).gz",
	} {
		if got := conflictedCopy(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 bytes", 1: "1 bytes", 1023: "1023 bytes", 1024: "1KB", 230783: "225.4KB", 1<<20 - 1: "1MB",
		1536: "1.5KB", 5 << 30: "5GB", 3 << 40: "3TB", 5 << 50: "5120TB",
	} {
		if got := humanSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
