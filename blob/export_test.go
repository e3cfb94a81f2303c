package blob

import "time"

// Settle waits until no copy is being made.
func (c *Cache) Settle() {
	for range cacheAtOnce {
		c.slots <- struct{}{}
	}
	for range cacheAtOnce {
		<-c.slots
	}
}

// Sweep removes what was not used for long, as of a time.
func (c *Cache) Sweep(now time.Time) { c.sweep(now) }
