package sqlite_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/quire-docs/quire/catalog/sqlite"
)

// TestLock: one at a time has a lock, and who comes second is told at once.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := sqlite.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Lock(t.Context(), path); !errors.Is(err, sqlite.ErrHeld) {
		t.Errorf("a lock that is held: %v", err)
	}
	unlock()
	unlock, err = sqlite.Lock(t.Context(), path)
	if err != nil {
		t.Fatalf("a lock that was let go: %v", err)
	}
	unlock()
	if _, err := sqlite.Lock(t.Context(), filepath.Join(t.TempDir(), "no", "folder")); err == nil || errors.Is(err, sqlite.ErrHeld) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
