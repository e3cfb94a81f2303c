package fileapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// maxBody is the most bytes that one put or chunk may have.
const maxBody = 150_000_000

// length returns the length of the body, which must be announced and not be
// too large.
func (c *call) length() (int64, error) {
	n := c.r.ContentLength
	// A request without the header and without a body has the length 0 too, but
	// has not announced it: what was forgotten must not become an empty file.
	_, announced := c.r.Header["Content-Length"]
	switch {
	case n < 0 || !announced:
		return 0, &statusError{status: http.StatusLengthRequired, code: "length_required", msg: "send Content-Length"}
	case n > maxBody:
		return 0, &statusError{status: http.StatusRequestEntityTooLarge, code: "too_large", msg: "at most " + strconv.Itoa(maxBody) + " bytes in one request: use chunked_upload for more"}
	}
	return n, nil
}

// body is a request's body that remembers how it ended, so that a failure of
// the client's is told from one of the store's.
type body struct {
	rc io.ReadCloser

	mu          sync.Mutex // guards the rest
	err         error
	interrupted bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	if err != nil && err != io.EOF {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error { return b.rc.Close() }

// bodyEnd is how a body ended.
type bodyEnd int

const (
	bodyWhole       bodyEnd = iota // or nobody has read it
	bodyBroken                     // the client went away
	bodyStalled                    // nothing came for too long
	bodyInterrupted                // a newer request on the same upload took over
)

func (b *body) end() bodyEnd {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.interrupted:
		return bodyInterrupted
	case b.err == nil:
		return bodyWhole
	case errors.Is(b.err, os.ErrDeadlineExceeded):
		return bodyStalled
	}
	return bodyBroken
}

// interrupt ends the reading of this request's body.
func (c *call) interrupt() {
	c.body.mu.Lock()
	c.body.interrupted = true
	c.body.mu.Unlock()
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now()) // a test's recorder has none
}
