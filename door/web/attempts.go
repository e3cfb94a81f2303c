package web

import (
	"sync"
	"time"
)

// attempts slows down who guesses passwords: after a few wrong ones for one
// name from one address, further ones must wait. It is kept in the process: a
// guesser gains little from asking several nodes, and checking a password is
// slow anyway.
type attempts struct {
	mu   sync.Mutex // guards seen
	seen map[string]failures
}

type failures struct {
	n    int
	last time.Time
}

const (
	freeAttempts = 5
	maxWait      = 15 * time.Minute
	maxSeen      = 10_000
)

// wait returns how long the next attempt must wait.
func (a *attempts) wait(key string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.seen[key]
	if f.n < freeAttempts {
		return 0
	}
	pause := min(maxWait, 15*time.Second<<min(f.n-freeAttempts, 10))
	return max(0, pause-now.Sub(f.last))
}

func (a *attempts) failed(key string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil || len(a.seen) > maxSeen {
		kept := make(map[string]failures)
		for k, f := range a.seen {
			if now.Sub(f.last) < maxWait && f.n >= freeAttempts && len(kept) < maxSeen/2 {
				kept[k] = f
			}
		}
		a.seen = kept
	}
	f := a.seen[key]
	a.seen[key] = failures{f.n + 1, now}
}

func (a *attempts) succeeded(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, key)
}
