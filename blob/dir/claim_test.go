package dir

import (
	"errors"
	"testing"

	"github.com/quire-docs/quire/blob"
)

// TestClaim: a folder belongs to the first that claims it, and opens as before.
func TestClaim(t *testing.T) {
	path := t.TempDir()
	if id, err := mustOpen(t, path, Options{}).Owner(t.Context()); id != "" || err != nil {
		t.Errorf("a new folder belongs to %q, %v", id, err)
	}
	for _, step := range []struct {
		id   string
		want error
	}{{"one", nil}, {"one", nil}, {"two", blob.ErrClaimed}, {"one", nil}} {
		if err := mustOpen(t, path, Options{}).Claim(t.Context(), step.id); !errors.Is(err, step.want) {
			t.Errorf("claim for %s: %v, want %v", step.id, err, step.want)
		}
		if id, err := mustOpen(t, path, Options{}).Owner(t.Context()); id != "one" || err != nil {
			t.Errorf("the folder belongs to %q, %v", id, err)
		}
	}
}
