package catalog

import (
	"time"

	"github.com/quire-docs/quire"
)

var uploads = newRecord("uploads", "id site owner door created expires life received declared target meta done epoch", 1,
	func(u *quire.Upload) []any {
		return []any{&u.ID, &u.Site, &u.Owner, &u.Door, &u.Created, &u.Expires, &u.Life, &u.Received, &u.Declared,
			asJSON{&u.Target}, asJSON{&u.Meta}, asJSON{&u.Done}, &u.Epoch}
	})

// Upload returns the upload session of that id, expired or not.
func (t *Tx) Upload(id quire.UploadID) (quire.Upload, error) {
	return uploads.one(t, "WHERE id = $1", id)
}

// Uploads returns a user's upload sessions in the order they were made; an
// empty user is everybody.
func (t *Tx) Uploads(owner quire.UserID) ([]quire.Upload, error) {
	if owner == "" {
		return uploads.all(t, "ORDER BY created, id")
	}
	return uploads.all(t, "WHERE owner = $1 ORDER BY created, id", owner)
}

// OpenUploads returns a user's sessions that are neither committed nor
// expired, in the order they were made.
func (t *Tx) OpenUploads(owner quire.UserID) ([]quire.Upload, error) {
	return uploads.all(t, "WHERE owner = $1 AND done = '' AND expires > $2 ORDER BY created, id", owner, millis(t.now))
}

// ExpiredUploads returns sessions that ended before a time.
func (t *Tx) ExpiredUploads(before time.Time, limit int) ([]quire.Upload, error) {
	return uploads.all(t, "WHERE expires < $1 ORDER BY expires LIMIT $2", millis(before), int64(limit))
}

// InsertUpload adds an upload session.
func (t *Tx) InsertUpload(u *quire.Upload) error { return uploads.insert(t, u) }

// UpdateUpload writes a session that was read in this transaction.
func (t *Tx) UpdateUpload(u *quire.Upload) error { return uploads.update(t, u) }

// DeleteUpload removes a session, its extents and its holds.
func (t *Tx) DeleteUpload(u *quire.Upload) error {
	if err := t.DeleteUploadExtents(u.ID, 0); err != nil {
		return err
	}
	if err := t.ReleaseAll(u.Site, UploadHolder(u.ID)); err != nil {
		return err
	}
	return uploads.remove(t, u.ID)
}

// UploadExtent is a run of bytes that an upload has received.
type UploadExtent struct {
	Upload   quire.UploadID
	Position int64 // in the upload, in bytes
	Length   int64
	Segment  quire.SegmentID
	Offset   int64 // in the segment
}

var uploadExtents = newRecord("upload_extents", "upload position length segment segment_offset", 2,
	func(e *UploadExtent) []any { return []any{&e.Upload, &e.Position, &e.Length, &e.Segment, &e.Offset} })

// UploadExtents returns what overlaps the bytes from one position up to
// another, in order.
func (t *Tx) UploadExtents(id quire.UploadID, from, to int64) ([]UploadExtent, error) {
	return uploadExtents.all(t, "WHERE upload = $1 AND position < $2 AND position + length > $3 ORDER BY position", id, to, from)
}

// PutUploadExtent adds or replaces the extent at its position.
func (t *Tx) PutUploadExtent(e *UploadExtent) error { return uploadExtents.upsert(t, e) }

// DeleteUploadExtent removes the extent at a position.
func (t *Tx) DeleteUploadExtent(id quire.UploadID, position int64) error {
	return uploadExtents.remove(t, string(id), position)
}

// DeleteUploadExtents removes the extents that start at a position or after.
func (t *Tx) DeleteUploadExtents(id quire.UploadID, from int64) error {
	_, err := t.c.Exec("DELETE FROM upload_extents WHERE upload = $1 AND position >= $2", string(id), from)
	return err
}

// CountUploads returns how many sessions a user has that are not committed and
// not expired.
func (t *Tx) CountUploads(owner quire.UserID) (int64, error) {
	return t.number("SELECT COUNT(*) FROM uploads WHERE owner = $1 AND done = '' AND expires > $2", owner, millis(t.now))
}

// CountOpenUploads tells how many sessions of all users are neither committed nor
// expired.
func (t *Tx) CountOpenUploads() (int64, error) {
	return t.number("SELECT COUNT(*) FROM uploads WHERE done = '' AND expires > $1", millis(t.now))
}
