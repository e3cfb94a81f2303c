package fileapi

import (
	"net/http"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// put is PUT put: a whole file in one request.
func put(c *call) error {
	n, err := c.length()
	if err != nil {
		return err
	}
	t, o, err := c.destination()
	if err != nil {
		return err
	}
	o.Length, o.Sized, o.Max = n, true, maxBody
	e, _, err := c.lib.Save(c.ctx, c.caller, t, c.r.Body, o)
	if err != nil {
		return c.conditional(err)
	}
	return c.saved(e)
}

// saved answers with the metadata of what was saved.
func (c *call) saved(e library.Entry) error {
	c.w.Header().Set("ETag", etag(e.ID, e.Revision))
	return c.answer(http.StatusOK, describe(e))
}

// uploadLife is how long an upload lives after its last chunk.
const uploadLife = 24 * time.Hour

// progress is how far an upload is.
type progress struct {
	UploadID quire.UploadID `json:"upload_id"`
	Offset   int64          `json:"offset"`
	Expires  string         `json:"expires"`
	Error    string         `json:"error,omitempty"`
}

func progressOf(u quire.Upload) progress {
	p := progress{UploadID: u.ID, Offset: u.Received}
	if u.ID != "" {
		p.Expires = stamp(u.Expires)
	}
	return p
}

// misaligned is the answer to a chunk that does not begin where the last one
// ended. Clients parse the sentence.
func misaligned(e *quire.OffsetMismatch) progress {
	p := progressOf(e.Upload)
	p.Error = e.Error()
	return p
}

// chunkedUpload is PUT chunked_upload: a piece of a file.
func chunkedUpload(c *call) error {
	n, err := c.length()
	if err != nil {
		return err
	}
	offset, err := c.number(0, "offset")
	if err != nil {
		return err
	}
	id := quire.UploadID(c.q.Get("upload_id"))
	if id == "" {
		if offset != 0 {
			return &quire.OffsetMismatch{Got: offset}
		}
		u, err := c.lib.CreateUpload(c.ctx, c.caller, library.NewUpload{Declared: -1, Life: uploadLife})
		if err != nil {
			return err
		}
		id = u.ID
	}
	u, err := c.append(id, offset, n)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, progressOf(u))
}

// append adds the request's body to an upload.
func (c *call) append(id quire.UploadID, offset, n int64) (quire.Upload, error) {
	if n == 0 {
		u, err := c.lib.Upload(c.ctx, c.caller, id)
		if err == nil && offset != u.Received {
			err = &quire.OffsetMismatch{Got: offset, Expected: u.Received, Upload: u}
		}
		return u, err
	}
	u, added, err := c.lib.Append(c.ctx, c.caller, id, offset, c.r.Body, library.Append{
		Length: n, Sized: true, Max: maxBody, Interrupt: c.interrupt,
	})
	if err != nil && added > 0 {
		err = &partial{u, err}
	}
	return u, err
}

// commitChunkedUpload is POST commit_chunked_upload: it makes an upload the
// content of a file.
func commitChunkedUpload(c *call) error {
	t, o, err := c.destination()
	if err != nil {
		return err
	}
	e, err := c.commit(t, o)
	if err != nil {
		return c.conditional(err)
	}
	return c.saved(e)
}

// commit commits the upload that is named. Whoever commits again gets the
// answer of the first time, also if the file has changed since.
func (c *call) commit(t quire.Target, o library.Save) (library.Entry, error) {
	e, done, err := c.lib.CommitUpload(c.ctx, c.caller, quire.UploadID(c.q.Get("upload_id")), t, o)
	if err != nil || e.Revision == done.Revision {
		return e, err
	}
	now, r, err := c.lib.Revision(c.ctx, c.caller, e.ID, done.Revision)
	if err != nil {
		return e, nil // that revision has been thinned out: tell what is there
	}
	return asOf(now, r), nil
}

// uploads is GET uploads: the caller's own sessions, of whatever door.
func uploads(c *call) error {
	list, err := c.lib.Uploads(c.ctx, c.caller, false)
	if err != nil {
		return err
	}
	type session struct {
		progress
		Door     quire.Door `json:"door"`
		Size     int64      `json:"size,omitempty"`
		Complete bool       `json:"complete"`
	}
	out := struct {
		Uploads []session `json:"uploads"`
	}{[]session{}}
	for _, u := range list {
		out.Uploads = append(out.Uploads, session{progressOf(u), u.Door, max(0, u.Declared), u.Done != nil})
	}
	return c.answer(http.StatusOK, out)
}

// cancelUpload is POST cancel_upload.
func cancelUpload(c *call) error {
	id := quire.UploadID(c.q.Get("upload_id"))
	if err := c.lib.CancelUpload(c.ctx, c.caller, id); err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"upload_id": id, "cancelled": true})
}
