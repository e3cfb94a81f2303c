package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/quire-docs/quire/catalog/migrations"
)

// migrate brings the schema up to date. A lock on a file beside the database
// keeps other processes out meanwhile: SQLite's own locks, so that it is let go
// when the process dies.
func migrate(ctx context.Context, path string) error {
	lock, err := exclusive(path+".lock", busyTimeout)
	if err != nil {
		return fmt.Errorf("another process is at it: %w", err)
	}
	defer release(lock)

	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return err
	}
	defer db.Close()
	return wrap(migrations.SQLite.Up(ctx, db))
}

// check looks whether the schema is up to date.
func check(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return err
	}
	defer db.Close()
	return wrap(migrations.SQLite.Check(ctx, db))
}
