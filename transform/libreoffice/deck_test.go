package libreoffice

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// deck makes an OpenDocument presentation of some slides.
func deck(t testing.TB, slides int) []byte {
	t.Helper()
	var pages strings.Builder
	for i := range slides {
		fmt.Fprintf(&pages, `<draw:page draw:name="p%d" draw:master-page-name="Default"><draw:frame svg:width="20cm" svg:height="%dcm" svg:x="2cm" svg:y="2cm"><draw:text-box><text:p>%s %d</text:p></draw:text-box></draw:frame></draw:page>`, i, 2+3*i, words, i+1)
	}
	const spaces = `xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0" office:version="1.2"`
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name, content string) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: map[bool]uint16{true: zip.Store, false: zip.Deflate}[name == "mimetype"]})
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("mimetype", "application/vnd.oasis.opendocument.presentation")
	add("META-INF/manifest.xml", `<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.2"><manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.presentation"/><manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="styles.xml" manifest:media-type="text/xml"/></manifest:manifest>`)
	add("styles.xml", `<?xml version="1.0"?><office:document-styles `+spaces+`><office:automatic-styles><style:page-layout style:name="PL"><style:page-layout-properties fo:page-width="28cm" fo:page-height="21cm"/></style:page-layout></office:automatic-styles><office:master-styles><style:master-page style:name="Default" style:page-layout-name="PL"/></office:master-styles></office:document-styles>`)
	add("content.xml", `<?xml version="1.0"?><office:document-content `+spaces+`><office:body><office:presentation>`+pages.String()+`</office:presentation></office:body></office:document-content>`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
