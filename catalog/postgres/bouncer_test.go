package postgres_test

import (
	"context"
	"testing"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/catalogtest"
	"github.com/quire-docs/quire/catalog/postgres"
)

// TestBouncer: everything works through a real PgBouncer in transaction mode,
// the migrations too.
func TestBouncer(t *testing.T) {
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.StartBouncer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	catalogtest.Run(t, func(t *testing.T) (one, two catalog.Driver) {
		name, _, err := s.New(context.Background(), "") // empty
		if err != nil {
			t.Fatal(err)
		}
		return open(t, b.URL(name), postgres.Options{}), open(t, b.URL(name), postgres.Options{})
	})
}
