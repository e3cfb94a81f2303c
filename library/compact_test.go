package library_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// scatter makes a file of many parts, each of a save of its own, between two
// that are too long to be worth moving.
func scatter(f *fixture, parts int) (quire.NodeID, []string) {
	f.t.Helper()
	e := f.put(f.admin, "/d/deck.pptx", "")
	long := strings.Repeat("long", 100_000)
	chunks := []string{"PK\x03\x04" + long}
	for i := range parts {
		chunks = append(chunks, fmt.Sprint("part ", i, strings.Repeat(".", i)))
	}
	chunks = append(chunks, "PK\x01\x02"+long)
	save := func(send ...string) {
		f.t.Helper()
		var s chunkSave
		s.stream(quire.MainContent, chunks...)
		for _, c := range send {
			s.send(f.t, c, 0)
		}
		if _, err := s.save(f, e.ID, quire.Precondition{}); err != nil {
			f.t.Fatal(err)
		}
	}
	save(chunks...)
	for i := range parts {
		chunks[1+i] = fmt.Sprint("changed ", i, strings.Repeat("!", 100+i))
		save(chunks[1+i])
	}
	return e.ID, chunks
}

// extents returns how many extents a file's current revision has.
func (f *fixture) extents(id quire.NodeID) int {
	f.t.Helper()
	count := 0
	err := f.cat.View(f.ctx, func(tx *catalog.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		m, err := tx.Manifest(id, n.Revision)
		count = len(m.Main().Extents)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return count
}

func (f *fixture) chores(after time.Duration) {
	f.t.Helper()
	f.clock.advance(after)
	if err := f.Chores(f.ctx); err != nil {
		f.t.Fatal(err)
	}
}

// A file of many small pieces is brought together in the background: the same
// bytes, the same revision, the same chunks.
func TestCompact(t *testing.T) {
	f := open(t, library.Options{})
	id, chunks := scatter(f, 100)
	before, was, content := f.lookup("/d/deck.pptx"), f.extents(id), f.streams(id)
	if was < 100 {
		t.Fatalf("there are %d extents to begin with", was)
	}
	open, err := f.Open(f.ctx, f.admin, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	f.chores(9 * time.Minute)
	if n := f.extents(id); n != was {
		t.Errorf("it was compacted at once: %d extents", n)
	}
	f.chores(time.Minute)
	if n := f.extents(id); n != 3 {
		t.Errorf("%d extents, want two long ones and one between them", n)
	}
	if diff := cmp.Diff(content, f.streams(id)); diff != "" {
		t.Error("its content changed", len(diff))
	}
	if after := f.lookup("/d/deck.pptx"); after.Revision != before.Revision || after.Sequence != before.Sequence || !after.Modified.Equal(before.Modified) {
		t.Errorf("it counts as a change: %+v", after.Node)
	}
	b, err := io.ReadAll(open.Reader(0, open.Size))
	if err != nil || string(b) != content[quire.MainContent] {
		t.Errorf("who had it open reads %d bytes, %v", len(b), err)
	}
	for number := int64(2); number < before.Revision; number += 17 {
		if got := f.read(f.admin, id, number); !strings.HasPrefix(got, chunks[0]) || !strings.HasSuffix(got, chunks[len(chunks)-1]) {
			t.Errorf("revision %d has %d bytes", number, len(got))
		}
	}
	f.clean()
	// What the client knows is still good for its next save.
	var s chunkSave
	all := slices.Insert(slices.Clone(chunks), 1, "one more")
	s.stream(quire.MainContent, all...)
	s.send(t, "one more", 0)
	if _, err := s.save(f, id, quire.Precondition{}); err != nil {
		t.Errorf("a save with known chunks: %v", err)
	}
	if got := f.read(f.admin, id, 0); got != strings.Join(all, "") {
		t.Errorf("then it has %d bytes", len(got))
	}
	f.clean()
}

// A save that began before a compaction refers to where the bytes were.
func TestCompactDuringSave(t *testing.T) {
	f := open(t, library.Options{Retention: library.Retention{All: time.Minute, Hourly: 2 * time.Minute, Daily: 3 * time.Minute}})
	id, chunks := scatter(f, 80)
	var s chunkSave
	all := slices.Insert(slices.Clone(chunks), 50, "one more")
	s.stream(quire.MainContent, all...)
	s.send(t, "one more", 0)
	_, err := s.saveWhile(f, id, quire.Precondition{}, func() {
		f.chores(time.Hour)
		if n := f.extents(id); n != 3 {
			t.Errorf("%d extents while the save runs", n)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f.clean()
	f.age(48 * time.Hour)
	f.clock.advance(48 * time.Hour)
	if _, err := f.Collect(f.ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, want := f.read(f.admin, id, 0), strings.Join(all, ""); got != want {
		t.Errorf("it has %d bytes, want %d", len(got), len(want))
	}
	f.clean()
}
