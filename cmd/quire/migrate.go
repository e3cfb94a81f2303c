package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/transfer"
	"github.com/quire-docs/quire/library"
)

type migrateCmd struct {
	storage
	To      string `help:"The PostgreSQL database to move the records to: postgres://user:password@host:5432/name." placeholder:"URL"`
	ToBlobs string `help:"The S3 URL to move the documents' bytes to, as of QUIRE_BLOBS." name:"to-blobs" placeholder:"URL"`
	ToData  string `help:"The folder to move to; for what --to and --to-blobs do not name." name:"to-data" type:"path" placeholder:"DIR"`
	DryRun  bool   `help:"Look whether it can be done and how much there is, and change nothing." name:"dry-run"`
	GiveUp  bool   `help:"Make the server usable again where it is, after a move that is not to be finished." name:"give-up"`
}

// migrated is what a migration did, or would do.
type migrated struct {
	Catalog string `json:"catalog"` // where to; empty: the records stay
	Blobs   string `json:"blobs"`   // where to; empty: the bytes stay
	Records int64  `json:"records"`
	copied
	Size   int64 `json:"size"` // of all segments, in bytes
	DryRun bool  `json:"dry_run"`
}

// migration is one that is under way.
type migration struct {
	c        *migrateCmd
	a        *app
	driver   catalog.Driver // the source
	cat      *catalog.Store
	blobs    *blob.Store
	move     move
	resumed  bool
	to       *destination
	records  bool          // move the records
	segments bool          // move the bytes
	read     transfer.Sums // of the records, as they were copied
}

// Run marks the source, copies, verifies the copy, and makes the target the
// installation. Every step can be repeated: a run that was killed is gone on
// with by the same command. Neither place can be served between the first step
// and the last.
func (c *migrateCmd) Run(a *app) error {
	m := &migration{c: c, a: a}
	if err := m.open(); err != nil {
		return err
	}
	err := m.run()
	if m.to != nil {
		err = errors.Join(err, m.to.close())
	}
	return errors.Join(err, m.cat.Close(), m.blobs.Close())
}

// open opens the source, whatever state it is in.
func (m *migration) open() (err error) {
	s := &m.c.storage
	if isBackup(s.Data) {
		return &settingError{"data", s.Data + " is a backup: use 'quire restore'"}
	}
	db := filepath.Join(s.Data, "catalog.db")
	if _, err := os.Stat(db); errors.Is(err, os.ErrNotExist) && s.Catalog == "" {
		return &settingError{"data", fmt.Sprintf("%s has no documents: name the server's data folder", s.Data)}
	}
	if m.driver, err = s.catalog(m.a.ctx, db, m.c.DryRun); err != nil {
		return err
	}
	m.cat = catalog.New(m.driver)
	folder, err := s.blobs(m.a.ctx)
	if err != nil {
		return errors.Join(err, m.cat.Close())
	}
	m.blobs = blob.New(folder, blob.Options{})
	return nil
}

func (m *migration) run() error {
	ctx := m.a.ctx
	if m.c.GiveUp {
		return m.giveUp(ctx)
	}
	if err := m.plan(ctx); err != nil {
		return err
	}
	sum := migrated{Catalog: m.move.Catalog, Blobs: m.move.Blobs, copied: copied{Damaged: []string{}}, DryRun: m.c.DryRun}
	complete, err := m.complete(ctx)
	if err != nil {
		return err
	}
	if complete {
		return m.a.print(sum, "it has been moved to %s already\n", m.move.target())
	}
	if _, err := m.to.survey(ctx, m.records, m.segments); err != nil {
		return err
	}
	if sum.Records, err = transfer.Count(ctx, m.driver); err != nil {
		return err
	}
	if sum.Segments, sum.Size, err = segmentsOf(ctx, m.cat); err != nil {
		return err
	}
	if m.c.DryRun {
		return m.a.print(sum, "would move %d records and %d segments of %d bytes to %s\n", m.amount(sum.Records, m.records), m.amount(sum.Segments, m.segments), m.amount(sum.Size, m.segments), m.move.target())
	}
	if err := m.mark(ctx); err != nil {
		return err
	}
	if err := m.carry(ctx, &sum); err != nil {
		return err
	}
	if err := m.finish(ctx, &sum); err != nil {
		return err
	}
	return m.a.print(sum, "moved %d records and %d segments of %d bytes to %s\n%s\n", m.amount(sum.Records, m.records), m.amount(sum.Segments, m.segments), m.amount(sum.Size, m.segments), m.move.target(), m.advice())
}

func (m *migration) amount(n int64, moves bool) int64 {
	if !moves {
		return 0
	}
	return n
}

// plan finds out what goes where.
func (m *migration) plan(ctx context.Context) error {
	c := m.c
	if c.To == "" && c.ToBlobs == "" && c.ToData == "" {
		return &settingError{"to", "name where to move to: --to and a PostgreSQL URL, --to-blobs and an S3 URL, or --to-data and a folder"}
	}
	target := c.storage
	if c.ToData != "" {
		target = storage{Data: c.ToData}
	}
	if c.To != "" {
		target.Catalog = c.To
	}
	if c.ToBlobs != "" {
		target.Blobs = c.ToBlobs
	}
	fromCatalog, fromBlobs, err := c.places()
	if err != nil {
		return err
	}
	toCatalog, toBlobs, err := target.places()
	if err != nil {
		return err
	}
	m.records, m.segments = toCatalog != fromCatalog, toBlobs != fromBlobs
	if !m.records && !m.segments {
		return &settingError{"to", "it is there already: name another place"}
	}
	m.move = move{ID: library.NewID(), Installation: newInstallation()}
	if m.records {
		m.move.Catalog = toCatalog
	}
	if m.segments {
		m.move.Blobs = toBlobs
	}
	err = m.cat.View(ctx, m.check)
	m.to = &destination{storage: target, what: arrival{By: "migrate", Of: m.move.ID, Installation: m.move.Installation}}
	return err
}

// check looks whether the source can be moved now, and whether that has begun.
func (m *migration) check(tx *catalog.Tx) error {
	var there move
	begun, err := readFact(tx, transfer.Moved, &there)
	if err != nil {
		return err
	}
	if begun {
		if there.Catalog != m.move.Catalog || there.Blobs != m.move.Blobs {
			return fmt.Errorf("a move to %s has begun: go on with that, or 'quire migrate --give-up' first", there.target())
		}
		m.move, m.resumed = there, true
	} else if err := usable(tx); err != nil {
		return err
	}
	if err := served(tx); err != nil {
		return err
	}
	id, err := tx.Fact(transfer.Installation)
	if errors.Is(err, quire.ErrNotFound) {
		return errors.New("no server has worked with it yet: there is nothing to move")
	}
	if !m.segments {
		// The storage of the bytes stays, and is marked with the id.
		m.move.Installation = id
	}
	return err
}

// mark makes the source one that is being moved, unless a server was faster.
func (m *migration) mark(ctx context.Context) error {
	return m.cat.Update(ctx, func(tx *catalog.Tx) error {
		if err := m.check(tx); err != nil || m.resumed {
			return err
		}
		m.move.Since = tx.Now()
		return putFact(tx, transfer.Moved, m.move)
	})
}

// complete says whether an earlier run did everything.
func (m *migration) complete(ctx context.Context) (bool, error) {
	if !m.resumed || !m.records {
		return false, nil
	}
	var facts map[string]string
	var err error
	if m.to.Catalog != "" {
		if _, facts, err = postgres.Look(ctx, m.to.Catalog); err != nil {
			return false, &settingError{"to", err.Error()}
		}
	} else if _, serr := os.Stat(filepath.Join(m.to.Data, "catalog.db")); serr == nil {
		facts, err = factsOf(ctx, &m.to.storage)
	}
	return facts[transfer.Installation] == m.move.Installation && facts[transfer.Arriving] == "", err
}

// carry copies and verifies.
func (m *migration) carry(ctx context.Context, sum *migrated) error {
	if err := m.to.begin(ctx, m.records, m.segments); err != nil {
		return err
	}
	if m.records {
		read, err := copyCatalog(ctx, m.a, m.driver, m.to.driver, m.to.ticket)
		if err != nil {
			return err
		}
		m.read = read
	}
	if !m.segments {
		return nil
	}
	copier := &copier{from: m.blobs, folder: m.to.folder, target: m.to.blobs, meter: m.a.meter("segments", "bytes", sum.Size)}
	done, err := copier.run(ctx, m.cat)
	copier.meter.end()
	if err != nil {
		return err
	}
	if sum.copied = done; len(done.Damaged) > 0 {
		if err := damage(m.a, done.Damaged, "nothing is moved as long as they are: 'quire migrate --give-up', look at 'quire fsck', and restore them from a backup or delete the files that need them"); err != nil {
			return err
		}
	}
	return verifyCopies(m.a, m.to, m.cat, nil, sum.Size)
}

// finish hands over. The source is given up before the target can be used, so
// that there are never two that can.
func (m *migration) finish(ctx context.Context, sum *migrated) error {
	// A command that was begun before the move may have come to its end after the
	// copy.
	if !m.records {
		n, size, err := segmentsOf(ctx, m.cat)
		if err != nil {
			return err
		}
		if n != sum.Segments || size != sum.Size {
			return errors.New("it was changed while it was copied: run the same command again")
		}
	} else {
		now, err := transfer.Summarise(ctx, m.driver, nil)
		if err != nil {
			return err
		}
		if list := m.read.Differences(now); len(list) > 0 {
			return fmt.Errorf("it was changed while it was copied (%s): empty the target, run 'quire migrate --give-up', and begin again", strings.Join(list, "; "))
		}
	}
	err := m.cat.Update(ctx, func(tx *catalog.Tx) error {
		if !m.records {
			// The same catalog goes on with the bytes elsewhere. What it had is
			// marked with its old id, so nobody takes it for what it has.
			if err := tx.DropFact(transfer.Moved); err != nil {
				return err
			}
			return tx.PutFact(transfer.Installation, m.move.Installation)
		}
		m.move.Done = true
		return putFact(tx, transfer.Moved, m.move)
	})
	if err != nil || !m.records {
		return err
	}
	return m.to.finish(ctx)
}

// advice says how to serve what was moved. It tells no password.
func (m *migration) advice() string {
	set := []string{"QUIRE_DATA=" + m.to.Data}
	if u, err := url.Parse(m.to.Catalog); err == nil && m.to.Catalog != "" {
		set = append(set, "QUIRE_CATALOG="+u.Redacted())
	}
	if m.to.Blobs != "" {
		set = append(set, "QUIRE_BLOBS="+m.to.Blobs)
	}
	return "serve it with " + strings.Join(set, " ")
}

// giveUp makes the source usable again.
func (m *migration) giveUp(ctx context.Context) error {
	var there move
	err := m.cat.Update(ctx, func(tx *catalog.Tx) error {
		there = move{}
		begun, err := readFact(tx, transfer.Moved, &there)
		switch {
		case err != nil:
			return err
		case !begun:
			return errors.New("nothing is being moved from there")
		case there.Done && there.Blobs == "":
			return fmt.Errorf("its bytes are those of %s now, and two catalogs would delete each other's: move that one back with 'quire migrate' instead", there.Catalog)
		}
		return tx.DropFact(transfer.Moved)
	})
	if err != nil {
		return err
	}
	return m.a.print(there, "it can be served where it is again; empty %s before you move there anew\n", there.target())
}
