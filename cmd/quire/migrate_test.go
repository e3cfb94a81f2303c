package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/quire-docs/quire/blob/s3/s3test"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/sqlite"
	"github.com/quire-docs/quire/catalog/transfer"
)

// objects counts what is below a place's prefix.
func (p *place) objects() int {
	p.e.t.Helper()
	n := 0
	for o := range p.e.s3.Client(p.e.t).ListObjectsIter(p.e.t.Context(), s3test.Bucket, minio.ListObjectsOptions{Prefix: filepath.Base(p.data) + "/segments/", Recursive: true}) {
		if o.Err != nil {
			p.e.t.Fatal(o.Err)
		}
		n++
	}
	return n
}

// TestMigrate: a server is moved from a folder to PostgreSQL and S3 and back,
// although the first move is killed half-way, and nobody can work with half of it.
func TestMigrate(t *testing.T) {
	e := startEngines(t)
	const large = 150
	p, token := e.occupied(false, false, large)
	clean := p.run("fsck")
	q := e.place(true, true)
	args := []string{"migrate", "--to", q.catalog, "--to-blobs", q.blobs}

	s := p.serve()
	p.refused("it is being served, by process", args...)
	p.refused("it is being served, by process", append(args, "--dry-run")...)
	s.stop(t)

	var sum migrated
	if err := json.Unmarshal([]byte(p.run(append([]string{"--json"}, append(args, "--dry-run")...)...)), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Segments != large+1 || sum.Records < large || !sum.DryRun {
		t.Errorf("a rehearsal says %+v", sum)
	}
	p.serve().stop(t) // and has changed nothing

	cmd := p.start(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	soon(t, func() bool { return q.objects() >= 15 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	have := q.objects()
	if have > large {
		t.Fatalf("it was over before it was killed: %d objects", have)
	}
	p.refused("it is being moved to", "serve", "--listen", "127.0.0.1:0")
	p.refused("it is being moved to", "gc")
	p.refused("it is being moved to", "backup", p.data+"-backup")
	q.refused("what 'quire migrate' copies to it is not complete: run that again", "serve", "--listen", "127.0.0.1:0")
	q.refused("what 'quire migrate' copies to it is not complete", "fsck")
	p.refused("a move to", "migrate", "--to-data", p.data+"-elsewhere")
	sum = migrated{}
	if err := json.Unmarshal([]byte(p.run(append([]string{"--json"}, args...)...)), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Copied == 0 || sum.Copied > int64(large+1-have) {
		t.Errorf("%d objects were there, and then %+v", have, sum)
	}
	if got := q.run("fsck"); got != clean {
		t.Errorf("fsck says %q, of the first it said %q", got, clean)
	}
	p.refused("it was moved to postgres://", "serve", "--listen", "127.0.0.1:0")
	if out := p.run(args...); !strings.Contains(out, "already") {
		t.Error(out)
	}
	q.same(token, large)

	// And back, into a new folder; the old one holds an installation.
	q.refused("there is an installation already", "migrate", "--to-data", p.data)
	back := e.place(false, false)
	q.run("migrate", "--to-data", back.data)
	back.same(token, large)
	q.refused("it was moved to", "serve", "--listen", "127.0.0.1:0")

	// The first place has its own bytes still, so it can be had again.
	p.run("migrate", "--give-up")
	p.same(token, large)
	p.refused("there is an installation already", args...)
}

// TestMigrateKilledAtAnyTime: however often a move is killed, and wherever, the
// same command brings it to its end.
func TestMigrateKilledAtAnyTime(t *testing.T) {
	e := startEngines(t)
	const large = 40
	p, token := e.occupied(true, false, large)
	q := e.place(false, true)
	args := []string{"migrate", "--to-data", q.data, "--to-blobs", q.blobs}
	kills := 0
	for n := 0; ; n++ {
		cmd := p.start(args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		// A little later each time, by what has been done.
		seen := q.objects()
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			soon(t, func() bool { return len(done) > 0 || q.objects() > seen+n })
			_ = cmd.Process.Kill()
		}()
		<-stop
		err := <-done
		if err == nil {
			break
		}
		if cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("it failed by itself: %v", err)
		}
		kills++
		if kills > 200 {
			t.Fatal("it does not come to an end")
		}
	}
	if kills < 3 {
		t.Errorf("it was killed %d times only", kills)
	}
	q.same(token, large)
}

// TestMigrateParts: the records alone, and the bytes alone.
func TestMigrateParts(t *testing.T) {
	e := startEngines(t)
	const large = 5
	p, token := e.occupied(false, false, large)
	clean := p.run("fsck")

	// The records go to PostgreSQL, the bytes stay in the folder.
	q := e.place(true, false)
	p.run("migrate", "--to", q.catalog)
	q.data = p.data
	if got := q.run("fsck"); got != clean {
		t.Errorf("fsck says %q instead of %q", got, clean)
	}
	p.refused("it was moved to", "gc", "--grace", "0s")
	// Two catalogs over one folder would delete each other's bytes.
	p.refused("two catalogs would delete each other's", "migrate", "--give-up")
	q.run("gc", "--grace", "0s")

	// The bytes go to a bucket; the catalog goes on.
	bucket := e.place(true, true)
	q.run("migrate", "--to-blobs", bucket.blobs)
	old := *q
	q.blobs = bucket.blobs
	if got := q.run("fsck"); got != clean {
		t.Errorf("fsck says %q instead of %q", got, clean)
	}
	// The folder has what it had, but is nothing to go on with.
	old.refused("belong to another installation", "serve", "--listen", "127.0.0.1:0")
	old.refused("belong to another installation", "gc", "--grace", "0s")
	q.same(token, large)

	// The records go back to a file, the bytes stay in the bucket.
	r := e.place(false, true)
	q.run("migrate", "--to-data", r.data, "--to-blobs", q.blobs)
	r.blobs = q.blobs
	r.same(token, large)
}

// TestMigrateDamaged: a damaged segment is found before anything is handed over.
func TestMigrateDamaged(t *testing.T) {
	e := startEngines(t)
	p, _ := e.occupied(false, false, 3)
	var first string
	if err := filepath.WalkDir(filepath.Join(p.data, "blobs", "segments"), func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			first = name
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text []byte) {
		t.Helper()
		if err := os.Remove(first); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(first, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(whole[:len(whole)-1])
	q := e.place(true, true)
	args := []string{"migrate", "--to", q.catalog, "--to-blobs", q.blobs}
	p.refused("segment "+filepath.Base(first)+" is missing or damaged", args...)
	p.refused("it is being moved to", "serve", "--listen", "127.0.0.1:0")
	p.run("migrate", "--give-up")
	p.serve().stop(t)
	q.refused("is not complete", "fsck")
	// A move that was given up is not gone on with: the source has been used since.
	p.refused("there is the unfinished copy of something else", args...)
	write(whole)
	q = e.place(true, true)
	out := p.run("migrate", "--to", q.catalog, "--to-blobs", q.blobs)
	if !strings.Contains(out, fmt.Sprintf("moved %d records", 0)) && !strings.Contains(out, "4 segments") {
		t.Error(out)
	}
	q.run("fsck")
}

// TestMigrateChanged: what comes to the source after its records were copied, from
// a process that was at work before, is not lost silently.
func TestMigrateChanged(t *testing.T) {
	e := startEngines(t)
	p, _ := e.occupied(false, false, 60)
	d, err := sqlite.Open(t.Context(), filepath.Join(p.data, "catalog.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	q := e.place(true, true)
	cmd := p.start("migrate", "--to", q.catalog, "--to-blobs", q.blobs)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	soon(t, func() bool { return q.objects() >= 5 })
	if err := catalog.New(d).Update(t.Context(), func(tx *catalog.Tx) error { return tx.PutFact("late", "x") }); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "it was changed while it was copied (facts has") {
		t.Errorf("%v: %s", err, out.String())
	}
	q.refused("is not complete", "fsck")
	p.run("migrate", "--give-up")
	p.run("fsck")
}

// TestMovedWhileServed: a server whose documents were moved, because nobody could
// know that it runs, stops by itself.
func TestMovedWhileServed(t *testing.T) {
	p := &place{e: &realEngines{t: t, s3: new(s3test.Server)}, name: "one", data: t.TempDir()}
	s := p.serve()
	d, err := sqlite.Open(t.Context(), filepath.Join(p.data, "catalog.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := catalog.New(d).Update(t.Context(), func(tx *catalog.Tx) error {
		return putFact(tx, transfer.Moved, move{Catalog: "elsewhere", Done: true})
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(6 * nodeBeat):
		t.Fatal("it goes on")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(s.log.String(), "it was moved to elsewhere") {
		t.Errorf("it ends with %d and says %q", code, s.log)
	}
}
