// Package sqlite runs the catalog on one SQLite file, without a C compiler.
//
// One connection writes, in one goroutine: it takes all updates that wait, runs
// them one after the other, and makes them durable with one commit (and so one
// fsync); what one of them must take back does not touch the others. Other connections read snapshots. The file is in WAL mode with
// synchronous=FULL, so a commit that returned survives a power cut.
//
// Several processes on one machine may open the same file, for example the
// command line beside a running server.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Driver is a catalog.Driver on one file.
type Driver struct {
	path    string
	readers chan *conn    // idle reading connections
	updates chan *request // what waits for the writer
	stopped chan struct{} // closed when the writer has ended
	now     func() time.Time

	watch struct {
		mu sync.Mutex // guards the rest
		c  *conn      // asked for nothing but whether others have committed; nil once closed
	}

	closing sync.RWMutex // held for reading while an update is handed over
	closed  bool         // guarded by closing
}

var _ catalog.Driver = (*Driver)(nil)

// minVersion is the first version whose WAL cannot lose a commit when a
// checkpoint meets a writer in another process.
const minVersion = "3.51.3"

// busyTimeout is how long a transaction waits for another process.
const busyTimeout = 30 * time.Second

// Options are the settings of a Driver. The zero value is good.
type Options struct {
	// Now is a clock to use instead of the system's, for tests.
	Now func() time.Time
	// Current opens a database only if its schema is up to date, and leaves it as
	// it is: for what is not the server.
	Current bool
}

// Open opens the database in a file, which it makes if there is none, and
// brings its schema up to date.
func Open(ctx context.Context, path string, opt Options) (*Driver, error) {
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if opt.Current {
		if err := check(ctx, path); err != nil {
			return nil, fmt.Errorf("the catalog %s cannot be used: %w", filepath.Base(path), err)
		}
	} else if err := migrate(ctx, path); err != nil {
		return nil, fmt.Errorf("the catalog %s cannot be brought up to date: %w", filepath.Base(path), err)
	}
	d := &Driver{
		path:    path,
		readers: make(chan *conn, max(4, 2*runtime.GOMAXPROCS(0))),
		updates: make(chan *request, 256),
		stopped: make(chan struct{}),
		now:     now,
	}
	writer, err := connect(dsn(path, false))
	if err != nil {
		return nil, err
	}
	if err := checkVersion(writer); err != nil {
		writer.close()
		return nil, err
	}
	for range cap(d.readers) {
		r, err := connect(dsn(path, true))
		if err != nil {
			writer.close()
			d.closeReaders(len(d.readers))
			return nil, err
		}
		d.readers <- r
	}
	if d.watch.c, err = connect(dsn(path, true)); err != nil {
		writer.close()
		d.closeReaders(len(d.readers))
		return nil, err
	}
	go d.write(writer)
	return d, nil
}

// dsn names the file and sets what every connection needs. synchronous is set
// explicitly: the engine's default with WAL may be NORMAL, which loses
// acknowledged commits on a power cut.
func dsn(path string, readOnly bool) string {
	q := url.Values{}
	for _, p := range []string{
		"busy_timeout(" + strconv.Itoa(int(busyTimeout.Milliseconds())) + ")",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(OFF)",
		"temp_store(MEMORY)",
		"wal_autocheckpoint(16384)",
		"journal_size_limit(134217728)",
	} {
		q.Add("_pragma", p)
	}
	// Each connection has a cache of its own, in KiB; what they share is the
	// operating system's.
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
		q.Add("_pragma", "cache_size(-4096)")
	} else {
		q.Add("_pragma", "cache_size(-16384)")
	}
	return location(path, q)
}

func location(path string, q url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func checkVersion(c *conn) error {
	var have string
	err := c.Query("SELECT sqlite_version()", nil, func(cols []any) error {
		have, _ = cols[0].(string)
		return nil
	})
	if err != nil {
		return err
	}
	if !versionAtLeast(have, minVersion) {
		return fmt.Errorf("this program was built with SQLite %s; build it with %s or later", have, minVersion)
	}
	return nil
}

func versionAtLeast(have, want string) bool {
	var h, w [3]int
	if _, err := fmt.Sscanf(have, "%d.%d.%d", &h[0], &h[1], &h[2]); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(want, "%d.%d.%d", &w[0], &w[1], &w[2]); err != nil {
		return false
	}
	for i := range h {
		if h[i] != w[i] {
			return h[i] > w[i]
		}
	}
	return true
}

// View implements catalog.Driver.
func (d *Driver) View(ctx context.Context, f func(catalog.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var c *conn
	select {
	case c = <-d.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		return catalog.ErrClosed
	}
	defer func() { d.readers <- c }()
	if d.isClosed() {
		return catalog.ErrClosed
	}
	if _, err := c.exec("BEGIN"); err != nil {
		return err
	}
	defer c.exec("ROLLBACK") // reads only: there is nothing to keep, nor to report
	c.now = d.clock()
	c.begin()
	return c.result(f(c))
}

// Update implements catalog.Driver.
func (d *Driver) Update(ctx context.Context, f func(catalog.Conn) error) error {
	r := &request{ctx: ctx, f: f, done: make(chan struct{})}
	d.closing.RLock()
	if d.closed {
		d.closing.RUnlock()
		return catalog.ErrClosed
	}
	select {
	case d.updates <- r:
		d.closing.RUnlock()
	case <-ctx.Done():
		d.closing.RUnlock()
		return ctx.Err()
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return ctx.Err() // the writer will pass over it
		}
		<-r.done
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.err
}

// Version implements catalog.Driver. The engine counts, for one connection,
// the commits of all others: of this process and of others. The connection
// that is asked never writes.
func (d *Driver) Version(context.Context) (int64, bool) {
	d.watch.mu.Lock()
	defer d.watch.mu.Unlock()
	if d.watch.c == nil {
		return 0, false
	}
	var v int64
	err := d.watch.c.Query("PRAGMA data_version", nil, func(cols []any) error {
		v, _ = cols[0].(int64)
		return nil
	})
	return v, err == nil && v != 0
}

// Serial implements catalog.Driver.
func (d *Driver) Serial() bool { return true }

// Close implements catalog.Driver.
func (d *Driver) Close() error {
	d.closing.Lock()
	if d.closed {
		d.closing.Unlock()
		return nil
	}
	d.closed = true
	close(d.updates)
	d.closing.Unlock()
	<-d.stopped
	d.closeReaders(cap(d.readers))
	d.watch.mu.Lock()
	defer d.watch.mu.Unlock()
	d.watch.c.close()
	d.watch.c = nil
	return nil
}

// closeReaders closes n readers, once those who use them are done.
func (d *Driver) closeReaders(n int) {
	for range n {
		(<-d.readers).close()
	}
}

func (d *Driver) isClosed() bool {
	d.closing.RLock()
	defer d.closing.RUnlock()
	return d.closed
}

func (d *Driver) clock() time.Time { return d.now().UTC().Truncate(time.Millisecond) }

// wrap turns the engine's errors into the catalog's.
func wrap(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	const (
		busy       = 5
		locked     = 6
		readonly   = 8
		full       = 13
		corrupt    = 11
		notADB     = 26
		primaryKey = 1555
		unique     = 2067
		rowID      = 2579
	)
	switch e.Code() {
	case primaryKey, unique, rowID:
		return fmt.Errorf("%w: %w", catalog.ErrRetry, err)
	}
	switch e.Code() & 0xff {
	case busy, locked:
		return fmt.Errorf("%w: %w", catalog.ErrRetry, err)
	case corrupt, notADB:
		return fmt.Errorf("the file is damaged, or is no database of this program: restore a backup: %w", err)
	case readonly:
		return fmt.Errorf("%w: %w", catalog.ErrReadOnly, err)
	case full:
		return fmt.Errorf("%w: %w", quire.ErrNoSpace, err)
	}
	return err
}
