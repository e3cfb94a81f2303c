package wopi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
	"github.com/quire-docs/quire/lock"
	"github.com/quire-docs/quire/server"
)

// statusError is an answer that is the protocol's own.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

var (
	errUnsupported = &statusError{http.StatusNotImplemented, "this operation is not supported"}
	errProof       = &statusError{http.StatusInternalServerError, "the request is not signed by the editor's proof key"}
)

func badRequest(text string) error { return &statusError{http.StatusBadRequest, text} }

// fail answers an error: the one place where the domain's errors become WOPI's
// statuses and headers.
func (c *call) fail(err error) {
	h := c.w.Header()
	status := c.status(err)
	if status >= 500 && status != http.StatusNotImplemented {
		c.log.Error("a WOPI request failed", "request", server.RequestID(c.ctx), "error", err)
	}
	text := asciiLine(err.Error())
	if status == http.StatusInternalServerError && !errors.Is(err, errProof) {
		text = "internal error: tell the operator the request id " + server.RequestID(c.ctx)
	}
	h.Set("X-WOPI-ServerError", text)
	h.Set("X-WOPI-FailureReason", text)
	h.Del("Content-Length")
	c.w.WriteHeader(status)
}

func (c *call) status(err error) int {
	var (
		own       *statusError
		locked    *quire.Locked
		conflict  *quire.Conflict
		exists    *quire.Exists
		tooLarge  *quire.TooLarge
		quota     *quire.QuotaExceeded
		invalid   *quire.Invalid
		name      *quire.InvalidName
		short     *quire.Incomplete
		later     *quire.Unavailable
		offset    *quire.OffsetMismatch
		tooLong   *http.MaxBytesError
		badJSON   *json.SyntaxError
		wrongJSON *json.UnmarshalTypeError
		frames    *chunk.FormatError
	)
	switch {
	case errors.As(err, &own):
		return own.status
	case errors.Is(err, quire.ErrUnauthenticated):
		return http.StatusUnauthorized
	case errors.Is(err, quire.ErrNotFound), errors.Is(err, quire.ErrForbidden), errors.Is(err, quire.ErrNotAFile), errors.Is(err, quire.ErrNotAContainer):
		return http.StatusNotFound // there is no 403 in WOPI
	case errors.As(err, &locked):
		c.lockHeaders(locked)
		return http.StatusConflict
	case errors.As(err, &exists), errors.Is(err, quire.ErrNotEmpty), errors.As(err, &conflict), errors.Is(err, quire.ErrUploadBusy):
		return http.StatusConflict
	case errors.Is(err, quire.ErrUploadGone):
		return http.StatusGone
	case errors.As(err, &tooLarge), errors.As(err, &quota), errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, quire.ErrNoSpace):
		return http.StatusInsufficientStorage
	case errors.As(err, &invalid), errors.As(err, &name), errors.As(err, &short), errors.As(err, &offset), errors.As(err, &badJSON), errors.As(err, &wrongJSON):
		return http.StatusBadRequest
	case errors.As(err, &frames):
		if frames.Rule == chunk.RuleLimit {
			return http.StatusRequestEntityTooLarge
		}
		return http.StatusBadRequest
	case errors.As(err, &later):
		c.w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(later.After.Seconds())))))
		if later.Excess {
			return http.StatusTooManyRequests
		}
		return http.StatusServiceUnavailable
	case c.ctx.Err() != nil, errors.Is(err, context.Canceled):
		// Most likely nobody reads this. But a client that has only closed its
		// own half of the connection must not take silence for success.
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}

// lockHeaders tells what stands in the way: the one translation of a lock's
// refusal (WOPI §2, CSPP Plus §2 and §8).
func (c *call) lockHeaders(e *quire.Locked) {
	h := c.w.Header()
	h.Set("X-WOPI-LockFailureReason", asciiLine(e.Error()))
	switch lock.What(e.State) {
	case lock.None:
		setEmpty(h, "X-WOPI-Lock")
	case lock.ByWOPI:
		h.Set("X-WOPI-Lock", e.State.WOPI.ID)
		if e.State.WOPI.Visible && e.State.WOPI.Name != "" {
			h.Set("X-WOPI-ConflictingLockUsername", headerText(e.State.WOPI.Name))
		}
	case lock.ByCoauth:
		h.Set("X-WOPI-LockedByOtherInterface", "true")
	case lock.ByCoauthAlone:
		h.Set("X-WOPI-LockedByOtherInterface", "true")
		h.Set("X-WOPI-ConflictingMechanism", "WOPI-CoauthExclusiveLock")
	}
}

// setEmpty sends a header that is there but empty.
func setEmpty(h http.Header, name string) { h[http.CanonicalHeaderKey(name)] = []string{""} }

// asciiLine makes text fit for a header: one line of printable ASCII.
func asciiLine(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case r < 0x20 || r > 0x7e:
			r = '?'
		}
		if b.WriteRune(r); b.Len() >= 500 {
			break
		}
	}
	return b.String()
}

// headerText keeps a name's own characters, as UTF-8, without what would end
// the header.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// answer sends JSON.
func (c *call) answer(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, err = c.w.Write(b)
	return ignoreGone(err)
}

// done answers 200 without a body.
func (c *call) done() error {
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// ignoreGone: a client that went away while it was being answered needs no
// other answer.
func ignoreGone(error) error { return nil }
