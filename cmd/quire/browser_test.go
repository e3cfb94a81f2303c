package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBrowser runs the tests of the web application: a real Chromium on the real
// program.
func TestBrowser(t *testing.T) {
	for _, tool := range []string{"node", "npm", "chromium"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is missing: install it", tool)
			}
			t.Skipf("%s is not installed: scripts/test installs it", tool)
		}
	}
	if testing.Short() {
		t.Skip("they take minutes, too long for -short; CI runs them in the run without")
	}
	folder := t.TempDir()
	from := filepath.Join("..", "..", "door", "web", "e2e")
	files, err := filepath.Glob(filepath.Join(from, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(name)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(folder, "pictures"), os.DirFS(filepath.Join(from, "pictures"))); err != nil {
		t.Fatal(err)
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
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
			run.Env = append(os.Environ(), "QUIRE_URL="+s.url, "QUIRE_DATA="+data, "QUIRE_BIN="+bin)
			out, err := run.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Errorf("%v\n%s", err, s.log)
			}
		})
	}
}
