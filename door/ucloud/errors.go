package ucloud

import (
	"context"
	"encoding/json"
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
	why    string
}

func (e *statusError) Error() string { return e.why }

func bad(why string) error { return &statusError{http.StatusBadRequest, why} }

// wire is how an error is told: a status and a sentence.
type wire struct {
	status int
	why    string
	after  int // seconds, for Retry-After
}

// translate is the one place where the domain's errors become this door's
// answers.
func translate(ctx context.Context, err error) wire {
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
	w := wire{why: err.Error()}
	switch {
	case errors.As(err, &own):
		w.status, w.why = own.status, own.why
	case errors.Is(err, quire.ErrUnauthenticated):
		w.status = http.StatusUnauthorized
	case errors.Is(err, quire.ErrForbidden):
		w.status = http.StatusForbidden
	case errors.Is(err, quire.ErrNotFound), errors.Is(err, quire.ErrUploadGone):
		w.status = http.StatusNotFound
	case errors.Is(err, quire.ErrNotAFile), errors.Is(err, quire.ErrNotAContainer):
		w.status = http.StatusBadRequest
	case errors.As(err, &locked), errors.As(err, &conflict), errors.As(err, &exists),
		errors.Is(err, quire.ErrNotEmpty), errors.Is(err, quire.ErrUploadBusy):
		w.status = http.StatusConflict
	case errors.As(err, &tooLarge), errors.As(err, &tooLong):
		w.status = http.StatusRequestEntityTooLarge
	case errors.As(err, &quota):
		w.status, w.why = http.StatusPaymentRequired, "the quota is used up: delete something, or ask an administrator for more"
	case errors.Is(err, quire.ErrNoSpace):
		w.status, w.why = http.StatusInsufficientStorage, quire.ErrNoSpace.Error()
	case errors.As(err, &name), errors.As(err, &invalid), errors.As(err, &short):
		w.status = http.StatusBadRequest
	case errors.As(err, &offset):
		w.status, w.why = http.StatusBadRequest, "the offset is beyond the bytes that are here, "+strconv.FormatInt(offset.Expected, 10)+": go on from there"
	case errors.As(err, &later):
		w.status, w.why, w.after = http.StatusServiceUnavailable, later.Reason, max(1, int(math.Ceil(later.After.Seconds())))
		if later.Excess {
			w.status = http.StatusTooManyRequests
		}
	case ctx.Err() != nil, errors.Is(err, context.Canceled):
		// Most likely nobody reads this. But a client that has only closed its
		// own half of the connection must not take silence for success.
		w.status, w.why = http.StatusRequestTimeout, "the request broke off: go on from what is here"
	default:
		w.status, w.why = http.StatusInternalServerError, "internal error: tell the operator the request id "+server.RequestID(ctx)
	}
	return w
}

// failure is CommonErrorMessage.
type failure struct {
	Why       string  `json:"why"`
	ErrorCode *string `json:"errorCode"`
}

func (c *call) fail(err error) {
	w := translate(c.ctx, err)
	if w.status == http.StatusInternalServerError {
		c.log.Error("a request failed", "request", server.RequestID(c.ctx), "error", err)
	}
	h := c.w.Header()
	for _, name := range []string{"Content-Length", "Content-Disposition", "ETag", "Content-Type"} {
		h.Del(name)
	}
	if w.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="quire"`)
	}
	if w.after > 0 {
		h.Set("Retry-After", strconv.Itoa(w.after))
	}
	_ = c.answer(w.status, failure{Why: w.why})
}

// answer sends JSON.
func (c *call) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(b) // a client that went away needs no other answer
	}
	return nil
}
