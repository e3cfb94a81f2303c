package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/transfer"
	"github.com/quire-docs/quire/library"
)

// destination is a place that a catalog, or bytes, or both are copied to.
type destination struct {
	storage
	what arrival // what is to be there; Installation is what it is known by there

	driver catalog.Driver
	cat    *catalog.Store
	ticket string // the text of the fact that says that this process is at it
	folder blob.Driver
	blobs  *blob.Store
}

// errFull reports a target that something is in.
func errFull(name, reason string) error { return &settingError{name, reason} }

// survey looks, without changing anything, whether the target can take what is to
// come: it is empty, or has the beginning of the same. It returns what the
// target says of that.
func (d *destination) survey(ctx context.Context, records, segments bool) (begun *arrival, err error) {
	if isBackup(d.Data) {
		return nil, errFull("data", d.Data+" is a backup: name a folder for the server")
	}
	if records {
		if begun, err = d.surveyCatalog(ctx); err != nil {
			return nil, err
		}
	}
	if segments {
		id := d.what.Installation
		if begun != nil {
			id = begun.Installation
		}
		err = d.surveyBlobs(ctx, id)
	}
	return begun, err
}

func (d *destination) surveyCatalog(ctx context.Context) (begun *arrival, err error) {
	name := "data"
	var tables bool
	var facts map[string]string
	if d.Catalog != "" {
		name = "catalog"
		if tables, facts, err = postgres.Look(ctx, d.Catalog); err != nil {
			return nil, &settingError{name, err.Error()}
		}
		if tables && facts == nil {
			return nil, errFull(name, "the database has tables of something else: make an empty one (createdb)")
		}
	} else if _, err := os.Stat(filepath.Join(d.Data, "catalog.db")); err == nil {
		if facts, err = factsOf(ctx, &d.storage); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, &settingError{name, err.Error()}
	}
	if id := facts[transfer.Installation]; id != "" {
		return nil, errFull(name, "there is an installation already: name an empty database, or a new folder")
	}
	text, ok := facts[transfer.Arriving]
	if !ok {
		return nil, nil
	}
	begun = new(arrival)
	if err := json.Unmarshal([]byte(text), begun); err != nil || begun.By != d.what.By || begun.Of != d.what.Of {
		return nil, errFull(name, fmt.Sprintf("there is the unfinished copy of something else, of %s: empty it, or name another", begun.Since.Format(time.DateTime)))
	}
	return begun, nil
}

// factsOf reads the facts of a place out of a catalog that is a file.
func factsOf(ctx context.Context, s *storage) (facts map[string]string, err error) {
	driver, err := s.catalog(ctx, filepath.Join(s.Data, "catalog.db"), false)
	if err != nil {
		return nil, err
	}
	cat := catalog.New(driver)
	facts = make(map[string]string)
	err = cat.View(ctx, func(tx *catalog.Tx) error {
		for _, name := range transfer.OfPlace() {
			value, err := tx.Fact(name)
			if err == nil {
				facts[name] = value
			} else if !errors.Is(err, quire.ErrNotFound) {
				return err
			}
		}
		return nil
	})
	return facts, errors.Join(err, cat.Close())
}

func (d *destination) surveyBlobs(ctx context.Context, id string) error {
	name := "blobs"
	if d.Blobs == "" {
		name = "data"
		if _, err := os.Stat(filepath.Join(d.Data, "blobs")); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	folder, err := d.storage.blobs(ctx)
	if err != nil {
		return err
	}
	store := blob.New(folder, blob.Options{})
	owner, err := store.Owner(ctx)
	if err == nil && owner != "" && owner != id {
		err = errFull(name, "the bytes there belong to another installation, or to a backup: name a bucket, prefix or folder that is empty")
	}
	if errors.Is(err, blob.ErrClaimed) {
		err = errFull(name, "the storage is marked by something else: name a bucket, prefix or folder that is empty")
	}
	if err == nil && owner == "" {
		var there []blob.Info
		if there, err = store.List(ctx, "", 1); len(there) > 0 {
			err = errFull(name, "there are segments already, of nobody knows which installation: name a bucket, prefix or folder that is empty")
		}
	}
	return errors.Join(err, store.Close())
}

// begin opens the target and marks it, so that nobody works with it before all
// is there.
func (d *destination) begin(ctx context.Context, records, segments bool) error {
	begun, err := d.survey(ctx, records, segments)
	if err != nil {
		return err
	}
	if begun != nil {
		d.what = *begun
	}
	if err := os.MkdirAll(d.Data, 0o700); err != nil {
		return &settingError{"data", err.Error()}
	}
	if records {
		if d.driver, err = d.storage.catalog(ctx, filepath.Join(d.Data, "catalog.db"), false); err != nil {
			return err
		}
		d.cat = catalog.New(d.driver)
		err = d.cat.Update(ctx, func(tx *catalog.Tx) error {
			var there arrival
			if ok, err := readFact(tx, transfer.Arriving, &there); err != nil {
				return err
			} else if ok {
				d.what = there
				return d.take(tx)
			}
			sites, err := tx.Sites()
			if err != nil {
				return err
			}
			if _, err := tx.Fact(transfer.Installation); !errors.Is(err, quire.ErrNotFound) || len(sites) > 0 {
				return errors.Join(err, errFull("catalog", "somebody works with it already: name an empty database, or a new folder"))
			}
			d.what.Since = tx.Now()
			return d.take(tx)
		})
		if err != nil {
			return err
		}
	}
	if !segments {
		return nil
	}
	if d.folder, err = d.storage.blobs(ctx); err != nil {
		return err
	}
	d.blobs = blob.New(d.folder, blob.Options{})
	return foreign(d.blobs.Claim(ctx, d.what.Installation))
}

// take makes this process the one that fills the target.
func (d *destination) take(tx *catalog.Tx) error {
	d.what.Run = library.NewID()
	text, err := json.Marshal(d.what)
	if err != nil {
		return err
	}
	d.ticket = string(text)
	return tx.PutFact(transfer.Arriving, d.ticket)
}

// finish makes the target an installation.
func (d *destination) finish(ctx context.Context) error {
	return d.cat.Update(ctx, func(tx *catalog.Tx) error {
		if text, err := tx.Fact(transfer.Arriving); err != nil || text != d.ticket {
			return errors.Join(err, transfer.ErrTaken)
		}
		if err := tx.DropFact(transfer.Arriving); err != nil {
			return err
		}
		return tx.PutFact(transfer.Installation, d.what.Installation)
	})
}

func (d *destination) close() (err error) {
	if d.cat != nil {
		err = d.cat.Close()
	}
	if d.blobs != nil {
		err = errors.Join(err, d.blobs.Close())
	}
	return err
}

// newInstallation is the id of one that has not been.
func newInstallation() string { return library.NewID() }
