package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/sqlite"
)

const (
	// backupMark is the file that tells a backup from a server's data folder.
	backupMark = "quire-backup"
	// backupTries is how often a backup begins again because the collector
	// deleted garbage that its snapshot still lists.
	backupTries = 3
)

type backupCmd struct {
	storage
	To      string `arg:"" help:"The folder of the backup: a new one, or one of an earlier backup, to which only what is new is added." type:"path"`
	ToBlobs string `help:"Copy the documents' bytes to this S3 URL instead, as of QUIRE_BLOBS. Serve with the two together." name:"to-blobs" placeholder:"URL"`
}

// backedUp is what a backup did.
type backedUp struct {
	Segments int   `json:"segments"`
	Copied   int   `json:"copied"`
	Bytes    int64 `json:"bytes"`
}

// Run makes the backup: a snapshot of the catalog first, then the bytes that it
// names, and only then takes the snapshot's place that of the earlier one. So
// the folder holds a whole backup at every moment after the first.
func (c *backupCmd) Run(a *app) error {
	if c.Catalog != "" {
		return &settingError{"catalog", "a PostgreSQL catalog is backed up with pg_dump, and its bucket with the object store's own means: take the dump first"}
	}
	if err := c.prepare(); err != nil {
		return err
	}
	return c.with(a, func(o *opened) error {
		folder, err := (&storage{Data: c.To, Blobs: c.ToBlobs}).blobs(a.ctx)
		if err != nil {
			return err
		}
		target := blob.New(folder, blob.Options{})
		var sum backedUp
		for n := 1; ; n++ {
			sum, err = c.once(a.ctx, o, folder, target)
			if n == backupTries || !errors.Is(err, blob.ErrNotFound) {
				break
			}
		}
		if err := errors.Join(err, target.Close()); err != nil {
			return err
		}
		return a.print(sum, "backup: %d segments, %d of them new, %d bytes copied\n", sum.Segments, sum.Copied, sum.Bytes)
	})
}

// prepare makes the folder, or sees to it that it is a backup's.
func (c *backupCmd) prepare() error {
	names, err := os.ReadDir(c.To)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return &settingError{"to", err.Error()}
	}
	mark := filepath.Join(c.To, backupMark)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if len(names) > 0 {
		return &settingError{"to", c.To + " has other things in it: name a new folder, or that of an earlier backup"}
	}
	if err := os.MkdirAll(c.To, 0o700); err != nil {
		return &settingError{"to", err.Error()}
	}
	return os.WriteFile(mark, []byte("a backup made by quire backup\n"), 0o600)
}

func (c *backupCmd) once(ctx context.Context, o *opened, folder blob.Driver, target *blob.Store) (sum backedUp, err error) {
	snapshot := filepath.Join(c.To, "catalog.new")
	for _, ext := range []string{"", "-wal", "-shm"} { // of one that was interrupted
		if err := os.Remove(snapshot + ext); err != nil && !errors.Is(err, os.ErrNotExist) {
			return sum, err
		}
	}
	if err := sqlite.Snapshot(ctx, filepath.Join(c.Data, "catalog.db"), snapshot); err != nil {
		return sum, err
	}
	d, err := sqlite.Open(ctx, snapshot, nil)
	if err != nil {
		return sum, err
	}
	cat := catalog.New(d)
	err = c.segments(ctx, cat, o.blobs, folder, target, &sum)
	if err := errors.Join(err, cat.Close()); err != nil {
		return sum, err
	}
	final := filepath.Join(c.To, "catalog.db")
	for _, ext := range []string{"-wal", "-shm"} {
		if err := os.Remove(final + ext); err != nil && !errors.Is(err, os.ErrNotExist) {
			return sum, err
		}
	}
	if err := os.Rename(snapshot, final); err != nil {
		return sum, err
	}
	parent, err := os.Open(c.To)
	if err != nil {
		return sum, err
	}
	defer parent.Close()
	return sum, parent.Sync()
}

// segments copies what the snapshot names and the backup does not have.
func (c *backupCmd) segments(ctx context.Context, cat *catalog.Store, from *blob.Store, folder blob.Driver, target *blob.Store, sum *backedUp) error {
	var after quire.SegmentID
	for {
		var page []quire.Segment
		err := cat.View(ctx, func(tx *catalog.Tx) (err error) {
			page, err = tx.SegmentsAfter(after, 500)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			after = s.ID
			if s.ID.InCatalog() {
				continue
			}
			sum.Segments++
			copied, err := copySegment(ctx, s, from, folder, target)
			if err != nil {
				return fmt.Errorf("segment %s: %w", s.ID, err)
			}
			if copied {
				sum.Copied++
				sum.Bytes += s.Size
			}
		}
	}
}

// copySegment copies a segment, unless it is there, and compares the copy with
// the checksum. A wrong copy is deleted.
func copySegment(ctx context.Context, s quire.Segment, from *blob.Store, folder blob.Driver, target *blob.Store) (copied bool, err error) {
	key := blob.Key(s.ID)
	info, err := folder.Stat(ctx, key)
	if err == nil && info.Size == s.Size {
		return false, nil
	}
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return false, err
	}
	if err == nil {
		if err := folder.Delete(ctx, key); err != nil {
			return false, err
		}
	}
	r, err := from.Open(ctx, key, 0, s.Size)
	if err != nil {
		return false, err
	}
	_, err = folder.Put(ctx, key, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return false, err
	}
	want := blob.Segment{Key: key, Size: s.Size}
	copy(want.Sum[:], s.Sum)
	if err := target.Verify(ctx, want); err != nil {
		return false, errors.Join(err, folder.Delete(ctx, key))
	}
	return true, nil
}

// noBackup makes a folder that is going to be served no backup any more, so that
// no later backup replaces what is saved in it.
func noBackup(data string) error {
	if err := os.Remove(filepath.Join(data, backupMark)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
