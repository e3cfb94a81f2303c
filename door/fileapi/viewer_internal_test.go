package fileapi

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
)

// FuzzViewerLink: whatever a link says, it is refused without the right
// signature, and with it only its own words count.
func FuzzViewerLink(f *testing.F) {
	f.Add("account=main&permission=preview&timestamp=1&signature=x", "/a")
	f.Add("permission=download&signcode="+strings.Repeat("0", 32), "/a:b")
	site := quire.Site{Viewer: quire.ViewerSecrets{Current: "secret"}}
	f.Fuzz(func(t *testing.T, query, path string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		v, signature, signcode := parseLink(q, path)
		if v.verify(site, signature, signcode, time.Now()) == nil && signature != v.signature("secret") && signcode != v.signcode("secret") {
			t.Errorf("%q is let in", query)
		}
		err = v.verify(site, v.signature("secret"), "", time.Now())
		if (err == nil) != (v.Timestamp == "" || live(v.Timestamp)) {
			t.Errorf("%q: %v", query, err)
		}
		other := v
		other.Path += "x"
		if other.verify(site, v.signature("secret"), "", time.Now()) == nil || other.verify(site, "", v.signcode("secret"), time.Now()) == nil {
			t.Errorf("%q signs another path", query)
		}
	})
}

func live(timestamp string) bool {
	var n int64
	for _, c := range strings.TrimPrefix(timestamp, "+") {
		if c < '0' || c > '9' || n > 1<<58 {
			return false
		}
		n = 10*n + int64(c-'0')
	}
	return strings.TrimPrefix(timestamp, "+") != "" && time.Unix(n, 0).After(time.Now())
}

// FuzzTransformPath: what follows file/transform/ is a job, or a job and a result.
func FuzzTransformPath(f *testing.F) {
	for _, s := range []string{"", "a", "a/", "a/0", "a/0/1", "//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, n, ok := transformPath(s)
		if ok && (id == "" || strings.Contains(id, "/") || strings.Contains(n, "/") || s != id && s != id+"/"+n) {
			t.Errorf("%q: %q %q", s, id, n)
		}
	})
}
