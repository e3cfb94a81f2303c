package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/sqlite"
)

func TestSmoke(t *testing.T) {
	d, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "c.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := catalog.New(d)
	defer s.Close()
	ctx := context.Background()
	err = s.Update(ctx, func(tx *catalog.Tx) error {
		n := quire.Node{ID: "a", NameKey: "x", Created: tx.Now(), Kind: quire.File}
		n.Lock.WOPI = &quire.WOPILock{ID: "l", Expires: tx.Now().Add(time.Minute)}
		if err := tx.InsertNode(&n); err != nil {
			return err
		}
		return tx.InsertRevision(&quire.Revision{Node: "a", Number: 1}, &quire.Manifest{Streams: []quire.Stream{{ID: quire.MainContent}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(ctx, func(tx *catalog.Tx) error {
		n, err := tx.Node("a")
		t.Log(n.Lock.WOPI, n.Created, err)
		m, err := tx.Manifest("a", 1)
		t.Log(m, err)
		a, err := tx.Ancestry("a", "u")
		t.Log(a, err)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
