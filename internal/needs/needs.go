// Package needs finds what tests need beside Go: other programs, and packages of
// Node. Where a part is missing the test is skipped; in CI it fails.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// Missing ends a test that cannot run here, and says why and what to do.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format+" (CI fails without it)", args...)
}

// Time ends a test that takes minutes in a run with -short. CI has one without.
func Time(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes a minute or more, too long for -short: CI runs it in the run without -short")
	}
}

// Program returns the path of the first of some programs that is there, by any of
// its names.
func Program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, "%s is missing: scripts/test installs it", names[0])
	return ""
}

// Chromium returns the path of a browser.
func Chromium(t testing.TB) string {
	t.Helper()
	return Program(t, "chromium", "chromium-browser", "google-chrome")
}

// Node copies a folder of scripts, with their package.json and package-lock.json,
// to a temporary one, installs the packages that they name, and returns that.
func Node(t testing.TB, scripts string) (folder string) {
	t.Helper()
	Program(t, "node")
	npm := Program(t, "npm")
	folder = t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(scripts)); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return folder
}
