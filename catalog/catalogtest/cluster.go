package catalogtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// eventOrder: who follows a site's events by their numbers, while others add
// some through both handles, misses none.
func eventOrder(t *testing.T, s *stores) {
	const writers, each = 6, 20
	var wait sync.WaitGroup
	for w := range writers {
		store := []*catalog.Store{s.a, s.b}[w%2]
		wait.Go(func() {
			for i := range each {
				err := store.Update(s.ctx, func(tx *catalog.Tx) error {
					n := node(fmt.Sprintf("%d-%d", w, i), "p")
					if err := tx.AddEvent(&quire.Event{Site: "s", Node: n.ID, Kind: quire.EventUpdate, Time: tx.Now()}); err != nil {
						return err
					}
					return tx.InsertNode(n)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { wait.Wait(); close(over) }()
	seen := make(map[quire.NodeID]bool)
	after := int64(0)
	for last := false; ; {
		var page []quire.Event
		s.view(func(tx *catalog.Tx) (err error) {
			page, err = tx.SiteEvents("s", after, time.Time{}, 1000)
			return err
		})
		for _, e := range page {
			if seen[e.Node] || e.Seq <= after {
				t.Errorf("%s comes again, with the number %d after %d", e.Node, e.Seq, after)
			}
			seen[e.Node], after = true, e.Seq
		}
		if last {
			break
		}
		select {
		case <-over:
			last = true
		default:
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d events were seen", len(seen), writers*each)
	}
}

// leases: one of many has a lease, until its end or until it gives it up.
func leases(t *testing.T, s *stores) {
	take := func(store *catalog.Store, holder string, life time.Duration) (got bool) {
		t.Helper()
		err := store.Update(s.ctx, func(tx *catalog.Tx) (err error) {
			got, err = tx.TakeLease("work", holder, life)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return got
	}
	var wait sync.WaitGroup
	won := make(chan string, 8)
	for i := range 8 {
		wait.Go(func() {
			if name := fmt.Sprint("node", i); take([]*catalog.Store{s.a, s.b}[i%2], name, time.Hour) {
				won <- name
			}
		})
	}
	wait.Wait()
	close(won)
	holder := <-won
	if more, ok := <-won; ok || holder == "" {
		t.Fatalf("%q and %q hold the same lease", holder, more)
	}
	if !take(s.b, holder, -time.Second) { // renewed, and over at once
		t.Error("the holder cannot renew it")
	}
	if !take(s.b, "next", time.Hour) || take(s.a, holder, time.Hour) {
		t.Error("a lease that is over does not change hands")
	}
	for _, who := range []string{holder, "next"} { // the first has no effect
		s.update(func(tx *catalog.Tx) error { return tx.EndLease("work", who) })
		s.view(func(tx *catalog.Tx) error {
			_, err := tx.Lease("work")
			if gone := errors.Is(err, quire.ErrNotFound); gone != (who == "next") {
				t.Errorf("after %q gave it up: %v", who, err)
			}
			return nil
		})
	}
	if !take(s.a, holder, time.Hour) {
		t.Error("a lease that was given up cannot be taken")
	}
	s.update(func(tx *catalog.Tx) error {
		for _, name := range []string{"kind/b", "kind/a", "kinder", "kind/over"} {
			life := time.Hour
			if name == "kind/over" {
				life = -2 * time.Hour
			}
			if _, err := tx.TakeLease(name, name, life); err != nil {
				return err
			}
		}
		return nil
	})
	s.view(func(tx *catalog.Tx) error {
		live, err := tx.LiveLeases("kind/")
		if err != nil || len(live) != 2 || live[0].Name != "kind/a" || live[1].Name != "kind/b" {
			t.Errorf("the live ones of a kind: %v, %v", live, err)
		}
		return nil
	})
	s.update(func(tx *catalog.Tx) error { return tx.DropLeases(tx.Now().Add(-time.Hour)) })
	s.view(func(tx *catalog.Tx) error {
		for name, want := range map[string]error{"kind/over": quire.ErrNotFound, "kind/a": nil, "work": nil} {
			if _, err := tx.Lease(name); !errors.Is(err, want) {
				t.Errorf("%s, after those that were over have been dropped: %v, want %v", name, err, want)
			}
		}
		return nil
	})
	s.update(func(tx *catalog.Tx) error { return errors.Join(tx.PutFact("f", "1"), tx.PutFact("g", "2")) })
	s.update(func(tx *catalog.Tx) error { return errors.Join(tx.DropFact("f"), tx.DropFact("never")) })
	s.view(func(tx *catalog.Tx) error {
		if _, err := tx.Fact("f"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("a fact that was dropped: %v", err)
		}
		if v, err := tx.Fact("g"); v != "2" || err != nil {
			t.Errorf("another fact: %q, %v", v, err)
		}
		return nil
	})
}

func facts(t *testing.T, s *stores) {
	s.view(func(tx *catalog.Tx) error {
		if _, err := tx.Fact("id"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%v", err)
		}
		return nil
	})
	for _, value := range []string{"one", ""} {
		s.update(func(tx *catalog.Tx) error { return tx.PutFact("id", value) })
		s.view(func(tx *catalog.Tx) error {
			if got, err := tx.Fact("id"); got != value || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			return nil
		})
	}
}
