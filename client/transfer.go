package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ChunkSize is how many bytes one request of an upload carries.
const ChunkSize = 4 << 20

// Upload says how a file is to be uploaded.
type Upload struct {
	Path           string // where on the server
	Overwrite      bool   // save as a new revision of a file that is there; else pick a free name
	ParentRevision int64  // if not 0, the file must be at this revision
	New            bool   // there must be no such file: else an *Error, and nothing has changed
	// Modified is when the file was changed where it comes from; the zero time
	// tells nothing.
	Modified time.Time
	// Session is an upload that was begun before; empty begins one. Begun is
	// told the session, so that it can be gone on with after a restart.
	Session  string
	Begun    func(session string)
	Progress func(sent int64) // called as bytes are known to be safe
}

// Put uploads size bytes of r. It goes on by itself when the connection breaks
// or the server is restarted; what the server has acknowledged is not sent
// again.
func (c *Client) Put(ctx context.Context, r io.ReaderAt, size int64, u Upload) (m Metadata, err error) {
	q := url.Values{"path": {u.Path}, "overwrite": {strconv.FormatBool(u.Overwrite)}}
	if u.ParentRevision != 0 {
		q.Set("parent_revision", strconv.FormatInt(u.ParentRevision, 10))
	}
	if ms := u.Modified.UnixMilli(); !u.Modified.IsZero() && ms > 0 {
		q.Set("client_modified", fmt.Sprintf("%d.%03d", ms/1000, ms%1000))
	}
	var head http.Header
	if u.New {
		head = http.Header{"If-None-Match": {"*"}}
	}
	if size <= ChunkSize && u.Session == "" {
		err = c.retry(ctx, func() (bool, error) {
			return false, c.upload(ctx, "/api/v1/file/put", q, io.NewSectionReader(r, 0, size), size, head, &m)
		})
		return m, err
	}
	session, err := c.putChunks(ctx, r, size, u)
	if err != nil {
		return m, err
	}
	q.Set("upload_id", session)
	err = c.retry(ctx, func() (bool, error) {
		resp, err := c.request(ctx, http.MethodPost, "/api/v1/file/commit_chunked_upload", q, nil, 0, head)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		return false, decode(resp.Body, &m)
	})
	return m, err
}

// chunkAnswer is what the server says of an upload.
type chunkAnswer struct {
	UploadID string `json:"upload_id"`
	Offset   int64  `json:"offset"`
}

func (c *Client) putChunks(ctx context.Context, r io.ReaderAt, size int64, u Upload) (string, error) {
	session, at := u.Session, int64(0)
	known := session == "" // where the upload stands
	for first := true; first || at < size; first = false {
		err := c.retry(ctx, func() (bool, error) {
			if !known {
				offset, err := c.offset(ctx, session)
				if gone(err) && first {
					session, offset, err = "", 0, nil // it has expired: begin anew
				}
				if err != nil {
					return false, err
				}
				moved := offset > at
				at, known = offset, true
				if moved && u.Progress != nil {
					u.Progress(at)
				}
				if at >= size && session != "" {
					return true, nil
				}
			}
			n := min(ChunkSize, size-at)
			q := url.Values{"offset": {strconv.FormatInt(at, 10)}}
			if session != "" {
				q.Set("upload_id", session)
			}
			var a chunkAnswer
			err := c.upload(ctx, "/api/v1/file/chunked_upload", q, io.NewSectionReader(r, at, n), n, nil, &a)
			var wrong *Error
			if errors.As(err, &wrong) && wrong.aligned && session != "" {
				at = wrong.offset
				return true, nil
			}
			if err != nil {
				known = session == ""
				return false, err
			}
			if session != a.UploadID {
				if session = a.UploadID; u.Begun != nil {
					u.Begun(session)
				}
			}
			at = a.Offset
			if u.Progress != nil {
				u.Progress(at)
			}
			return true, nil
		})
		if err != nil {
			return session, err
		}
	}
	return session, nil
}

func gone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// offset asks how far an upload is: with an empty chunk at the beginning,
// which only fits an upload that has nothing yet.
func (c *Client) offset(ctx context.Context, session string) (int64, error) {
	var a chunkAnswer
	err := c.upload(ctx, "/api/v1/file/chunked_upload", url.Values{"upload_id": {session}, "offset": {"0"}}, http.NoBody, 0, nil, &a)
	var wrong *Error
	if errors.As(err, &wrong) && wrong.aligned {
		return wrong.offset, nil
	}
	return a.Offset, err
}

func (c *Client) upload(ctx context.Context, path string, q url.Values, body io.Reader, n int64, head http.Header, out any) error {
	resp, err := c.request(ctx, http.MethodPut, path, q, body, n, head)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp.Body, out)
}

// Download says what is to be downloaded.
type Download struct {
	Path     string
	Revision int64 // 0 is the current one
	ETag     string
	Offset   int64                         // bytes that are here already, of the content that ETag names
	Begun    func(etag string, size int64) // told which content it is
	Progress func(have int64)
}

// ErrChanged reports that the file has another content than the one whose
// beginning is here.
var ErrChanged = errors.New("the file has changed on the server: start again")

// Get downloads into w, in order, from the offset on. It goes on by itself
// when the connection breaks.
func (c *Client) Get(ctx context.Context, w io.Writer, d Download) (size int64, err error) {
	q := url.Values{"path": {d.Path}}
	if d.Revision != 0 {
		q.Set("revision", strconv.FormatInt(d.Revision, 10))
	}
	at, etag, size := d.Offset, d.ETag, int64(-1)
	err = c.retry(ctx, func() (bool, error) {
		if size >= 0 && at == size {
			return true, nil
		}
		head := http.Header{}
		if etag != "" {
			head.Set("Range", fmt.Sprintf("bytes=%d-", at))
			head.Set("If-Match", etag)
		}
		resp, err := c.request(ctx, http.MethodGet, "/api/v1/file/get", q, nil, 0, head)
		var no *Error
		if errors.As(err, &no) && etag != "" {
			switch no.Status {
			case http.StatusPreconditionFailed:
				return false, ErrChanged
			case http.StatusRequestedRangeNotSatisfiable:
				size = at // all of it is here
				return true, nil
			}
		}
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if etag == "" {
			etag = resp.Header.Get("ETag")
		}
		size = at + resp.ContentLength
		if d.Begun != nil {
			d.Begun(etag, size)
		}
		n, err := io.Copy(w, &counted{resp.Body, func(n int64) {
			if d.Progress != nil {
				d.Progress(at + n)
			}
		}, 0})
		at += n
		if err == nil && at != size {
			err = io.ErrUnexpectedEOF
		}
		return n > 0, err
	})
	return size, err
}

// counted reports progress a few times a second.
type counted struct {
	r      io.Reader
	report func(int64)
	n      int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.report(c.n)
	return n, err
}
