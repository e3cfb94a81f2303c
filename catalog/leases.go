package catalog

import (
	"errors"
	"time"

	"github.com/quire-docs/quire"
)

// Lease says who does a kind of background work, so that no two nodes do it at
// the same time.
type Lease struct {
	Name   string
	Holder string    // a node, for as long as its process lives
	Until  time.Time // the end, by the catalog's clock, unless it is renewed
}

var leases = newRecord("leases", "name holder until", 1,
	func(l *Lease) []any { return []any{&l.Name, &l.Holder, &l.Until} })

// Lease returns the lease of that name, over or not.
func (t *Tx) Lease(name string) (Lease, error) { return leases.one(t, "WHERE name = $1", name) }

// TakeLease gives the lease of a name to a holder for a time from now on, or
// renews it. It says false, and changes nothing, while somebody else holds it.
func (t *Tx) TakeLease(name, holder string, life time.Duration) (bool, error) {
	l, err := t.Lease(name)
	switch {
	case errors.Is(err, quire.ErrNotFound):
	case err != nil:
		return false, err
	case l.Holder != holder && t.now.Before(l.Until):
		return false, nil
	}
	return true, leases.upsert(t, &Lease{Name: name, Holder: holder, Until: t.now.Add(life)})
}

// EndLease gives a lease up before its end. It does nothing if somebody else
// holds it.
func (t *Tx) EndLease(name, holder string) error {
	_, err := t.c.Exec("DELETE FROM leases WHERE name = $1 AND holder = $2", name, holder)
	return err
}

// fact is something that is known of the installation as a whole.
type fact struct{ name, value string }

var facts = newRecord("facts", "name value", 1, func(f *fact) []any { return []any{&f.name, &f.value} })

// Fact returns what is known of the installation under a name.
func (t *Tx) Fact(name string) (string, error) {
	f, err := facts.one(t, "WHERE name = $1", name)
	return f.value, err
}

// PutFact adds or replaces what is known of the installation under a name.
func (t *Tx) PutFact(name, value string) error { return facts.upsert(t, &fact{name, value}) }
