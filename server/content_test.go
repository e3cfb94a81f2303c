package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeContent is 100 digits that may not be to be had, from the beginning or from
// an offset on.
type fakeContent struct {
	*bytes.Reader
	away     error
	breaksAt int64
	prepared []int64
}

func (f *fakeContent) Prepare(n int64) error {
	f.prepared = append(f.prepared, f.Size()-int64(f.Len()), n)
	return f.away
}

func (f *fakeContent) Read(p []byte) (int, error) {
	if f.breaksAt > 0 && f.Size()-int64(f.Len()) >= f.breaksAt {
		return 0, errors.New("broken")
	}
	if f.breaksAt > 0 {
		p = p[:min(int64(len(p)), f.breaksAt)]
	}
	return f.Reader.Read(p)
}

// TestServeContent: as http.ServeContent does where the content is to be had; and
// where it is not, nothing is written and no header is left.
func TestServeContent(t *testing.T) {
	text := strings.Repeat("0123456789", 10)
	away, at := errors.New("away"), time.Unix(1_000_000_000, 0)
	for _, test := range []struct {
		what, method string
		head         [2]string
		prepared     []int64 // offset and length
	}{
		{"all", "GET", [2]string{}, []int64{0, 100}},
		{"a range", "GET", [2]string{"Range", "bytes=10-19"}, []int64{10, 10}},
		{"the end", "GET", [2]string{"Range", "bytes=-5"}, []int64{95, 5}},
		{"several ranges", "GET", [2]string{"Range", "bytes=0-1,5-6"}, nil},
		{"beyond the end", "GET", [2]string{"Range", "bytes=100-"}, nil},
		{"the same as before", "GET", [2]string{"If-None-Match", `"tag"`}, nil},
		{"something else", "GET", [2]string{"If-Match", `"other"`}, nil},
		{"the head", "HEAD", [2]string{}, nil},
	} {
		t.Run(test.what, func(t *testing.T) {
			serve := func(f func(w http.ResponseWriter, r *http.Request)) (*http.Response, string) {
				r := httptest.NewRequestWithContext(t.Context(), test.method, "/", nil)
				if test.head[0] != "" {
					r.Header.Set(test.head[0], test.head[1])
				}
				w := httptest.NewRecorder()
				w.Header().Set("ETag", `"tag"`)
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("X-Other", "stays")
				f(w, r)
				resp := w.Result()
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if kind := resp.Header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/") {
					b = bytes.ReplaceAll(b, []byte(kind[len(kind)-60:]), nil) // a random boundary
					resp.Header.Del("Content-Type")
				}
				return resp, string(b)
			}
			want, wantBody := serve(func(w http.ResponseWriter, r *http.Request) { http.ServeContent(w, r, "", at, strings.NewReader(text)) })
			in := &fakeContent{Reader: bytes.NewReader([]byte(text))}
			got, body := serve(func(w http.ResponseWriter, r *http.Request) {
				if begun, err := ServeContent(w, r, at, in); !begun || err != nil {
					t.Errorf("%v, %v", begun, err)
				}
			})
			if got.StatusCode != want.StatusCode || body != wantBody {
				t.Errorf("%s %q, want %s %q", got.Status, body, want.Status, wantBody)
			}
			if diff := cmp.Diff(want.Header, got.Header); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.prepared, in.prepared); diff != "" {
				t.Errorf("prepared: %s", diff)
			}
			if test.prepared == nil {
				return
			}
			in = &fakeContent{Reader: bytes.NewReader([]byte(text)), away: away}
			got, body = serve(func(w http.ResponseWriter, r *http.Request) {
				if begun, err := ServeContent(w, r, at, in); begun || !errors.Is(err, away) {
					t.Errorf("%v, %v", begun, err)
				}
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			if diff := cmp.Diff(http.Header{"X-Other": {"stays"}}, got.Header); got.StatusCode != 503 || body != "" || diff != "" {
				t.Errorf("what is away: %s %q %s", got.Status, body, diff)
			}
		})
	}
	w := httptest.NewRecorder()
	begun, err := ServeContent(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil), at, &fakeContent{Reader: bytes.NewReader([]byte(text)), breaksAt: 30})
	if !begun || err == nil || w.Code != http.StatusOK || w.Body.String() != text[:30] {
		t.Errorf("what breaks off: %v, %v, %d, %q", begun, err, w.Code, w.Body)
	}
}
