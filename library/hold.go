package library

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-docs/quire/catalog"
)

// A hold on garbage is a lease of whoever copies the store.
const (
	holdPrefix = "hold/"
	holdTime   = 5 * time.Minute
)

// ErrHoldLost reports that a hold on garbage could not be renewed in time, so
// that segments may have been deleted meanwhile.
var ErrHoldLost = errors.New("library: the hold on garbage was lost")

// Hold runs f while no collector, on any node, deletes a segment: what a
// snapshot of the catalog names that is taken within f stays until f is over. It
// is a lease in the catalog, so it ends by itself when this process dies. If it
// cannot be renewed, the context that f gets ends with ErrHoldLost as its cause.
func (l *Library) Hold(ctx context.Context, f func(context.Context) error) error {
	name := holdPrefix + NewID()
	take := func(ctx context.Context) error {
		return l.update(ctx, func(tx *catalog.Tx) error {
			mine, err := tx.TakeLease(name, name, holdTime)
			if err == nil && !mine {
				err = ErrHoldLost
			}
			return err
		})
	}
	if err := take(ctx); err != nil {
		return fmt.Errorf("hold on garbage: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := l.update(ctx, func(tx *catalog.Tx) error { return tx.EndLease(name, name) }); err != nil {
			l.log.Warn("the hold on garbage was not given back; it ends by itself", "error", err)
		}
	}()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		tick := time.NewTicker(holdTime / 10)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			begun := time.Now()
			limit, cancel := context.WithTimeout(ctx, holdTime/10)
			err := take(limit)
			cancel()
			if err == nil {
				last = begun
			} else if time.Since(last) > holdTime/2 {
				end(ErrHoldLost)
				return
			}
		}
	}()
	err := f(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, ErrHoldLost) {
		err = errors.Join(err, cause)
	}
	end(nil)
	<-renewed
	return err
}
