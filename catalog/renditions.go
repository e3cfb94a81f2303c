package catalog

import (
	"time"

	"github.com/quire-docs/quire"
)

// RenditionID names a rendition.
type RenditionID string

// RenditionState is how far a conversion is.
type RenditionState string

// The states. A conversion that waits or runs is due at a time: then it is begun,
// or taken from a worker that has not been heard of.
const (
	RenditionWaiting   RenditionState = "waiting"
	RenditionRunning   RenditionState = "running"
	RenditionReady     RenditionState = "ready"
	RenditionFailed    RenditionState = "failed"
	RenditionCancelled RenditionState = "cancelled"
	renditionGone      RenditionState = "gone" // its revision was deleted
)

// Over says whether nothing more happens.
func (s RenditionState) Over() bool {
	return s == RenditionReady || s == RenditionFailed || s == RenditionCancelled
}

// Rendition is a revision of a file in another type.
type Rendition struct {
	ID       RenditionID
	Site     quire.SiteID
	Node     quire.NodeID
	Revision int64
	Target   string // a MIME type
	Options  string // what else makes it another one, in one form
	State    RenditionState
	Segment  quire.SegmentID // when it is ready; empty for nothing at all
	Size     int64           // in bytes
	Reason   string          // why it failed
	Attempts int64
	Due      time.Time
	Worker   string // who runs it
	Created  time.Time
	Updated  time.Time
	Epoch    int64
}

var renditions = newRecord("renditions", "id site node revision target options state segment size reason attempts due worker created updated epoch", 1,
	func(r *Rendition) []any {
		return []any{&r.ID, &r.Site, &r.Node, &r.Revision, &r.Target, &r.Options, &r.State, &r.Segment, &r.Size, &r.Reason, &r.Attempts, &r.Due, &r.Worker, &r.Created, &r.Updated, &r.Epoch}
	})

// RenditionHolder names who holds a rendition's segment.
func RenditionHolder(id RenditionID) string { return "r" + string(id) }

// Rendition returns the rendition of that id.
func (t *Tx) Rendition(id RenditionID) (Rendition, error) {
	return renditions.one(t, "WHERE id = $1 AND state <> $2", id, renditionGone)
}

// RenditionOf returns a revision's rendition.
func (t *Tx) RenditionOf(node quire.NodeID, revision int64, target, options string) (Rendition, error) {
	return renditions.one(t, "WHERE node = $1 AND revision = $2 AND target = $3 AND options = $4 AND state <> $5", node, revision, target, options, renditionGone)
}

// RenditionsIn returns renditions in a state, those due first.
func (t *Tx) RenditionsIn(state RenditionState, limit int) ([]Rendition, error) {
	return renditions.all(t, "WHERE state = $1 ORDER BY due, id LIMIT $2", state, int64(limit))
}

// DueRenditions returns conversions that are to be begun or taken over now.
func (t *Tx) DueRenditions(limit int) ([]Rendition, error) {
	return renditions.all(t, "WHERE state IN ($1, $2) AND due <= $3 ORDER BY due, id LIMIT $4", RenditionWaiting, RenditionRunning, millis(t.now), int64(limit))
}

// CountRenditions returns how many renditions are in a state.
func (t *Tx) CountRenditions(state RenditionState) (int64, error) {
	return t.number("SELECT COUNT(*) FROM renditions WHERE state = $1", string(state))
}

// InsertRendition adds a rendition.
func (t *Tx) InsertRendition(r *Rendition) error { return renditions.insert(t, r) }

// UpdateRendition writes a rendition that was read in this transaction.
func (t *Tx) UpdateRendition(r *Rendition) error { return renditions.update(t, r) }

// loseRenditions marks the renditions of a file's revision, or of all its
// revisions if that is 0, for DropLost.
func (t *Tx) loseRenditions(node quire.NodeID, revision int64) error {
	_, err := t.c.Exec("UPDATE renditions SET state = $1, due = 0 WHERE node = $2 AND ($3 = 0 OR revision = $3)", string(renditionGone), string(node), revision)
	return err
}

// DropLost deletes renditions whose revisions are gone, with their holds, and says
// how many.
func (t *Tx) DropLost(limit int) (int, error) {
	list, err := t.RenditionsIn(renditionGone, limit)
	if err != nil {
		return 0, err
	}
	for _, r := range list {
		if err := t.ReleaseAll(r.Site, RenditionHolder(r.ID)); err != nil {
			return 0, err
		}
		if err := renditions.remove(t, string(r.ID)); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// JobID names a job.
type JobID string

// Job is a request for renditions of one revision.
type Job struct {
	ID         JobID
	Site       quire.SiteID
	Node       quire.NodeID
	Revision   int64
	Owner      quire.UserID // empty if no user asked
	Location   string       // as it was asked for
	Renditions []RenditionID
	Created    time.Time
	Expires    time.Time
}

var jobs = newRecord("jobs", "id site node revision owner location renditions created expires", 1,
	func(j *Job) []any {
		return []any{&j.ID, &j.Site, &j.Node, &j.Revision, &j.Owner, &j.Location, asJSON{&j.Renditions}, &j.Created, &j.Expires}
	})

// Job returns the job of that id.
func (t *Tx) Job(id JobID) (Job, error) { return jobs.one(t, "WHERE id = $1", id) }

// JobsOf returns the jobs for a revision.
func (t *Tx) JobsOf(node quire.NodeID, revision int64) ([]Job, error) {
	return jobs.all(t, "WHERE node = $1 AND revision = $2 ORDER BY id", node, revision)
}

// Jobs returns the newest jobs of a site.
func (t *Tx) Jobs(site quire.SiteID, limit int) ([]Job, error) {
	return jobs.all(t, "WHERE site = $1 ORDER BY created DESC, id LIMIT $2", site, int64(limit))
}

// InsertJob adds a job.
func (t *Tx) InsertJob(j *Job) error { return jobs.insert(t, j) }

// DeleteJobsBefore removes jobs that expired before a time, with their
// deliveries.
func (t *Tx) DeleteJobsBefore(when time.Time) error {
	if _, err := t.c.Exec("DELETE FROM deliveries WHERE job IN (SELECT id FROM jobs WHERE expires < $1)", millis(when)); err != nil {
		return err
	}
	_, err := t.c.Exec("DELETE FROM jobs WHERE expires < $1", millis(when))
	return err
}

// DeliveryState is how far a callback is.
type DeliveryState string

// The states: a delivery is held until its job is over, then due, then done, or
// given up.
const (
	DeliveryHeld    DeliveryState = "held"
	DeliveryDue     DeliveryState = "due"
	DeliveryDone    DeliveryState = "done"
	DeliveryGivenUp DeliveryState = "given-up"
)

// Delivery is a callback to be made when a job is over.
type Delivery struct {
	ID       string // the same at each try (Standard Webhooks: webhook-id)
	Job      JobID
	URL      string
	Targets  []string // the job's targets that it tells of; nil is all
	State    DeliveryState
	Attempts int64
	Due      time.Time
	Until    time.Time // when it is given up
	Reason   string    // why the last try failed
	Epoch    int64
}

var deliveries = newRecord("deliveries", "id job url targets state attempts due until reason epoch", 1,
	func(d *Delivery) []any {
		return []any{&d.ID, &d.Job, &d.URL, asJSON{&d.Targets}, &d.State, &d.Attempts, &d.Due, &d.Until, &d.Reason, &d.Epoch}
	})

// Deliveries returns a job's deliveries.
func (t *Tx) Deliveries(job JobID) ([]Delivery, error) {
	return deliveries.all(t, "WHERE job = $1 ORDER BY id", job)
}

// Delivery returns the delivery of that id.
func (t *Tx) Delivery(id string) (Delivery, error) {
	return deliveries.one(t, "WHERE id = $1", id)
}

// CountDeliveries tells how many deliveries are in a state.
func (t *Tx) CountDeliveries(state DeliveryState) (int64, error) {
	return t.number("SELECT COUNT(*) FROM deliveries WHERE state = $1", string(state))
}

// DueDeliveries returns deliveries that are to be tried now.
func (t *Tx) DueDeliveries(limit int) ([]Delivery, error) {
	return deliveries.all(t, "WHERE state = $1 AND due <= $2 ORDER BY due, id LIMIT $3", DeliveryDue, millis(t.now), int64(limit))
}

// InsertDelivery adds a delivery.
func (t *Tx) InsertDelivery(d *Delivery) error { return deliveries.insert(t, d) }

// UpdateDelivery writes a delivery that was read in this transaction.
func (t *Tx) UpdateDelivery(d *Delivery) error { return deliveries.update(t, d) }
