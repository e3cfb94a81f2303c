package blob

import (
	"context"
	"sync"
)

// Gate counts the calls of a Driver that are under way, so that its Close can wait
// for them and what comes later is refused. The zero value is open.
type Gate struct {
	mu      sync.Mutex // guards what follows
	closed  bool       // running does not grow any more
	running int        // calls that are under way
	idle    sync.Cond  // running is 0
}

// Enter begins a call, which calls Leave when it ends. After Close it is ErrClosed;
// a context that has ended is its error.
func (g *Gate) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.running++
	return nil
}

// EnterKey is Enter for a call that concerns one key; ErrBadKey is of one that is
// none.
func (g *Gate) EnterKey(ctx context.Context, key Key) error {
	if !key.Valid() {
		return ErrBadKey
	}
	return g.Enter(ctx)
}

// Leave ends a call.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 {
		g.idle.Broadcast()
	}
}

// Close lets no more calls in, and waits until those that are under way have ended.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.idle.L = &g.mu
	for g.running > 0 {
		g.idle.Wait()
	}
}
