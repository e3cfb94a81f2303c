// Package transfer copies a whole catalog to another engine, and compares two.
//
// What there is to copy comes from the schema of the source, so a table that is
// added later is copied like the others. Left out is what belongs to a place or
// a process rather than to the documents: leases, and the facts whose names
// OfPlace lists.
package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

const (
	// pageRows is how many records are read and written at a time.
	pageRows = 256
	// pageBytes is how many bytes of records are written at a time at most, if
	// they are more than one.
	pageBytes = 8 << 20
	// tries bounds how often a page is written while the target is away.
	tries = 8
)

// OfPlace returns the names of the facts that tell about the place where a
// catalog is, and so are not copied: which installation it is, and whether it is
// being moved.
func OfPlace() []string { return []string{Installation, Arriving, Moved} }

// The facts of a place.
const (
	// Installation is the id that the storage of the bytes is marked with.
	Installation = "installation"
	// Arriving is there while the place is being filled.
	Arriving = "arriving"
	// Moved is there while and after the catalog is copied to another place.
	Moved = "moved"
)

const (
	leaseTable = "leases"
	factTable  = "facts"
)

// Sum is what there is to compare of a table: two tables with the same records
// have the same sums, whatever the engine and the order.
type Sum struct {
	Rows int64
	Hash [sha256.Size]byte
}

func (s *Sum) add(row []any) {
	h := sha256.New()
	var n [9]byte
	for _, v := range row {
		switch v := v.(type) {
		case string:
			n[0] = 't'
			binary.BigEndian.PutUint64(n[1:], uint64(len(v)))
			h.Write(n[:])
			h.Write([]byte(v))
		case []byte:
			n[0] = 'b'
			binary.BigEndian.PutUint64(n[1:], uint64(len(v)))
			h.Write(n[:])
			h.Write(v)
		case int64:
			n[0] = 'n'
			binary.BigEndian.PutUint64(n[1:], uint64(v))
			h.Write(n[:])
		}
	}
	for i, b := range h.Sum(nil) {
		s.Hash[i] ^= b
	}
	s.Rows++
}

// Sums are those of all tables, by name.
type Sums map[string]Sum

// Rows is how many records there are in all.
func (s Sums) Rows() (n int64) {
	for _, t := range s {
		n += t.Rows
	}
	return n
}

// Differences names the tables that are not the same, each in a sentence.
func (s Sums) Differences(other Sums) (list []string) {
	for name, a := range s {
		if b := other[name]; a.Rows != b.Rows {
			list = append(list, fmt.Sprintf("%s has %d records here and %d there", name, a.Rows, b.Rows))
		} else if a != b {
			list = append(list, fmt.Sprintf("the %d records of %s differ", a.Rows, name))
		}
	}
	for name, b := range other {
		if _, ok := s[name]; !ok {
			list = append(list, fmt.Sprintf("%s, with %d records, is there only", name, b.Rows))
		}
	}
	slices.Sort(list)
	return list
}

// DifferentError reports that a copy is not what it was made from.
type DifferentError struct{ Tables []string }

func (e *DifferentError) Error() string {
	return "the copy of the catalog differs: " + strings.Join(e.Tables, "; ") + ": empty the target and begin again"
}

// Summarise reads all records in one snapshot and returns their sums. progress
// may be nil; it is told how many records have been read.
func Summarise(ctx context.Context, d catalog.Driver, progress func(rows int64)) (Sums, error) {
	w, err := whole(d)
	if err != nil {
		return nil, err
	}
	sums := make(Sums)
	var rows int64
	err = w.Snapshot(ctx, func(c catalog.Conn) error {
		tables, err := w.Tables(c)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if t.Name == leaseTable {
				continue
			}
			var sum Sum
			err := pages(ctx, c, t, func(page [][]any) error {
				for _, row := range page {
					sum.add(row)
				}
				rows += int64(len(page))
				if progress != nil {
					progress(rows)
				}
				return nil
			})
			if err != nil {
				return err
			}
			sums[t.Name] = sum
		}
		return nil
	})
	return sums, err
}

// Count returns how many records the catalog has, without reading them.
func Count(ctx context.Context, d catalog.Driver) (n int64, err error) {
	w, err := whole(d)
	if err != nil {
		return 0, err
	}
	err = w.Snapshot(ctx, func(c catalog.Conn) error {
		n = 0
		tables, err := w.Tables(c)
		for _, t := range tables {
			if t.Name == leaseTable {
				continue
			}
			rows, cerr := count(c, t)
			err = errors.Join(err, cerr)
			n += rows
		}
		return err
	})
	return n, err
}

// Copy copies all records of one snapshot of a catalog to another, whose schema
// is the same and which nobody else changes, and returns the sums of what it
// read. A copy that broke off goes on with the first record that is not there
// yet, as long as the source is as it was. It does not compare the two.
//
// Text that PostgreSQL cannot hold (NUL, invalid UTF-8) is made valid on the
// way, and compared in that form.
//
// If ticket is not empty, it is what the target's fact Arriving must be whenever
// something is written: who goes on with a copy changes the fact, and from then
// on whoever was at it before fails with ErrTaken.
func Copy(ctx context.Context, from, to catalog.Driver, ticket string, progress func(rows int64)) (Sums, error) {
	source, err := whole(from)
	if err != nil {
		return nil, err
	}
	into, err := whole(to)
	if err != nil {
		return nil, err
	}
	target := &target{into, ticket}
	sums := make(Sums)
	var rows int64
	err = source.Snapshot(ctx, func(c catalog.Conn) error {
		tables, err := source.Tables(c)
		if err != nil {
			return err
		}
		there, err := sameTables(ctx, into, tables)
		if err != nil {
			return err
		}
		for i, t := range tables {
			if t.Name == leaseTable {
				continue
			}
			sum, err := copyTable(ctx, c, target, t, there[i], func(n int) {
				rows += int64(n)
				if progress != nil {
					progress(rows)
				}
			})
			if err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
			sums[t.Name] = sum
		}
		counters, err := source.Counters(c)
		if err != nil {
			return err
		}
		return target.write(ctx, func(c catalog.Conn) error { return into.SetCounters(c, counters) })
	})
	return sums, err
}

func whole(d catalog.Driver) (catalog.Whole, error) {
	w, ok := d.(catalog.Whole)
	if !ok {
		return nil, fmt.Errorf("transfer: a catalog of type %T cannot be copied as a whole", d)
	}
	return w, nil
}

// sameTables compares the schemas and returns how many records each table of the
// target has.
func sameTables(ctx context.Context, target catalog.Whole, want []catalog.Table) (rows []int64, err error) {
	rows = make([]int64, len(want))
	err = target.View(ctx, func(c catalog.Conn) error {
		have, err := target.Tables(c)
		if err != nil {
			return err
		}
		by := make(map[string]catalog.Table)
		for _, t := range have {
			by[t.Name] = t
		}
		for i, t := range want {
			h, ok := by[t.Name]
			if !ok || !slices.Equal(sorted(h.Columns), sorted(t.Columns)) || !slices.Equal(h.Key, t.Key) {
				return fmt.Errorf("the schemas differ in table %s: use a target that this version has made", t.Name)
			}
			if len(t.Key) == 0 {
				return fmt.Errorf("table %s has no primary key", t.Name)
			}
			if rows[i], err = count(c, t); err != nil {
				return err
			}
			delete(by, t.Name)
		}
		for name := range by {
			return fmt.Errorf("the target has a table %s that the source has not: use an empty database", name)
		}
		return nil
	})
	return rows, err
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func count(c catalog.Conn, t catalog.Table) (n int64, err error) {
	err = c.Query("SELECT COUNT(*) FROM "+quoted(t.Name), nil, func(cols []any) error {
		n, _ = cols[0].(int64)
		return nil
	})
	return n, err
}

// copyTable copies the records after the first ones, which are there.
func copyTable(ctx context.Context, c catalog.Conn, to *target, t catalog.Table, there int64, progress func(int)) (sum Sum, err error) {
	if t.Name == factTable {
		there = 0 // the target has facts of its own
	}
	err = pages(ctx, c, t, func(page [][]any) error {
		for _, row := range page {
			sum.add(row)
		}
		progress(len(page))
		skip := min(there, int64(len(page)))
		there -= skip
		return to.insert(ctx, t, page[skip:])
	})
	return sum, err
}

// pages calls f for all records of a table in the order of its key, some at a
// time.
func pages(ctx context.Context, c catalog.Conn, t catalog.Table, f func([][]any) error) error {
	var keys []string
	var at []int // where the key's columns are
	for _, k := range t.Key {
		keys = append(keys, quoted(k))
		at = append(at, slices.Index(t.Columns, k))
	}
	order := strings.Join(keys, ", ")
	columns := make([]string, len(t.Columns))
	for i, name := range t.Columns {
		columns[i] = quoted(name)
	}
	head := "SELECT " + strings.Join(columns, ", ") + " FROM " + quoted(t.Name)
	tail := fmt.Sprintf(" ORDER BY %s LIMIT %d", order, pageRows)
	next := head + " WHERE (" + order + ") > (" + marks(1, len(keys)) + ")" + tail
	query, args := head+tail, []any(nil)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var page [][]any
		n := 0
		err := c.Query(query, args, func(cols []any) error {
			n++
			row := slices.Clone(cols)
			if n == pageRows {
				args = nil
				for _, i := range at {
					args = append(args, row[i])
				}
			}
			if t.Name == factTable && ofPlace(row[at[0]]) {
				return nil
			}
			for i, v := range row {
				switch v := v.(type) {
				case string:
					row[i] = valid(v)
				case []byte:
					if len(v) == 0 {
						row[i] = []byte{} // a nil slice would be NULL
					}
				}
			}
			page = append(page, row)
			return nil
		})
		if err != nil {
			return err
		}
		if len(page) > 0 {
			if err := f(page); err != nil {
				return err
			}
		}
		if n < pageRows {
			return nil
		}
		query = next
	}
}

func ofPlace(name any) bool {
	text, _ := name.(string)
	return slices.Contains(OfPlace(), text)
}

// valid makes text what every engine can hold.
func valid(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// insert writes records, a transaction for as many as are not too large.
func (to *target) insert(ctx context.Context, t catalog.Table, rows [][]any) error {
	for len(rows) > 0 {
		n, size := 0, 0
		for ; n < len(rows) && (n == 0 || size < pageBytes); n++ {
			for _, v := range rows[n] {
				switch v := v.(type) {
				case string:
					size += len(v)
				case []byte:
					size += len(v)
				}
			}
		}
		if err := to.insertSome(ctx, t, rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (to *target) insertSome(ctx context.Context, t catalog.Table, rows [][]any) error {
	columns := make([]string, len(t.Columns))
	for i, name := range t.Columns {
		columns[i] = quoted(name)
	}
	var values []string
	var args []any
	for _, row := range rows {
		values = append(values, "("+marks(len(args)+1, len(row))+")")
		args = append(args, row...)
	}
	// What is there has come with a transaction whose outcome was not known; the
	// comparison finds what is there for another reason.
	statement := "INSERT INTO " + quoted(t.Name) + " (" + strings.Join(columns, ", ") + ") VALUES " + strings.Join(values, ", ") + " ON CONFLICT DO NOTHING"
	return to.write(ctx, func(c catalog.Conn) error {
		_, err := c.Exec(statement, args...)
		return err
	})
}

// target is a catalog that is written to.
type target struct {
	catalog.Whole
	ticket string
}

// ErrTaken reports that somebody else goes on with the copy.
var ErrTaken = errors.New("transfer: another process goes on with this copy")

// write runs an update that can be run again, until it is known to have
// happened.
func (to *target) write(ctx context.Context, f func(catalog.Conn) error) error {
	pause := 100 * time.Millisecond
	for n := 1; ; n++ {
		err := to.Update(ctx, func(c catalog.Conn) error {
			if err := to.check(c); err != nil {
				return err
			}
			return f(c)
		})
		passing := errors.Is(err, catalog.ErrRetry) || errors.Is(err, catalog.ErrUncertain) || errors.As(err, new(*quire.Unavailable))
		if !passing || n == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// check sees to it that the copy is still this process's.
func (to *target) check(c catalog.Conn) error {
	if to.ticket == "" {
		return nil
	}
	mine := false
	err := c.Query("SELECT value FROM facts WHERE name = $1", []any{Arriving}, func(cols []any) error {
		mine = cols[0] == to.ticket
		return nil
	})
	if err == nil && !mine {
		err = ErrTaken
	}
	return err
}

// marks are the places of so many arguments, from a number on.
func marks(from, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(list, ", ")
}

// quoted is a name of the schema in a statement.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
