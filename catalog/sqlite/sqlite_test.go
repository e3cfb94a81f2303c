package sqlite_test

import (
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/catalogtest"
	"github.com/quire-docs/quire/catalog/migrations"
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
	d, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestOpenAtOnce: several processes that start on a new file all find it whole.
func TestOpenAtOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "catalog.db")
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				d, err := sqlite.Open(context.Background(), path, sqlite.Options{})
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
	for _, current := range []bool{false, true} {
		if d, err := sqlite.Open(context.Background(), path, sqlite.Options{Current: current}); !errors.Is(err, migrations.ErrNewer) || !strings.Contains(err.Error(), "newer version") {
			t.Errorf("current %v: %v", current, err)
			if d != nil {
				d.Close()
			}
		}
	}
}

// TestCurrent: what is not the server leaves a schema as it is, and does without
// the database.
func TestCurrent(t *testing.T) {
	ctx := t.Context()
	folder := t.TempDir()
	empty, older := filepath.Join(folder, "empty.db"), filepath.Join(folder, "older.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unpack(t, "testdata/schema-1.db.gz", older)
	for path, want := range map[string]error{empty: migrations.ErrEmpty, older: migrations.ErrOlder} {
		if d, err := sqlite.Open(ctx, path, sqlite.Options{Current: true}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
			if d != nil {
				d.Close()
			}
		}
	}
	if got := schema(t, older); got != 1 {
		t.Errorf("the older one is at schema %d now", got)
	}
	open(t, older).Close()
	d, err := sqlite.Open(ctx, older, sqlite.Options{Current: true})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := sqlite.Open(context.Background(), path, sqlite.Options{}); err == nil {
		d.Close()
		t.Error("it was opened")
	}
}

// TestOlderSchema: what a database of each released schema holds is all there
// after it was brought up to date. A fixture is never changed; a release that
// changes the schema adds its own.
func TestOlderSchema(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/schema-*.db.gz")
	if err != nil || len(fixtures) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, fixture := range fixtures {
		t.Run(filepath.Base(fixture), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "catalog.db")
			unpack(t, fixture, path)
			open(t, path).Close()
			d := open(t, path) // a second start finds nothing to do
			if got, want := schema(t, path), newestSchema(t); got != want {
				t.Errorf("it is at schema %d, want %d", got, want)
			}
			s := catalog.New(d)
			defer s.Close()
			err := s.Update(context.Background(), func(tx *catalog.Tx) error {
				sites, err := tx.Sites()
				if err != nil || len(sites) != 1 {
					t.Fatalf("sites: %v, %v", sites, err)
				}
				admin, err := tx.UserByLogin("admin")
				if err != nil || admin.Role != quire.RoleAdmin {
					t.Errorf("the administrator: %+v, %v", admin, err)
				}
				notes, err := tx.Child(sites[0].Root, "notes")
				if err != nil {
					t.Fatal("the folder:", err)
				}
				file, err := tx.Child(notes.ID, "f.txt")
				if err != nil || file.Revision != 2 || file.Size != 12 {
					t.Fatalf("the file: %+v, %v", file, err)
				}
				for number, want := range map[int64]string{1: "version one\n", 2: "version two\n"} {
					m, err := tx.Manifest(file.ID, number)
					if err != nil || len(m.Main().Extents) != 1 {
						t.Fatalf("revision %d: %+v, %v", number, m, err)
					}
					if data, err := tx.SegmentData(m.Main().Extents[0].Segment); err != nil || string(data) != want {
						t.Errorf("revision %d: %q, %v", number, data, err)
					}
				}
				if open, err := tx.OpenUploads(admin.ID); err != nil || len(open) != 1 || open[0].Received != 12 {
					t.Errorf("the open upload: %+v, %v", open, err)
				}
				if used, err := tx.Usage(sites[0].ID); err != nil || used == 0 {
					t.Errorf("usage %d, %v", used, err)
				}
				file.Size++ // and it can be written
				return tx.UpdateNode(&file)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func unpack(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// schema is the number of the last migration that a database has had.
func schema(t *testing.T, path string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT MAX(version_id) FROM goose_db_version WHERE is_applied = 1").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}

func newestSchema(t *testing.T) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	open(t, path).Close()
	return schema(t, path)
}
