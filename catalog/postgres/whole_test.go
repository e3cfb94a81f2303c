package postgres_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/postgres"
)

// TestDescribe: what names a database has no secrets, and is the same for two
// URLs of one database.
func TestDescribe(t *testing.T) {
	t.Setenv("PGPORT", "")
	for url, want := range map[string]string{
		"postgres://ann:secret@db.example.org/quire":                                "postgres://db.example.org:5432/quire",
		"postgresql://db.example.org:5432/quire?user=bob&password=secret":           "postgres://db.example.org:5432/quire",
		"postgres://ann:secret@/quire?host=/run/postgresql&sslmode=disable":         "postgres:///quire?host=/run/postgresql",
		"postgres://ann:secret@10.0.0.1:6432/quire?pool_max_conns=5&sslmode=prefer": "postgres://10.0.0.1:6432/quire",
	} {
		got, err := postgres.Describe(url)
		if err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", url, got, err, want)
		}
	}
	if _, err := postgres.Describe("postgres://ann:secret@db:port/x"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a wrong URL: %v", err)
	}
}

// TestLook: it tells an empty database from one of an installation and from one of
// something else, and leaves each as it was.
func TestLook(t *testing.T) {
	at := empty(t) + "&pool_max_conns=3"
	for range 2 {
		if tables, facts, err := postgres.Look(t.Context(), at); err != nil || tables || facts != nil {
			t.Errorf("an empty database: %v, %v, %v", tables, facts, err)
		}
	}
	d := open(t, at, postgres.Options{})
	defer d.Close()
	if tables, facts, err := postgres.Look(t.Context(), at); err != nil || !tables || facts == nil || len(facts) != 0 {
		t.Errorf("one with the schema: %v, %v, %v", tables, facts, err)
	}
	if err := catalog.New(d).Update(t.Context(), func(tx *catalog.Tx) error { return tx.PutFact("id", "x") }); err != nil {
		t.Fatal(err)
	}
	if _, facts, err := postgres.Look(t.Context(), at); err != nil || facts["id"] != "x" {
		t.Errorf("one of an installation: %v, %v", facts, err)
	}
	other := empty(t)
	c, err := pgx.Connect(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), "CREATE TABLE facts (name TEXT)"); err != nil {
		t.Fatal(err)
	}
	if tables, facts, err := postgres.Look(t.Context(), other); err != nil || !tables || facts != nil {
		t.Errorf("one of something else: %v, %v, %v", tables, facts, err)
	}
}
