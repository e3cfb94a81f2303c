package catalog

import (
	"context"
	"sync"
	"sync/atomic"
)

// Cached remembers what was read from a catalog, for as long as nothing at all
// has changed in it: a hit is exactly what reading again would give, whoever
// changes the catalog, other processes included. It is for what a read-only
// load asks again and again. The zero value is ready for use.
type Cached[K comparable, V any] struct {
	hits, misses atomic.Uint64

	mu      sync.RWMutex // guards the rest
	version int64
	values  map[K]V
}

// maxCached bounds how many values are remembered.
const maxCached = 4096

// Get returns what read gives for a key, or gave since the catalog last
// changed. What is returned is shared: it must not be changed.
func (c *Cached[K, V]) Get(ctx context.Context, s *Store, key K, read func() (V, error)) (V, error) {
	before, ok := s.driver.Version(ctx)
	if !ok {
		return read()
	}
	c.mu.RLock()
	v, hit := c.values[key]
	hit = hit && c.version == before
	c.mu.RUnlock()
	if hit {
		c.hits.Add(1)
		return v, nil
	}
	c.misses.Add(1)
	v, err := read()
	if err != nil {
		return v, err
	}
	// What was read between two equal versions is of that version.
	if after, ok := s.driver.Version(ctx); !ok || after != before {
		return v, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != before || c.values == nil || len(c.values) >= maxCached {
		c.version, c.values = before, make(map[K]V)
	}
	c.values[key] = v
	return v, nil
}

// Use tells how often Get had what was asked for, and how often it did not.
func (c *Cached[K, V]) Use() (hits, misses uint64) { return c.hits.Load(), c.misses.Load() }
