package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// unavailable reports that the database cannot be reached now.
func unavailable(err error) error {
	return fmt.Errorf("%w (%w)", &quire.Unavailable{Reason: "the database is not reachable: try again soon", After: 2 * time.Second}, err)
}

// wrap turns the database's errors into the catalog's. CockroachDB reports lost
// races by the same codes.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if broken(err) {
			return unavailable(err)
		}
		return err
	}
	switch e.Code {
	case "40001", "40P01", "CR000", // serialisation failure, deadlock, CockroachDB's "retry transaction"
		"55P03", // a lock was not to be had
		"23505": // a unique index
		return fmt.Errorf("%w: %w", catalog.ErrRetry, err)
	case "25006": // a read-only transaction
		return fmt.Errorf("%w: %w", catalog.ErrReadOnly, err)
	case "53100": // the disk is full
		return fmt.Errorf("%w: %w", quire.ErrNoSpace, err)
	case "22021", "22P05": // characters that the encoding does not have
		return &quire.Invalid{What: "text", Reason: "it holds characters that cannot be stored: use valid UTF-8 without NUL"}
	case "57P01", "57P02", "57P03", "57P05", // the server or the connection is being shut down, or starts
		"25P03", "25P04", // a transaction took too long
		"53200", "53300", "53400": // memory, connections, limits
		return unavailable(err)
	}
	if strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "58") { // connection, system
		return unavailable(err)
	}
	return err
}

// broken says whether an error that did not come from the database is one of
// the connection.
func broken(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "conn closed")
}

// refused explains why a connection was not to be had at the start.
func refused(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "28P01", "28000":
			return fmt.Errorf("the database refuses the user: check the user and the password (in the URL, PGPASSWORD or a password file) and its pg_hba.conf: %w", err)
		case "3D000":
			return fmt.Errorf("there is no such database: make it (createdb), or name another one: %w", err)
		case "42501":
			return fmt.Errorf("the user has too few rights: make it the owner of the database: %w", err)
		case "53300":
			return fmt.Errorf("the database has too many connections: raise its max_connections, or lower pool_max_conns of the nodes: %w", err)
		}
		return err
	}
	return fmt.Errorf("no database answers there: check the host and the port, and that it is running: %w", err)
}
