package fileapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestClientModified: the time that a sender gives for its file is told, of the
// content that it was given for and of no other, and is no reason not to save.
func TestClientModified(t *testing.T) {
	f := open(t)
	told := func(path string) string {
		t.Helper()
		m := f.do("GET", "/api/v1/content/metadata?path="+path, nil).json(t)
		if m["modified"].(float64) < 1.5e9 {
			t.Errorf("%s: modified is %v", path, m["modified"])
		}
		return fmt.Sprint(m["client_modified"])
	}
	put := func(query, content string, status int) answer {
		t.Helper()
		a := f.do("PUT", "/api/v1/file/put?path=/f&overwrite=true"+query, strings.NewReader(content))
		if a.StatusCode != status {
			t.Errorf("put%s: %d %s", query, a.StatusCode, a.body)
		}
		return a
	}
	if got := put("&client_modified=1000000000.125", "one", 200).json(t)["client_modified"]; fmt.Sprint(got) != "1.000000000125e+09" {
		t.Errorf("the answer says %v", got)
	}
	if got := told("/f"); got != "1.000000000125e+09" {
		t.Errorf("with a fraction it is %s", got)
	}
	put("", "two", 200)
	if got := told("/f"); got != "<nil>" {
		t.Errorf("another content, of which no time was told, has %s", got)
	}
	put("&client_modified=1000000001", "three", 200)
	put("&client_modified=1000000002", "three", 200)
	if got := told("/f"); got != "1.000000002e+09" {
		t.Errorf("the same content with another time has %s", got)
	}
	box := f.do("GET", "/1/metadata/auto/f", nil).json(t)
	if box["client_mtime"] != "Sun, 09 Sep 2001 01:46:42 +0000" {
		t.Errorf("in the Dropbox shape: %v", box["client_mtime"])
	}
	revisions := f.do("GET", "/api/v1/file/revisions?path=/f", nil)
	if n := strings.Count(string(revisions.body), "client_modified"); n != 1 {
		t.Errorf("%d revisions have the time of the current one: %s", n, revisions.body)
	}
	for _, bad := range []string{"", "-1", "now", "1e9", "2001-09-09"} {
		put("&client_modified="+bad, "four", 400)
	}

	u := f.do("PUT", "/api/v1/file/chunked_upload?offset=0", strings.NewReader("uploaded")).json(t)["upload_id"].(string)
	f.do("POST", "/api/v1/file/commit_chunked_upload?path=/u&client_modified=1000000003&upload_id="+u, nil)
	if got := told("/u"); got != "1.000000003e+09" {
		t.Errorf("an upload in pieces has %s", got)
	}
}
