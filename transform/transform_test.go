package transform_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/quire-docs/quire/transform"
)

func source(name, content string) transform.Source {
	return transform.Source{ReaderAt: strings.NewReader(content), Name: name, Size: int64(len(content))}
}

// archive makes a zip of pairs of a name and a content.
func archive(t testing.TB, pairs ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		w, err := z.Create(pairs[i])
		if err == nil {
			_, err = io.WriteString(w, pairs[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func final(err error) bool { return errors.As(err, new(*transform.SourceError)) }

func TestSniff(t *testing.T) {
	odt := archive(t, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<x/>")
	for _, try := range []struct {
		name, content string
		want          transform.Kind
	}{
		{"a.docx", archive(t, "word/document.xml", "x"), "docx"}, {"a.bin", archive(t, "xl/workbook.xml", "x"), "xlsx"}, {"a.docx", archive(t, "ppt/presentation.xml", "x"), "pptx"},
		{"a.odt", odt, "odt"}, {"a.zip", archive(t, "a", "b"), "zip"}, {"a.pdf", "%PDF-1.4", "pdf"}, {"a.docx", "%PDF-1.4", "pdf"}, {"a.doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "doc"},
		{"a.rtf", "{\\rtf1}", "rtf"}, {"a.csv", "a;b", "csv"}, {"a.txt", "text", "txt"}, {"README", "text", "txt"}, {"a.md", "# x", "txt"}, {"a.html", "<p>", "html"}, {"a.txt", strings.Repeat("ü", 5000), "txt"},
	} {
		if k, err := transform.Sniff(source(try.name, try.content)); k != try.want || err != nil {
			t.Errorf("%s: %q %v, want %q", try.name, k, err, try.want)
		}
	}
	for what, s := range map[string]transform.Source{
		"nothing": source("a.docx", ""), "noise as docx": source("a.docx", "\x00\x01\x02noise"), "text as docx": source("a.docx", "text"), "a zip as docx": source("a.docx", archive(t, "a", "b")), "noise": source("a", "\x00\x01"),
		"a password": source("a.docx", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1EncryptedPackage"), "an OLE file without a name": source("a", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
		"a zip that is cut off": source("a.docx", archive(t, "word/document.xml", "x")[:40]), "an odt with a password": source("a.odt", archive(t, "mimetype", "application/vnd.oasis.opendocument.text", "META-INF/manifest.xml", "<encryption-data/>")),
		"a zip bomb": source("a.docx", bomb(t)),
	} {
		if k, err := transform.Sniff(s); !final(err) {
			t.Errorf("%s: %q %v", what, k, err)
		}
	}
}

// bomb is an archive of a few hundred kilobytes that unpacks to many gigabytes.
func bomb(t testing.TB) string {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range 200 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func convert(t *testing.T, s transform.Source, target transform.Target) (string, error) {
	t.Helper()
	var b bytes.Buffer
	err := transform.Set{transform.Native{}}.Convert(t.Context(), s, target, &b)
	return b.String(), err
}

func TestNative(t *testing.T) {
	got, err := convert(t, source("a.txt", "\ufeffa <b> & ü"), transform.Target{Type: transform.Text})
	if err != nil || got != "a <b> & ü" {
		t.Errorf("%q %v", got, err)
	}
	got, err = convert(t, source("a.txt", "a <script> & ü"), transform.Target{Type: transform.HTML})
	if err != nil || !strings.Contains(got, "a &lt;script&gt; &amp; ü") || strings.Contains(got, "<script>") {
		t.Errorf("%q %v", got, err)
	}
	got, err = convert(t, source("a.zip", archive(t, "x/y.txt", "12345", "../z", "")), transform.Target{Type: transform.Text})
	if err != nil || !strings.Contains(got, "           5  ") || !strings.Contains(got, "x/y.txt\n") {
		t.Errorf("%q %v", got, err)
	}
	slide := func(text string) string {
		return `<p:sld xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:p="p"><a:p><a:r><a:t>` + text + `</a:t></a:r><a:br/><a:r><a:t>more</a:t></a:r></a:p></p:sld>`
	}
	got, err = convert(t, source("a.pptx", archive(t, "ppt/presentation.xml", "x", "ppt/slides/slide10.xml", slide("ten 日本"), "ppt/slides/slide2.xml", slide("two"))), transform.Target{Type: transform.Text})
	if err != nil || got != "two\nmore\n\nten 日本\nmore\n\n" {
		t.Errorf("%q %v", got, err)
	}
	odp := `<o xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"><draw:page><text:p>one<text:s/>😀</text:p></draw:page><draw:page><text:h>two</text:h></draw:page></o>`
	got, err = convert(t, source("a.odp", archive(t, "mimetype", "application/vnd.oasis.opendocument.presentation", "content.xml", odp)), transform.Target{Type: transform.Text})
	if err != nil || !strings.Contains(got, "one 😀\n\n") || !strings.Contains(got, "two\n") {
		t.Errorf("%q %v", got, err)
	}
	for what, s := range map[string]transform.Source{
		"slides that are no XML":     source("a.pptx", archive(t, "ppt/presentation.xml", "x", "ppt/slides/slide1.xml", "<a><b></a>")),
		"slides that are too deep":   source("a.pptx", archive(t, "ppt/presentation.xml", "x", "ppt/slides/slide1.xml", strings.Repeat("<a>", 5000))),
		"a target that nobody makes": source("a.zip", archive(t, "a", "b")),
	} {
		target := transform.Text
		if strings.HasPrefix(what, "a target") {
			target = transform.PDF
		}
		if _, err := convert(t, s, transform.Target{Type: target}); !final(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestThumbnail(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 400, 200))
	for x := range 400 {
		for y := range 200 {
			img.Set(x, y, color.RGBA{uint8(x), uint8(y), 9, 255})
		}
	}
	encode := func(f func(io.Writer) error) string {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	files := map[string]string{
		"a.png": encode(func(w io.Writer) error { return png.Encode(w, img) }),
		"a.jpg": encode(func(w io.Writer) error { return jpeg.Encode(w, img, nil) }),
		"a.gif": encode(func(w io.Writer) error { return gif.Encode(w, img, nil) }),
	}
	for name, content := range files {
		for _, try := range []struct{ ask, w, h int }{{0, 400, 200}, {100, 100, 50}, {1000, 400, 200}} {
			got, err := convert(t, source(name, content), transform.Target{Type: transform.PNG, Width: try.ask})
			if err != nil {
				t.Fatal(name, err)
			}
			c, err := png.DecodeConfig(strings.NewReader(got))
			if err != nil || c.Width != try.w || c.Height != try.h {
				t.Errorf("%s at %d: %d x %d, %v", name, try.ask, c.Width, c.Height, err)
			}
		}
	}
	// A picture that claims to be huge is not made room for.
	huge := []byte(files["a.png"])
	binary.BigEndian.PutUint32(huge[16:], 100_000)
	binary.BigEndian.PutUint32(huge[20:], 100_000)
	for what, content := range map[string]string{"huge": string(huge), "cut off": files["a.jpg"][:300], "a beginning": files["a.png"][:10]} {
		if _, err := convert(t, source("a.png", content), transform.Target{Type: transform.PNG, Width: 100}); !final(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	s := source("a.txt", "x")
	s.Size = transform.MaxSource + 1
	if _, err := convert(t, s, transform.Target{Type: transform.Text}); !final(err) {
		t.Errorf("%v", err)
	}
}

// broken is an engine that does not work now.
type broken struct{}

func (broken) Name() string                           { return "broken" }
func (broken) Serves(k transform.Kind, _ string) bool { return k == "docx" }
func (broken) Check(context.Context) error            { return errors.New("it is off") }
func (broken) Convert(context.Context, transform.Kind, transform.Source, transform.Target, io.Writer) error {
	return errors.New("it is off")
}

func TestSet(t *testing.T) {
	set := transform.Set{transform.Native{}, broken{}}
	var no *transform.UnsupportedError
	if err := set.Serves("png", transform.PDF); !errors.As(err, &no) || !slices.Equal(no.Can, []string{transform.PNG}) {
		t.Errorf("%v", err)
	}
	if err := set.Serves("docx", transform.PDF); err != nil {
		t.Error(err)
	}
	err := set.Convert(t.Context(), source("a.docx", archive(t, "word/document.xml", "x")), transform.Target{Type: transform.PDF}, io.Discard)
	if err == nil || final(err) || !strings.Contains(err.Error(), "broken: it is off") {
		t.Errorf("%v", err)
	}
	r := set.Report(t.Context())
	if len(r) != 2 || !r[0].OK || r[1].OK || r[1].Error != "it is off" || !slices.Contains(r[1].Serves, "docx to application/pdf") || !slices.Contains(r[0].Serves, "png to image/png") {
		t.Errorf("%+v", r)
	}
	if transform.NeedsOffice("png", transform.PNG) || !transform.NeedsOffice("docx", transform.PDF) || transform.NeedsOffice("docx", "video/mp4") {
		t.Error("what needs an office engine")
	}
}

// FuzzNative: whatever bytes come, there is a result or a reason, soon.
func FuzzNative(f *testing.F) {
	f.Add("a.zip", archive(f, "a", "b"))
	f.Add("a.pptx", archive(f, "ppt/presentation.xml", "x", "ppt/slides/slide1.xml", "<a><t>x</t></a>"))
	f.Add("a.png", "\x89PNG\r\n\x1a\n")
	f.Add("a.txt", "text")
	f.Fuzz(func(t *testing.T, name, content string) {
		for _, target := range []string{transform.Text, transform.HTML, transform.PNG} {
			var b bytes.Buffer
			err := transform.Set{transform.Native{}}.Convert(t.Context(), source(name, content), transform.Target{Type: target, Width: 50}, &b)
			if err != nil && !final(err) {
				t.Errorf("%s: %v", target, err)
			}
			if b.Len() > 10*len(content)+1<<20 {
				t.Errorf("%d bytes give %d", len(content), b.Len())
			}
		}
	})
}
