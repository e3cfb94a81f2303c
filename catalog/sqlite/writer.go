package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/quire-docs/quire/catalog"
)

// maxBatch is how many updates may share one commit. It bounds how long the
// first of them waits for the last.
const maxBatch = 128

// request is one update on its way to the writer.
type request struct {
	ctx      context.Context
	f        func(catalog.Conn) error
	err      error // valid once done is closed, as is panicked
	panicked any
	done     chan struct{}
	// taken is set by who goes first: the writer, which then runs f, or the
	// caller, who no longer waits for it.
	taken atomic.Bool
	ran   bool // f ran once, and may run again
}

// write is the one goroutine that changes the database.
func (d *Driver) write(c *conn) {
	defer close(d.stopped)
	defer c.close()
	batch := make([]*request, 0, maxBatch)
	for first := range d.updates {
		batch = append(batch[:0], first)
		d.commit(c, batch)
	}
}

// commit runs the first update and those that wait behind it, and commits them
// together. More are taken only while some wait, so that a lone update is not
// held up.
func (d *Driver) commit(c *conn, batch []*request) {
	// Most updates succeed, or fail before they have changed anything, and then
	// nothing of them need be taken back. When one must be, all that ran so far
	// run again, each in a savepoint of its own.
	apart := false
	if err := d.begin(c); err != nil {
		finish(batch, err)
		return
	}
	for i := 0; ; {
		err := d.run(c, batch[i], apart)
		if errors.Is(err, errMixed) {
			apart = true
			c.exec("ROLLBACK") // which fails if the engine has done so itself
			if err := d.begin(c); err != nil {
				finish(batch, err)
				return
			}
			i = 0
			continue
		}
		if err != nil {
			// The transaction itself is broken: nothing of it can be kept. The
			// others did nothing wrong and can run again.
			c.exec("ROLLBACK")
			for n, r := range batch {
				switch {
				case r.err != nil:
				case n == i:
					r.err = err
				default:
					r.err = fmt.Errorf("%w: another update broke the transaction: %w", catalog.ErrRetry, err)
				}
			}
			finish(batch, nil)
			return
		}
		i++
		if i < len(batch) {
			continue
		}
		if i == maxBatch {
			break
		}
		next, ok := d.waiting()
		if !ok {
			break
		}
		batch = append(batch, next)
	}
	changed := false
	for _, r := range batch {
		changed = changed || r.err == nil
	}
	if !changed {
		c.exec("ROLLBACK")
		finish(batch, nil)
		return
	}
	_, err := c.exec("COMMIT")
	if err != nil {
		// A commit that failed before its record was whole leaves nothing. One
		// that failed in the fsync may or may not survive a power cut.
		c.exec("ROLLBACK")
		err = fmt.Errorf("%w: %w", catalog.ErrUncertain, err)
	}
	for _, r := range batch {
		if r.err == nil {
			r.err = err
		}
	}
	finish(batch, nil)
}

// begin starts a transaction that others are part of, too.
func (d *Driver) begin(c *conn) error {
	_, err := c.exec("BEGIN IMMEDIATE")
	// After the wait for other processes, so that who comes later in the
	// database has no earlier time.
	c.now = d.clock()
	return err
}

// waiting takes the next update if one is there.
func (d *Driver) waiting() (*request, bool) {
	select {
	case r, ok := <-d.updates:
		return r, ok
	default:
		return nil, false
	}
}

// errMixed reports that an update failed which had changed something, in a
// transaction in which its changes cannot be told from those of others.
var errMixed = errors.New("sqlite: an update is to be taken back alone")

// run runs one update, in a savepoint if it is to be kept apart from the others.
// It returns an error only if the transaction cannot go on.
func (d *Driver) run(c *conn, r *request, apart bool) error {
	if !r.ran {
		if r.err != nil {
			return nil // it was given up before the others had to run again
		}
		if !r.taken.CompareAndSwap(false, true) {
			r.err = context.Canceled // nobody is left to read it
			return nil
		}
		if r.err = r.ctx.Err(); r.err != nil {
			return nil
		}
		r.ran = true
	}
	if apart {
		if _, err := c.exec("SAVEPOINT one"); err != nil {
			return err
		}
	}
	c.begin()
	r.panicked, r.err = protect(c, r.f)
	failed := r.err != nil || r.panicked != nil
	if failed && r.err == nil {
		r.err = errors.New("panic")
	}
	switch {
	case failed && c.wrote && !apart:
		return errMixed
	case failed && apart:
		if _, err := c.exec("ROLLBACK TO one"); err != nil {
			return err
		}
	}
	if !apart {
		return nil
	}
	_, err := c.exec("RELEASE one")
	return err
}

// protect keeps a panic of one update from taking the writer down with it; it
// goes on in the goroutine that asked.
func protect(c *conn, f func(catalog.Conn) error) (panicked any, err error) {
	defer func() {
		if p := recover(); p != nil {
			panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	return nil, c.result(f(c))
}

func finish(batch []*request, err error) {
	for _, r := range batch {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}
