package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/quire-docs/quire/catalog"
)

// conn is one transaction.
type conn struct {
	ctx context.Context // in force until the transaction is over
	c   *pgx.Conn
	now time.Time
	// failed is the first error of a statement. After it the database refuses
	// all others.
	failed error
}

// Now implements catalog.Conn.
func (c *conn) Now() time.Time { return c.now }

// result is what became of the transaction's function: its error, or that of a
// statement which it passed over.
func (c *conn) result(err error) error {
	if err == nil {
		err = c.failed
	}
	return err
}

// Exec implements catalog.Conn.
func (c *conn) Exec(query string, args ...any) (int64, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	tag, err := c.c.Exec(c.ctx, query, args...)
	if err != nil {
		c.failed = wrap(err)
		return 0, c.failed
	}
	return tag.RowsAffected(), nil
}

// Query implements catalog.Conn.
func (c *conn) Query(query string, args []any, row func(cols []any) error) error {
	if c.failed != nil {
		return c.failed
	}
	result, err := c.collect(query, args)
	if err != nil {
		c.failed = wrap(err)
		return c.failed
	}
	for _, cols := range result {
		if err := row(cols); err != nil {
			return err
		}
	}
	return nil
}

// collect reads a whole result, so that the connection is free again before
// anybody looks at it.
func (c *conn) collect(query string, args []any) (result [][]any, err error) {
	rows, err := c.c.Query(c.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		cols, err := rows.Values()
		if err != nil {
			return nil, err
		}
		for i, v := range cols {
			if cols[i], err = column(v); err != nil {
				return nil, err
			}
		}
		result = append(result, cols)
	}
	return result, rows.Err()
}

// column turns a value into one of the catalog's three types. Expressions have
// integer types of their own: a sum is a NUMERIC, a constant an INTEGER.
func column(v any) (any, error) {
	switch v := v.(type) {
	case string, int64, []byte:
		return v, nil
	case int32:
		return int64(v), nil
	case pgtype.Numeric:
		n, err := v.Int64Value()
		if err == nil && n.Valid {
			return n.Int64, nil
		}
	}
	return nil, fmt.Errorf("postgres: a column of type %T", v)
}

// commit ends the transaction and tells what is known of the outcome.
func (c *conn) commit(ctx context.Context) error {
	tag, err := c.c.Exec(ctx, "COMMIT")
	if err == nil {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("postgres: the transaction ended as %q", tag)
		}
		return nil
	}
	var e *pgconn.PgError
	// An error of the statement means that the transaction was rolled back. One
	// that ends the connection may come after the commit, as may none at all;
	// and 40003 says that the database itself does not know.
	if errors.As(err, &e) && e.SeverityUnlocalized == "ERROR" && e.Code != "40003" {
		return wrap(err)
	}
	return fmt.Errorf("%w: %w", catalog.ErrUncertain, unavailable(err))
}
