// Package catalogtest is the suite that every catalog.Driver passes. It tests
// each sentence of the interface, over the typed records that drivers never
// see.
package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Run tests a driver. open returns two handles on one new and empty database:
// two nodes of a cluster, or two processes. The suite closes them.
func Run(t *testing.T, open func(t *testing.T) (a, b catalog.Driver)) {
	for name, test := range map[string]func(*testing.T, *stores){
		"LostUpdate":   lostUpdate,
		"WriteSkew":    writeSkew,
		"UniquePlace":  uniquePlace,
		"AllOrNothing": allOrNothing,
		"Panic":        panics,
		"Rerun":        rerun,
		"Snapshot":     snapshot,
		"OtherHandle":  otherHandle,
		"Cancelled":    cancelled,
		"Closed":       closed,
		"ReadOnly":     readOnly,
		"Version":      version,
		"Clock":        clock,
		"Records":      records,
		"Children":     children,
		"Find":         find,
		"Ancestry":     ancestry,
		"Holds":        holds,
		"Uploads":      uploads,
		"Properties":   properties,
		"Events":       events,
		"EventOrder":   eventOrder,
		"Chores":       chores,
		"SignIn":       signIn,
		"Renditions":   renditions,
		"Leases":       leases,
		"Facts":        facts,
		"Counts":       counts,
		"Observe":      observe,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			s := &stores{t: t, ctx: context.Background(), a: catalog.New(a), b: catalog.New(b)}
			t.Cleanup(func() {
				if err := errors.Join(s.a.Close(), s.b.Close()); err != nil {
					t.Error(err)
				}
			})
			test(t, s)
		})
	}
}

// stores are the two handles.
type stores struct {
	t    *testing.T
	ctx  context.Context
	a, b *catalog.Store
}

func (s *stores) update(f func(*catalog.Tx) error) {
	s.t.Helper()
	if err := s.a.Update(s.ctx, f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stores) view(f func(*catalog.Tx) error) {
	s.t.Helper()
	if err := s.b.View(s.ctx, f); err != nil {
		s.t.Fatal(err)
	}
}

func node(id, parent string) *quire.Node {
	return &quire.Node{ID: quire.NodeID(id), Site: "s", Parent: quire.NodeID(parent), Name: id, NameKey: id, Kind: quire.File}
}

func (s *stores) insert(nodes ...*quire.Node) {
	s.t.Helper()
	s.update(func(tx *catalog.Tx) error {
		for _, n := range nodes {
			if err := tx.InsertNode(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// lostUpdate: concurrent changes of one record through both handles all count.
func lostUpdate(t *testing.T, s *stores) {
	s.insert(node("n", ""))
	const each = 25
	var wait sync.WaitGroup
	for _, store := range []*catalog.Store{s.a, s.b, s.a, s.b} {
		wait.Go(func() {
			for range each {
				err := store.Update(s.ctx, func(tx *catalog.Tx) error {
					n, err := tx.Node("n")
					if err != nil {
						return err
					}
					n.Sequence++
					return tx.UpdateNode(&n)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	s.view(func(tx *catalog.Tx) error {
		n, err := tx.Node("n")
		if n.Sequence != 4*each || n.Epoch != 4*each {
			t.Errorf("%d changes count, epoch %d", n.Sequence, n.Epoch)
		}
		return err
	})
}

// writeSkew: two transactions that each read both records and change one never
// both succeed against the rule that they read.
func writeSkew(t *testing.T, s *stores) {
	for round := range 10 {
		x, y := node(fmt.Sprint("x", round), ""), node(fmt.Sprint("y", round), "")
		x.Size, y.Size = 1, 1
		s.insert(x, y)
		var wait sync.WaitGroup
		for i, store := range []*catalog.Store{s.a, s.b} {
			wait.Go(func() {
				err := store.Update(s.ctx, func(tx *catalog.Tx) error {
					one, err := tx.Node(x.ID)
					if err != nil {
						return err
					}
					two, err := tx.Node(y.ID)
					if err != nil {
						return err
					}
					if one.Size+two.Size < 2 {
						return nil // one of them must stay
					}
					mine := []quire.Node{one, two}[i]
					mine.Size = 0
					return tx.UpdateNode(&mine)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		s.view(func(tx *catalog.Tx) error {
			one, _ := tx.Node(x.ID)
			two, err := tx.Node(y.ID)
			if one.Size+two.Size != 1 {
				t.Errorf("round %d: %d and %d are left", round, one.Size, two.Size)
			}
			return err
		})
	}
}

// uniquePlace: one of many who want a name gets it, and the others see it.
func uniquePlace(t *testing.T, s *stores) {
	var won, lost atomic.Int32
	var wait sync.WaitGroup
	for i := range 8 {
		store := []*catalog.Store{s.a, s.b}[i%2]
		wait.Go(func() {
			taken := false
			err := store.Update(s.ctx, func(tx *catalog.Tx) error {
				taken = false
				switch _, err := tx.Child("p", "name"); {
				case err == nil:
					taken = true
					return nil
				case !errors.Is(err, quire.ErrNotFound):
					return err
				}
				n := node(fmt.Sprint("n", i), "p")
				n.NameKey = "name"
				return tx.InsertNode(n)
			})
			switch {
			case err != nil:
				t.Error(err)
			case taken:
				lost.Add(1)
			default:
				won.Add(1)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

var errOwn = errors.New("the closure's own error")

// allOrNothing: of many updates that share a commit, those that fail leave
// nothing, and their error is returned as it is.
func allOrNothing(t *testing.T, s *stores) {
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			err := s.a.Update(s.ctx, func(tx *catalog.Tx) error {
				for j := range 3 {
					if err := tx.InsertNode(node(fmt.Sprintf("n%02d-%d", i, j), "")); err != nil {
						return err
					}
				}
				if i%2 == 1 {
					return errOwn
				}
				return nil
			})
			if i%2 == 1 && !errors.Is(err, errOwn) || i%2 == 0 && err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wait.Wait()
	s.view(func(tx *catalog.Tx) error {
		all, err := tx.NodesAfter("", 1000)
		if len(all) != 60 {
			t.Errorf("%d nodes, want 60", len(all))
		}
		return err
	})
}

// panics: a panic leaves nothing, reaches its caller, and harms nobody else.
func panics(t *testing.T, s *stores) {
	func() {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "the closure's fault") {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = s.a.Update(s.ctx, func(tx *catalog.Tx) error {
			if err := tx.InsertNode(node("gone", "")); err != nil {
				return err
			}
			panic("the closure's fault")
		})
	}()
	s.insert(node("n", ""))
	s.view(func(tx *catalog.Tx) error {
		if _, err := tx.Node("gone"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%v", err)
		}
		_, err := tx.Node("n")
		return err
	})
}

// rerun: a transaction that lost a race is run again, and what it had done is
// undone first.
func rerun(t *testing.T, s *stores) {
	runs := 0
	s.update(func(tx *catalog.Tx) error {
		runs++
		if err := tx.InsertNode(node(fmt.Sprint("run", runs), "")); err != nil {
			return err
		}
		if runs < 3 {
			return fmt.Errorf("wrapped: %w", catalog.ErrRetry)
		}
		return nil
	})
	s.view(func(tx *catalog.Tx) error {
		all, err := tx.NodesAfter("", 10)
		if len(all) != 1 || all[0].ID != "run3" {
			t.Errorf("%v", all)
		}
		return err
	})
}

// snapshot: a view sees one moment, whatever is committed meanwhile.
func snapshot(t *testing.T, s *stores) {
	s.insert(node("n", ""))
	read, goOn, done := make(chan bool), make(chan bool), make(chan error)
	go func() {
		done <- s.b.View(s.ctx, func(tx *catalog.Tx) error {
			before, err := tx.Node("n")
			if err != nil {
				return err
			}
			read <- true
			<-goOn
			after, err := tx.Node("n")
			if before.Size != after.Size {
				t.Errorf("%d bytes became %d", before.Size, after.Size)
			}
			if _, err := tx.Node("later"); !errors.Is(err, quire.ErrNotFound) {
				t.Errorf("a later node: %v", err)
			}
			return err
		})
	}()
	<-read
	s.update(func(tx *catalog.Tx) error {
		n, err := tx.Node("n")
		if err != nil {
			return err
		}
		n.Size = 7
		if err := tx.UpdateNode(&n); err != nil {
			return err
		}
		return tx.InsertNode(node("later", ""))
	})
	goOn <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// otherHandle: what one handle committed, the other sees at once.
func otherHandle(t *testing.T, s *stores) {
	for i := range 50 {
		s.insert(node(fmt.Sprint("n", i), ""))
		s.view(func(tx *catalog.Tx) error {
			_, err := tx.Node(quire.NodeID(fmt.Sprint("n", i)))
			return err
		})
	}
}

func cancelled(t *testing.T, s *stores) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	err := s.a.Update(ctx, func(tx *catalog.Tx) error { return tx.InsertNode(node("n", "")) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	s.view(func(tx *catalog.Tx) error {
		if _, err := tx.Node("n"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%v", err)
		}
		return nil
	})
	// Once it has run, its commit is seen through.
	ctx, cancel = context.WithCancel(s.ctx)
	err = s.a.Update(ctx, func(tx *catalog.Tx) error {
		cancel()
		return tx.InsertNode(node("n", ""))
	})
	if err != nil {
		t.Errorf("%v", err)
	}
}

func closed(t *testing.T, s *stores) {
	if err := errors.Join(s.a.Close(), s.a.Close()); err != nil {
		t.Error(err)
	}
	nothing := func(*catalog.Tx) error { return nil }
	if err := s.a.Update(s.ctx, nothing); !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := s.a.View(s.ctx, nothing); !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("%v", err)
	}
	s.view(nothing)
}

func readOnly(t *testing.T, s *stores) {
	if err := s.a.View(s.ctx, func(tx *catalog.Tx) error { return tx.InsertNode(node("n", "")) }); err == nil {
		t.Error("a view changed something")
	}
	s.view(func(tx *catalog.Tx) error {
		if _, err := tx.Node("n"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%v", err)
		}
		return nil
	})
}

// version: what Cached remembers is never older than what was committed,
// through whatever handle.
func version(t *testing.T, s *stores) {
	s.insert(node("n", ""))
	var cache catalog.Cached[string, int64]
	read := func() (int64, error) {
		var size int64
		err := s.a.View(s.ctx, func(tx *catalog.Tx) error {
			n, err := tx.Node("n")
			size = n.Size
			return err
		})
		return size, err
	}
	for i := range int64(30) {
		store := []*catalog.Store{s.a, s.b}[i%2]
		err := store.Update(s.ctx, func(tx *catalog.Tx) error {
			n, err := tx.Node("n")
			if err != nil {
				return err
			}
			n.Size = i
			return tx.UpdateNode(&n)
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := cache.Get(s.ctx, s.a, "k", read); err != nil || got != i {
				t.Fatalf("%d, want %d (%v)", got, i, err)
			}
		}
	}
}

// clock: a transaction has one time, in whole milliseconds, that is about now.
func clock(t *testing.T, s *stores) {
	s.update(func(tx *catalog.Tx) error {
		now := tx.Now()
		if now.Location() != time.UTC || now.Nanosecond()%1e6 != 0 || time.Since(now).Abs() > time.Minute || !tx.Now().Equal(now) {
			t.Errorf("%v", now)
		}
		return nil
	})
}
