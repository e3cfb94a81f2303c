package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
)

// Snapshot writes the state that the database at path has at one moment to a
// new file, durably, also while others write to the database. An existing file
// is an error.
func Snapshot(ctx context.Context, path, to string) (err error) {
	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("snapshot of the catalog: %w", err)
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
