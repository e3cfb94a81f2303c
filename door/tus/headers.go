package tus

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
)

// maxMetadata is the most bytes that Upload-Metadata may have, since it is kept
// with the upload.
const maxMetadata = 8 << 10

// metadata is what Upload-Metadata says.
type metadata map[string]string

// parseMetadata reads Upload-Metadata: pairs of a key and a value in base64,
// separated by commas; the value may be missing.
func parseMetadata(s string) (metadata, error) {
	m := make(metadata)
	if strings.TrimSpace(s) == "" {
		return m, nil
	}
	if len(s) > maxMetadata {
		return nil, bad("Upload-Metadata is too long: send 8 KiB at most")
	}
	for _, pair := range strings.Split(s, ",") {
		key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key == "" || strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
			return nil, bad("Upload-Metadata has a key that is not of visible ASCII characters")
		}
		if _, twice := m[key]; twice {
			return nil, bad("Upload-Metadata has the key " + key + " twice")
		}
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil || strings.ContainsAny(text, "\r\n ") {
			return nil, bad("Upload-Metadata: the value of " + key + " is not base64")
		}
		m[key] = string(value)
	}
	return m, nil
}

// target returns where the file is to go and at which revision it must be; 0
// is any.
func (m metadata) target() (t quire.Target, revision int64, err error) {
	overwrite, err := m.flag("overwrite")
	if err != nil {
		return t, 0, err
	}
	switch conflict := m["conflict"]; {
	case conflict == "replace" || conflict == "" && overwrite:
		t.OnConflict = quire.Replace
	case conflict == "reject":
		t.OnConflict = quire.Reject
	case conflict != "" && conflict != "rename":
		return t, 0, bad("Upload-Metadata: conflict is one of rename, replace and reject")
	}
	if text := m["parent_revision"]; text != "" {
		if revision, err = strconv.ParseInt(text, 10, 64); err != nil || revision < 1 {
			return t, 0, bad("Upload-Metadata: parent_revision is no revision's number")
		}
		t.OnConflict = quire.Replace
	}
	if text := m["modified"]; text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > 253402300799999 {
			return t, 0, bad("Upload-Metadata: modified is no number of milliseconds since 1970")
		}
		t.Client = time.UnixMilli(ms).UTC()
	}
	if whole, given := m["path"]; given {
		if whole == "" || strings.HasSuffix(whole, "/") {
			return t, 0, bad("Upload-Metadata: path names no file")
		}
		t.Path = whole
		return t, revision, nil
	}
	name := m["filename"]
	if name == "" {
		name = m["name"]
	}
	if name == "" {
		name = "upload"
	}
	if strings.ContainsAny(name, "/\\") {
		return t, 0, &quire.InvalidName{Name: name, Reason: "it has a slash"}
	}
	// Browsers send the path below the folder that was dropped, or "null".
	if below := m["relativePath"]; below != "" && below != "null" {
		name = path.Join(path.Dir(strings.TrimPrefix(below, "/")), name)
		for _, part := range strings.Split(below, "/") {
			if part == ".." {
				return t, 0, &quire.InvalidName{Name: "..", Reason: "it leads out of the folder"}
			}
		}
	}
	folder := m["folder"]
	switch {
	case folder == "" || strings.HasPrefix(folder, "/"):
		t.Path = strings.TrimSuffix(folder, "/") + "/" + name
	default:
		t.Parent, t.Name = quire.NodeID(folder), name
	}
	return t, revision, nil
}

func (m metadata) flag(key string) (bool, error) {
	switch strings.ToLower(m[key]) {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	}
	return false, bad("Upload-Metadata: " + key + " is true or false")
}

// algorithms are the checksums that can be asked for. The protocol demands the
// first.
const algorithms = "sha1,sha256,md5"

// checksum compares a body with what Upload-Checksum says of it.
type checksum struct {
	hash.Hash
	want string
}

// parseChecksum reads Upload-Checksum; nil is none.
func parseChecksum(s string) (*checksum, error) {
	if s == "" {
		return nil, nil
	}
	name, text, _ := strings.Cut(s, " ")
	c := new(checksum)
	switch strings.ToLower(name) {
	case "sha1":
		c.Hash = sha1.New()
	case "sha256":
		c.Hash = sha256.New()
	case "md5":
		c.Hash = md5.New()
	default:
		return nil, bad("Upload-Checksum: use one of " + algorithms)
	}
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != c.Size() {
		return nil, bad("Upload-Checksum: what follows " + name + " is not such a checksum in base64")
	}
	c.want = string(sum)
	return c, nil
}

// verify says whether what was written has the checksum.
func (c *checksum) verify() error {
	if string(c.Sum(nil)) != c.want {
		return errChecksum
	}
	return nil
}

// concat is what Upload-Concat says.
type concat struct {
	partial bool
	final   bool
	parts   []quire.UploadID // of a final upload, in their order
}

// parseConcat reads Upload-Concat: "partial", or "final;" and the URLs or
// paths of uploads of this server.
func parseConcat(s string) (c concat, err error) {
	if s == "" {
		return c, nil
	}
	if s == "partial" {
		return concat{partial: true}, nil
	}
	list, ok := strings.CutPrefix(s, "final;")
	if !ok {
		return c, bad("Upload-Concat is neither partial nor final")
	}
	c.final = true
	for _, text := range strings.Fields(list) {
		u, err := url.Parse(text)
		if err != nil {
			return c, bad("Upload-Concat names something that is no URL")
		}
		dir, id := path.Split(u.Path)
		if id == "" || path.Clean("/"+dir) != base {
			return c, bad("Upload-Concat names something that is no upload of this server")
		}
		c.parts = append(c.parts, quire.UploadID(id))
	}
	if len(c.parts) == 0 {
		return c, bad("Upload-Concat names no parts")
	}
	return c, nil
}

// number reads a header that is a count of bytes; -1 is that it is missing.
func number(h http.Header, name string) (int64, error) {
	text := h.Get(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, bad(name + " is no number of bytes")
	}
	return int64(n), nil
}
