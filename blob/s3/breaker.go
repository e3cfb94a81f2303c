package s3

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// breakAfter is how many requests in a row must fail for the breaker to
	// open.
	breakAfter = 10
	// breakFor is how long it then stays open before one request may try.
	breakFor = 2 * time.Second
)

// errOpen: the server failed many times in a row, and is not asked just now.
var errOpen = errors.New("the S3 server has failed repeatedly and is given a pause")

// breaker fails requests at once while the server is known not to answer, so
// that callers do not wait for it one after another and it can recover.
type breaker struct {
	next http.RoundTripper
	now  func() time.Time

	mu     sync.Mutex
	failed int       // in a row
	until  time.Time // no request before, if failed >= breakAfter
}

// RoundTrip implements http.RoundTripper.
func (b *breaker) RoundTrip(req *http.Request) (*http.Response, error) {
	if !b.allow() {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, errOpen
	}
	res, err := b.next.RoundTrip(req)
	if err != nil && req.Context().Err() != nil {
		return res, err // the caller gave up: that says nothing of the server
	}
	b.note(err == nil && res.StatusCode < 500)
	return res, err
}

// allow says whether a request may be made. While the breaker is open one
// request passes each time the pause ends.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed < breakAfter {
		return true
	}
	now := b.now()
	if now.Before(b.until) {
		return false
	}
	b.until = now.Add(breakFor)
	return true
}

func (b *breaker) note(ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.failed = 0
		return
	}
	if b.failed++; b.failed >= breakAfter {
		b.until = b.now().Add(breakFor)
	}
}
