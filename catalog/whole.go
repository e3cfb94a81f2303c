package catalog

import (
	"context"
	"strings"
	"time"
)

// Table is a table of the schema, as the engine itself describes it.
type Table struct {
	Name    string
	Columns []string // in the order of the engine
	Key     []string // the columns of the primary key, in its order
}

// Whole is what a Driver has beside its interface so that a catalog can be
// copied as a whole, also to another engine: see package catalog/transfer. What
// there is to copy comes from the schema, so that nothing is forgotten when the
// schema grows.
type Whole interface {
	Driver

	// Snapshot runs f over one snapshot, like View, for as long as f takes: the
	// snapshot equals the state between two updates, of some order in which all
	// of them can have run one after the other. A context that ends stops it.
	Snapshot(ctx context.Context, f func(Conn) error) error

	// Tables returns the tables of records, in order of their names: all but
	// those by which the engine and the migrations keep their own books.
	Tables(c Conn) ([]Table, error)

	// Counters returns the highest number that each table has given to a
	// record, where the engine gives them: such a number is not used again, also
	// where its record has been deleted.
	Counters(c Conn) (map[string]int64, error)

	// SetCounters makes sure that the numbers to come are higher.
	SetCounters(c Conn, counters map[string]int64) error
}

// LiveLeases returns the leases whose names begin with a prefix and that are not
// over, in order of their names.
func (t *Tx) LiveLeases(prefix string) ([]Lease, error) {
	list, err := leases.all(t, "WHERE until > $1 ORDER BY name", millis(t.now))
	if err != nil {
		return nil, err
	}
	var live []Lease
	for _, l := range list {
		if strings.HasPrefix(l.Name, prefix) {
			live = append(live, l)
		}
	}
	return live, nil
}

// DropLeases forgets leases that were over before a time.
func (t *Tx) DropLeases(before time.Time) error {
	_, err := t.c.Exec("DELETE FROM leases WHERE until < $1", millis(before))
	return err
}

// DropFact forgets what is known of the installation under a name.
func (t *Tx) DropFact(name string) error { return facts.remove(t, name) }
