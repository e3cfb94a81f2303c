package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// doctorCmd looks at what a server needs, as it would use it itself.
type doctorCmd struct {
	storage
	convertSettings
	wopiSettings
	PublicURL string        `help:"The URL that people and editors reach the server by." name:"public-url" env:"QUIRE_PUBLIC_URL"`
	Timeout   time.Duration `help:"How long the whole may take." default:"2m"`
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
	f := finding{what, state, fmt.Sprintf(format, args...)}
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
	c.disk(x)
	if store, err := c.open(ctx, false, slog.New(slog.DiscardHandler), library.Options{}); x.result("store", err, "the catalog and the blob store open", "see that the settings are the server's") {
		c.catalogWorks(ctx, x, store)
		c.bytes(ctx, x, store)
		c.secrets(ctx, x, store)
		if err := store.close(); err != nil {
			x.note("store", "warn", "it did not close cleanly: %v", err)
		}
	}
	c.convertersWork(ctx, x)
	c.editorsAnswer(ctx, x)
	c.reachable(ctx, x)
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

// catalogWorks asks the catalog for its time, and how long that takes.
func (c *doctorCmd) catalogWorks(ctx context.Context, x *examination, o *opened) {
	var now time.Time
	began := time.Now()
	err := o.cat.View(ctx, func(tx *catalog.Tx) error {
		now = tx.Now()
		_, err := tx.Sites()
		return err
	})
	took := time.Since(began)
	if !x.result("catalog", err, fmt.Sprintf("it answers in %s", took.Round(10*time.Microsecond)), "see that the database runs, and that the URL and the password are right") {
		return
	}
	if skew := now.Sub(began).Abs(); skew > 5*time.Second {
		x.note("clock", "warn", "this machine and the catalog differ by %s: set the clock by NTP", skew.Round(time.Second))
	} else {
		x.note("clock", "ok", "this machine and the catalog agree")
	}
}

// bytes stores a segment, reads it and deletes it.
func (c *doctorCmd) bytes(ctx context.Context, x *examination, o *opened) {
	const text = "quire doctor"
	err := func() error {
		s, err := o.blobs.Put(ctx, strings.NewReader(text))
		if err != nil {
			return err
		}
		return errors.Join(verify(ctx, o.blobs, s), o.blobs.Delete(ctx, s.Key))
	}()
	x.result("blobs", err, "a segment can be stored, read and deleted", "see that the bucket or folder is there, and that the credentials may read, write and delete")
}

func verify(ctx context.Context, b *blob.Store, s blob.Segment) error { return b.Verify(ctx, s) }

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

// reachable asks the server for its health by its public URL.
func (c *doctorCmd) reachable(ctx context.Context, x *examination) {
	if c.PublicURL == "" {
		x.note("public URL", "warn", "none is set: editors and links need the URL that others reach the server by")
		return
	}
	if err := (&serveCmd{PublicURL: c.PublicURL}).checkPublicURL(); err != nil {
		x.note("public URL", "fail", "%v", err)
		return
	}
	at := strings.TrimSuffix(c.PublicURL, "/") + "/healthz"
	x.result("public URL", answers(ctx, at), at+" answers from here", "see that the server runs, and that the name, the proxy and the certificate are right")
	if strings.HasPrefix(c.PublicURL, "http://") && !strings.Contains(c.PublicURL, "://127.0.0.1") && !strings.Contains(c.PublicURL, "://localhost") {
		x.note("public URL", "warn", "it is plain http: passwords and documents can be read on the way")
	}
}

func answers(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // only the status counts
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", at, resp.StatusCode)
	}
	return nil
}
