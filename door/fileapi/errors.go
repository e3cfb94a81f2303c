package fileapi

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// statusError is an answer that is the protocol's own.
type statusError struct {
	status int
	code   string
	msg    string
}

func (e *statusError) Error() string { return e.msg }

func badParam(name, reason string) error {
	return &statusError{http.StatusBadRequest, "bad_parameter", "parameter " + name + ": " + reason}
}

// wire is how an error is told: a status, a stable code and a sentence.
type wire struct {
	status int
	code   string
	msg    string
	after  int // seconds, for Retry-After
}

// translate is the one place where the domain's errors become this door's
// statuses and codes. A status of 0 is a client that has gone.
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
		later    *quire.Unavailable
	)
	w := wire{msg: err.Error()}
	switch {
	case errors.As(err, &own):
		w.status, w.code, w.msg = own.status, own.code, own.msg
	case errors.Is(err, quire.ErrUnauthenticated):
		w.status, w.code = http.StatusUnauthorized, "unauthorized"
	case errors.Is(err, quire.ErrForbidden):
		w.status, w.code = http.StatusForbidden, "forbidden"
	case errors.Is(err, quire.ErrNotFound):
		w.status, w.code = http.StatusNotFound, "not_found"
	case errors.Is(err, quire.ErrNotAFile):
		w.status, w.code = http.StatusBadRequest, "not_a_file"
	case errors.Is(err, quire.ErrNotAContainer):
		w.status, w.code = http.StatusBadRequest, "not_a_folder"
	case errors.As(err, &locked):
		w.status, w.code = http.StatusLocked, "locked"
	case errors.As(err, &conflict):
		w.status, w.code = http.StatusConflict, "conflict"
	case errors.As(err, &exists):
		w.status, w.code = http.StatusConflict, "exists"
	case errors.Is(err, quire.ErrNotEmpty):
		w.status, w.code = http.StatusConflict, "not_empty"
	case errors.Is(err, quire.ErrUploadBusy):
		w.status, w.code = http.StatusConflict, "upload_busy"
	case errors.As(err, &tooLarge), errors.As(err, &tooLong):
		w.status, w.code = http.StatusRequestEntityTooLarge, "too_large"
	case errors.As(err, &quota):
		w.status, w.code = http.StatusInsufficientStorage, "quota_exceeded"
	case errors.Is(err, quire.ErrNoSpace):
		w.status, w.code, w.msg = http.StatusInsufficientStorage, "no_space", quire.ErrNoSpace.Error()
	case errors.As(err, &name):
		w.status, w.code = http.StatusBadRequest, "bad_name"
	case errors.As(err, &invalid):
		w.status, w.code = http.StatusBadRequest, "bad_parameter"
	case errors.As(err, &short):
		w.status, w.code = http.StatusBadRequest, "incomplete_body"
	case errors.As(err, &later):
		w.status, w.code, w.after = http.StatusServiceUnavailable, "unavailable", max(1, int(math.Ceil(later.After.Seconds())))
		w.msg = later.Reason
	case c.ctx.Err() != nil, errors.Is(err, context.Canceled):
		w.status = 0
	default:
		w.status, w.code = http.StatusInternalServerError, "internal"
		w.msg = "internal error: tell the operator the request id " + server.RequestID(c.ctx)
	}
	if w.status >= http.StatusInternalServerError && w.status != http.StatusInsufficientStorage && w.status != http.StatusServiceUnavailable {
		c.log.Error("a request failed", "request", server.RequestID(c.ctx), "error", err)
	}
	return w
}

// nativeShape writes {"error","msg"}.
type nativeShape struct{}

func (nativeShape) fail(c *call, err error) {
	w := c.translate(err)
	if w.status == 0 {
		return
	}
	var offset *quire.OffsetMismatch
	if errors.As(err, &offset) {
		_ = c.answer(http.StatusBadRequest, misaligned(offset))
		return
	}
	if errors.Is(err, quire.ErrUploadGone) {
		_ = c.answer(http.StatusNotFound, map[string]string{"error": "No upload with upload_id found."})
		return
	}
	c.head(w)
	body := map[string]any{"error": w.code, "msg": w.msg}
	var conflict *quire.Conflict
	if errors.As(err, &conflict) {
		if e, serr := c.lib.Stat(c.ctx, c.caller, conflict.Current.ID); serr == nil {
			body["current"] = describe(e)
		}
	}
	_ = c.answer(w.status, body)
}

// head sets the headers that go with a status.
func (c *call) head(w wire) {
	h := c.w.Header()
	h.Del("Content-Length")
	h.Del("Content-Disposition")
	if w.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="quire"`)
	}
	if w.after > 0 {
		h.Set("Retry-After", strconv.Itoa(w.after))
	}
}
