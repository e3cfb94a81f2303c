package fileapi

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// The bounds of archives of which members are given: the size of the directory,
// and of a member, in bytes.
const (
	maxDirectory = 64 << 20
	maxSubfile   = 2 << 30
)

func notMember(why string) error {
	return &statusError{status: http.StatusUnprocessableEntity, code: "bad_archive", msg: why}
}

// directorySize looks up how long an archive says that its directory is, before
// anybody reads it into memory.
func directorySize(in io.ReaderAt, size int64) (int64, error) {
	tail := make([]byte, min(size, 22+64<<10))
	if _, err := in.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || len(tail)-at < 22 {
		return 0, notMember("the file is no zip archive")
	}
	n := int64(binary.LittleEndian.Uint32(tail[at+12:]))
	if loc := bytes.LastIndex(tail[:at], []byte("PK\x06\x06")); n == 0xffffffff && loc >= 0 && len(tail)-loc >= 48 {
		if v := binary.LittleEndian.Uint64(tail[loc+40:]); v < 1<<62 {
			n = int64(v)
		}
	}
	return n, nil
}

// subfile sends one member of a zip archive, unpacked as it goes. It never
// touches a file system, so a name is a name and no path.
func (c *call) subfile(in *library.Content, name string) error {
	n, err := directorySize(in, in.Size)
	if err != nil {
		return err
	}
	if n > maxDirectory {
		return notMember("the archive has too many members")
	}
	z, err := zip.NewReader(in, in.Size)
	if err != nil {
		return notMember("the file is no zip archive, or a damaged one")
	}
	for _, f := range z.File {
		if f.Name != name || strings.HasSuffix(f.Name, "/") {
			continue
		}
		switch {
		case f.Flags&1 != 0:
			return notMember("the member is protected by a password")
		case f.UncompressedSize64 > maxSubfile:
			return &quire.TooLarge{Limit: maxSubfile}
		}
		r, err := f.Open()
		if err != nil {
			return notMember("the member is packed in a way that is not known here")
		}
		defer r.Close()
		kind := contentType(f.Name)
		h := c.w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Disposition", disposition("attachment", path.Base("/"+f.Name)))
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
		h.Set("Cache-Control", "private, no-cache")
		h.Set("ETag", `"`+string(in.Entry.ID)+"-"+strconv.FormatInt(in.Revision, 10)+"-"+strconv.FormatUint(uint64(f.CRC32), 16)+`"`)
		h.Set("Content-Length", strconv.FormatUint(f.UncompressedSize64, 10))
		if c.r.Method == http.MethodHead {
			return nil
		}
		c.w.WriteHeader(http.StatusOK)
		if _, err := io.Copy(c.w, r); err != nil {
			// The answer has begun: its end must show that it is not whole.
			c.log.Warn("a member of an archive was not sent whole", "node", in.Entry.ID, "error", err)
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	return quire.ErrNotFound
}
