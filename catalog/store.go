// Package catalog keeps every record of the document server: who there is,
// what there is, and which bytes make it up. It knows the records, not the
// rules: those are in package library.
//
// A Store wraps a Driver (SQLite embedded, or PostgreSQL shared) and gives
// typed transactions. Decisions are made in Go, inside the function given to
// Update, so that both engines share one rule.
package catalog

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quire-docs/quire"
)

// Store is a catalog over one driver. It is safe for concurrent use.
type Store struct {
	driver  Driver
	observe func(context.Context, Event) // nil is nobody; see Observe
}

// New returns a store over a driver whose schema is current.
func New(d Driver) *Store { return &Store{driver: d} }

// Serial says whether records that are made at the same time had better lie beside
// each other; see Driver.
func (s *Store) Serial() bool { return s.driver.Serial() }

// Close closes the driver.
func (s *Store) Close() error { return s.driver.Close() }

// retries bounds how often Update runs a closure that keeps losing races. With
// the pauses below, that many losses in a row, over that much time, mean that
// something is wrong.
const (
	retries   = 50
	retryTime = 10 * time.Second
)

// View runs f over one consistent snapshot. See Driver.View.
func (s *Store) View(ctx context.Context, f func(*Tx) error) (err error) {
	runs := 1
	defer s.observed(ctx, false, time.Now(), &runs, &err)
	return s.driver.View(ctx, func(c Conn) error { return f(&Tx{c: c, now: c.Now()}) })
}

// Update runs f in a serialisable transaction and returns once its changes are
// durable. f runs again after a lost race, so it must have no effects beyond
// the Tx; it may set variables of its caller as long as each run sets them
// anew. See Driver.Update.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) (err error) {
	pause, began := time.Millisecond, time.Now()
	attempt := 1
	defer s.observed(ctx, true, began, &attempt, &err)
	for ; ; attempt++ {
		err := s.driver.Update(ctx, func(c Conn) error {
			tx := &Tx{c: c, now: c.Now(), write: true}
			if err := f(tx); err != nil {
				return err
			}
			return tx.writeEvents()
		})
		if !errors.Is(err, ErrRetry) || errors.Is(err, ErrUncertain) {
			return err // run again after an uncertain commit, f might count twice
		}
		if attempt >= retries && time.Since(began) > retryTime {
			return &quire.Unavailable{Reason: "too many people change this at once: try again in a moment", After: time.Second}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// Tx is one transaction over typed records. Methods that look for one record
// return quire.ErrNotFound where there is none. Methods that change a record
// with an Epoch do so only if it still has the epoch that was read, and raise
// it; else the transaction is run again.
type Tx struct {
	c      Conn
	now    time.Time
	write  bool
	events [][]any // that are to be written at the end
}

// Now is the transaction's time, to the millisecond, UTC: one clock for all
// nodes, and the same for the whole transaction.
func (t *Tx) Now() time.Time { return t.now }
