package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"modernc.org/sqlite"
)

// ErrHeld reports a lock that another process has.
var ErrHeld = errors.New("sqlite: another process has the lock")

// Lock takes a lock that is a file, which it makes if there is none, or gives
// ErrHeld at once. It is SQLite's own lock, so that it works wherever a catalog
// does, and is let go when the process dies.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := exclusive(path, 0)
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == 5 {
		return nil, ErrHeld
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return func() { release(c) }, nil
}

// exclusive takes the lock that a file is, and waits for it at most for a time.
func exclusive(path string, wait time.Duration) (*conn, error) {
	// With no more settings than this one: of two connections that turn on the
	// write-ahead log of a new file at the same time, one fails at once.
	q := url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds())}}
	c, err := connect(location(path, q))
	if err != nil {
		return nil, err
	}
	if _, err := c.exec("BEGIN EXCLUSIVE"); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func release(c *conn) {
	_, _ = c.exec("ROLLBACK") // nothing was written: it only held the lock
	c.close()
}
