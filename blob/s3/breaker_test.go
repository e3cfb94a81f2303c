package s3

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestBreaker: after many failures in a row requests fail at once; after a pause
// one may try, and its success lets all through.
func TestBreaker(t *testing.T) {
	now, asked, status := time.Unix(1, 0), 0, 503
	b := &breaker{now: func() time.Time { return now }, next: roundTrip(func(*http.Request) (*http.Response, error) {
		asked++
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	})}
	do := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := b.RoundTrip(req)
		if err == nil {
			res.Body.Close()
		}
		return err
	}
	for range 2 * breakAfter {
		if err := do(); err != nil && !errors.Is(err, errOpen) {
			t.Fatal(err)
		}
	}
	if asked != breakAfter {
		t.Errorf("the server was asked %d times, want %d", asked, breakAfter)
	}
	now = now.Add(breakFor)
	status = 200
	if err := do(); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	if err := do(); err != nil || asked != breakAfter+2 {
		t.Errorf("after a success: %v, asked %d times", err, asked)
	}
}
