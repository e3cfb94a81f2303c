package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/sqlite"
	"github.com/quire-docs/quire/catalog/transfer"
	"github.com/quire-docs/quire/library"
)

// The files of a backup's folder, beside the folder of the segments. docs/moving.md
// has them.
const (
	backupMark     = "quire-backup"    // says that the folder is one, and where its segments are
	backupManifest = "backup.json"     // says what is in it; there is none before the first is finished
	backupRunning  = "unfinished"      // there while one is made, and when it broke off
	backupLock     = "quire-backup.db" // held while one is made
)

// backupVersion is that of the layout.
const backupVersion = 1

// marked is the content of backupMark.
type marked struct {
	Version int    `json:"quire_backup"`
	ID      string `json:"id"`              // the storage of the segments is marked with it
	Blobs   string `json:"blobs,omitempty"` // where the segments are, if not in the folder
}

// manifest is the content of backupManifest.
type manifest struct {
	Version      int       `json:"quire_backup"`
	Made         time.Time `json:"made"` // the moment that it is of
	Program      string    `json:"program"`
	Installation string    `json:"installation"` // of which it is one
	Catalog      struct {
		File    string `json:"file"` // an SQLite database in this folder
		Bytes   int64  `json:"bytes"`
		SHA256  string `json:"sha256"`
		Records int64  `json:"records"`
	} `json:"catalog"`
	Segments int64    `json:"segments"`
	Bytes    int64    `json:"bytes"` // of the segments
	Damaged  []string `json:"damaged,omitempty"`
}

// isBackup says whether a folder is a backup.
func isBackup(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, backupMark))
	return err == nil
}

type backupCmd struct {
	storage
	To      string `arg:"" help:"The folder of the backup: a new one, or one of an earlier backup, to which only what is new is added." type:"path"`
	ToBlobs string `help:"Keep the backup's documents at this S3 URL, as of QUIRE_BLOBS, not in the folder. Only for a new backup: it remembers the place." name:"to-blobs" placeholder:"URL"`
	Check   bool   `help:"Compare what the backup has already with its checksums, too, and copy again what is damaged."`
}

// backedUp is what a backup did.
type backedUp struct {
	copied
	Records int64     `json:"records"`
	Made    time.Time `json:"made"`
	Deleted int64     `json:"deleted"` // segments that the earlier backup had and this one does not name
}

// Run makes the backup: a snapshot of the catalog first, then the bytes that it
// names, and only then takes the snapshot's place that of the earlier one. So
// the folder holds a whole backup at every moment after the first.
func (c *backupCmd) Run(a *app) error {
	return c.with(a, func(o *opened) error {
		mark, err := c.prepare()
		if err != nil {
			return err
		}
		unlock, err := sqlite.Lock(a.ctx, filepath.Join(c.To, backupLock))
		if errors.Is(err, sqlite.ErrHeld) {
			return errors.New("another backup to that folder is running: wait until it is over")
		}
		if err != nil {
			return err
		}
		defer unlock()
		folder, err := (&storage{Data: c.To, Blobs: mark.Blobs}).blobs(a.ctx)
		if err != nil {
			return err
		}
		target := blob.New(folder, blob.Options{})
		var sum backedUp
		err = target.Claim(a.ctx, "backup-"+mark.ID)
		if errors.Is(err, blob.ErrClaimed) {
			err = &settingError{"to-blobs", "there are the segments of an installation or of another backup: name a bucket or prefix of this backup's own"}
		}
		if err == nil {
			err = o.library.Hold(a.ctx, func(ctx context.Context) (err error) {
				sum, err = c.make(ctx, a, o, folder, target)
				return err
			})
		}
		if err := errors.Join(err, target.Close()); err != nil {
			return err
		}
		if err := a.print(sum, "backup: %d segments, %d of them new, %d bytes copied, %d records\n", sum.Segments, sum.Copied, sum.Bytes, sum.Records); err != nil {
			return err
		}
		return damage(a, sum.Damaged, "the backup is finished without them: 'quire fsck' names the files that need them")
	})
}

// damage tells of segments that are damaged where they come from.
func damage(a *app, list []string, then string) error {
	if len(list) == 0 {
		return nil
	}
	for _, id := range list[:min(len(list), 20)] {
		fmt.Fprintf(a.errOut, "quire: segment %s is missing or damaged\n", id)
	}
	fmt.Fprintf(a.errOut, "quire: %d segments are missing or damaged; %s\n", len(list), then)
	return exitError(exitProblem)
}

// prepare makes the folder, or sees to it that it is a backup's.
func (c *backupCmd) prepare() (mark marked, err error) {
	names, err := os.ReadDir(c.To)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return mark, &settingError{"to", err.Error()}
	}
	at := ""
	if c.ToBlobs != "" {
		if _, at, err = (&storage{Blobs: c.ToBlobs}).places(); err != nil {
			return mark, err
		}
	}
	if isBackup(c.To) {
		if mark, err = readMark(c.To); err != nil {
			return mark, err
		}
		if c.ToBlobs != "" && at != mark.Blobs {
			return mark, &settingError{"to-blobs", "this backup's segments are elsewhere: leave it out, or begin a new backup in another folder"}
		}
		return mark, nil
	}
	if len(names) > 0 {
		return mark, &settingError{"to", c.To + " has other things in it: name a new folder, or that of an earlier backup"}
	}
	if err := os.MkdirAll(c.To, 0o700); err != nil {
		return mark, &settingError{"to", err.Error()}
	}
	mark = marked{Version: backupVersion, ID: library.NewID(), Blobs: at}
	return mark, writeJSON(filepath.Join(c.To, backupMark), mark)
}

func readMark(folder string) (mark marked, err error) {
	text, err := os.ReadFile(filepath.Join(folder, backupMark))
	if err != nil {
		return mark, &settingError{"backup", folder + " is no backup: name the folder that 'quire backup' wrote to"}
	}
	if err := json.Unmarshal(text, &mark); err != nil || mark.ID == "" {
		return mark, fmt.Errorf("the file %s in %s cannot be read: take another copy of the backup", backupMark, folder)
	}
	if mark.Version != backupVersion {
		return mark, fmt.Errorf("%s was made by another version of this program: use that", folder)
	}
	return mark, nil
}

// writeJSON puts a file in place at once, durably.
func writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (c *backupCmd) make(ctx context.Context, a *app, o *opened, folder blob.Driver, target *blob.Store) (sum backedUp, err error) {
	running := filepath.Join(c.To, backupRunning)
	if err := os.WriteFile(running, []byte("a backup began at "+time.Now().UTC().Format(time.RFC3339)+" and is not finished: run quire backup again\n"), 0o600); err != nil {
		return sum, err
	}
	old, err := readManifest(c.To)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return sum, err
	}
	if err := c.tidy(old.Catalog.File); err != nil {
		return sum, err
	}
	m := manifest{Version: backupVersion, Program: version}
	m.Catalog.File = "catalog-" + library.NewID()[:10] + ".db"
	snapshot := filepath.Join(c.To, m.Catalog.File)
	err = o.cat.View(ctx, func(tx *catalog.Tx) error {
		m.Made = tx.Now()
		return nil
	})
	if err != nil {
		return sum, err
	}
	driver, err := c.snapshot(ctx, a, o, snapshot)
	if err != nil {
		return sum, err
	}
	cat := catalog.New(driver)
	err = cat.View(ctx, func(tx *catalog.Tx) error {
		m.Installation, err = tx.Fact(transfer.Installation)
		if errors.Is(err, quire.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err == nil {
		m.Segments, m.Bytes, err = segmentsOf(ctx, cat)
	}
	if err == nil {
		m.Catalog.Records, err = transfer.Count(ctx, driver)
	}
	if err == nil {
		copier := &copier{from: o.blobs, folder: folder, target: target, verify: true, all: c.Check, meter: a.meter("segments", "bytes", m.Bytes)}
		sum.copied, err = copier.run(ctx, cat)
		copier.meter.end()
	}
	if err := errors.Join(err, cat.Close()); err != nil {
		return sum, err
	}
	m.Damaged = sum.Damaged
	if err := c.measure(ctx, snapshot, &m); err != nil {
		return sum, err
	}
	sum.Made, sum.Records = m.Made, m.Catalog.Records
	// From here on it is the backup, and the earlier one is none.
	if err := writeJSON(filepath.Join(c.To, backupManifest), m); err != nil {
		return sum, err
	}
	if err := c.tidy(m.Catalog.File); err != nil {
		return sum, err
	}
	if sum.Deleted, err = c.prune(ctx, snapshot, target); err != nil {
		return sum, err
	}
	return sum, os.Remove(running)
}

// snapshot writes the state that the catalog has at one moment to an SQLite file
// and opens that.
func (c *backupCmd) snapshot(ctx context.Context, a *app, o *opened, file string) (d *sqlite.Driver, err error) {
	if c.Catalog == "" {
		if err := sqlite.Snapshot(ctx, filepath.Join(c.Data, "catalog.db"), file); err != nil {
			return nil, err
		}
		return sqlite.Open(ctx, file, sqlite.Options{})
	}
	if d, err = sqlite.Open(ctx, file, sqlite.Options{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if _, err := copyCatalog(ctx, a, o.driver, d, ""); err != nil {
		return d, err
	}
	return d, copyInstallation(ctx, o.cat, catalog.New(d))
}

// copyCatalog copies all records, compares the copy with what it was made from,
// and returns what there is to compare. ticket is as for transfer.Copy.
func copyCatalog(ctx context.Context, a *app, from, to catalog.Driver, ticket string) (transfer.Sums, error) {
	total, err := transfer.Count(ctx, from)
	if err != nil {
		return nil, err
	}
	m := a.meter("records", "records", total)
	defer m.end()
	read, err := transfer.Copy(ctx, from, to, ticket, m.set)
	if err != nil {
		return nil, err
	}
	written, err := transfer.Summarise(ctx, to, nil)
	if err != nil {
		return nil, err
	}
	if list := read.Differences(written); len(list) > 0 {
		return nil, &transfer.DifferentError{Tables: list}
	}
	return read, nil
}

// copyInstallation notes in a backup's catalog which installation it is of.
func copyInstallation(ctx context.Context, from, to *catalog.Store) error {
	var id string
	err := from.View(ctx, func(tx *catalog.Tx) (err error) {
		id, err = tx.Fact(transfer.Installation)
		return err
	})
	if errors.Is(err, quire.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return to.Update(ctx, func(tx *catalog.Tx) error { return tx.PutFact(transfer.Installation, id) })
}

// measure takes down what the manifest says of the catalog, whose file is closed.
func (c *backupCmd) measure(ctx context.Context, file string, m *manifest) error {
	err := dropExtras(file)
	if err != nil {
		return err
	}
	if m.Catalog.SHA256, m.Catalog.Bytes, err = sumOf(ctx, file); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(file))
}

// dropExtras removes what opening a closed database has left beside it.
func dropExtras(file string) (err error) {
	for _, ext := range []string{"-wal", "-shm", ".lock", ".lock-wal", ".lock-shm"} {
		if e := os.Remove(file + ext); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func sumOf(ctx context.Context, file string) (sum string, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return f.Read(p)
	}))
	return hex.EncodeToString(h.Sum(nil)), size, err
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// tidy removes the catalogs of runs that were interrupted or are of the past.
func (c *backupCmd) tidy(keep string) error {
	list, err := filepath.Glob(filepath.Join(c.To, "catalog-*.db*"))
	if err != nil {
		return err
	}
	for _, name := range list {
		if keep == "" || filepath.Base(name) != keep {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}

// prune deletes the segments that the backup does not name any more.
func (c *backupCmd) prune(ctx context.Context, file string, target *blob.Store) (deleted int64, err error) {
	// Opening it for reading changes nothing in the file.
	d, err := sqlite.Open(ctx, file, sqlite.Options{})
	if err != nil {
		return 0, err
	}
	cat := catalog.New(d)
	defer func() { err = errors.Join(err, cat.Close(), dropExtras(file)) }()
	var after blob.Key
	for {
		page, err := target.List(ctx, after, 500)
		if err != nil || len(page) == 0 {
			return deleted, err
		}
		var gone []blob.Key
		err = cat.View(ctx, func(tx *catalog.Tx) error {
			gone = nil
			for _, o := range page {
				if _, err := tx.Segment(quire.SegmentID(o.Key)); errors.Is(err, quire.ErrNotFound) {
					gone = append(gone, o.Key)
				} else if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return deleted, err
		}
		for _, key := range gone {
			if err := target.Delete(ctx, key); err != nil {
				return deleted, err
			}
			deleted++
		}
		after = page[len(page)-1].Key
	}
}

func readManifest(folder string) (m manifest, err error) {
	text, err := os.ReadFile(filepath.Join(folder, backupManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Catalog.File == "" || m.Catalog.File != filepath.Base(m.Catalog.File) {
		return m, fmt.Errorf("the file %s of the backup is damaged: take another copy of the backup, or make it anew", backupManifest)
	}
	if m.Version != backupVersion {
		return m, fmt.Errorf("%s was made by another version of this program: use that", folder)
	}
	return m, nil
}
