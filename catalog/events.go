package catalog

import (
	"time"

	"github.com/quire-docs/quire"
)

var events = newRecord("events", "seq site node kind path time actor name door addr detail", 1,
	func(e *quire.Event) []any {
		return []any{&e.Seq, &e.Site, &e.Node, &e.Kind, &e.Path, &e.Time, &e.User, &e.Name, &e.Door, &e.Addr, asJSON{&e.Detail}}
	})

// AddEvent appends to the record of what happened. The database gives Seq.
//
// Events are written at the end of the transaction: a database that many nodes
// share numbers a site's events under a lock, which is best held for a short
// time and taken after all others.
func (t *Tx) AddEvent(e *quire.Event) error {
	if !t.write {
		return ErrReadOnly
	}
	args, err := binds(events.fields(e))
	if err != nil {
		return err
	}
	t.events = append(t.events, args[1:])
	return nil
}

// writeEvents writes what AddEvent has collected.
func (t *Tx) writeEvents() error {
	for _, args := range t.events {
		if _, err := t.c.Exec(`INSERT INTO events (site, node, kind, path, time, actor, name, door, addr, detail)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, args...); err != nil {
			return err
		}
	}
	t.events = nil
	return nil
}

// SiteEvents returns a page of a site's events in the order they happened,
// after a sequence number and not before a time. An event whose transaction
// commits later never has a lower sequence number than one that was returned.
func (t *Tx) SiteEvents(site quire.SiteID, after int64, since time.Time, limit int) ([]quire.Event, error) {
	if err := t.writeEvents(); err != nil {
		return nil, err
	}
	return events.all(t, "WHERE site = $1 AND seq > $2 AND time >= $3 ORDER BY seq LIMIT $4", site, after, millis(since), int64(limit))
}

// LastEvent returns the sequence number of a site's newest event, or 0.
func (t *Tx) LastEvent(site quire.SiteID) (int64, error) {
	if err := t.writeEvents(); err != nil {
		return 0, err
	}
	return t.number("SELECT COALESCE(MAX(seq), 0) FROM events WHERE site = $1", site)
}

// NodeEvents returns a node's events, the newest first, with sequence numbers
// below before; 0 is from the newest. Those that
// are for auditors only (quire.EventKind.OnNode) are not among them.
func (t *Tx) NodeEvents(node quire.NodeID, before int64, limit int) ([]quire.Event, error) {
	if err := t.writeEvents(); err != nil {
		return nil, err
	}
	if before <= 0 {
		return events.all(t, "WHERE node = $1 AND kind NOT IN ($2, $3) ORDER BY seq DESC LIMIT $4", node, quire.EventRead, quire.EventRefused, int64(limit))
	}
	return events.all(t, "WHERE node = $1 AND kind NOT IN ($2, $3) AND seq < $4 ORDER BY seq DESC LIMIT $5", node, quire.EventRead, quire.EventRefused, before, int64(limit))
}

// DeleteEventsBefore forgets what happened before a time, at most limit
// events, and tells how many it forgot.
func (t *Tx) DeleteEventsBefore(when time.Time, limit int) (int64, error) {
	return t.c.Exec("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE time < $1 ORDER BY seq LIMIT $2)", millis(when), int64(limit))
}

// Chore is background work on one subject that is due at a time.
type Chore struct {
	Kind    string
	Subject string
	Due     time.Time
}

var chores = newRecord("chores", "kind subject due", 2,
	func(c *Chore) []any { return []any{&c.Kind, &c.Subject, &c.Due} })

// AddChore plans a chore, unless the subject has one of the kind already.
func (t *Tx) AddChore(c Chore) error {
	_, err := t.c.Exec("INSERT INTO chores (kind, subject, due) VALUES ($1, $2, $3) ON CONFLICT (kind, subject) DO NOTHING",
		c.Kind, c.Subject, millis(c.Due))
	return err
}

// PutChore plans a chore or moves the one that is planned.
func (t *Tx) PutChore(c Chore) error { return chores.upsert(t, &c) }

// DueChores returns chores whose time has come, the oldest first.
func (t *Tx) DueChores(limit int) ([]Chore, error) {
	return chores.all(t, "WHERE due <= $1 ORDER BY due LIMIT $2", millis(t.now), int64(limit))
}

// DeleteChore removes a chore.
func (t *Tx) DeleteChore(kind, subject string) error { return chores.remove(t, kind, subject) }

// CountChores tells how many chores are due.
func (t *Tx) CountChores() (int64, error) {
	return t.number("SELECT COUNT(*) FROM chores WHERE due <= $1", millis(t.now))
}
