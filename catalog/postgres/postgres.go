// Package postgres runs the catalog on a PostgreSQL database, which the nodes
// of a cluster share.
//
// Every update is one transaction of the isolation level SERIALIZABLE: what
// loses a race is rolled back by the database and run again by
// catalog.Store.Update. Views are READ ONLY transactions of the level
// REPEATABLE READ, which is one snapshot. The database's clock is the clock of
// all nodes.
//
// No state is left on a connection between transactions: no prepared
// statements with names, no session locks, no settings. So the driver works
// through PgBouncer in transaction mode. Where there is no such proxy, the URL's
// parameter default_query_exec_mode=cache_statement saves the database the
// parsing of each statement.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quire-docs/quire/catalog"
)

// Driver is a catalog.Driver on one PostgreSQL database.
type Driver struct {
	pool *pgxpool.Pool
	now  func() time.Time // nil: the database's clock
	seed maphash.Seed

	closing sync.RWMutex // held for reading while a transaction runs
	closed  bool         // guarded by closing
}

var _ catalog.Driver = (*Driver)(nil)

// Options are the settings of a Driver. The zero value is good.
type Options struct {
	// MaxConns is how many connections there are at most, and so how many
	// transactions run at the same time; 0 is 16. The URL's parameter
	// pool_max_conns outweighs it. All nodes together, and what else uses the
	// database, must stay below its max_connections.
	MaxConns int32
	// Now is a clock to use instead of the database's, for tests.
	Now func() time.Time
	// Current opens a database only if its schema is up to date, and leaves it as
	// it is: for what is not a server.
	Current bool
}

const (
	// transactionLimit is how long a transaction may take in all. It is far
	// more than any needs: it is for databases that do not answer.
	transactionLimit = time.Minute
	// connectLimit is how long it may take to get a connection.
	connectLimit = 10 * time.Second
	// snapshotLimit is how long the database may wait for a moment at which a
	// snapshot of everything can be taken.
	snapshotLimit = 5 * time.Minute
	// maxSkew is how far this machine's clock may be from the database's.
	maxSkew = time.Minute
	// minVersion is the first major version with what is needed.
	minVersion = 13
)

// Open connects to the database of a URL like
// postgres://user:password@host:5432/name and brings its schema up to date. The
// password may come from PGPASSWORD or a password file instead, as with all
// clients of PostgreSQL. Any number of nodes may do this at the same time.
//
// What stands in the way of working is an error that says what to do: a wrong
// URL, a database that accepts no changes, a clock that is wrong.
func Open(ctx context.Context, url string, opt Options) (*Driver, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("write it like postgres://user:password@host:5432/name: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = 16
		if opt.MaxConns > 0 {
			config.MaxConns = opt.MaxConns
		}
	}
	each := config.ConnConfig
	if !strings.Contains(url, "default_query_exec_mode") {
		each.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if each.ConnectTimeout == 0 || each.ConnectTimeout > connectLimit {
		each.ConnectTimeout = connectLimit
	}
	if err := check(ctx, each, opt.Now == nil); err != nil {
		return nil, err
	}
	if opt.Current {
		if err := checkSchema(ctx, each); err != nil {
			return nil, fmt.Errorf("the database cannot be used: %w", err)
		}
	} else if err := migrate(ctx, each); err != nil {
		return nil, fmt.Errorf("the database cannot be brought up to date: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &Driver{pool: pool, now: opt.Now, seed: maphash.MakeSeed()}, nil
}

// How transactions begin: the level, what holds for it alone, and the time, in
// one message. Without sequential scans the database takes note of the rows
// that a transaction has read, not of whole tables while they are small, so
// that fewer transactions seem to disturb each other. A transaction whose node
// has gone is ended by the database, before others wait for its locks for long.
const (
	clock = "; SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"

	beginUpdate = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; SET LOCAL enable_seqscan = off; SET LOCAL idle_in_transaction_session_timeout = '70s'" + clock
	beginView   = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + clock
)

// View implements catalog.Driver.
func (d *Driver) View(ctx context.Context, f func(catalog.Conn) error) error {
	return d.run(ctx, beginView, func(ctx context.Context, c *conn) error {
		err := c.result(f(c))
		// It changed nothing, so there is nothing to keep, nor to report: where
		// this fails the connection is thrown away.
		_, _ = c.c.Exec(ctx, "ROLLBACK")
		return err
	})
}

// Update implements catalog.Driver.
func (d *Driver) Update(ctx context.Context, f func(catalog.Conn) error) error {
	return d.run(ctx, beginUpdate, func(ctx context.Context, c *conn) error {
		if err := c.result(f(c)); err != nil {
			_, _ = c.c.Exec(ctx, "ROLLBACK") // as above
			return err
		}
		return c.commit(ctx)
	})
}

// run runs f on a connection with a transaction. f ends the transaction, unless
// it panics.
func (d *Driver) run(ctx context.Context, begin string, f func(context.Context, *conn) error) error {
	return d.runFor(ctx, begin, transactionLimit, f)
}

// runFor is run with another limit: 0 is none but the context's.
func (d *Driver) runFor(ctx context.Context, begin string, limit time.Duration, f func(context.Context, *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.closing.RLock()
	defer d.closing.RUnlock()
	if d.closed {
		return catalog.ErrClosed
	}
	beginLimit := connectLimit
	if limit == 0 {
		beginLimit = snapshotLimit
	}
	pc, now, err := d.begin(ctx, begin, beginLimit)
	if err != nil {
		return err
	}
	// A connection whose transaction is not over is closed by this, not reused.
	defer pc.Release()
	if err := ctx.Err(); err != nil {
		_, _ = pc.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		return err
	}
	if d.now != nil {
		now = d.now()
	}
	if limit > 0 {
		// From here on the transaction is seen through, whoever has gone.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
	}
	return f(ctx, &conn{ctx: ctx, c: pc.Conn(), now: now.UTC().Truncate(time.Millisecond)})
}

// begin gets a connection and begins a transaction on it. Connections that
// broke while they were idle, for example because the database was started
// again, are passed over.
func (d *Driver) begin(ctx context.Context, begin string, limit time.Duration) (*pgxpool.Conn, time.Time, error) {
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for tries := d.pool.Config().MaxConns + 1; ; tries-- {
		pc, err := d.pool.Acquire(wait)
		if err != nil {
			if ctx.Err() != nil {
				return nil, time.Time{}, ctx.Err()
			}
			return nil, time.Time{}, unavailable(err)
		}
		ms, err := number(wait, pc.Conn(), begin)
		if err == nil {
			return pc, time.UnixMilli(ms), nil
		}
		broken := pc.Conn().IsClosed()
		pc.Release()
		switch {
		case ctx.Err() != nil:
			return nil, time.Time{}, ctx.Err()
		case !broken:
			return nil, time.Time{}, wrap(err)
		case tries <= 0 || wait.Err() != nil:
			return nil, time.Time{}, unavailable(err)
		}
	}
}

// number runs statements in one message and returns the number that the last
// of them yields.
func number(ctx context.Context, c *pgx.Conn, statements string) (n int64, err error) {
	results, err := c.PgConn().Exec(ctx, statements).ReadAll()
	if err != nil {
		return 0, err
	}
	last := results[len(results)-1]
	if len(last.Rows) != 1 || len(last.Rows[0]) != 1 {
		return 0, errors.New("the database answers a question with no number")
	}
	return strconv.ParseInt(string(last.Rows[0][0]), 10, 64)
}

// Version implements catalog.Driver. What a transaction sees is determined by
// which others were over when it began, and that is what the database's text of
// a snapshot says: while the text is the same, nothing has changed. With it goes
// when the database was started, because a standby that has taken over may
// count on from an earlier point.
func (d *Driver) Version(ctx context.Context) (int64, bool) {
	d.closing.RLock()
	defer d.closing.RUnlock()
	if d.closed {
		return 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	var text string
	err := d.pool.QueryRow(ctx, "SELECT pg_postmaster_start_time()::text || ' ' || pg_current_snapshot()::text").Scan(&text)
	if err != nil {
		return 0, false
	}
	return int64(maphash.String(d.seed, text)), true
}

// Serial implements catalog.Driver.
func (d *Driver) Serial() bool { return false }

// Close implements catalog.Driver.
func (d *Driver) Close() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if !d.closed {
		d.closed = true
		d.pool.Close()
	}
	return nil
}
