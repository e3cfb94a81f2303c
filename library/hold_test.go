package library_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire/library"
)

// TestHold: while somebody copies the store no segment goes, also of garbage
// that came before; then all of it does.
func TestHold(t *testing.T) {
	f := open(t, library.Options{})
	failed := errors.New("failed")
	err := f.Hold(f.ctx, func(ctx context.Context) error {
		for range 2 {
			id := f.upload(f.admin, -1)
			f.add(id, 0, strings.Repeat("x", 100_000))
			if err := f.CancelUpload(ctx, f.admin, id); err != nil {
				t.Fatal(err)
			}
		}
		f.clock.advance(time.Second)
		sum, err := f.Collect(ctx, 0)
		if err != nil || !sum.Held || sum.Segments != 0 {
			t.Errorf("while it is held: %+v, %v", sum, err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("the function's error became %v", err)
	}
	if sum, err := f.Collect(f.ctx, 0); err != nil || sum.Held || sum.Segments != 2 {
		t.Errorf("afterwards: %+v, %v", sum, err)
	}
}
