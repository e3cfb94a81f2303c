package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/s3"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/transfer"
	"github.com/quire-docs/quire/library"
)

// arrival is the fact of a catalog that is being filled and is nothing to work
// with yet.
type arrival struct {
	By           string    `json:"by"`           // the command: restore or migrate
	Of           string    `json:"of"`           // the backup, or the move
	Installation string    `json:"installation"` // what it is going to be
	Since        time.Time `json:"since"`
	Run          string    `json:"run"` // the process that is at it; the next one takes it over
}

// move is the fact of a catalog that is being, or was, copied to another place.
type move struct {
	ID           string    `json:"id"`
	Catalog      string    `json:"catalog"` // where its records go; empty: they stay
	Blobs        string    `json:"blobs"`   // where the bytes go; empty: they stay
	Installation string    `json:"installation"`
	Since        time.Time `json:"since"`
	Done         bool      `json:"done"`
}

func (m *move) target() string {
	switch {
	case m.Catalog == "":
		return m.Blobs
	case m.Blobs == "":
		return m.Catalog
	}
	return m.Catalog + " and " + m.Blobs
}

// readFact reads a fact that is JSON; it says false if there is none.
func readFact(tx *catalog.Tx, name string, v any) (bool, error) {
	text, err := tx.Fact(name)
	if errors.Is(err, quire.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return false, fmt.Errorf("the fact %q cannot be read: it was written by another version", name)
	}
	return true, nil
}

func putFact(tx *catalog.Tx, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.PutFact(name, string(text))
}

// usable refuses a catalog that is not whole yet, or whose documents have gone
// elsewhere.
func usable(tx *catalog.Tx) error {
	var a arrival
	if there, err := readFact(tx, transfer.Arriving, &a); err != nil {
		return err
	} else if there {
		return &settingError{"catalog", fmt.Sprintf("what 'quire %s' copies to it is not complete: run that again, and it goes on where it stopped", a.By)}
	}
	var m move
	there, err := readFact(tx, transfer.Moved, &m)
	switch {
	case err != nil || !there:
		return err
	case m.Done:
		return &settingError{"catalog", fmt.Sprintf("it was moved to %s at %s: use it there ('quire migrate --give-up' makes it usable here again)", m.target(), m.Since.Format(time.DateTime))}
	}
	return &settingError{"catalog", fmt.Sprintf("it is being moved to %s since %s: run the same 'quire migrate' again to go on, or 'quire migrate --give-up'", m.target(), m.Since.Format(time.DateTime))}
}

// served refuses a catalog that a server works with.
func served(tx *catalog.Tx) error {
	nodes, err := tx.LiveLeases(nodeLease)
	if err != nil || len(nodes) == 0 {
		return err
	}
	l := nodes[0]
	process, _, _ := strings.Cut(l.Holder, "?")
	return fmt.Errorf("it is being served, by %s: stop all its servers first (one that was killed counts as running for another %v)", process, l.Until.Sub(tx.Now()).Round(time.Second))
}

// enter makes a server one of the installation's: it takes its lease, if the
// catalog can be served, and claims the bytes' storage. Two catalogs over one
// bucket would delete each other's segments as garbage.
func enter(ctx context.Context, cat *catalog.Store, blobs *blob.Store, self *node) error {
	var id string
	err := cat.Update(ctx, func(tx *catalog.Tx) (err error) {
		if err := usable(tx); err != nil {
			return err
		}
		if err := tx.DropLeases(tx.Now().Add(-time.Hour)); err != nil {
			return err
		}
		if err := self.agree(tx); err != nil {
			return err
		}
		if err := self.renew(tx); err != nil {
			return err
		}
		if id, err = tx.Fact(transfer.Installation); !errors.Is(err, quire.ErrNotFound) {
			return err
		}
		id = library.NewID()
		return tx.PutFact(transfer.Installation, id)
	})
	if err != nil {
		return err
	}
	if err := blobs.Claim(ctx, id); err != nil {
		self.leave(cat)
		return foreign(err)
	}
	return nil
}

// foreign explains that bytes belong to another installation.
func foreign(err error) error {
	if errors.Is(err, blob.ErrClaimed) {
		return &settingError{"blobs", "the bytes there belong to another installation: name a bucket, prefix or folder of this one's own"}
	}
	return err
}

// look is what commands do instead of enter: it leaves no trace.
func look(ctx context.Context, cat *catalog.Store, blobs *blob.Store) error {
	var id string
	err := cat.View(ctx, func(tx *catalog.Tx) (err error) {
		if err := usable(tx); err != nil {
			return err
		}
		id, err = tx.Fact(transfer.Installation)
		return err
	})
	if errors.Is(err, quire.ErrNotFound) {
		return nil // it was never served
	}
	if err != nil {
		return err
	}
	owner, err := blobs.Owner(ctx)
	if err == nil && owner != "" && owner != id {
		err = blob.ErrClaimed
	}
	return foreign(err)
}

// stay renews the server's lease until ctx ends. If the documents were moved
// meanwhile, since it could not renew the lease for its whole life, it stops the
// server.
func (o *opened) stay(ctx context.Context, stop context.CancelCauseFunc, log *slog.Logger) {
	tick := time.NewTicker(nodeBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var gone *settingError
		err := o.cat.Update(ctx, func(tx *catalog.Tx) error {
			if err := usable(tx); err != nil {
				return err
			}
			return o.node.renew(tx)
		})
		switch {
		case errors.As(err, &gone):
			stop(gone)
			return
		case err != nil && ctx.Err() == nil:
			log.Warn("this server's lease was not renewed; it will be tried again", "error", err)
		}
	}
}

// places names where the catalog and the bytes are, without secrets, so that
// two settings for one place are told to be the same.
func (s *storage) places() (records, bytes string, err error) {
	data, err := filepath.Abs(s.Data)
	if err != nil {
		return "", "", &settingError{"data", err.Error()}
	}
	records, bytes = filepath.Join(data, "catalog.db"), filepath.Join(data, "blobs")
	if s.Catalog != "" {
		if records, err = postgres.Describe(s.Catalog); err != nil {
			return "", "", &settingError{"catalog", err.Error()}
		}
	}
	if s.Blobs != "" {
		at, err := s3.ParsePlace(s.Blobs)
		if err != nil {
			return "", "", blobSetting(err)
		}
		bytes = at.String()
	}
	return records, bytes, nil
}
