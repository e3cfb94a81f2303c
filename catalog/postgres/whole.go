package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quire-docs/quire/catalog"
)

var _ catalog.Whole = (*Driver)(nil)

// beginSnapshot begins a transaction whose snapshot no concurrent update makes
// one that cannot have been: the database waits for a moment at which it is
// sure of that. From then on it disturbs nobody.
const beginSnapshot = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0" + clock

// Snapshot implements catalog.Whole.
func (d *Driver) Snapshot(ctx context.Context, f func(catalog.Conn) error) error {
	return d.runFor(ctx, beginSnapshot, 0, func(ctx context.Context, c *conn) error {
		err := c.result(f(c))
		_, _ = c.c.Exec(context.WithoutCancel(ctx), "ROLLBACK") // as in View
		return err
	})
}

// Tables implements catalog.Whole.
func (d *Driver) Tables(c catalog.Conn) ([]catalog.Table, error) {
	var list []catalog.Table
	err := c.Query(`SELECT table_name::text FROM information_schema.tables
		WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> 'goose_db_version' ORDER BY table_name::text COLLATE "C"`, nil, func(cols []any) error {
		name, _ := cols[0].(string)
		list = append(list, catalog.Table{Name: name})
		return nil
	})
	for i := range list {
		t := &list[i]
		err = errors.Join(err,
			names(c, `SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position`, t.Name, &t.Columns),
			names(c, `SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place)
				JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
				WHERE i.indrelid = quote_ident($1)::regclass AND i.indisprimary ORDER BY k.place`, t.Name, &t.Key))
	}
	return list, err
}

func names(c catalog.Conn, query, table string, list *[]string) error {
	return c.Query(query, []any{table}, func(cols []any) error {
		name, _ := cols[0].(string)
		*list = append(*list, name)
		return nil
	})
}

// sequences returns the sequence that numbers the records of each table.
func sequences(c catalog.Conn) (map[string]string, error) {
	of := make(map[string]string)
	err := c.Query(`SELECT table_name::text, pg_get_serial_sequence(quote_ident(table_name), column_name)::text FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name <> 'goose_db_version' AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL`, nil, func(cols []any) error {
		table, _ := cols[0].(string)
		of[table], _ = cols[1].(string)
		return nil
	})
	return of, err
}

// Counters implements catalog.Whole. Sequences are outside of transactions: the
// numbers are those of now, and so at least those of the snapshot.
func (d *Driver) Counters(c catalog.Conn) (map[string]int64, error) {
	of, err := sequences(c)
	counters := make(map[string]int64)
	for table, name := range of {
		err = errors.Join(err, c.Query("SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM "+name, nil, func(cols []any) error {
			counters[table], _ = cols[0].(int64)
			return nil
		}))
	}
	return counters, err
}

// SetCounters implements catalog.Whole.
func (d *Driver) SetCounters(c catalog.Conn, counters map[string]int64) error {
	of, err := sequences(c)
	if err != nil {
		return err
	}
	for table, n := range counters {
		name, ok := of[table]
		if !ok || n < 1 {
			continue
		}
		err := c.Query("SELECT setval($1::text::regclass, greatest($2::bigint, (SELECT last_value FROM "+name+")))", []any{name, n}, func([]any) error { return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// Look tells what is in the database of a URL, without changing anything: whether
// it has tables at all, and the facts of the installation, if it is one's.
func Look(ctx context.Context, url string) (tables bool, facts map[string]string, err error) {
	pool, err := pgxpool.ParseConfig(url) // which knows the parameters of a pool, too
	if err != nil {
		return false, nil, fmt.Errorf("write it like postgres://user:password@host:5432/name: %w", err)
	}
	config := pool.ConnConfig
	if err := check(ctx, config, true); err != nil {
		return false, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*connectLimit)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, nil, refused(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	var have, ours bool
	err = c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'),
		to_regclass('goose_db_version') IS NOT NULL AND to_regclass('facts') IS NOT NULL`).Scan(&have, &ours)
	if err != nil || !ours {
		return have, nil, wrap(err)
	}
	rows, err := c.Query(ctx, "SELECT name, value FROM facts")
	if err != nil {
		return have, nil, wrap(err)
	}
	defer rows.Close()
	facts = make(map[string]string)
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return have, nil, err
		}
		facts[name] = value
	}
	return have, facts, wrap(rows.Err())
}

// Describe names the database of a URL, without a user or password.
func Describe(url string) (string, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return "", fmt.Errorf("write it like postgres://user:password@host:5432/name: %w", err)
	}
	if strings.HasPrefix(config.Host, "/") {
		return fmt.Sprintf("postgres:///%s?host=%s", config.Database, config.Host), nil
	}
	return fmt.Sprintf("postgres://%s:%d/%s", config.Host, config.Port, config.Database), nil
}
