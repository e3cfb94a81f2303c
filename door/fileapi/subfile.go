package fileapi

import (
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/transform"
)

// The bounds of archives of which members are given: the size of the directory,
// and of a member, in bytes.
const maxSubfile = 2 << 30

func notMember(why string) error {
	return &statusError{status: http.StatusUnprocessableEntity, code: "bad_archive", msg: why}
}

// subfile sends one member of a zip archive, unpacked as it goes. It never
// touches a file system, so a name is a name and no path.
func (c *call) subfile(in *library.Content, name string) error {
	z, err := transform.OpenArchive(in, in.Size)
	switch {
	case errors.Is(err, transform.ErrNoArchive), errors.Is(err, transform.ErrTooManyMembers):
		return notMember(err.Error())
	case err != nil:
		return err
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
