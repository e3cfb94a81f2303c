package transform

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"image"
	"image/png"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/image/draw"

	// The formats of pictures that can be read.
	_ "image/gif"
	_ "image/jpeg"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// Native does what needs no other program: pictures to smaller ones, text as
// text or HTML, the list of an archive's members, and the text of presentations,
// for which LibreOffice has no filter.
type Native struct{}

// Name implements Engine.
func (Native) Name() string { return "built in" }

// Check implements Engine.
func (Native) Check(context.Context) error { return nil }

var pictures = []Kind{"png", "jpg", "gif", "webp", "bmp", "tif"}

// Serves implements Engine.
func (Native) Serves(k Kind, target string) bool {
	switch target {
	case PNG:
		return slices.Contains(pictures, k)
	case Text:
		return k == "txt" || k == "csv" || k == "zip" || k == "pptx" || k == "odp"
	case HTML:
		return k == "txt" || k == "pptx"
	}
	return false
}

// Convert implements Engine.
func (Native) Convert(ctx context.Context, k Kind, s Source, t Target, w io.Writer) error {
	r := io.NewSectionReader(s, 0, s.Size)
	switch {
	case t.Type == PNG:
		return Thumbnail(r, t.Width, w)
	case t.Type == HTML && k == "pptx":
		var b bytes.Buffer
		if err := slides(s, k, &b); err != nil {
			return err
		}
		return slidesAsHTML(b.String(), w)
	case t.Type == HTML:
		return textAsHTML(r, w)
	case k == "zip":
		return listing(s, w)
	case k == "pptx" || k == "odp":
		return slides(s, k, w)
	}
	return cleanText(r, w)
}

// maxPixels bounds the pictures that are decoded: a few bytes can claim billions.
const maxPixels = 64 << 20

// Thumbnail writes a picture as PNG, at most as wide as width where that is above
// 0, and at most three times as high.
func Thumbnail(r io.ReadSeeker, width int, w io.Writer) error {
	conf, _, err := image.DecodeConfig(bufio.NewReader(r))
	if err != nil {
		return &SourceError{"the picture cannot be read"}
	}
	if conf.Width <= 0 || conf.Height <= 0 || conf.Width > maxPixels/conf.Height {
		return &SourceError{"the picture is too large"}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	img, _, err := image.Decode(bufio.NewReader(r))
	if err != nil {
		return &SourceError{"the picture is damaged"}
	}
	if width > 0 {
		img = shrink(img, width)
	}
	return png.Encode(w, img)
}

func shrink(img image.Image, width int) image.Image {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if w > width {
		w, h = width, max(1, h*width/w)
	}
	if limit := 3 * width; h > limit {
		w, h = max(1, w*limit/h), limit
	}
	if w == b.Dx() && h == b.Dy() {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(out, out.Bounds(), img, b, draw.Over, nil)
	return out
}

// cleanText copies text without a byte order mark, and without what is no UTF-8.
func cleanText(r io.Reader, w io.Writer) error {
	in := bufio.NewReader(r)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = in.Discard(3) // it was there to be peeked at
	}
	out := bufio.NewWriter(w)
	for {
		c, n, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		if c == utf8.RuneError && n == 1 {
			c = '\ufffd'
		}
		if _, err := out.WriteRune(c); err != nil {
			return err
		}
	}
}

func textAsHTML(r io.Reader, w io.Writer) error {
	var b bytes.Buffer
	if err := cleanText(io.LimitReader(r, 64<<20), &b); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "<!doctype html>\n<meta charset=\"utf-8\">\n<pre>%s</pre>\n", html.EscapeString(b.String()))
	return err
}

// slidesAsHTML writes the text of slides, which an empty line separates, as
// sections of a page.
func slidesAsHTML(text string, w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "<!doctype html>\n<meta charset=\"utf-8\">\n")
	for slide := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		fmt.Fprint(out, "<section>\n")
		for line := range strings.SplitSeq(slide, "\n") {
			if line != "" {
				fmt.Fprintf(out, "<p>%s</p>\n", html.EscapeString(line))
			}
		}
		fmt.Fprint(out, "</section>\n")
	}
	return out.Flush()
}

// listing writes the names and sizes of an archive's members.
func listing(s Source, w io.Writer) error {
	z, err := openZip(s)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, f := range z.File {
		fmt.Fprintf(out, "%12d  %s  %s\n", f.UncompressedSize64, f.Modified.UTC().Format("2006-01-02 15:04"), strings.ToValidUTF8(f.Name, "?"))
	}
	return out.Flush()
}

var slideName = regexp.MustCompile(`^ppt/slides/slide([0-9]+)\.xml$`)

// slides writes the text of a presentation, a paragraph to a line, with an empty
// line between slides.
func slides(s Source, k Kind, w io.Writer) error {
	z, err := openZip(s)
	if err != nil {
		return err
	}
	type part struct {
		n int
		f *zip.File
	}
	var parts []part
	for _, f := range z.File {
		m := slideName.FindStringSubmatch(f.Name)
		switch {
		case k == "odp" && f.Name == "content.xml":
			parts = append(parts, part{0, f})
		case k == "pptx" && m != nil:
			n, _ := strconv.Atoi(m[1])
			parts = append(parts, part{n, f})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.n, b.n) })
	out := bufio.NewWriter(w)
	for _, p := range parts {
		b, err := readMember(p.f, 64<<20)
		if err != nil {
			return &SourceError{"the presentation is damaged"}
		}
		if err := paragraphs(b, out); err != nil {
			return &SourceError{"the presentation is damaged"}
		}
		fmt.Fprintln(out)
	}
	return out.Flush()
}

// paragraphs writes the text of DrawingML (a:p, a:t) and of OpenDocument (text:p,
// text:h, draw:page).
func paragraphs(b []byte, w io.Writer) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	var line strings.Builder
	inText, depth := 0, 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > 1000 {
				return errors.New("it is nested too deeply")
			}
			odf := strings.HasSuffix(t.Name.Space, ":text:1.0")
			switch {
			case t.Name.Local == "t" && !odf, odf && (t.Name.Local == "p" || t.Name.Local == "h"):
				inText++
			case odf && t.Name.Local == "s":
				line.WriteByte(' ')
			case t.Name.Local == "br" || odf && t.Name.Local == "line-break":
				line.WriteByte('\n')
			}
		case xml.CharData:
			if inText > 0 {
				line.Write(t)
			}
		case xml.EndElement:
			depth--
			odf := strings.HasSuffix(t.Name.Space, ":text:1.0")
			if t.Name.Local == "t" && !odf || odf && (t.Name.Local == "p" || t.Name.Local == "h") {
				inText--
			}
			if t.Name.Local == "p" || odf && t.Name.Local == "h" {
				if line.Len() > 0 {
					if _, err := fmt.Fprintln(w, line.String()); err != nil {
						return err
					}
				}
				line.Reset()
			}
			if t.Name.Local == "page" && strings.HasSuffix(t.Name.Space, ":drawing:1.0") {
				if _, err := fmt.Fprintln(w); err != nil {
					return err
				}
			}
		}
	}
}
