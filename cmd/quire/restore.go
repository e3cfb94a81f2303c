package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/sqlite"
)

type restoreCmd struct {
	storage
	Server   string `help:"The server of a file." env:"QUIRE_SERVER" default:"http://127.0.0.1:8080"`
	Token    string `help:"A personal access token for a file." env:"QUIRE_TOKEN"`
	From     string `arg:"" help:"The folder of the backup; or, before a revision, a file on the server."`
	Revision int64  `arg:"" optional:"" help:"The revision of the file to make current again, as 'quire revert' does."`
	DryRun   bool   `help:"Verify the whole backup, look whether the target can take it, and change nothing." name:"dry-run"`
}

// restored is what a restore did, or would do.
type restored struct {
	Made     time.Time `json:"made"` // the moment that the backup is of
	Records  int64     `json:"records"`
	Segments int64     `json:"segments"`
	Bytes    int64     `json:"bytes"`
	Damaged  []string  `json:"damaged"`
	DryRun   bool      `json:"dry_run"`
}

// Run copies a backup's records and segments to an empty place and verifies them
// there. Until that is done the place cannot be served, and the next run goes on
// where this one stopped.
func (c *restoreCmd) Run(a *app) error {
	if c.Revision != 0 {
		if c.Token == "" {
			return &settingError{"token", "set QUIRE_TOKEN, or give --token"}
		}
		return (&revertCmd{remote{c.Server, c.Token}, c.From, c.Revision}).Run(a)
	}
	from, err := filepath.Abs(c.From)
	if err != nil {
		return err
	}
	c.From = from
	mark, err := readMark(c.From)
	if err != nil {
		return err
	}
	m, err := readManifest(c.From)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s has no finished backup: its first run was interrupted; run 'quire backup' to it again, if the server is still there", c.From)
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.From, backupRunning)); err == nil {
		fmt.Fprintf(a.errOut, "quire: a later backup to this folder was interrupted: this is the one of %s\n", m.Made.Format(time.DateTime))
	}
	cat, driver, done, err := c.openCatalog(a.ctx, m)
	if err != nil {
		return err
	}
	defer done()
	folder, err := (&storage{Data: c.From, Blobs: mark.Blobs}).blobs(a.ctx)
	if err != nil {
		return fmt.Errorf("the backup's segments: %w", err)
	}
	source := blob.New(folder, blob.Options{})
	defer source.Close() // it was only read
	if owner, err := source.Owner(a.ctx); err != nil || owner != "backup-"+mark.ID {
		return errors.Join(err, errors.New("the segments there are not those of this backup: copy its folder, or its bucket, as a whole"))
	}
	sum := restored{Made: m.Made, Records: m.Catalog.Records, Segments: m.Segments, Bytes: m.Bytes, Damaged: []string{}, DryRun: c.DryRun}
	d := &destination{storage: c.storage, what: arrival{By: "restore", Of: mark.ID + " " + m.Catalog.SHA256, Installation: newInstallation()}}
	if c.DryRun {
		err = c.rehearse(a, d, cat, source, m, &sum)
	} else {
		err = c.restore(a, d, driver, cat, source, m, &sum)
	}
	if err != nil {
		return err
	}
	word := "restored"
	if c.DryRun {
		word = "would restore"
	}
	if err := a.print(sum, word+" the backup of %s: %d records, %d segments, %d bytes\n", m.Made.Format(time.DateTime), sum.Records, sum.Segments, sum.Bytes); err != nil {
		return err
	}
	return damage(a, sum.Damaged, "they were so when the backup was made: 'quire fsck' names the files that need them")
}

// openCatalog verifies the backup's catalog and opens a copy of it, since a newer
// program changes the schema, and the backup stays as it is.
func (c *restoreCmd) openCatalog(ctx context.Context, m manifest) (cat *catalog.Store, d *sqlite.Driver, done func(), err error) {
	file := filepath.Join(c.From, m.Catalog.File)
	sum, size, err := sumOf(ctx, file)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("the backup's catalog cannot be read: %w: take another copy of the backup", err)
	}
	if sum != m.Catalog.SHA256 || size != m.Catalog.Bytes {
		return nil, nil, nil, fmt.Errorf("the backup's catalog %s is damaged: it is not what was written; take another copy of the backup", m.Catalog.File)
	}
	folder, err := os.MkdirTemp("", "quire-restore-")
	if err != nil {
		return nil, nil, nil, err
	}
	work := filepath.Join(folder, "catalog.db")
	if err = copyFile(file, work); err == nil {
		d, err = sqlite.Open(ctx, work, sqlite.Options{})
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, os.RemoveAll(folder))
	}
	cat = catalog.New(d)
	return cat, d, func() {
		_ = cat.Close() // a copy that is thrown away
		_ = os.RemoveAll(folder)
	}, nil
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// broken is the error of a backup whose segments are not all as they were
// stored.
func broken(a *app, list []string) error {
	for _, id := range list[:min(len(list), 20)] {
		fmt.Fprintf(a.errOut, "quire: segment %s of the backup is missing or damaged\n", id)
	}
	return fmt.Errorf("%d segments of the backup are missing or damaged: take another copy of the backup, or run 'quire backup --check' to it, if the server is still there", len(list))
}

// rehearse reads everything and changes nothing.
func (c *restoreCmd) rehearse(a *app, d *destination, cat *catalog.Store, source *blob.Store, m manifest, sum *restored) error {
	if _, err := d.survey(a.ctx, true, true); err != nil {
		return err
	}
	meter := a.meter("segments", "bytes", m.Bytes)
	defer meter.end()
	damaged, err := verifyAll(a.ctx, cat, source, m.Damaged, false, meter)
	if err != nil {
		return err
	}
	if len(damaged) > 0 {
		return broken(a, damaged)
	}
	sum.Damaged = append(sum.Damaged, m.Damaged...)
	return nil
}

func (c *restoreCmd) restore(a *app, d *destination, driver catalog.Driver, cat *catalog.Store, source *blob.Store, m manifest, sum *restored) (err error) {
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.begin(a.ctx, true, true); err != nil {
		return err
	}
	if _, err := copyCatalog(a.ctx, a, driver, d.driver, d.ticket); err != nil {
		return err
	}
	copier := &copier{from: source, folder: d.folder, target: d.blobs, known: m.Damaged, meter: a.meter("segments", "bytes", m.Bytes)}
	done, err := copier.run(a.ctx, cat)
	copier.meter.end()
	if err != nil {
		return err
	}
	if sum.Damaged = done.Damaged; len(done.Damaged) > len(m.Damaged) {
		return broken(a, done.Damaged)
	}
	if err := verifyCopies(a, d, cat, m.Damaged, m.Bytes); err != nil {
		return err
	}
	return d.finish(a.ctx)
}

// verifyCopies reads all segments at the target.
func verifyCopies(a *app, d *destination, cat *catalog.Store, known []string, size int64) error {
	meter := a.meter("verifying", "bytes", size)
	defer meter.end()
	wrong, err := verifyAll(a.ctx, cat, d.blobs, known, true, meter)
	if err == nil && len(wrong) > 0 {
		err = fmt.Errorf("%d segments came out wrong at the target, for example %s: they have been deleted there; look at its disk or server, and run the same command again", len(wrong), wrong[0])
	}
	return err
}
