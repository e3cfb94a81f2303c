package catalog

import (
	"context"
	"time"
)

// Event is one finished transaction, as observers see it.
type Event struct {
	Write    bool // an Update, else a View
	Duration time.Duration
	Runs     int   // how often its function ran: more than once after lost races
	Err      error // what the call returned, the function's own refusals included
}

// Observe makes the store call f after each transaction, with the context that the
// transaction had, on the goroutine that asked for it and possibly on many at the
// same time. f must be quick. Call it once, before the store is used.
func (s *Store) Observe(f func(context.Context, Event)) { s.observe = f }

// observed is deferred with the addresses of the results.
func (s *Store) observed(ctx context.Context, write bool, began time.Time, runs *int, err *error) {
	if s.observe != nil {
		s.observe(ctx, Event{write, time.Since(began), *runs, *err})
	}
}
