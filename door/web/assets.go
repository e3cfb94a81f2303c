package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// built has the application that ui is made into. It is in the repository, so
// that building the program needs no Node.
//
//go:embed all:built
var built embed.FS

// asset is one file of the application, ready to be sent.
type asset struct {
	kind   string // content type
	plain  []byte
	packed []byte // gzip; nil if that is no smaller
	etag   string
	named  bool // the name changes with the content
}

// assets are the files below /static/ by name.
type assets map[string]asset

// entry is what the page of the application begins with.
type entry struct {
	Script string   // the module
	Styles []string // its style sheets
	Early  []string // modules that it imports at once
}

// load reads the files of both folders and finds the application's entry.
func load() (assets, entry, error) {
	all := make(assets)
	var e entry
	for _, from := range []struct {
		fs   embed.FS
		root string
	}{{static, "static"}, {built, "built"}} {
		err := fs.WalkDir(from.fs, from.root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(name, "/.") {
				return err
			}
			b, err := from.fs.ReadFile(name)
			if err != nil {
				return err
			}
			rel := strings.TrimPrefix(name, from.root+"/")
			all[rel], err = newAsset(rel, b)
			return err
		})
		if err != nil {
			return nil, e, err
		}
	}
	b, err := built.ReadFile("built/.vite/manifest.json")
	if err != nil {
		return nil, e, err
	}
	var manifest map[string]struct {
		File    string   `json:"file"`
		CSS     []string `json:"css"`
		Imports []string `json:"imports"`
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		return nil, e, fmt.Errorf("the application's manifest: %w", err)
	}
	main, ok := manifest["src/main.tsx"]
	if !ok {
		return nil, e, fmt.Errorf("the application's manifest names no entry")
	}
	e = entry{Script: main.File, Styles: main.CSS}
	// What the entry imports in any case, so that it need not be waited for in
	// turn.
	early := append([]string{"src/app.tsx"}, main.Imports...)
	for i := 0; i < len(early); i++ {
		part := manifest[early[i]]
		if part.File == main.File || part.File == "" || slices.Contains(e.Early, part.File) {
			continue
		}
		e.Early = append(e.Early, part.File)
		early = append(early, part.Imports...)
	}
	return all, e, nil
}

func newAsset(name string, b []byte) (asset, error) {
	sum := sha256.Sum256(b)
	a := asset{
		kind: mime.TypeByExtension(path.Ext(name)), plain: b,
		etag:  `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		named: strings.HasPrefix(name, "app/"),
	}
	switch path.Ext(name) { // whatever the machine's tables say
	case ".js":
		a.kind = "text/javascript; charset=utf-8"
	case ".css":
		a.kind = "text/css; charset=utf-8"
	case ".svg":
		a.kind = "image/svg+xml"
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return a, err
	}
	if _, err := w.Write(b); err != nil {
		return a, err
	}
	if err := w.Close(); err != nil {
		return a, err
	}
	if z.Len() < len(b) {
		a.packed = z.Bytes()
	}
	return a, nil
}

// ServeHTTP sends the file whose name follows /static/.
func (all assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := all[strings.TrimPrefix(r.URL.Path, "/static/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", a.etag)
	h.Set("Cache-Control", "public, max-age=300")
	if a.named {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.plain
	if a.packed != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = a.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a browser that went away needs no other answer
	}
}

// acceptsGzip says whether a browser takes gzip: it is named, and not with the
// quality 0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.TrimSpace(params)
			v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimPrefix(q, "q=")), 64)
			return !strings.HasPrefix(q, "q=") || err != nil || v > 0
		}
	}
	return false
}
