package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/catalogtest"
	"github.com/quire-docs/quire/catalog/migrations"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
)

// server is shared by the tests of this package; it ends with them.
var server = sync.OnceValues(func() (*postgrestest.Server, error) { return postgrestest.Start(postgrestest.Options{}) })

// template is a database with the schema, for copies.
var template = sync.OnceValues(func() (string, error) {
	s, err := server()
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	name, at, err := s.New(ctx, "")
	if err != nil {
		return "", err
	}
	d, err := postgres.Open(ctx, at, postgres.Options{})
	if err != nil {
		return "", err
	}
	return name, d.Close()
})

// database is the URL of a new database with the schema.
func database(t testing.TB) string {
	t.Helper()
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	_, at, err := s.New(context.Background(), from)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func open(t testing.TB, at string, opt postgres.Options) *postgres.Driver {
	t.Helper()
	d, err := postgres.Open(context.Background(), at, opt)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// empty is the URL of a new database with nothing in it.
func empty(t testing.TB) string {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	_, at, err := s.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSuite(t *testing.T) {
	for name, more := range map[string]string{"exec": "", "prepared": "&default_query_exec_mode=cache_statement"} {
		t.Run(name, func(t *testing.T) {
			catalogtest.Run(t, func(t *testing.T) (a, b catalog.Driver) {
				at := database(t) + more
				return open(t, at, postgres.Options{}), open(t, at, postgres.Options{})
			})
		})
	}
}

// TestCurrent: what is not a server leaves the schema as it is, and does without
// the database.
func TestCurrent(t *testing.T) {
	at := empty(t)
	refused := func(want error) {
		t.Helper()
		if d, err := postgres.Open(t.Context(), at, postgres.Options{Current: true}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
			if d != nil {
				d.Close()
			}
		}
	}
	refused(migrations.ErrEmpty)
	if tables, _, err := postgres.Look(t.Context(), at); err != nil || tables {
		t.Errorf("the empty database has tables now: %v, %v", tables, err)
	}
	open(t, at, postgres.Options{}).Close()
	open(t, at, postgres.Options{Current: true}).Close()
	c, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, test := range []struct {
		change string
		want   error
	}{
		{"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)", migrations.ErrNewer},
		{"DELETE FROM goose_db_version WHERE version_id > 1", migrations.ErrOlder},
	} {
		if _, err := c.Exec(t.Context(), test.change); err != nil {
			t.Fatal(err)
		}
		refused(test.want)
	}
}
