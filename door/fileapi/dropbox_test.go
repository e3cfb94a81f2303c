package fileapi_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/quire-docs/quire/internal/needs"
)

// TestDropboxClient drives the door with a real client of the Dropbox Core API
// v1: the npm package of that time, under Node.
func TestDropboxClient(t *testing.T) {
	folder := needs.Node(t, "testdata/dropbox")
	f := open(t)
	run := exec.Command("node", "e2e.js", f.http.URL, f.token)
	run.Dir = folder
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all calls passed") {
		t.Errorf("%v\n%s", err, out)
	}
}
