package tus

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// What the door remembers of an upload, in its Meta.
const (
	metaMetadata = "tus-metadata" // Upload-Metadata as it came
	metaConcat   = "tus-concat"   // Upload-Concat as it came
	metaRevision = "tus-revision" // the revision that the file must be at
)

// create makes an upload (creation), of the parts that it names
// (concatenation), and takes what comes with it (creation-with-upload).
func (c *call) create() error {
	h := c.r.Header
	length, err := number(h, "Upload-Length")
	if err != nil {
		return err
	}
	join, err := parseConcat(h.Get("Upload-Concat"))
	if err != nil {
		return err
	}
	switch deferred := h.Get("Upload-Defer-Length"); {
	case deferred != "" && deferred != "1":
		return bad("Upload-Defer-Length can only be 1")
	case join.final && (length >= 0 || deferred != ""):
		return bad("a final upload is as long as its parts: send no length")
	case !join.final && (length >= 0) == (deferred != ""):
		return bad("send either Upload-Length or Upload-Defer-Length: 1")
	}
	meta, err := parseMetadata(h.Get("Upload-Metadata"))
	if err != nil {
		return err
	}
	n := library.NewUpload{Declared: length, Life: c.opt.Life, Meta: map[string]string{
		metaMetadata: h.Get("Upload-Metadata"), metaConcat: h.Get("Upload-Concat"),
	}}
	if !join.partial {
		if n.Target, err = c.target(meta, n.Meta); err != nil {
			return err
		}
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if join.final {
		return c.join(n, join.parts)
	}
	u, err := c.lib.CreateUpload(c.ctx, c.caller, n)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.location(u.ID))
	if body != nil {
		if u, err = c.add(u.ID, 0, body); err != nil {
			return err
		}
	}
	if err := c.finish(u); err != nil {
		return err
	}
	return c.done(http.StatusCreated, u)
}

// target is where the metadata says that the file goes.
func (c *call) target(m metadata, remember map[string]string) (quire.Target, error) {
	t, revision, err := m.target()
	if err != nil {
		return t, err
	}
	if revision > 0 {
		remember[metaRevision] = strconv.FormatInt(revision, 10)
	}
	if t.Parent != "" && path.Dir(t.Name) != "." {
		// A tree goes below a container that was named by its id.
		e, err := c.lib.Stat(c.ctx, c.caller, t.Parent)
		if err != nil {
			return t, err
		}
		t.Path, t.Parent, t.Name = path.Join(e.Path, t.Name), "", ""
	}
	return t, nil
}

// join makes a final upload and its file.
func (c *call) join(n library.NewUpload, parts []quire.UploadID) error {
	for _, id := range parts {
		part, err := c.lib.Upload(c.ctx, c.caller, id)
		if errors.Is(err, quire.ErrUploadGone) {
			return &statusError{http.StatusNotFound, "a part is not there any more: upload it again"}
		}
		if err != nil {
			return err
		}
		if part.Meta[metaConcat] != "partial" {
			return bad("Upload-Concat names an upload that was not made as a part")
		}
	}
	u, err := c.lib.JoinUploads(c.ctx, c.caller, n, parts)
	var short *quire.Incomplete
	if errors.As(err, &short) {
		return bad("a part is not complete: finish it first")
	}
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.location(u.ID))
	if err := c.finish(u); err != nil {
		return err
	}
	return c.done(http.StatusCreated, u)
}

// body returns the body that a request brings, or nil if it has none.
func (c *call) body() (io.Reader, error) {
	kind := c.r.Header.Get("Content-Type")
	if c.r.ContentLength == 0 || c.method == http.MethodPost && kind == "" && c.r.ContentLength < 0 {
		return nil, nil
	}
	if kind != partType {
		return nil, &statusError{http.StatusUnsupportedMediaType, "send bytes as Content-Type: " + partType}
	}
	return c.r.Body, nil
}

// add appends a body to an upload, and checks it against its checksum.
func (c *call) add(id quire.UploadID, offset int64, body io.Reader) (quire.Upload, error) {
	sum, err := parseChecksum(c.r.Header.Get("Upload-Checksum"))
	if err != nil {
		return quire.Upload{}, err
	}
	o := library.Append{Length: c.r.ContentLength, Sized: c.r.ContentLength >= 0, Interrupt: c.interrupt}
	if sum != nil {
		o.Whole, o.Check = true, sum.verify
		body = io.TeeReader(body, sum)
	}
	u, _, err := c.lib.Append(c.ctx, c.caller, id, offset, body, o)
	return u, err
}

// head tells how far an upload is.
func (c *call) head() error {
	u, err := c.lib.Upload(c.ctx, c.caller, c.id)
	if err != nil {
		return err
	}
	if err := c.finish(u); err != nil {
		return err
	}
	h := c.w.Header()
	switch {
	case u.Declared >= 0:
		h.Set("Upload-Length", strconv.FormatInt(u.Declared, 10))
	default:
		h.Set("Upload-Defer-Length", "1")
	}
	if m := u.Meta[metaMetadata]; m != "" {
		h.Set("Upload-Metadata", m)
	}
	if m := u.Meta[metaConcat]; m != "" {
		h.Set("Upload-Concat", m)
	}
	return c.done(http.StatusOK, u)
}

// patch appends to an upload.
func (c *call) patch() error {
	h := c.r.Header
	if h.Get("Content-Type") != partType {
		return &statusError{http.StatusUnsupportedMediaType, "send bytes as Content-Type: " + partType}
	}
	offset, err := number(h, "Upload-Offset")
	if err != nil {
		return err
	}
	if offset < 0 {
		return bad("Upload-Offset is missing: HEAD tells it")
	}
	length, err := number(h, "Upload-Length")
	if err != nil {
		return err
	}
	u, err := c.lib.Upload(c.ctx, c.caller, c.id)
	if err != nil {
		return err
	}
	switch {
	case u.Door != quire.DoorTus:
		return &statusError{http.StatusForbidden, "this upload came by another protocol: go on with that"}
	case len(u.Meta[metaConcat]) > len("partial"):
		return &statusError{http.StatusForbidden, "a final upload is made of its parts: it takes no bytes"}
	case offset != u.Received:
		return &quire.OffsetMismatch{Got: offset, Expected: u.Received, Upload: u}
	}
	if length >= 0 {
		if u, err = c.declare(u, length); err != nil {
			return err
		}
	}
	switch complete := u.Declared == u.Received; {
	case u.Done != nil && c.r.ContentLength > 0:
		return bad("the upload is complete: start a new one")
	case !complete || c.r.ContentLength > 0:
		if u, err = c.add(c.id, offset, c.r.Body); err != nil {
			return err
		}
	}
	if err := c.finish(u); err != nil {
		return err
	}
	return c.done(http.StatusNoContent, u)
}

// declare sets the length of an upload that was made without one
// (creation-defer-length). Once known it cannot be changed.
func (c *call) declare(u quire.Upload, length int64) (quire.Upload, error) {
	if u.Declared == length {
		return u, nil
	}
	return c.lib.DescribeUpload(c.ctx, c.caller, u.ID, func(now *quire.Upload) error {
		switch {
		case now.Declared >= 0 && now.Declared != length:
			return bad("Upload-Length is known already and cannot be changed")
		case length < now.Received:
			return bad("Upload-Length is less than what has come")
		}
		now.Declared = length
		return nil
	})
}

// finish makes the file of an upload that is complete, and names it in the
// answer. A part is no file.
func (c *call) finish(u quire.Upload) error {
	if u.Door != quire.DoorTus || u.Declared < 0 || u.Received != u.Declared || u.Meta[metaConcat] == "partial" {
		return nil
	}
	var o library.Save
	if text := u.Meta[metaRevision]; text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		o.Revision = &n
	}
	e, saved, err := c.lib.CommitUpload(c.ctx, c.caller, u.ID, quire.Target{}, o)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Quire-Uid", string(saved.Node))
	h.Set("Quire-Revision", strconv.FormatInt(saved.Revision, 10))
	h.Set("Quire-Path", (&url.URL{Path: e.Path}).EscapedPath())
	return nil
}

// done answers with how far the upload is and when it expires.
func (c *call) done(status int, u quire.Upload) error {
	h := c.w.Header()
	h.Set("Upload-Offset", strconv.FormatInt(u.Received, 10))
	h.Set("Upload-Expires", u.Expires.UTC().Format(http.TimeFormat))
	if status == http.StatusCreated {
		h.Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
	return nil
}

// terminate ends an upload and gives up what it received. A file that it
// became stays.
func (c *call) terminate() error {
	// A session that is somebody else's is no session.
	if _, err := c.lib.Upload(c.ctx, c.caller, c.id); err != nil {
		return err
	}
	if err := c.lib.CancelUpload(c.ctx, c.caller, c.id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
