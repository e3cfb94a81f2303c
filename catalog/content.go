package catalog

import (
	"time"

	"github.com/quire-docs/quire"
)

var revisions = newRecord("revisions", "node number sequence size created authors door kind session label restores sum", 2,
	func(r *quire.Revision) []any {
		return []any{&r.Node, &r.Number, &r.Sequence, &r.Size, &r.Created, asJSON{&r.Authors}, &r.Door, &r.Kind, &r.Session, &r.Label, &r.From, &r.Sum}
	})

// Revision returns one revision of a file.
func (t *Tx) Revision(node quire.NodeID, number int64) (quire.Revision, error) {
	return revisions.one(t, "WHERE node = $1 AND number = $2", node, number)
}

// Revisions returns a page of a file's revisions, the newest first, with
// numbers below before; 0 is from the newest.
func (t *Tx) Revisions(node quire.NodeID, before int64, limit int) ([]quire.Revision, error) {
	if before <= 0 {
		return revisions.all(t, "WHERE node = $1 ORDER BY number DESC LIMIT $2", node, int64(limit))
	}
	return revisions.all(t, "WHERE node = $1 AND number < $2 ORDER BY number DESC LIMIT $3", node, before, int64(limit))
}

const insertRevision = `INSERT INTO revisions
	(node, number, sequence, size, created, authors, door, kind, session, label, restores, sum, manifest)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`

// InsertRevision adds a revision with its manifest.
func (t *Tx) InsertRevision(r *quire.Revision, m *quire.Manifest) error {
	args, err := binds(revisions.fields(r))
	if err != nil {
		return err
	}
	b, err := EncodeManifest(m)
	if err != nil {
		return err
	}
	_, err = t.c.Exec(insertRevision, append(args, b)...)
	return err
}

// UpdateRevision writes what is said of a revision; its manifest stays.
func (t *Tx) UpdateRevision(r *quire.Revision) error { return revisions.update(t, r) }

// Manifest returns which bytes make up a revision.
func (t *Tx) Manifest(node quire.NodeID, number int64) (quire.Manifest, error) {
	var m quire.Manifest
	found := false
	err := t.c.Query("SELECT manifest FROM revisions WHERE node = $1 AND number = $2", []any{string(node), number}, func(cols []any) error {
		found = true
		b, _ := cols[0].([]byte)
		return DecodeManifest(b, &m)
	})
	if err == nil && !found {
		err = quire.ErrNotFound
	}
	return m, err
}

// UpdateManifest replaces how a revision is made up. The bytes that it stands
// for must be the same: only their place or their signature may differ.
func (t *Tx) UpdateManifest(node quire.NodeID, number int64, m *quire.Manifest) error {
	b, err := EncodeManifest(m)
	if err != nil {
		return err
	}
	n, err := t.c.Exec("UPDATE revisions SET manifest = $1 WHERE node = $2 AND number = $3", b, string(node), number)
	if err == nil && n == 0 {
		err = quire.ErrNotFound
	}
	return err
}

// DeleteRevision removes a revision. What only it needed stays held until
// KeepOnly is called for its file.
func (t *Tx) DeleteRevision(node quire.NodeID, number int64) error {
	if err := t.loseRenditions(node, number); err != nil {
		return err
	}
	return revisions.remove(t, string(node), number)
}

var segments = newRecord("segments", "id size sum created", 1,
	func(s *quire.Segment) []any { return []any{&s.ID, &s.Size, &s.Sum, &s.Created} })

// NodeHolder and UploadHolder name who holds a segment.
func NodeHolder(id quire.NodeID) string     { return "n" + string(id) }
func UploadHolder(id quire.UploadID) string { return "u" + string(id) }

// Segment returns the record of a segment.
func (t *Tx) Segment(id quire.SegmentID) (quire.Segment, error) {
	return segments.one(t, "WHERE id = $1", id)
}

// SegmentsAfter returns a page of all segments in order of their ids.
func (t *Tx) SegmentsAfter(after quire.SegmentID, limit int) ([]quire.Segment, error) {
	return segments.all(t, "WHERE id > $1 ORDER BY id LIMIT $2", after, int64(limit))
}

// InsertSegment records a segment that is durable, or is to be kept in the
// catalog, with its first holder. data is its bytes where its id says that
// they live in the catalog, else nil.
func (t *Tx) InsertSegment(s *quire.Segment, data []byte, site quire.SiteID, holder string) error {
	args, err := binds(segments.fields(s))
	if err != nil {
		return err
	}
	if data == nil || !s.ID.InCatalog() {
		data = []byte{}
	}
	if _, err := t.c.Exec("INSERT INTO segments (id, size, sum, created, released, data) VALUES ($1, $2, $3, $4, 0, $5)", append(args, data)...); err != nil {
		return err
	}
	if _, err := t.c.Exec("INSERT INTO holds (holder, segment) VALUES ($1, $2)", holder, string(s.ID)); err != nil {
		return err
	}
	return t.addUsage(site, holder, s.Size)
}

// SegmentData returns the bytes of a segment that lives in the catalog.
func (t *Tx) SegmentData(id quire.SegmentID) ([]byte, error) {
	var data []byte
	found := false
	err := t.c.Query("SELECT data FROM segments WHERE id = $1", []any{string(id)}, func(cols []any) error {
		found = true
		data, _ = cols[0].([]byte)
		return nil
	})
	if err == nil && !found {
		err = quire.ErrNotFound
	}
	return data, err
}

// Holds returns the segments that a holder holds.
func (t *Tx) Holds(holder string) ([]quire.SegmentID, error) {
	var list []quire.SegmentID
	err := t.c.Query("SELECT segment FROM holds WHERE holder = $1 ORDER BY segment", []any{holder}, func(cols []any) error {
		s, _ := cols[0].(string)
		list = append(list, quire.SegmentID(s))
		return nil
	})
	return list, err
}

// Hold makes a holder hold a segment that another one holds now.
func (t *Tx) Hold(site quire.SiteID, holder string, id quire.SegmentID) error {
	n, err := t.c.Exec("INSERT INTO holds (holder, segment) VALUES ($1, $2) ON CONFLICT (holder, segment) DO NOTHING", holder, string(id))
	if err != nil || n == 0 {
		return err
	}
	s, err := t.Segment(id)
	if err != nil {
		return err
	}
	if _, err := t.c.Exec("UPDATE segments SET released = 0 WHERE id = $1 AND released > 0", string(id)); err != nil {
		return err
	}
	return t.addUsage(site, holder, s.Size)
}

// Release makes a holder give up a segment. The last one to do so starts the
// segment's grace period.
func (t *Tx) Release(site quire.SiteID, holder string, id quire.SegmentID) error {
	n, err := t.c.Exec("DELETE FROM holds WHERE holder = $1 AND segment = $2", holder, string(id))
	if err != nil || n == 0 {
		return err
	}
	s, err := t.Segment(id)
	if err != nil {
		return err
	}
	if _, err := t.c.Exec("UPDATE segments SET released = $1 WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM holds WHERE segment = $2)",
		millis(t.now), string(id)); err != nil {
		return err
	}
	return t.addUsage(site, holder, -s.Size)
}

// ReleaseAll makes a holder give up everything.
func (t *Tx) ReleaseAll(site quire.SiteID, holder string) error {
	bytes, err := t.number("SELECT COALESCE(SUM(s.size), 0) FROM holds h JOIN segments s ON s.id = h.segment WHERE h.holder = $1", holder)
	if err != nil {
		return err
	}
	if _, err := t.c.Exec(`UPDATE segments SET released = $1 WHERE id IN (SELECT segment FROM holds WHERE holder = $2)
		AND NOT EXISTS (SELECT 1 FROM holds o WHERE o.segment = segments.id AND o.holder <> $2)`, millis(t.now), holder); err != nil {
		return err
	}
	if _, err := t.c.Exec("DELETE FROM holds WHERE holder = $1", holder); err != nil {
		return err
	}
	return t.addUsage(site, holder, -bytes)
}

// SharedHolds returns the segments that two holders both hold.
func (t *Tx) SharedHolds(one, other string) ([]quire.SegmentID, error) {
	var list []quire.SegmentID
	err := t.c.Query("SELECT a.segment FROM holds a JOIN holds b ON b.holder = $2 AND b.segment = a.segment WHERE a.holder = $1 ORDER BY a.segment",
		[]any{one, other}, func(cols []any) error {
			s, _ := cols[0].(string)
			list = append(list, quire.SegmentID(s))
			return nil
		})
	return list, err
}

// MoveHolds makes one holder hold all that another holds, in its place. The
// two must not hold the same segment.
func (t *Tx) MoveHolds(from, to string) error {
	_, err := t.c.Exec("UPDATE holds SET holder = $1 WHERE holder = $2", to, from)
	return err
}

// Garbage returns segments that nobody has held since before a time.
func (t *Tx) Garbage(before time.Time, limit int) ([]quire.Segment, error) {
	return segments.all(t, "WHERE released > 0 AND released < $1 ORDER BY released LIMIT $2", millis(before), int64(limit))
}

// DeleteSegment removes the record of a segment, and its bytes if they live in
// the catalog, unless somebody holds it.
func (t *Tx) DeleteSegment(id quire.SegmentID) (deleted bool, err error) {
	n, err := t.c.Exec("DELETE FROM segments WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM holds WHERE segment = $1)", string(id))
	return n > 0, err
}

var properties = newRecord("properties", "node name value keep updated", 2,
	func(p *quire.Property) []any { return []any{&p.Node, &p.Name, &p.Value, &p.Keep, &p.Updated} })

// Properties returns a file's content properties that were written after a
// time, in order of their names.
func (t *Tx) Properties(node quire.NodeID, after time.Time) ([]quire.Property, error) {
	return properties.all(t, "WHERE node = $1 AND updated > $2 ORDER BY name", node, millis(after))
}

// PutProperty adds or replaces a content property.
func (t *Tx) PutProperty(p *quire.Property) error { return properties.upsert(t, p) }

// DropProperties removes a file's properties that do not outlive a change of
// the content, and those written before a time.
func (t *Tx) DropProperties(node quire.NodeID, contentChanged bool, before time.Time) error {
	keep := int64(0)
	if !contentChanged {
		keep = -1
	}
	_, err := t.c.Exec("DELETE FROM properties WHERE node = $1 AND (keep = $2 OR updated <= $3)", string(node), keep, millis(before))
	return err
}
