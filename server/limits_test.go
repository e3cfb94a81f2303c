package server_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/server"
)

// admitting is a door that asks whether a request may go on, and refuses in a
// shape of its own. Who calls stands in a header.
func admitting(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := server.Admit(r)
		if err == nil {
			err = server.AdmitUser(r.Context(), quire.UserID(r.Header.Get("User")))
		}
		var later *quire.Unavailable
		switch {
		case errors.As(err, &later):
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(later.After.Seconds()))))
			status := http.StatusServiceUnavailable
			if later.Excess {
				status = http.StatusTooManyRequests
			}
			http.Error(w, later.Reason, status)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			next(w, r)
		}
	}
}

// TestRates: what counts is who asks, not how. The rates are so low that none
// comes back while the test runs.
func TestRates(t *testing.T) {
	nothing := func(http.ResponseWriter, *http.Request) {}
	proxy := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	url := func(limits server.Limits) string {
		addr, _, _ := serve(t, admitting(nothing), server.Options{Limits: limits, Proxies: proxy})
		return "http://" + addr + "/"
	}
	users := url(server.Limits{User: 0.001, Burst: 3})
	addresses := url(server.Limits{Address: 0.001, Burst: 3})
	none := url(server.Limits{})
	for _, test := range []struct {
		name, url  string
		key, value string
		want       []int
	}{
		{"a user", users, "User", "ann", []int{200, 200, 200, 429, 429}},
		{"another user", users, "User", "bob", []int{200}},
		{"nobody", users, "User", "", []int{200, 200, 200, 200, 200}},
		{"an address", addresses, "X-Forwarded-For", "192.0.2.1", []int{200, 200, 200, 429}},
		{"another address", addresses, "X-Forwarded-For", "192.0.2.2", []int{200}},
		{"a network of IPv6", addresses, "X-Forwarded-For", "2001:db8:1:2::1", []int{200, 200, 200}},
		{"the same network", addresses, "X-Forwarded-For", "2001:db8:1:2:ffff::", []int{429}},
		{"another network", addresses, "X-Forwarded-For", "2001:db8:1:3::1", []int{200}},
		{"no limit", none, "User", "ann", []int{200, 200, 200, 200, 200, 200}},
	} {
		for i, want := range test.want {
			resp, text := get(t, test.url, test.key, test.value)
			if resp.StatusCode != want {
				t.Errorf("%s: request %d: got %d, want %d", test.name, i, resp.StatusCode, want)
			}
			if want == http.StatusTooManyRequests {
				if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 1 || !strings.Contains(text, "slow down") {
					t.Errorf("%s: Retry-After %q: %s", test.name, resp.Header.Get("Retry-After"), text)
				}
			}
		}
	}
	// Health is asked by machines, often.
	for range 10 {
		if resp, _ := get(t, strings.TrimSuffix(addresses, "/")+"/healthz", "X-Forwarded-For", "192.0.2.1"); resp.StatusCode != http.StatusOK {
			t.Fatalf("health: %d", resp.StatusCode)
		}
	}
}

// TestUploadPlaces: as many uploads as there are places run at a time; others
// are told to come back, small requests are not concerned, and a place is free
// again however its upload ended.
func TestUploadPlaces(t *testing.T) {
	running := make(chan struct{})
	addr, _, _ := serve(t, admitting(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			running <- struct{}{}
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.URL.Path == "/panic" {
			panic("ends badly")
		}
		fmt.Fprint(w, "taken")
	}), server.Options{Limits: server.Limits{Uploads: 2}})
	send := func(method, path string, body io.Reader, length int64) int {
		r, err := http.NewRequest(method, "http://"+addr+path, body)
		if err != nil {
			t.Error(err)
			return 0
		}
		r.ContentLength = length
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "5" {
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
		return resp.StatusCode
	}
	for round, path := range []string{"/", "/panic", "/"} {
		var wg sync.WaitGroup
		var open []*io.PipeWriter
		for range 2 {
			r, w := io.Pipe()
			open = append(open, w)
			wg.Go(func() {
				want := map[string]int{"/": http.StatusOK, "/panic": http.StatusInternalServerError}[path]
				if got := send(http.MethodPut, path, r, -1); got != want {
					t.Errorf("round %d: an upload with a place: %d", round, got)
				}
			})
			<-running
		}
		large := strings.NewReader(strings.Repeat("x", 100_000))
		if got := send(http.MethodPost, "/", large, int64(large.Len())); got != http.StatusServiceUnavailable {
			t.Errorf("round %d: an upload without a place: %d", round, got)
		}
		if got := send(http.MethodPost, "/", strings.NewReader("a=b"), 3); got != http.StatusOK {
			t.Errorf("round %d: a small request: %d", round, got)
		}
		for _, w := range open {
			w.Close()
		}
		wg.Wait()
	}
}
