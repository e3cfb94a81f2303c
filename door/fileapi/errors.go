package fileapi

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// statusError is an answer that is the protocol's own.
type statusError struct {
	status int
	code   string
	msg    string
	cause  error // what the answer may tell more of; may be nil
}

func (e *statusError) Error() string { return e.msg }
func (e *statusError) Unwrap() error { return e.cause }

func badParam(name, reason string) error {
	return &statusError{status: http.StatusBadRequest, code: "bad_parameter", msg: "parameter " + name + ": " + reason}
}

// preconditionFailed is the answer where a condition in a header does not hold.
func preconditionFailed(cause error) error {
	return &statusError{http.StatusPreconditionFailed, "precondition_failed", cause.Error(), cause}
}

// wire is how an error is told: a status, a stable code and a sentence.
type wire struct {
	status int
	code   string
	msg    string
	after  time.Duration // for Retry-After
	hangUp bool          // nothing more can be read from the connection
}

// translate is the one place where the domain's errors become this door's
// statuses and codes.
func (c *call) translate(err error) wire {
	var (
		own      *statusError
		locked   *quire.Locked
		conflict *quire.Conflict
		exists   *quire.Exists
		tooLarge *quire.TooLarge
		tooLong  *http.MaxBytesError
		quota    *quire.QuotaExceeded
		invalid  *quire.Invalid
		name     *quire.InvalidName
		short    *quire.Incomplete
		offset   *quire.OffsetMismatch
		later    *quire.Unavailable
	)
	switch {
	case errors.As(err, &own):
		return wire{status: own.status, code: own.code, msg: own.msg}
	case errors.Is(err, quire.ErrUnauthenticated):
		return told(http.StatusUnauthorized, "unauthorized", quire.ErrUnauthenticated)
	case errors.Is(err, quire.ErrForbidden):
		return told(http.StatusForbidden, "forbidden", quire.ErrForbidden)
	case errors.Is(err, quire.ErrNotFound):
		return told(http.StatusNotFound, "not_found", quire.ErrNotFound)
	case errors.Is(err, quire.ErrUploadGone):
		return wire{status: http.StatusNotFound, code: uploadGone, msg: quire.ErrUploadGone.Error()}
	case errors.As(err, &offset):
		return told(http.StatusBadRequest, offset.Error(), offset)
	case errors.Is(err, quire.ErrNotAFile):
		return told(http.StatusBadRequest, "not_a_file", quire.ErrNotAFile)
	case errors.Is(err, quire.ErrNotAContainer):
		return told(http.StatusBadRequest, "not_a_folder", quire.ErrNotAContainer)
	case errors.As(err, &locked):
		return told(http.StatusLocked, "locked", locked)
	case errors.As(err, &conflict):
		return told(http.StatusConflict, "conflict", conflict)
	case errors.As(err, &exists):
		return told(http.StatusConflict, "exists", exists)
	case errors.Is(err, quire.ErrNotEmpty):
		return told(http.StatusConflict, "not_empty", quire.ErrNotEmpty)
	case errors.Is(err, quire.ErrUploadBusy), c.body.end() == bodyInterrupted:
		return told(http.StatusConflict, "upload_busy", quire.ErrUploadBusy)
	case errors.As(err, &tooLarge):
		return told(http.StatusRequestEntityTooLarge, "too_large", tooLarge)
	case errors.As(err, &tooLong):
		return wire{status: http.StatusRequestEntityTooLarge, code: "too_large", msg: "the parameters are too long: send less"}
	case errors.As(err, &quota):
		return told(http.StatusInsufficientStorage, "quota_exceeded", quota)
	case errors.Is(err, quire.ErrNoSpace):
		return told(http.StatusInsufficientStorage, "no_space", quire.ErrNoSpace)
	case errors.As(err, &name):
		return told(http.StatusBadRequest, "bad_name", name)
	case errors.As(err, &invalid):
		return told(http.StatusBadRequest, "bad_parameter", invalid)
	case errors.As(err, &short):
		return told(http.StatusBadRequest, "incomplete_body", short)
	case errors.As(err, &later):
		w := wire{status: http.StatusServiceUnavailable, code: "unavailable", msg: later.Reason, after: max(later.After, time.Second)}
		if later.Excess {
			w.status, w.code = http.StatusTooManyRequests, "too_many"
		}
		return w
	}
	return c.broken(err)
}

func told(status int, code string, err error) wire {
	return wire{status: status, code: code, msg: err.Error()}
}

// broken tells what is no decision of the library's: the connection broke, or
// something is wrong in the server.
func (c *call) broken(err error) wire {
	switch end := c.body.end(); {
	case end == bodyStalled:
		return wire{status: http.StatusRequestTimeout, code: "timeout", msg: "the rest of the body did not come in time: send it again", hangUp: true}
	case end == bodyBroken:
		return wire{status: http.StatusBadRequest, code: "incomplete_body", msg: "the body broke off: send it again", hangUp: true}
	case c.ctx.Err() != nil:
		// Nobody reads this. It is for the log, and because an answer that was
		// never written would count as a success.
		return wire{status: http.StatusRequestTimeout, code: "timeout", msg: "the request was given up", hangUp: true}
	}
	c.log.Error("a request failed", "request", server.RequestID(c.ctx), "error", err)
	return wire{status: http.StatusInternalServerError, code: "internal", msg: "internal error: tell the operator the request id " + server.RequestID(c.ctx)}
}

// uploadGone is what clients of chunked uploads look for.
const uploadGone = "No upload with upload_id found."

// nativeShape writes {"error","msg"} and what else an error tells.
type nativeShape struct{}

func (nativeShape) fail(c *call, err error) {
	w := c.translate(err)
	c.head(w)
	var offset *quire.OffsetMismatch
	switch {
	case errors.As(err, &offset):
		_ = c.answer(w.status, misaligned(offset))
		return
	case w.code == uploadGone:
		_ = c.answer(w.status, map[string]string{"error": uploadGone})
		return
	}
	body := map[string]any{"error": w.code, "msg": w.msg}
	c.more(body, err)
	_ = c.answer(w.status, body)
}

// more adds to an answer what a client can go on with.
func (c *call) more(body map[string]any, err error) {
	var conflict *quire.Conflict
	if errors.As(err, &conflict) {
		body["current"] = nil
		if e, serr := c.lib.Stat(c.ctx, c.caller, conflict.Current.ID); serr == nil {
			body["current"] = describe(e)
		}
	}
	var locked *quire.Locked
	if errors.As(err, &locked) {
		who, until := holder(locked.State)
		if who != "" {
			body["locked_by"] = who
		}
		if !until.IsZero() {
			body["locked_until"] = unix(until)
		}
	}
	var part *partial
	if errors.As(err, &part) {
		body["upload_id"], body["offset"], body["expires"] = part.upload.ID, part.upload.Received, stamp(part.upload.Expires)
	}
}

// holder returns who has a file locked, if they let others know, and until
// when.
func holder(s quire.LockState) (who string, until time.Time) {
	if s.WOPI != nil {
		if s.WOPI.Visible {
			who = s.WOPI.Name
		}
		return who, s.WOPI.Expires
	}
	for _, l := range s.Coauth {
		if l.Expires.After(until) {
			until = l.Expires
		}
	}
	return "", until
}

// partial is the failure of a chunk that did not come whole: what came is kept.
type partial struct {
	upload quire.Upload
	err    error
}

func (e *partial) Error() string { return e.err.Error() }
func (e *partial) Unwrap() error { return e.err }

// head sets the headers that go with a status.
func (c *call) head(w wire) {
	h := c.w.Header()
	for _, name := range []string{"Content-Length", "Content-Disposition", "ETag", "Last-Modified", "x-edo-metadata", "x-dropbox-metadata"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if w.status == http.StatusUnauthorized {
		how := `Bearer realm="quire"`
		if c.r.Header.Get("Authorization") != "" || c.r.URL.Query().Has("access_token") {
			how += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", how)
	}
	if w.after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(w.after.Seconds()))))
	}
	if w.hangUp {
		h.Set("Connection", "close")
	}
}
