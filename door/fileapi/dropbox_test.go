package fileapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDropboxClient drives the door with a real client of the Dropbox Core API
// v1: the npm package of that time, under Node.
func TestDropboxClient(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing: install it", tool)
			}
			t.Skipf("%s is not installed: scripts/test installs it", tool)
		}
	}
	folder := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "e2e.js"} {
		b, err := os.ReadFile(filepath.Join("testdata", "dropbox", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	f := open(t)
	run := exec.Command("node", "e2e.js", f.http.URL, f.token)
	run.Dir = folder
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all calls passed") {
		t.Errorf("%v\n%s", err, out)
	}
}
