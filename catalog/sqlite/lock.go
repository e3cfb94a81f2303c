package sqlite

import (
	"context"
	"errors"
	"fmt"

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
	c, err := connect(dsn(path, false))
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"PRAGMA busy_timeout = 0", "BEGIN EXCLUSIVE"} {
		if _, err := c.exec(s); err != nil {
			c.close()
			var e *sqlite.Error
			if errors.As(err, &e) && e.Code()&0xff == 5 {
				return nil, ErrHeld
			}
			return nil, fmt.Errorf("lock: %w", err)
		}
	}
	return func() {
		_, _ = c.exec("ROLLBACK") // nothing was written: it only held the lock
		c.close()
	}, nil
}
