package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/quire-docs/quire/catalog/migrations"
)

// check looks whether the database can be worked with.
func check(ctx context.Context, config *pgx.ConnConfig, clock bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*connectLimit)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return refused(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	var version, ms int64
	var encoding, readOnly string
	before := time.Now()
	err = c.QueryRow(ctx, `SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'),
		current_setting('transaction_read_only'), (extract(epoch FROM clock_timestamp()) * 1000)::bigint`).Scan(&version, &encoding, &readOnly, &ms)
	if err != nil {
		return wrap(err)
	}
	switch skew := time.UnixMilli(ms).Sub(before); {
	case version < minVersion*10_000:
		return fmt.Errorf("it is PostgreSQL %d: version %d or later is needed", version/10_000, minVersion)
	case encoding != "UTF8":
		return fmt.Errorf("the database has the encoding %s: make one with UTF8 (createdb -E UTF8 -T template0)", encoding)
	case readOnly != "off":
		return errors.New("the database accepts no changes: it may be a standby, or set to default_transaction_read_only; name the primary")
	case clock && skew.Abs() > maxSkew+time.Since(before):
		return fmt.Errorf("this machine's clock is %v away from the database's: set both by NTP and start again", skew.Abs().Round(time.Second))
	}
	return nil
}

// migrationLock is the number of the lock that one who changes the schema
// holds: "quir" in ASCII.
const migrationLock = 0x71756972

// migrate brings the schema up to date. The lock is one of a transaction, on a
// connection of its own, so that it is let go when this process dies and also
// holds through a proxy that lends connections for single transactions.
func migrate(ctx context.Context, config *pgx.ConnConfig) error {
	lock, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return refused(err)
	}
	defer lock.Close(context.WithoutCancel(ctx)) // and with it ends the transaction
	if _, err := number(ctx, lock, fmt.Sprintf("BEGIN; SELECT 1 FROM pg_advisory_xact_lock(%d)", migrationLock)); err != nil {
		return wrap(err)
	}
	db := stdlib.OpenDB(*config.Copy())
	defer db.Close()
	return rights(migrations.PostgreSQL.Up(ctx, db))
}

// checkSchema looks whether the schema is up to date.
func checkSchema(ctx context.Context, config *pgx.ConnConfig) error {
	db := stdlib.OpenDB(*config.Copy())
	defer db.Close()
	return wrap(migrations.PostgreSQL.Check(ctx, db))
}

// rights explains a refusal to change the schema.
func rights(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "42501" {
		return fmt.Errorf("the user may not make tables: make it the owner of the database, or GRANT CREATE ON SCHEMA public TO it: %w", err)
	}
	return wrap(err)
}
