package catalog

import (
	"context"
	"errors"
	"time"
)

// Driver runs transactions on one database engine. It knows nothing of the
// records; Store does, in SQL that every engine understands: columns are TEXT,
// BIGINT and BLOB (or BYTEA), none is NULL, parameters are written $1, $2 ...
// in the order of their first use, and each statement is one of the common
// subset (SELECT, INSERT ... ON CONFLICT, UPDATE, DELETE, WITH RECURSIVE).
//
// A Driver is safe for concurrent use. Package catalogtest tests each sentence
// of this interface.
type Driver interface {
	// View runs f in a read-only transaction over one consistent snapshot and
	// returns its error. A context that ends before f starts cancels it.
	// Writers do not block it and it does not block them. What was committed
	// before View was called is in the snapshot.
	View(ctx context.Context, f func(Conn) error) error

	// Update runs f in a read-write transaction that is serialisable: the
	// outcome is as if all updates had run one after the other. When Update
	// returns nil the changes are durable. When it returns an error none of
	// them is visible, with one exception: an error that wraps ErrUncertain
	// means that the outcome of the commit is unknown.
	//
	// Update may share its durable commit with other updates that wait at the
	// same time; each is still all-or-nothing by itself. It returns an error
	// that wraps ErrRetry where running f again may succeed: f lost a race
	// against another transaction. f must have no effects beyond its Conn.
	//
	// A context that ends before f starts cancels the update. Once f has run,
	// the commit is seen through.
	Update(ctx context.Context, f func(Conn) error) error

	// Version returns a number that changes whenever a commit, of whatever
	// process, may have changed something since it was last asked: between two
	// equal versions of one driver nothing has changed. ok is false where that
	// cannot be told cheaply.
	Version(ctx context.Context) (version int64, ok bool)

	// Serial says that updates run one after the other. Then records that are made
	// at the same time had better lie beside each other, so that one commit
	// touches few pages; where updates run at the same time, neighbours disturb
	// each other.
	Serial() bool

	// Close waits for running transactions and releases the database. Calls
	// after Close return ErrClosed.
	Close() error
}

// Conn is one transaction. It is valid until the function that got it returns,
// and must be used by one goroutine. Once a statement has failed, all that
// follow fail as well, and so does the transaction, whatever its function
// returns: no engine can go on from every error.
type Conn interface {
	// Exec runs a statement and tells how many rows it changed. A row that
	// would break a unique index is ErrRetry: somebody else inserted it since
	// the transaction looked.
	Exec(query string, args ...any) (rows int64, err error)

	// Query runs a statement and calls row for each row of its result. The
	// columns are string, int64 or []byte; the slice, not what is in it, is
	// reused for the next row. The result is complete before the first call,
	// so row may use the Conn.
	Query(query string, args []any, row func(cols []any) error) error

	// Now is the time of the transaction, to the millisecond, UTC. It is the
	// same however often it is asked, and one clock for all the nodes of a
	// cluster.
	Now() time.Time
}

var (
	// ErrRetry reports a transaction that lost a race and may be run again.
	// Store.Update does so.
	ErrRetry = errors.New("catalog: the transaction lost a race")
	// ErrUncertain reports a commit whose outcome is unknown, for example
	// because the connection broke while it was sent.
	ErrUncertain = errors.New("catalog: it is not known whether the commit happened")
	// ErrClosed reports a call on a closed catalog.
	ErrClosed = errors.New("catalog: closed")
	// ErrReadOnly reports a change in a View.
	ErrReadOnly = errors.New("catalog: read-only transaction")
)
