package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"

	"github.com/quire-docs/quire/catalog/migrations"
)

// migrate brings the schema up to date. A lock on a file beside the database
// keeps other processes out meanwhile: SQLite's own locks, so that it is let go
// when the process dies.
func migrate(ctx context.Context, path string) error {
	lock, err := connect(dsn(path+".lock", false))
	if err != nil {
		return err
	}
	defer lock.close()
	if _, err := lock.exec("BEGIN EXCLUSIVE"); err != nil {
		return fmt.Errorf("another process is at it: %w", err)
	}
	defer lock.exec("ROLLBACK") // nothing was written: it only held the lock

	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return err
	}
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.SQLite())
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return wrap(err)
	}
	if current > target {
		return errors.New("it was made by a newer version of this program: run that version, or restore a backup from before the upgrade")
	}
	_, err = p.Up(ctx)
	return wrap(err)
}
