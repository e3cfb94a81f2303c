package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/s3"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// doctorCmd looks at what a server needs, as it would use it itself.
type doctorCmd struct {
	serveCmd
	Timeout time.Duration `help:"How long the whole may take." default:"2m"`
}

// finding is one thing that was looked at.
type finding struct {
	What  string `json:"what"`
	State string `json:"state"` // ok, warn or fail
	Tells string `json:"tells"`
}

type examination struct {
	a    *app
	list []finding
}

func (x *examination) note(what, state, format string, args ...any) {
	// One finding is one line, also where an error has more.
	f := finding{what, state, strings.Join(strings.FieldsFunc(fmt.Sprintf(format, args...), func(r rune) bool { return r == '\n' || r == '\t' }), " ")}
	x.list = append(x.list, f)
	if !x.a.json {
		fmt.Fprintf(x.a.out, "%-5s %-12s %s\n", f.State, f.What, f.Tells)
	}
}

// result notes that something is well, or what is wrong and what to do.
func (x *examination) result(what string, err error, well, advice string) bool {
	if err != nil {
		x.note(what, "fail", "%v: %s", err, advice)
		return false
	}
	x.note(what, "ok", "%s", well)
	return true
}

// Run looks at everything, says what is wrong and what to do, and ends with
// exitProblem if anything fails.
func (c *doctorCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, c.Timeout)
	defer cancel()
	x := &examination{a: a}
	c.configuration(x)
	c.disk(x)
	c.space(x)
	if store, err := c.open(ctx, nil, slog.New(slog.DiscardHandler), library.Options{}); x.result("store", err, "the catalog and the blob store open", "see that the settings are the server's") {
		c.catalogWorks(ctx, x, store)
		c.bytes(ctx, x, store)
		c.secrets(ctx, x, store)
		c.reachable(ctx, x, store)
		if err := store.close(); err != nil {
			x.note("store", "warn", "it did not close cleanly: %v", err)
		}
	}
	c.bucketClock(ctx, x)
	c.convertersWork(ctx, x)
	c.editorsAnswer(ctx, x)
	failed := false
	for _, f := range x.list {
		failed = failed || f.State == "fail"
	}
	if a.json {
		if err := a.print(x.list, ""); err != nil {
			return err
		}
	}
	if failed {
		return exitError(exitProblem)
	}
	return nil
}

// room, in bytes, is what the data folder should have at least.
const (
	littleRoom = 1 << 30
	noRoom     = 64 << 20
)

// space looks how much room the data folder has.
func (c *doctorCmd) space(x *examination) {
	free, all, err := diskSpace(c.Data)
	if err != nil || all == 0 {
		return // another finding tells of a folder that is not there
	}
	share := 100 * free / all
	switch {
	case free < noRoom:
		x.note("disk", "fail", "%s has %d MB left: saves will fail; make room, or move the data folder", c.Data, free>>20)
	case free < littleRoom || share < 5:
		x.note("disk", "warn", "%s has %d MB left, %d %%: make room before it is full", c.Data, free>>20, share)
	default:
		x.note("disk", "ok", "%s has %d GB left, %d %%", c.Data, free>>30, share)
	}
}

// disk writes to the data folder and makes it durable.
func (c *doctorCmd) disk(x *examination) {
	name := filepath.Join(c.Data, fmt.Sprintf(".doctor-%d", os.Getpid()))
	began := time.Now()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(make([]byte, 4096))
		err = errors.Join(err, f.Sync(), f.Close(), os.Remove(name))
	}
	took := time.Since(began)
	if x.result("disk", err, fmt.Sprintf("%s can be written to; an fsync takes %s", c.Data, took.Round(10*time.Microsecond)), "see that the folder is there and the server's user may write to it") && took > 100*time.Millisecond {
		x.note("disk", "warn", "an fsync takes %s: every save waits for one", took.Round(time.Millisecond))
	}
}

// catalogWorks asks the catalog for its time, and writes something that is gone
// again when it commits.
func (c *doctorCmd) catalogWorks(ctx context.Context, x *examination, o *opened) {
	var now time.Time
	began := time.Now()
	err := o.cat.View(ctx, func(tx *catalog.Tx) error {
		now = tx.Now()
		_, err := tx.Sites()
		return err
	})
	ended := time.Now()
	if !x.result("catalog", err, fmt.Sprintf("it answers in %s", ended.Sub(began).Round(10*time.Microsecond)), "see that the database runs, and that the URL and the password are right") {
		return
	}
	x.clock("the catalog", now, began, ended)
	began = time.Now()
	err = o.cat.Update(ctx, func(tx *catalog.Tx) error {
		const kind = "doctor"
		if err := tx.AddChore(catalog.Chore{Kind: kind, Due: tx.Now()}); err != nil {
			return err
		}
		return tx.DeleteChore(kind, "")
	})
	took := time.Since(began)
	if x.result("catalog", err, fmt.Sprintf("it can be written to; a durable transaction takes %s", took.Round(10*time.Microsecond)),
		"see that the database is no read-only copy, that its user may write, and that its disk is not full") && took > 500*time.Millisecond {
		x.note("catalog", "warn", "a durable transaction takes %s, and every save waits for one: see the database's disk and the way to it", took.Round(time.Millisecond))
	}
}

// tolerable is by how much clocks may differ: leases and signed requests have
// minutes.
const (
	tolerable  = 5 * time.Second
	dangerous  = time.Minute
	setYourOwn = "set the clocks by NTP: signed requests, leases and one-time passwords go by them"
)

// clock compares a time that was told between two moments of this machine.
func (x *examination) clock(whose string, told, began, ended time.Time) {
	var skew time.Duration
	switch {
	case told.Before(began):
		skew = began.Sub(told)
	case told.After(ended):
		skew = told.Sub(ended)
	}
	switch skew = skew.Round(time.Second); {
	case skew > dangerous:
		x.note("clock", "fail", "this machine and %s differ by %s: %s", whose, skew, setYourOwn)
	case skew > tolerable:
		x.note("clock", "warn", "this machine and %s differ by %s: %s", whose, skew, setYourOwn)
	default:
		x.note("clock", "ok", "this machine and %s agree", whose)
	}
}

// bucketClock compares the clock with that of the server of the bucket, which
// refuses signatures that are off by a quarter of an hour.
func (c *doctorCmd) bucketClock(ctx context.Context, x *examination) {
	if c.Blobs == "" {
		return
	}
	place, err := s3.ParsePlace(c.Blobs)
	if err != nil {
		return // the store's finding tells
	}
	began := time.Now()
	resp, err := get(ctx, place.Endpoint.String(), nil)
	ended := time.Now()
	if err != nil {
		return // as above
	}
	told, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		x.note("clock", "warn", "the server of the bucket does not tell its time, so it was not compared")
		return
	}
	x.clock("the server of the bucket", told, began.Add(-time.Second), ended) // the header has whole seconds
}

// bytes does what the server does with segments, one right after the other.
func (c *doctorCmd) bytes(ctx context.Context, x *examination, o *opened) {
	where := "the folder is there, that the server's user owns it"
	if c.Blobs != "" {
		where = "the bucket is there, that the credentials may do this under the prefix"
	}
	advice := "see that " + where + ", and that there is room"
	text := strings.Repeat("quire doctor ", 20_000) // more than goes to the catalog
	began := time.Now()
	s, err := o.blobs.Put(ctx, strings.NewReader(text))
	if err != nil {
		x.note("blobs", "fail", "nothing can be stored: %v: %s", err, advice)
		return
	}
	took := time.Since(began)
	right := true
	for _, step := range []struct {
		doing string
		err   error
	}{
		{"read", o.blobs.Verify(ctx, s)},
		{"listed", listed(ctx, o.blobs, s.Key)},
		{"deleted", o.blobs.Delete(ctx, s.Key)},
	} {
		if step.err != nil {
			right = false
			x.note("blobs", "fail", "what was stored cannot be %s: %v: %s", step.doing, step.err, advice)
		}
	}
	if right {
		x.note("blobs", "ok", "a segment can be stored (%d KB in %s), read, listed and deleted", len(text)/1000, took.Round(10*time.Microsecond))
	}
}

// listed looks for a key at its place in the list.
func listed(ctx context.Context, b *blob.Store, key blob.Key) error {
	before := key[:20] + "222224" // a key that sorts just before it, with none in between
	page, err := b.List(ctx, before, 1)
	if err == nil && (len(page) == 0 || page[0].Key != key) {
		err = errors.New("it is not in the list")
	}
	return err
}

// secrets points out sites that everybody may read.
func (c *doctorCmd) secrets(ctx context.Context, x *examination, o *opened) {
	sites, err := o.library.Sites(ctx)
	if err != nil {
		x.note("sites", "fail", "%v", err)
		return
	}
	for _, s := range sites {
		if s.Viewer.Current == "" {
			x.note("sites", "warn", "%s/%s has no viewer secret, so everybody may read its files: quire link revoke --all makes one", s.Account, s.Instance)
		}
	}
	x.note("sites", "ok", "%d", len(sites))
}

// convertersWork asks each engine whether it works.
func (c *doctorCmd) convertersWork(ctx context.Context, x *examination) {
	e, err := c.engines(slog.New(slog.DiscardHandler))
	if err != nil {
		x.note("conversions", "fail", "%v", err)
		return
	}
	defer e.close(slog.New(slog.DiscardHandler))
	for _, r := range e.set.Report(ctx) {
		if !r.OK {
			x.note("conversions", "fail", "%s does not work: %s", r.Engine, r.Error)
			continue
		}
		x.note("conversions", "ok", "%s: %s", r.Engine, strings.Join(r.Serves, ", "))
	}
	switch {
	case !e.office:
		x.note("conversions", "warn", "no engine opens office documents: install LibreOffice, or name a service")
	case e.local != nil && !e.local.Offline():
		x.note("conversions", "warn", "LibreOffice runs with the network here: this system lets no process do without")
	}
}

// editorsAnswer fetches the discovery of each editor.
func (c *doctorCmd) editorsAnswer(ctx context.Context, x *examination) {
	for _, text := range c.Editors {
		if strings.TrimSpace(text) == "" {
			continue
		}
		e, err := parseEditor(text)
		if err != nil {
			x.note("editors", "fail", "%v", err)
			continue
		}
		at := strings.TrimSuffix(e.URL, "/")
		if !strings.Contains(at, "/hosting/discovery") {
			at += "/hosting/discovery"
		}
		err = answers(ctx, at)
		x.result("editors", err, e.Name+" answers at "+at, "see that the editor runs and can be reached from here")
	}
}
