package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/migrations"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
	"github.com/quire-docs/quire/catalog/sqlite"
	"github.com/quire-docs/quire/catalog/transfer"
	"github.com/quire-docs/quire/internal/needs"
)

func database(t *testing.T) *postgres.Driver {
	t.Helper()
	_, d := serverAndDatabase(t)
	return d
}

func serverAndDatabase(t *testing.T) (*postgrestest.Server, *postgres.Driver) {
	t.Helper()
	pg, err := postgrestest.Start(postgrestest.Options{})
	if err != nil {
		needs.Missing(t, "no PostgreSQL: scripts/test installs it: %v", err)
	}
	t.Cleanup(func() { pg.Close() })
	name, _, err := pg.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	d, err := postgres.Open(t.Context(), pg.URL(name), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return pg, d
}

func file(t *testing.T) *sqlite.Driver {
	t.Helper()
	d, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// created are the tables that the steps of the schema make, by their text.
func created(t *testing.T) (names []string) {
	t.Helper()
	steps := migrations.SQLite.Steps
	files, err := fs.Glob(steps, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := fs.ReadFile(steps, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?i)CREATE TABLE (?:IF NOT EXISTS )?(\w+)`).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	slices.Sort(names)
	return names
}

// fill puts records into every table of a catalog, in whatever columns it has,
// so that a table which is added later is filled too.
func fill(t *testing.T, d *sqlite.Driver, rows int) {
	t.Helper()
	err := d.Update(t.Context(), func(c catalog.Conn) error {
		tables, err := d.Tables(c)
		if err != nil {
			return err
		}
		for _, table := range tables {
			types := make(map[string]string)
			err := c.Query("SELECT name, type FROM pragma_table_info($1)", []any{table.Name}, func(cols []any) error {
				types[cols[0].(string)] = cols[1].(string)
				return nil
			})
			if err != nil {
				return err
			}
			for n := range rows {
				var names, marks []string
				var args []any
				for i, col := range table.Columns {
					names = append(names, `"`+col+`"`)
					marks = append(marks, fmt.Sprintf("$%d", i+1))
					switch types[col] {
					case "TEXT":
						args = append(args, fmt.Sprintf("%s %d ö€😀 %s", col, n*7919%rows, strings.Repeat("'x\"\n", n%3)))
					case "BLOB":
						args = append(args, []byte{0, 0xff, byte(n), byte(n >> 8)}[:n%5])
					default:
						args = append(args, int64(n+1)*(1<<52+1))
					}
				}
				if _, err := c.Exec(fmt.Sprintf("INSERT INTO %q (%s) VALUES (%s)", table.Name, strings.Join(names, ", "), strings.Join(marks, ", ")), args...); err != nil {
					return fmt.Errorf("%s: %w", table.Name, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sums(t *testing.T, d catalog.Driver) transfer.Sums {
	t.Helper()
	s, err := transfer.Summarise(t.Context(), d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func counters(t *testing.T, d catalog.Whole) (n map[string]int64) {
	t.Helper()
	if err := d.View(t.Context(), func(c catalog.Conn) (err error) {
		n, err = d.Counters(c)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestThereAndBack: a record of every table survives the way to PostgreSQL and
// back to a new file, and numbers that were given are not given again.
func TestThereAndBack(t *testing.T) {
	const rows = 600 // some pages
	a, b, c := file(t), database(t), file(t)
	fill(t, a, rows)
	var highest int64
	if err := a.Update(t.Context(), func(c catalog.Conn) error {
		if err := c.Query("SELECT MAX(seq) FROM events", nil, func(cols []any) error {
			highest = cols[0].(int64)
			return nil
		}); err != nil {
			return err
		}
		_, err := c.Exec("DELETE FROM events WHERE seq = $1", highest)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := sums(t, a)
	for name := range want {
		if n := want[name].Rows; n != rows && name != "events" {
			t.Fatalf("%s has %d records", name, n)
		}
	}
	left := slices.DeleteFunc(created(t), func(name string) bool { _, ok := want[name]; return ok })
	if !slices.Equal(left, []string{"leases"}) {
		t.Errorf("tables that are not copied: %v", left)
	}
	for _, way := range []struct{ from, to catalog.Whole }{{a, b}, {b, c}} {
		var told int64
		read, err := transfer.Copy(t.Context(), way.from, way.to, "", func(n int64) { told = n })
		if err != nil {
			t.Fatal(err)
		}
		if d := want.Differences(read); len(d) > 0 {
			t.Errorf("what was read differs: %v", d)
		}
		if told != want.Rows() {
			t.Errorf("%d of %d records were told of", told, want.Rows())
		}
		if d := want.Differences(sums(t, way.to)); len(d) > 0 {
			t.Errorf("what was written differs: %v", d)
		}
		if n := counters(t, way.to)["events"]; n != highest {
			t.Errorf("events are numbered from %d on, the highest was %d", n, highest)
		}
	}
}

// TestGoOn: a copy that was interrupted at any page goes on, and one over other
// records is noticed.
func TestGoOn(t *testing.T) {
	a, b := file(t), file(t)
	fill(t, a, 700)
	want := sums(t, a)
	for at := int64(1); ; at += 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := transfer.Copy(ctx, a, b, "", func(n int64) {
			if n >= at {
				cancel()
			}
		})
		stopped := ctx.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !stopped {
			t.Fatal(err)
		}
		if d := want.Differences(sums(t, b)); len(d) == 0 {
			t.Fatal("an interrupted copy is said to be whole")
		}
	}
	if d := want.Differences(sums(t, b)); len(d) > 0 {
		t.Errorf("after going on: %v", d)
	}
	if err := b.Update(t.Context(), func(c catalog.Conn) error {
		_, err := c.Exec("UPDATE nodes SET size = size + 1 WHERE id = (SELECT MIN(id) FROM nodes)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if d := want.Differences(sums(t, b)); len(d) != 1 || !strings.Contains(d[0], "nodes") {
		t.Errorf("a record that differs: %v", d)
	}
}

// TestTextThatPostgreSQLRefuses is made valid, not a failure.
func TestTextThatPostgreSQLRefuses(t *testing.T) {
	a, b := file(t), database(t)
	if err := a.Update(t.Context(), func(c catalog.Conn) error {
		_, err := c.Exec("INSERT INTO consents (owner, client, scope, created) VALUES ('o', 'c', $1, 1)", "a\x00b\xffc")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Copy(t.Context(), a, b, "", nil); err != nil {
		t.Fatal(err)
	}
	if d := sums(t, a).Differences(sums(t, b)); len(d) > 0 {
		t.Error(d)
	}
}

// TestSnapshotOfOneMoment: the copy of a catalog that is being changed has, of
// two records that are changed one after the other, never only the later change.
func TestSnapshotOfOneMoment(t *testing.T) {
	for _, engine := range []struct {
		name string
		open func(*testing.T) catalog.Whole
	}{
		{"sqlite", func(t *testing.T) catalog.Whole { return file(t) }},
		{"postgres", func(t *testing.T) catalog.Whole { return database(t) }},
	} {
		t.Run(engine.name, func(t *testing.T) {
			d := engine.open(t)
			s := catalog.New(d)
			stop, done := make(chan struct{}), make(chan error, 1)
			go func() {
				for i := 0; ; i++ {
					for _, name := range []string{"z", "a"} { // z leads
						err := s.Update(context.Background(), func(tx *catalog.Tx) error { return tx.PutFact(name, fmt.Sprintf("%09d", i)) })
						if err != nil {
							done <- err
							return
						}
					}
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
				}
			}()
			for range 8 {
				to := file(t)
				if _, err := transfer.Copy(t.Context(), d, to, "", nil); err != nil {
					t.Error(err)
					break
				}
				var a, z string
				if err := catalog.New(to).View(t.Context(), func(tx *catalog.Tx) error {
					a, _ = tx.Fact("a")
					z, _ = tx.Fact("z")
					return nil
				}); err != nil {
					t.Error(err)
				}
				if a > z {
					t.Errorf("a is %s, but z, which was changed before, is %s", a, z)
				}
			}
			close(stop)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTaken: once another goes on with a copy, the first writes nothing more.
func TestTaken(t *testing.T) {
	for _, b := range []catalog.Whole{file(t), database(t)} {
		a, s := file(t), catalog.New(b)
		fill(t, a, 300)
		take := func(ticket string) {
			if err := s.Update(t.Context(), func(tx *catalog.Tx) error { return tx.PutFact(transfer.Arriving, ticket) }); err != nil {
				t.Error(err)
			}
		}
		take("first")
		var at int64
		_, err := transfer.Copy(t.Context(), a, b, "first", func(n int64) {
			if at == 0 && n > 2000 {
				at = n
				take("second")
			}
		})
		if !errors.Is(err, transfer.ErrTaken) {
			t.Errorf("%T: the first ends with %v", b, err)
		}
		if n := sums(t, b).Rows(); n > at || at == 0 {
			t.Errorf("%T: the other took over after %d records, there are %d", b, at, n)
		}
		if _, err := transfer.Copy(t.Context(), a, b, "second", nil); err != nil {
			t.Errorf("%T: %v", b, err)
		}
		if d := sums(t, a).Differences(sums(t, b)); len(d) > 0 {
			t.Errorf("%T: %v", b, d)
		}
	}
}

// TestTargetAway: a target that does not answer for a moment does not end the copy.
func TestTargetAway(t *testing.T) {
	a := file(t)
	pg, b := serverAndDatabase(t)
	fill(t, a, 300)
	back := make(chan error, 1)
	stopped := false
	_, err := transfer.Copy(t.Context(), a, b, "", func(n int64) {
		if n < 2000 || stopped {
			return
		}
		stopped = true
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
		time.AfterFunc(time.Second, func() { back <- pg.Again() })
	})
	if err := errors.Join(err, <-back); err != nil {
		t.Fatal(err)
	}
	if d := sums(t, a).Differences(sums(t, b)); len(d) > 0 {
		t.Error(d)
	}
}
