package fileapi_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/quire-docs/quire"
)

// TestRedirect: whole downloads of large files are sent to the bucket, where that
// gives the same bytes under the same name; everything else stays here.
func TestRedirect(t *testing.T) {
	f := openWith(t, settings{cluster: true, redirectFrom: 100_000})
	large, small := strings.Repeat("large ", 20_000), strings.Repeat("x", 99_999)
	f.put("/Größe.html", large)
	f.put("/small.txt", small)
	f.put("/page.png", large)
	f.put("/empty", "")
	// Two pieces are two segments.
	a := f.do("PUT", "/api/v1/file/chunked_upload", strings.NewReader(large))
	id := a.json(t)["upload_id"].(string)
	f.do("PUT", "/api/v1/file/chunked_upload?offset=120000&upload_id="+id, strings.NewReader(large))
	if a := f.do("POST", "/api/v1/file/commit_chunked_upload?path=/pieces&upload_id="+id, nil); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	plain := *http.DefaultClient
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	get := func(method, path string, head ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, f.http.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+f.token)
		for i := 0; i+1 < len(head); i += 2 {
			r.Header.Set(head[i], head[i+1])
			if head[i+1] == "" {
				r.Header.Del(head[i])
			}
		}
		resp, err := plain.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	at := func(path string) string { return "/api/v1/file/get?path=" + url.QueryEscape(path) }
	page, err := f.lib.Lookup(t.Context(), f.admin, "/page.png")
	if err != nil {
		t.Fatal(err)
	}
	b := f.tab("tab", quire.RoleMember)
	cookie := "quire=" + b.cookie
	link := f.do("POST", "/api/v1/file/viewer_link?path=/page.png&permission=download&expires_in=60", nil).json(t)["url"].(string)
	link = "/api/v1/" + link[strings.Index(link, "file/get"):]
	for _, test := range []struct {
		what, method, path string
		head               []string
		sent               bool
	}{
		{"a large file", "GET", at("/Größe.html"), nil, true},
		{"by its id", "GET", "/api/v1/file/get?uid=" + string(page.ID), nil, true},
		{"an old revision", "GET", at("/page.png") + "&rev=1", nil, true},
		{"in the older API", "GET", "/1/files/sandbox/page.png", nil, true},
		{"to be shown", "GET", at("/page.png") + "&disposition=inline", nil, true},
		{"a browser that goes there", "GET", at("/page.png"), []string{"Authorization", "", "Cookie", cookie, "Sec-Fetch-Mode", "navigate"}, true},
		{"a signed link to download by", "GET", link, []string{"Authorization", ""}, true},
		{"a script in a browser", "GET", at("/page.png"), []string{"Authorization", "", "Cookie", cookie, "Sec-Fetch-Mode", "cors"}, false},
		{"a picture in a page", "GET", at("/page.png"), []string{"Authorization", "", "Cookie", cookie}, false},
		{"a small file", "GET", at("/small.txt"), nil, false},
		{"an empty file", "GET", at("/empty"), nil, false},
		{"a file of two segments", "GET", at("/pieces"), nil, false},
		{"HEAD", "HEAD", at("/page.png"), nil, false},
		{"a range", "GET", at("/page.png"), []string{"Range", "bytes=0-9"}, false},
		{"on a condition", "GET", at("/page.png"), []string{"If-None-Match", `"x"`}, false},
	} {
		resp, body := get(test.method, test.path, test.head...)
		if sent := resp.StatusCode == http.StatusFound; sent != test.sent {
			t.Errorf("%s: %s", test.what, resp.Status)
			continue
		}
		if !test.sent {
			if resp.StatusCode/100 != 2 || resp.Header.Get("Location") != "" || test.method == "GET" && int64(len(body)) != resp.ContentLength {
				t.Errorf("%s: %s, %d bytes", test.what, resp.Status, len(body))
			}
			continue
		}
		to := resp.Header.Get("Location")
		if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" || strings.Contains(to, f.token) || !strings.Contains(to, "X-Amz-Expires=120") {
			t.Errorf("%s: %v", test.what, resp.Header)
		}
		there, err := http.Get(to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(there.Body)
		there.Body.Close()
		if err != nil || there.StatusCode != http.StatusOK || string(got) != large {
			t.Errorf("%s: the bucket says %s, %d bytes, %v", test.what, there.Status, len(got), err)
		}
		// The same as without being sent there.
		here, _ := get(test.method, test.path, append([]string{"Range", "bytes=0-0"}, test.head...)...)
		for _, name := range []string{"Content-Type", "Content-Disposition"} {
			if a, b := there.Header.Get(name), here.Header.Get(name); a != b || a == "" {
				t.Errorf("%s: %s is %q there and %q here", test.what, name, a, b)
			}
		}
	}
	if resp, _ := get("GET", at("/page.png"), "Authorization", "Bearer qt_nothing"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("somebody: %s", resp.Status)
	}
	_, foreign := f.user("stranger", quire.RoleMember, quire.NoAccess, quire.ScopeWrite)
	if resp, _ := get("GET", at("/page.png"), "Authorization", "Bearer "+foreign); resp.StatusCode != http.StatusNotFound {
		t.Errorf("who may not read it: %s", resp.Status)
	}
}

// TestNoRedirect: nothing is sent anywhere unless that is asked for.
func TestNoRedirect(t *testing.T) {
	f := openWith(t, settings{cluster: true})
	large := strings.Repeat("large ", 20_000)
	f.put("/large", large)
	if a := f.do("GET", "/api/v1/file/get?path=/large", nil); a.StatusCode != 200 || string(a.body) != large || "http://"+a.Request.URL.Host != f.http.URL {
		t.Errorf("%d, %d bytes from %s", a.StatusCode, len(a.body), a.Request.URL.Host)
	}
}

// TestRedirectFolder: a store in a folder has no URLs, and serves the file.
func TestRedirectFolder(t *testing.T) {
	f := openWith(t, settings{redirectFrom: 1, local: true})
	f.put("/large", strings.Repeat("large ", 20_000))
	if a := f.do("GET", "/api/v1/file/get?path=/large", nil); a.StatusCode != 200 || len(a.body) != 120_000 || "http://"+a.Request.URL.Host != f.http.URL {
		t.Errorf("%d, %d bytes from %s", a.StatusCode, len(a.body), a.Request.URL.Host)
	}
}
