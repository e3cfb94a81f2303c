package blank

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire/internal/needs"
)

// unpack reads an archive as a strict reader would and gives its files.
func unpack(t *testing.T, data []byte) ([]*zip.File, map[string][]byte) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r) // checks the checksum
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if files[f.Name] != nil || len(body) == 0 {
			t.Fatalf("%s is there twice or empty", f.Name)
		}
		if !f.Modified.Equal(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s is of %v", f.Name, f.Modified)
		}
		if len(f.Extra) != 0 || f.Flags != 0 || f.Comment != "" {
			t.Errorf("%s: extra %x, flags %x, comment %q", f.Name, f.Extra, f.Flags, f.Comment)
		}
		files[f.Name] = body
	}
	return z.File, files
}

// elements walks a part, which has to be well-formed, and calls f for each start
// tag.
func elements(t *testing.T, name string, body []byte, f func(xml.StartElement)) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(body))
	n := 0
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if el, ok := tok.(xml.StartElement); ok {
			n++
			// The decoder leaves a prefix that was not declared as it is.
			if el.Name.Space == "" || !strings.Contains(el.Name.Space, ":") {
				t.Errorf("%s: <%s> is in no namespace (%q)", name, el.Name.Local, el.Name.Space)
			}
			for _, a := range el.Attr {
				if a.Name.Space != "" && a.Name.Space != "xmlns" && !strings.Contains(a.Name.Space, ":") {
					t.Errorf("%s: prefix %q is not declared", name, a.Name.Space)
				}
			}
			f(el)
		}
	}
	if n == 0 {
		t.Errorf("%s has no elements", name)
	}
}

func attr(el xml.StartElement, name string) string {
	for _, a := range el.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func TestNew(t *testing.T) {
	for _, ext := range Extensions() {
		t.Run(ext, func(t *testing.T) {
			data, err := New(ext)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > 16<<10 {
				t.Errorf("%d bytes is much for nothing", len(data))
			}
			again, err := New("." + strings.ToUpper(ext))
			if err != nil || !bytes.Equal(data, again) {
				t.Errorf("the second is not the first: %v", err)
			}
			again[0]++ // the bytes are the caller's
			if third, _ := New(ext); !bytes.Equal(data, third) {
				t.Error("a caller changed the next one's document")
			}
			order, files := unpack(t, data)
			for name, body := range files {
				if name != mimetype {
					elements(t, name, body, func(xml.StartElement) {})
				}
			}
			if strings.HasPrefix(ext, "o") {
				checkODF(t, ext, data, order, files)
			} else {
				checkOOXML(t, ext, order, files)
			}
		})
	}
}

// An OpenDocument's first bytes are where its type is recognised by, and its
// manifest lists exactly what is there.
func checkODF(t *testing.T, ext string, data []byte, order []*zip.File, files map[string][]byte) {
	kind := "application/vnd.oasis.opendocument." + map[string]string{"odt": "text", "ods": "spreadsheet", "odp": "presentation"}[ext]
	if order[0].Name != mimetype || order[0].Method != zip.Store || string(files[mimetype]) != kind {
		t.Errorf("first is %s, method %d, %q", order[0].Name, order[0].Method, files[mimetype])
	}
	if got := string(data[30 : 38+len(kind)]); got != mimetype+kind {
		t.Errorf("at offset 30: %q", got)
	}
	// The sizes are in the local header too.
	if n := binary.LittleEndian.Uint32(data[22:]); int(n) != len(kind) {
		t.Errorf("the local header says %d bytes", n)
	}
	listed := map[string]bool{}
	elements(t, "manifest", files["META-INF/manifest.xml"], func(el xml.StartElement) {
		if el.Name.Local != "file-entry" {
			return
		}
		full := attr(el, "full-path")
		listed[full] = true
		if full == "/" && attr(el, "media-type") != kind {
			t.Errorf("the manifest says %q", attr(el, "media-type"))
		}
		if full != "/" && files[full] == nil {
			t.Errorf("the manifest lists %q", full)
		}
	})
	for name := range files {
		if name != mimetype && !strings.HasPrefix(name, "META-INF/") && !listed[name] {
			t.Errorf("%s is not in the manifest", name)
		}
	}
	if !listed["/"] {
		t.Error("the manifest does not tell the document's type")
	}
}

// In an Office document every part has a type and is reached by relationships
// whose targets exist; every id that a part uses is among its relationships.
func checkOOXML(t *testing.T, ext string, order []*zip.File, files map[string][]byte) {
	const contentTypes = "[Content_Types].xml"
	if order[0].Name != contentTypes || order[1].Name != "_rels/.rels" {
		t.Errorf("first are %s and %s", order[0].Name, order[1].Name)
	}
	byExt, byName := map[string]string{}, map[string]string{}
	elements(t, contentTypes, files[contentTypes], func(el xml.StartElement) {
		switch el.Name.Local {
		case "Default":
			byExt[attr(el, "Extension")] = attr(el, "ContentType")
		case "Override":
			name := strings.TrimPrefix(attr(el, "PartName"), "/")
			byName[name] = attr(el, "ContentType")
			if files[name] == nil {
				t.Errorf("a type for %s, which is not there", name)
			}
		}
	})
	for name := range files {
		switch {
		case name == contentTypes:
		case strings.HasSuffix(name, ".rels"):
			if byExt["rels"] != "application/vnd.openxmlformats-package.relationships+xml" {
				t.Errorf("%s has type %q", name, byExt["rels"])
			}
		case !strings.HasPrefix(byName[name], "application/vnd.openxmlformats-officedocument."):
			t.Errorf("%s has type %q", name, byName[name])
		}
	}

	reached := map[string]bool{}
	ids := map[string]map[string]string{} // part → id → target
	for name, body := range files {
		if !strings.HasSuffix(name, ".rels") {
			continue
		}
		folder := path.Dir(path.Dir(name))
		source := path.Join(folder, strings.TrimSuffix(path.Base(name), ".rels"))
		if source != "." && files[source] == nil {
			t.Errorf("%s belongs to nothing", name)
		}
		ids[source] = map[string]string{}
		elements(t, name, body, func(el xml.StartElement) {
			if el.Name.Local != "Relationship" {
				return
			}
			target := path.Join(folder, attr(el, "Target"))
			if files[target] == nil {
				t.Errorf("%s leads to %s, which is not there", name, target)
			}
			if ids[source][attr(el, "Id")] != "" {
				t.Errorf("%s has %s twice", name, attr(el, "Id"))
			}
			ids[source][attr(el, "Id")] = target
			reached[target] = true
		})
	}
	for name, body := range files {
		if strings.HasSuffix(name, ".rels") || name == contentTypes {
			continue
		}
		if !reached[name] {
			t.Errorf("nothing leads to %s", name)
		}
		elements(t, name, body, func(el xml.StartElement) {
			for _, a := range el.Attr {
				if strings.HasSuffix(a.Name.Space, "/officeDocument/2006/relationships") && ids[name][a.Value] == "" {
					t.Errorf("%s: <%s> uses %s, which is no relationship of it", name, el.Name.Local, a.Value)
				}
			}
		})
	}
	if ext == "pptx" {
		checkPresentation(t, files)
	}
}

// PowerPoint repairs a file whose masters and layouts share ids, or where shapes
// of one slide do.
func checkPresentation(t *testing.T, files map[string][]byte) {
	seen := map[string]bool{}
	for _, name := range []string{"ppt/presentation.xml", "ppt/slideMasters/slideMaster1.xml"} {
		elements(t, name, files[name], func(el xml.StartElement) {
			if el.Name.Local == "sldMasterId" || el.Name.Local == "sldLayoutId" {
				for _, a := range el.Attr {
					if a.Name == (xml.Name{Local: "id"}) {
						if seen[a.Value] || a.Value < "2147483648" {
							t.Errorf("%s: id %s", name, a.Value)
						}
						seen[a.Value] = true
					}
				}
			}
		})
	}
	if len(seen) != 5 {
		t.Errorf("%d masters and layouts, want 5", len(seen))
	}
	for name, body := range files {
		shapes := map[string]bool{}
		elements(t, name, body, func(el xml.StartElement) {
			if el.Name.Local == "cNvPr" {
				if id := attr(el, "id"); shapes[id] || id == "" {
					t.Errorf("%s: shape id %q", name, id)
				} else {
					shapes[id] = true
				}
			}
		})
	}
}

func TestNewUnknown(t *testing.T) {
	for _, ext := range []string{"", ".", "doc", "docx/", "../docx", "theme.xml", "docx\x00", "..docx"} {
		if data, err := New(ext); data != nil || !errors.Is(err, ErrUnknown) {
			t.Errorf("New(%q) = %d bytes, %v, want ErrUnknown", ext, len(data), err)
		}
	}
}

// The folders and the list say the same.
func TestExtensions(t *testing.T) {
	entries, err := parts.ReadDir("parts")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	if !slices.Equal(folders, Extensions()) {
		t.Errorf("folders %q, extensions %q", folders, Extensions())
	}
}

// The real thing: LibreOffice opens each and makes a PDF of it.
func TestLibreOffice(t *testing.T) {
	office := needs.Program(t, "soffice")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args := []string{
		"-env:UserInstallation=file://" + filepath.ToSlash(filepath.Join(dir, "profile")),
		"--headless", "--norestore", "--convert-to", "pdf", "--outdir", filepath.Join(dir, "out"),
	}
	for _, ext := range Extensions() {
		data, err := New(ext)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "blank-"+ext+"."+ext)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	cmd := exec.CommandContext(ctx, office, args...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("soffice: %v\n%s", err, out)
	}
	for _, ext := range Extensions() {
		pdf, err := os.ReadFile(filepath.Join(dir, "out", "blank-"+ext+".pdf"))
		if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
			t.Errorf("%s: %v, %d bytes of PDF\n%s", ext, err, len(pdf), out)
		}
	}
	// Each went through the filter of its own kind, not that of plain text.
	for _, filter := range []string{"writer_pdf_Export", "calc_pdf_Export", "impress_pdf_Export"} {
		if n := strings.Count(string(out), filter); n != 2 {
			t.Errorf("%s was used %d times, want 2\n%s", filter, n, out)
		}
	}
}
