// Package blank makes empty documents for people to start from: real files that
// open in the editors of their formats without complaint, where a file of zero
// bytes would not. The XML they are made of lies beside this package in parts.
package blank

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"embed"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"
)

// ErrUnknown says that there is no blank document for an extension.
var ErrUnknown = errors.New("no blank document of this kind")

// parts has a folder for each extension with the files of its package. Their
// order in the archive is that of their names, which puts [Content_Types].xml
// first, as Office likes it.
//
//go:embed all:parts
var parts embed.FS

// theme is where the formats that share parts/theme.xml have it.
var theme = map[string]string{
	"docx": "word/theme/theme1.xml",
	"xlsx": "xl/theme/theme1.xml",
	"pptx": "ppt/theme/theme1.xml",
}

// Extensions lists the extensions that New knows, without the dot.
func Extensions() []string {
	return []string{"docx", "odp", "ods", "odt", "pptx", "xlsx"}
}

// New makes the blank document for an extension, with or without a dot, in any
// case: ErrUnknown if there is none. One build of this program makes the same
// bytes every time; they are the caller's.
func New(ext string) ([]byte, error) {
	ext = strings.ToLower(strings.TrimPrefix(ext, "."))
	if !slices.Contains(Extensions(), ext) {
		return nil, fmt.Errorf("blank %q: %w", ext, ErrUnknown)
	}
	files, err := readParts(ext)
	if err != nil {
		return nil, fmt.Errorf("blank %q: %w", ext, err)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		if err := add(z, f); err != nil {
			return nil, fmt.Errorf("blank %q: %s: %w", ext, f.name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("blank %q: %w", ext, err)
	}
	return out.Bytes(), nil
}

type file struct {
	name string
	data []byte
}

func readParts(ext string) ([]file, error) {
	root := "parts/" + ext
	var files []file
	err := fs.WalkDir(parts, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := parts.ReadFile(path)
		files = append(files, file{strings.TrimPrefix(path, root+"/"), data})
		return err
	})
	if err != nil {
		return nil, err
	}
	if name, ok := theme[ext]; ok {
		data, err := parts.ReadFile("parts/theme.xml")
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, data})
	}
	slices.SortFunc(files, func(a, b file) int {
		// OpenDocument wants its mimetype where file(1) looks for it.
		if (a.name == mimetype) != (b.name == mimetype) {
			if a.name == mimetype {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return files, nil
}

const (
	mimetype = "mimetype"
	dosEpoch = 1<<5 | 1 // 1 January 1980, the first day that a zip archive can tell
	version  = 20       // of the zip format: the first with deflate
)

// add writes a file with sizes and checksum in front of it, and with no extra
// fields: OpenDocument forbids them on its mimetype, and some readers do without
// data descriptors.
func add(z *zip.Writer, f file) error {
	h := &zip.FileHeader{
		Name:               f.name,
		Method:             zip.Deflate,
		CreatorVersion:     version,
		ReaderVersion:      version,
		CRC32:              crc32.ChecksumIEEE(f.data),
		UncompressedSize64: uint64(len(f.data)),
	}
	//lint:ignore SA1019 the field that replaces it also adds an extra field
	h.ModifiedDate = dosEpoch
	data := f.data
	if f.name == mimetype {
		h.Method = zip.Store
	} else {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		data = b.Bytes()
	}
	h.CompressedSize64 = uint64(len(data))
	w, err := z.CreateRaw(h)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
