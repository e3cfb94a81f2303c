package fileapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// maxBody is the most bytes that one put or chunk may have.
const maxBody = 150_000_000

// length returns the length of the body, which must be announced and not be
// too large.
func (c *call) length() (int64, error) {
	n := c.r.ContentLength
	switch {
	case n < 0:
		return 0, &statusError{http.StatusLengthRequired, "length_required", "send Content-Length"}
	case n > maxBody:
		return 0, &statusError{http.StatusRequestEntityTooLarge, "too_large", "at most " + strconv.Itoa(maxBody) + " bytes in one request: use chunked_upload for more"}
	}
	return n, nil
}

// destination reads where content is to land, and under which conditions.
func (c *call) destination() (quire.Target, library.Save, error) {
	var t quire.Target
	var o library.Save
	uid, p := c.q.Get("uid"), c.q.Get("path")
	switch {
	case (uid == "") == (p == ""):
		return t, o, badParam("uid, path", "give exactly one of them: the folder's uid with filename, or a path")
	case p != "":
		t.Path = p
	default:
		t.Parent = quire.NodeID(uid)
		if t.Name = c.filename(); t.Name == "" {
			return t, o, badParam("filename", "name the file, in filename or in a Content-Disposition header")
		}
	}
	overwrite, err := c.flag("overwrite", false)
	if err != nil {
		return t, o, err
	}
	if overwrite {
		t.OnConflict = quire.Replace
	}
	if c.q.Get("parent_revision") != "" {
		rev, err := c.number(0, "parent_revision")
		if err != nil {
			return t, o, err
		}
		// Who names the revision that the content comes from means that file.
		o.Revision, t.OnConflict = &rev, quire.Replace
	}
	return t, o, c.conditions(&t, &o)
}

// conditions reads If-Match and If-None-Match, the standard way to say what
// parent_revision and overwrite say.
func (c *call) conditions(t *quire.Target, o *library.Save) error {
	if m := c.r.Header.Get("If-None-Match"); m != "" {
		if m != "*" {
			return badParam("If-None-Match", "only * has a meaning here")
		}
		o.Absent, t.OnConflict = true, quire.Reject
	}
	switch m := strings.TrimPrefix(strings.TrimSpace(c.r.Header.Get("If-Match")), "W/"); {
	case m == "":
	case m == "*":
		o.Present, t.OnConflict = true, quire.Replace
	default:
		_, rev, ok := strings.Cut(strings.Trim(m, `"`), "-")
		n, err := strconv.ParseInt(rev, 10, 64)
		if !ok || err != nil {
			return &statusError{http.StatusPreconditionFailed, "precondition_failed", "If-Match is not the file's ETag"}
		}
		o.Revision, t.OnConflict = &n, quire.Replace
	}
	return nil
}

// filename returns the name for a new file: the parameter, or what the
// Content-Disposition header says.
func (c *call) filename() string {
	if name := c.q.Get("filename"); name != "" {
		return name
	}
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return params["filename"]
}

// conditional turns a refusal into 412 where the condition came in a header.
func (c *call) conditional(err error) error {
	if err == nil || c.r.Header.Get("If-Match") == "" && c.r.Header.Get("If-None-Match") == "" {
		return err
	}
	switch c.translate(err).code {
	case "conflict", "exists", "not_found":
		return &statusError{http.StatusPreconditionFailed, "precondition_failed", err.Error()}
	}
	return err
}

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
	return progress{u.ID, u.Received, u.Expires.Format(time.RFC1123Z), ""}
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
	if n == 0 {
		u, err := c.lib.Upload(c.ctx, c.caller, id)
		if err == nil && offset != u.Received {
			err = &quire.OffsetMismatch{Got: offset, Expected: u.Received, Upload: u}
		}
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, progressOf(u))
	}
	u, _, err := c.lib.Append(c.ctx, c.caller, id, offset, c.r.Body, library.Append{
		Length: n, Sized: true, Max: maxBody, Interrupt: c.interrupt,
	})
	if err != nil {
		return err
	}
	p := progressOf(u)
	p.Offset = offset + n
	return c.answer(http.StatusOK, p)
}

// interrupt ends the reading of this request's body.
func (c *call) interrupt() {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now()) // a test's recorder has none
}

// commitChunkedUpload is POST commit_chunked_upload: it makes an upload the
// content of a file.
func commitChunkedUpload(c *call) error {
	t, o, err := c.destination()
	if err != nil {
		return err
	}
	e, _, err := c.lib.CommitUpload(c.ctx, c.caller, quire.UploadID(c.q.Get("upload_id")), t, o)
	if err != nil {
		return c.conditional(err)
	}
	return c.saved(e)
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
