package transform

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

// Kind is what a source is, by the extension of its usual name.
type Kind string

// byExtension are the kinds that a file's name may claim.
var byExtension = map[string]Kind{
	".docx": "docx", ".docm": "docx", ".dotx": "docx", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xltx": "xlsx", ".pptx": "pptx", ".pptm": "pptx", ".ppsx": "pptx", ".potx": "pptx",
	".odt": "odt", ".ott": "odt", ".ods": "ods", ".ots": "ods", ".odp": "odp", ".otp": "odp", ".odg": "odg",
	".doc": "doc", ".xls": "xls", ".ppt": "ppt", ".rtf": "rtf", ".csv": "csv", ".tsv": "csv", ".txt": "txt", ".md": "txt", ".log": "txt", ".json": "txt", ".xml": "txt", ".html": "html", ".htm": "html",
	".pdf": "pdf", ".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".gif": "gif", ".webp": "webp", ".bmp": "bmp", ".tif": "tif", ".tiff": "tif", ".zip": "zip",
}

// Claimed is the kind that a file's name claims; empty for none that is known.
func Claimed(name string) Kind { return byExtension[strings.ToLower(path.Ext(name))] }

// The beginnings of what is no archive and no text.
var magic = []struct {
	at   int
	text string
	kind Kind
}{
	{0, "%PDF-", "pdf"}, {0, "{\\rtf", "rtf"}, {0, "\x89PNG\r\n\x1a\n", "png"}, {0, "\xff\xd8\xff", "jpg"}, {0, "GIF87a", "gif"}, {0, "GIF89a", "gif"},
	{8, "WEBP", "webp"}, {0, "BM", "bmp"}, {0, "II*\x00", "tif"}, {0, "MM\x00*", "tif"},
}

const ole = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// Sniff finds out what a source is by its bytes; only where they leave it open
// does the name decide. What is not what its name claims gives a *SourceError:
// a converter that is told to guess makes a page of garbage of it.
func Sniff(s Source) (Kind, error) {
	claimed := Claimed(s.Name)
	if s.Size == 0 {
		return "", &SourceError{"the file is empty"}
	}
	head := make([]byte, min(s.Size, 4096))
	if n, err := s.ReadAt(head, 0); n < len(head) {
		return "", err
	}
	for _, m := range magic {
		if len(head) > m.at && bytes.HasPrefix(head[m.at:], []byte(m.text)) && (m.kind != "bmp" || claimed == "bmp") {
			return m.kind, nil
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("PK")):
		return inZip(s, claimed)
	case bytes.HasPrefix(head, []byte(ole)):
		switch claimed {
		case "doc", "xls", "ppt":
			return claimed, nil
		case "docx", "xlsx", "pptx":
			return "", &SourceError{"the document is protected by a password"}
		}
		return "", &SourceError{"the file's name does not say which kind of document it is: call it .doc, .xls or .ppt"}
	}
	if isText(head, s.Size > int64(len(head))) {
		switch claimed {
		case "csv", "html":
			return claimed, nil
		case "", "txt":
			return "txt", nil
		}
	}
	if claimed == "" {
		return "", &SourceError{"the file is of no type that can be converted"}
	}
	return "", &SourceError{"the file is not what its name says: it is no " + string(claimed) + " document"}
}

// isText says whether the beginning of a file is text in UTF-8. The last
// character may be cut off.
func isText(head []byte, cut bool) bool {
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for i := 0; i < 4 && cut && !utf8.Valid(head); i++ {
		head = head[:len(head)-1]
	}
	return utf8.Valid(head)
}

// The bounds of archives: how many members are looked at, and how much may come
// of inflating them.
const (
	maxMembers  = 20_000
	maxInflated = 2 << 30
)

// inZip finds out what an archive is.
func inZip(s Source, claimed Kind) (Kind, error) {
	z, err := openZip(s)
	if err != nil {
		return "", err
	}
	has := func(name string) bool {
		for _, f := range z.File {
			if f.Name == name {
				return true
			}
		}
		return false
	}
	for _, f := range z.File {
		if f.Name != "mimetype" || f.UncompressedSize64 > 200 {
			continue
		}
		b, err := readMember(f, 200)
		if err != nil {
			return "", &SourceError{"the document is damaged"}
		}
		for of, k := range map[string]Kind{"text": "odt", "spreadsheet": "ods", "presentation": "odp", "graphics": "odg"} {
			if strings.HasPrefix(string(b), "application/vnd.oasis.opendocument."+of) {
				if m, err := member(z, "META-INF/manifest.xml"); err == nil && bytes.Contains(m, []byte("encryption-data")) {
					return "", &SourceError{"the document is protected by a password"}
				}
				return k, nil
			}
		}
	}
	switch {
	case has("word/document.xml"):
		return "docx", nil
	case has("xl/workbook.xml"):
		return "xlsx", nil
	case has("ppt/presentation.xml"):
		return "pptx", nil
	case claimed == "zip" || claimed == "":
		return "zip", nil
	}
	return "", &SourceError{"the file is not what its name says: it is no " + string(claimed) + " document"}
}

// openZip opens an archive and looks at what it says of itself, so that none is
// handed to a converter that would fill the disk.
func openZip(s Source) (*zip.Reader, error) {
	z, err := OpenArchive(s, s.Size)
	switch {
	case errors.Is(err, ErrNoArchive):
		return nil, &SourceError{"the archive is damaged"}
	case errors.Is(err, ErrTooManyMembers), err == nil && len(z.File) > maxMembers:
		return nil, &SourceError{ErrTooManyMembers.Error()}
	case err != nil:
		return nil, err
	}
	var sum uint64
	for _, f := range z.File {
		sum += f.UncompressedSize64
		if sum > maxInflated || sum < f.UncompressedSize64 {
			return nil, &SourceError{"the archive unpacks to more than is allowed"}
		}
		if f.Flags&1 != 0 {
			return nil, &SourceError{"the archive is protected by a password"}
		}
		// Nothing that people write is packed a thousandfold, but for a few small
		// members.
		if f.UncompressedSize64 > 64<<20 && f.UncompressedSize64/1000 > f.CompressedSize64 {
			return nil, &SourceError{"the archive unpacks to more than is allowed"}
		}
	}
	return z, nil
}

// readMember reads a member of an archive up to a limit, whatever the archive
// says of its size.
func readMember(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errors.New("the member is larger than is allowed")
	}
	return b, err
}

func member(z *zip.Reader, name string) ([]byte, error) {
	for _, f := range z.File {
		if f.Name == name {
			return readMember(f, 4<<20)
		}
	}
	return nil, errors.New("there is no such member")
}
