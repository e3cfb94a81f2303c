package library

import (
	"testing"
	"time"

	"github.com/quire-docs/quire"
)

// TestRecent: the same again is one event until it is long ago, and the memory of
// it is bounded.
func TestRecent(t *testing.T) {
	var r recent
	ann := quire.Caller{User: "ann", Door: quire.DoorTus, Addr: "192.0.2.1"}
	now := time.Unix(1e9, 0)
	k := recentOf(ann, "n", "read 1")
	other := ann
	other.Addr = "192.0.2.2"
	for i, step := range []struct {
		key  recentKey
		at   time.Duration
		want bool
	}{
		{k, 0, true},
		{k, time.Minute, false},
		{recentOf(ann, "n", "read 2"), time.Minute, true},
		{recentOf(ann, "m", "read 1"), time.Minute, true},
		{recentOf(other, "n", "read 1"), time.Minute, true},
		{k, oneEvent - 1, false},
		{k, oneEvent, true},
	} {
		if got := r.fresh(step.key, now.Add(step.at)); got != step.want {
			t.Errorf("step %d: got %t", i, got)
		}
	}
	r.forget(k)
	if !r.fresh(k, now.Add(oneEvent)) {
		t.Error("what was not recorded counts as if it were")
	}
	for i := range 3 * maxRecent {
		r.fresh(recentOf(ann, quire.NodeID(rune(i)), "x"), now)
	}
	if len(r.seen) > maxRecent {
		t.Errorf("%d are remembered", len(r.seen))
	}
}
