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
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		finish(batch, err)
		return
	}
	// After the wait for other processes, so that who comes later in the
	// database has no earlier time.
	c.now = d.clock()
	var ran []*request
	for i := 0; ; i++ {
		r := batch[i]
		if err := d.run(c, r); err != nil {
			// The transaction itself is broken: nothing of it can be kept. The
			// others did nothing wrong and can run again.
			c.exec("ROLLBACK")
			if r.err == nil {
				r.err = err
			}
			for _, r := range ran {
				if r.err == nil {
					r.err = fmt.Errorf("%w: another update broke the transaction: %w", catalog.ErrRetry, err)
				}
			}
			finish(append(ran, r), nil)
			return
		}
		ran = append(ran, r)
		if i+1 == maxBatch {
			break
		}
		next, ok := d.waiting()
		if !ok {
			break
		}
		batch = append(batch, next)
	}
	changed := false
	for _, r := range ran {
		changed = changed || r.err == nil
	}
	if !changed {
		c.exec("ROLLBACK")
		finish(ran, nil)
		return
	}
	_, err := c.exec("COMMIT")
	if err != nil {
		// A commit that failed before its record was whole leaves nothing. One
		// that failed in the fsync may or may not survive a power cut.
		c.exec("ROLLBACK")
		err = fmt.Errorf("%w: %w", catalog.ErrUncertain, err)
	}
	for _, r := range ran {
		if r.err == nil {
			r.err = err
		}
	}
	finish(ran, nil)
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

// run runs one update in a savepoint. It returns an error only if the
// transaction cannot go on.
func (d *Driver) run(c *conn, r *request) error {
	if !r.taken.CompareAndSwap(false, true) {
		r.err = context.Canceled // nobody is left to read it
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return nil
	}
	if _, err := c.exec("SAVEPOINT one"); err != nil {
		return err
	}
	c.begin()
	r.panicked, r.err = protect(c, r.f)
	if r.err != nil || r.panicked != nil {
		if r.err == nil {
			r.err = errors.New("panic")
		}
		if _, err := c.exec("ROLLBACK TO one"); err != nil {
			return err
		}
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
