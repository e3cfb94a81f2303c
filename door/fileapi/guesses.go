package fileapi

import (
	"sync"
	"time"

	"github.com/quire-docs/quire"
)

// guesses slows down who guesses a signed-in user's password.
type guesses struct {
	mu   sync.Mutex // guards seen
	seen map[string]wrong
}

type wrong struct {
	n    int
	last time.Time
}

const (
	freeGuesses = 5
	guessPause  = 5 * time.Minute
	maxGuessers = 10_000
)

// wait refuses a guess that comes too soon after too many wrong ones.
func (g *guesses) wait(who string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.seen[who]
	if left := guessPause - now.Sub(w.last); w.n >= freeGuesses && left > 0 {
		return &quire.Unavailable{Reason: "too many wrong passwords: wait a few minutes", After: left, Excess: true}
	}
	return nil
}

func (g *guesses) failed(who string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil || len(g.seen) >= maxGuessers {
		g.seen = make(map[string]wrong)
	}
	g.seen[who] = wrong{g.seen[who].n + 1, now}
}

func (g *guesses) succeeded(who string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seen, who)
}
