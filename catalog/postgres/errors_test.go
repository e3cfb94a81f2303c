package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// TestErrors: what is run again, what is told as unavailable, and what is
// neither. CockroachDB reports lost races by 40001 and, from older versions, by
// CR000.
func TestErrors(t *testing.T) {
	code := func(c string) error { return fmt.Errorf("query: %w", &pgconn.PgError{Severity: "ERROR", Code: c}) }
	for _, test := range []struct {
		name               string
		err                error
		retry, unavailable bool
	}{
		{"serialisation failure", code("40001"), true, false},
		{"deadlock", code("40P01"), true, false},
		{"CockroachDB: retry transaction", code("CR000"), true, false},
		{"lock not available", code("55P03"), true, false},
		{"unique index", code("23505"), true, false},
		{"administrator's shutdown", code("57P01"), false, true},
		{"starting up", code("57P03"), false, true},
		{"too many connections", code("53300"), false, true},
		{"connection failure", code("08006"), false, true},
		{"file error", code("58030"), false, true},
		{"connection broken", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), false, true},
		{"no answer in time", context.DeadlineExceeded, false, true},
		{"syntax", code("42601"), false, false},
		{"division by zero", code("22012"), false, false},
		{"something else", errors.New("something else"), false, false},
	} {
		err := wrap(test.err)
		var u *quire.Unavailable
		if errors.Is(err, catalog.ErrRetry) != test.retry || errors.As(err, &u) != test.unavailable || !errors.Is(err, test.err) {
			t.Errorf("%s: %v", test.name, err)
		}
		if u != nil && u.After <= 0 {
			t.Errorf("%s: it does not say when to try again", test.name)
		}
	}
	if err := wrap(nil); err != nil {
		t.Error(err)
	}
	if err := wrap(code("25006")); !errors.Is(err, catalog.ErrReadOnly) {
		t.Error(err)
	}
	if err := wrap(code("53100")); !errors.Is(err, quire.ErrNoSpace) {
		t.Error(err)
	}
}
