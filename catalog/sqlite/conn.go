package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"time"

	"modernc.org/sqlite"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time. Statements run to their end without a context: each is
// short, and watching a context costs a goroutine a statement.
type conn struct {
	c     driver.Conn
	stmts map[string]driver.Stmt
	now   time.Time // of the running transaction
	named []driver.NamedValue
	row   []driver.Value // where collect reads one
	// failed is the first error of the running transaction's statements. After
	// some errors the engine has rolled back by itself, and a statement that
	// came next would be a transaction of its own.
	failed error
	wrote  bool // whether the function has run a statement that may change something, or one that failed
}

func connect(dsn string) (*conn, error) {
	c, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, wrap(err)
	}
	return &conn{c: c, stmts: make(map[string]driver.Stmt)}, nil
}

// begin makes the connection ready for a function of a caller.
func (c *conn) begin() { c.failed, c.wrote = nil, false }

// result is what became of the function: f's error, or that of a statement
// which the function passed over.
func (c *conn) result(err error) error {
	if err == nil {
		err = c.failed
	}
	return err
}

func (c *conn) close() {
	for _, s := range c.stmts {
		s.Close()
	}
	c.c.Close()
}

// Now implements catalog.Conn.
func (c *conn) Now() time.Time { return c.now }

func (c *conn) prepare(query string) (driver.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.c.Prepare(query)
	if err != nil {
		return nil, wrap(err)
	}
	c.stmts[query] = s
	return s, nil
}

func (c *conn) bind(args []any) []driver.NamedValue {
	c.named = c.named[:0]
	for i, a := range args {
		c.named = append(c.named, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.named
}

// Exec implements catalog.Conn.
func (c *conn) Exec(query string, args ...any) (int64, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	c.wrote = true
	n, err := c.exec(query, args...)
	c.failed = err
	return n, err
}

// exec runs a statement, whatever happened before.
func (c *conn) exec(query string, args ...any) (int64, error) {
	s, err := c.prepare(query)
	if err != nil {
		return 0, err
	}
	r, err := s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(args))
	if err != nil {
		return 0, wrap(err)
	}
	n, err := r.RowsAffected()
	return n, wrap(err)
}

// Query implements catalog.Conn.
func (c *conn) Query(query string, args []any, row func(cols []any) error) error {
	if c.failed != nil {
		return c.failed
	}
	result, width, err := c.collect(query, args)
	if err != nil {
		c.failed, c.wrote = err, true // the engine may have rolled back
		return err
	}
	cols := make([]any, width)
	for ; len(result) > 0; result = result[width:] {
		for i, v := range result[:width] {
			cols[i] = v
		}
		if err := row(cols); err != nil {
			return err
		}
	}
	return nil
}

// collect reads a whole result, so that the statement is free again before
// anybody looks at it.
func (c *conn) collect(query string, args []any) (values []driver.Value, width int, err error) {
	s, err := c.prepare(query)
	if err != nil {
		return nil, 0, err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return nil, 0, wrap(err)
	}
	defer rows.Close()
	width = len(rows.Columns())
	if len(c.row) < width {
		c.row = make([]driver.Value, width)
	}
	row := c.row[:width]
	for {
		switch err := rows.Next(row); err {
		case nil:
		case io.EOF:
			return values, width, nil
		default:
			return nil, 0, wrap(err)
		}
		if values == nil {
			values = make([]driver.Value, 0, width) // most have one row
		}
		for _, v := range row {
			switch v.(type) {
			case string, int64, []byte:
			case nil: // no column is NULL: this is how an empty BLOB comes
				v = []byte{}
			default:
				return nil, 0, fmt.Errorf("sqlite: a column of type %T", v)
			}
			values = append(values, v)
		}
	}
}
