package library

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library/librarytest"
)

// nodes opens two libraries over one store, as two nodes are, with a clock that
// can be put forward.
func nodes(t *testing.T) (a, b *Library, advance func(time.Duration)) {
	t.Helper()
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	_, s := librarytest.Open(t, func() time.Time { return time.Unix(0, now.Load()) })
	return New(s.Catalog, s.Blobs, Options{}), New(s.Catalog, s.Blobs, Options{}), func(d time.Duration) { now.Add(int64(d)) }
}

// TestBackgroundLease: one node at a time does the background work, and one that
// died is replaced when its lease is over, not before and not later.
func TestBackgroundLease(t *testing.T) {
	a, b, advance := nodes(t)
	ctx := t.Context()
	if !a.takeLease(ctx, "a") || b.takeLease(ctx, "b") || !a.takeLease(ctx, "a") {
		t.Fatal("it is not one node's at a time")
	}
	advance(backgroundTime - time.Millisecond)
	if b.takeLease(ctx, "b") {
		t.Error("b took the lease before its end")
	}
	advance(time.Millisecond)
	if !b.takeLease(ctx, "b") || a.takeLease(ctx, "a") {
		t.Error("b did not take the lease that was over")
	}
	b.endLease(ctx, "b")
	if !a.takeLease(ctx, "a") {
		t.Error("a lease that was given back is not to be had")
	}
}

// TestLeaseHeld: the lease is renewed while the work takes long, and the work
// ends when somebody else has it.
func TestLeaseHeld(t *testing.T) {
	a, b, advance := nodes(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !a.takeLease(ctx, "a") {
		t.Fatal("no lease")
	}
	a.holdLease(ctx, "a", time.Millisecond, func(work context.Context) {
		for range 10 {
			advance(backgroundTime / 2)
			for renewed := false; !renewed; {
				err := a.view(ctx, func(tx *catalog.Tx) error {
					l, err := tx.Lease(backgroundLease)
					renewed = l.Until.Sub(tx.Now()) > backgroundTime*3/4
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if b.takeLease(ctx, "b") {
				t.Fatal("b took the lease while a works")
			}
		}
		if work.Err() != nil {
			t.Fatal("the work was ended")
		}
		// As after a pause of a's process that was longer than the lease.
		err := b.update(ctx, func(tx *catalog.Tx) error {
			if err := tx.EndLease(backgroundLease, "a"); err != nil {
				return err
			}
			_, err := tx.TakeLease(backgroundLease, "b", backgroundTime)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		<-work.Done()
	})
	if ctx.Err() != nil {
		t.Error("the work went on while b had the lease")
	}
}
