package tus

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// statusError is an answer that is the protocol's own.
type statusError struct {
	status int
	why    string
}

func (e *statusError) Error() string { return e.why }

func bad(why string) error { return &statusError{http.StatusBadRequest, why} }

// errChecksum is the protocol's 460: nothing of the body was kept.
var errChecksum = &statusError{460, "the checksum is not that of the body, so nothing of it was kept: send it again"}

// translate is the one place where the domain's errors become statuses.
func translate(ctx context.Context, err error) (status int, why string, after int) {
	var (
		own      *statusError
		locked   *quire.Locked
		conflict *quire.Conflict
		exists   *quire.Exists
		tooLarge *quire.TooLarge
		quota    *quire.QuotaExceeded
		invalid  *quire.Invalid
		name     *quire.InvalidName
		short    *quire.Incomplete
		offset   *quire.OffsetMismatch
		later    *quire.Unavailable
	)
	why = err.Error()
	switch {
	case errors.As(err, &own):
		status = own.status
	case errors.Is(err, quire.ErrUnauthenticated):
		status = http.StatusUnauthorized
	case errors.Is(err, quire.ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(err, quire.ErrNotFound), errors.Is(err, quire.ErrUploadGone):
		status = http.StatusNotFound
	case errors.As(err, &offset):
		status, why = http.StatusConflict, "the upload is at "+strconv.FormatInt(offset.Expected, 10)+": go on from there"
	case errors.As(err, &locked):
		status = http.StatusLocked
	case errors.Is(err, quire.ErrUploadBusy):
		status = http.StatusLocked
	case errors.As(err, &conflict), errors.As(err, &exists), errors.Is(err, quire.ErrNotAFile), errors.Is(err, quire.ErrNotAContainer):
		status = http.StatusConflict
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.As(err, &quota):
		status, why = http.StatusInsufficientStorage, "the quota is used up: delete something, or ask an administrator for more"
	case errors.Is(err, quire.ErrNoSpace):
		status, why = http.StatusInsufficientStorage, quire.ErrNoSpace.Error()
	case errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &short):
		status = http.StatusBadRequest
	case errors.As(err, &later):
		status, why, after = http.StatusServiceUnavailable, later.Reason, max(1, int(math.Ceil(later.After.Seconds())))
		if later.Excess {
			status = http.StatusTooManyRequests
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		status, why = http.StatusRequestTimeout, "the rest of the body did not come in time: go on from what is here"
	case errors.Is(err, io.ErrUnexpectedEOF):
		status, why = http.StatusBadRequest, "the body broke off: go on from what is here"
	case ctx.Err() != nil, errors.Is(err, context.Canceled):
		// Most likely nobody reads this, or a newer request took over. Silence
		// would be taken for success.
		status, why = http.StatusRequestTimeout, "the request was given up: ask where the upload is and go on from there"
	default:
		status, why = http.StatusInternalServerError, "internal error: tell the operator the request id "+server.RequestID(ctx)
	}
	return status, why, after
}

// fail answers an error, as a line of text.
func (c *call) fail(err error) {
	status, why, after := translate(c.ctx, err)
	switch status {
	case http.StatusInternalServerError:
		c.log.Error("an upload failed", "request", server.RequestID(c.ctx), "error", err)
	case http.StatusUnauthorized:
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="quire"`)
	}
	h := c.w.Header()
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(after))
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(why)+1))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write([]byte(why + "\n")) // the client's loss
	}
}
