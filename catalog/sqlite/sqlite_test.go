package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/catalogtest"
	"github.com/quire-docs/quire/catalog/sqlite"
)

func TestSuite(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T) (a, b catalog.Driver) {
		path := filepath.Join(t.TempDir(), "catalog.db")
		return open(t, path), open(t, path)
	})
}

func open(t testing.TB, path string) *sqlite.Driver {
	t.Helper()
	d, err := sqlite.Open(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAtOnce: several processes that start on a new file all find it whole.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			d, err := sqlite.Open(context.Background(), path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if err := catalog.New(d).View(context.Background(), func(tx *catalog.Tx) error {
				_, err := tx.Sites()
				return err
			}); err != nil {
				t.Error(err)
			}
			d.Close()
		})
	}
	wait.Wait()
}

// TestSettings: what makes a commit durable is set, and not left to defaults.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	d := open(t, path)
	defer d.Close()
	for name, want := range map[string]int64{"synchronous": 2} {
		err := d.Update(context.Background(), func(c catalog.Conn) error {
			return c.Query("PRAGMA "+name, nil, func(cols []any) error {
				if cols[0] != want {
					t.Errorf("%s is %v", name, cols[0])
				}
				return nil
			})
		})
		if err != nil {
			t.Error(err)
		}
	}
	err := d.View(context.Background(), func(c catalog.Conn) error {
		return c.Query("PRAGMA journal_mode", nil, func(cols []any) error {
			if cols[0] != "wal" {
				t.Errorf("journal_mode is %v", cols[0])
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNewerSchema: a database of a later version is left alone.
func TestNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	open(t, path).Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if d, err := sqlite.Open(context.Background(), path, nil); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
		if d != nil {
			d.Close()
		}
	}
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := sqlite.Open(context.Background(), path, nil); err == nil {
		d.Close()
		t.Error("it was opened")
	}
}
