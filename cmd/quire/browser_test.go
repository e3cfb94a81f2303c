package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/quire-docs/quire/internal/needs"
)

// TestBrowser runs the tests of the web application: a real Chromium on the real
// program.
func TestBrowser(t *testing.T) {
	needs.Time(t)
	browser := needs.Chromium(t)
	folder := needs.Node(t, "../../door/web/e2e")
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filepath.Glob(filepath.Join(folder, "*.test.mjs"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	for _, file := range tests {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data := t.TempDir()
			s, err := launch(data)
			if err != nil {
				t.Fatal(err)
			}
			defer s.kill()
			run := exec.Command("node", "--test", "--test-reporter=spec", filepath.Base(file))
			run.Dir = folder
			run.Env = append(os.Environ(), "CHROMIUM="+browser, "QUIRE_URL="+s.url, "QUIRE_DATA="+data, "QUIRE_BIN="+bin)
			out, err := run.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Errorf("%v\n%s", err, s.log)
			}
		})
	}
}
