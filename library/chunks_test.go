package library_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

// chunkSave is a request in the making: streams as lists of chunks, and the
// chunks that are sent along.
type chunkSave struct {
	request chunk.PutChunkedFileRequest
	frames  bytes.Buffer
}

func (s *chunkSave) stream(id quire.StreamID, chunks ...string) {
	sig := chunk.StreamSignature{StreamID: id, Scheme: chunk.FullFile}
	if len(chunks) > 1 {
		sig.Scheme = chunk.Zip
	}
	for _, c := range chunks {
		sig.Chunks = append(sig.Chunks, chunk.Chunk{ID: chunk.Sum([]byte(c)), Length: int64(len(c))})
	}
	s.request.Signatures = append(s.request.Signatures, sig)
}

// send adds a chunk, in as many ranges as are asked for; 0 is as a whole.
func (s *chunkSave) send(t interface{ Fatal(...any) }, content string, ranges int) {
	w := chunk.NewWriter(&s.frames)
	id := chunk.Sum([]byte(content))
	if ranges == 0 {
		if err := w.Chunk(id, int64(len(content)), strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		return
	}
	for i := range ranges {
		from, to := i*len(content)/ranges, (i+1)*len(content)/ranges
		if err := w.Range(id, int64(from), int64(to-from), i == ranges-1, strings.NewReader(content[from:to])); err != nil {
			t.Fatal(err)
		}
	}
}

// save makes the request, with a precondition.
func (s *chunkSave) save(f *fixture, id quire.NodeID, pre quire.Precondition) (library.Entry, error) {
	return s.saveWhile(f, id, pre, func() {})
}

// hook is a reader that has nothing to read, but does something.
type hook func()

func (h hook) Read([]byte) (int, error) {
	h()
	return 0, io.EOF
}

// saveWhile is save, with something that happens before the frames are read.
func (s *chunkSave) saveWhile(f *fixture, id quire.NodeID, pre quire.Precondition, then func()) (library.Entry, error) {
	var body bytes.Buffer
	w := chunk.NewWriter(&body)
	if err := w.Message([]byte("{}")); err != nil {
		return library.Entry{}, err
	}
	var end bytes.Buffer
	last := chunk.NewWriter(&end)
	if err := last.Message([]byte("{}")); err != nil {
		return library.Entry{}, err
	}
	skip := end.Len()
	if err := last.End(); err != nil {
		return library.Entry{}, err
	}
	r := chunk.NewReader(io.MultiReader(&body, hook(then), bytes.NewReader(s.frames.Bytes()), bytes.NewReader(end.Bytes()[skip:])), chunk.DefaultLimits())
	if _, err := r.ReadMessage(); err != nil {
		return library.Entry{}, err
	}
	e, _, err := f.SaveChunks(f.ctx, f.admin, id, library.SaveChunks{Precondition: pre, Request: s.request, Frames: r})
	return e, err
}

// streams reads all streams of a file's current revision.
func (f *fixture) streams(id quire.NodeID) map[quire.StreamID]string {
	f.t.Helper()
	snap, err := f.Snapshot(f.ctx, f.admin, id, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer snap.Close()
	all := make(map[quire.StreamID]string)
	for name, s := range snap.Streams {
		b, err := io.ReadAll(s.Reader(0, s.Content.Size))
		if err != nil {
			f.t.Fatal(err)
		}
		all[name] = string(b)
		var sum int64
		for _, c := range s.Signature.Chunks {
			if got := chunk.Sum(b[sum : sum+c.Length]); got != c.ID {
				f.t.Errorf("a chunk of %s is not what its signature says", name)
			}
			sum += c.Length
		}
		if sum != int64(len(b)) {
			f.t.Errorf("the signature of %s is of %d bytes, not %d", name, sum, len(b))
		}
	}
	return all
}

// Random saves by chunks: the streams are what the chunks make, others stay,
// and what was sent before need not be sent again.
func TestSaveChunksProperty(t *testing.T) {
	f := open(t, library.Options{Retention: library.Retention{All: time.Hour, Hourly: 2 * time.Hour, Daily: 3 * time.Hour}})
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		e := f.put(f.admin, fmt.Sprintf("/%d", round), "")
		want := map[quire.StreamID]string{quire.MainContent: ""}
		known := map[string]bool{} // what the current revision has
		made := map[quire.StreamID][]string{}
		for step := range rapid.IntRange(1, 8).Draw(rt, "steps") {
			s := new(chunkSave)
			sent := map[string]bool{}
			for _, id := range []quire.StreamID{quire.MainContent, "a", "b"} {
				if rapid.IntRange(0, 2).Draw(rt, "named") == 0 {
					continue
				}
				var list []string
				for range rapid.IntRange(0, 5).Draw(rt, "chunks") {
					n := rapid.IntRange(0, 9).Draw(rt, "chunk")
					size := []int{1, 100, 30_000}[n%3]
					list = append(list, strings.Repeat(fmt.Sprint(n), size))
				}
				for _, c := range list {
					if known[c] && rapid.Bool().Draw(rt, "again") || sent[c] {
						continue
					}
					if !known[c] && rapid.IntRange(0, 25).Draw(rt, "forget") == 25 {
						continue
					}
					sent[c] = true
					s.send(rt, c, rapid.IntRange(0, min(3, len(c))).Draw(rt, "ranges"))
				}
				s.stream(id, list...)
				made[id] = list
			}
			lacks := false
			for _, sig := range s.request.Signatures {
				for _, c := range made[sig.StreamID] {
					lacks = lacks || !known[c] && !sent[c]
				}
			}
			got, err := s.save(f, e.ID, quire.Precondition{Sequence: &e.Sequence})
			if lacks {
				if outcome(err) != "invalid" {
					rt.Fatalf("step %d: a chunk is missing, got %v", step, err)
				}
				if diff := cmp.Diff(want, f.streams(e.ID)); diff != "" {
					rt.Fatalf("step %d: a refusal changed the file:\n%.500s", step, diff)
				}
				return
			}
			if err != nil || got.Sequence != e.Sequence+1 {
				rt.Fatalf("step %d: %+v, %v", step, got, err)
			}
			e = got
			for _, sig := range s.request.Signatures {
				want[sig.StreamID] = strings.Join(made[sig.StreamID], "")
				if len(sig.Chunks) == 0 && sig.StreamID != quire.MainContent {
					delete(want, sig.StreamID)
				}
			}
			now := f.streams(e.ID)
			if diff := cmp.Diff(want, now); diff != "" {
				rt.Fatalf("step %d:\n%.500s", step, diff)
			}
			known = f.chunksOf(e.ID)
			if e.Size != int64(len(want[quire.MainContent])) {
				rt.Fatalf("step %d: it has %d bytes", step, e.Size)
			}
		}
	})
	f.clean()
	f.clock.advance(10 * time.Hour)
	if err := f.Chores(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.clean()
}

// chunksOf returns the chunks that a file's current revision has.
func (f *fixture) chunksOf(id quire.NodeID) map[string]bool {
	f.t.Helper()
	snap, err := f.Snapshot(f.ctx, f.admin, id, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer snap.Close()
	all := make(map[string]bool)
	for _, s := range snap.Streams {
		var at int64
		for _, c := range s.Signature.Chunks {
			b, err := io.ReadAll(s.Reader(at, c.Length))
			if err != nil {
				f.t.Fatal(err)
			}
			all[string(b)] = true
			at += c.Length
		}
	}
	return all
}

// The refusals of a save by chunks, in the protocol's order, and that none of
// them leaves anything.
func TestSaveChunksRefusals(t *testing.T) {
	f := open(t, library.Options{})
	big := strings.Repeat("big", 50_000)
	e := f.put(f.admin, "/f", "content")
	try := func(what, want string, pre quire.Precondition, missing bool) {
		t.Helper()
		s := new(chunkSave)
		if s.stream(quire.MainContent, big); !missing {
			s.send(t, big, 0)
		}
		s.send(t, strings.Repeat("other", 20_000), 0)
		_, err := s.save(f, e.ID, pre)
		f.expect(what, want, err)
	}
	try("a file without a lock", "locked", quire.Precondition{Sequence: ptr(1), Unlocked: quire.OnlyEmptyUnlocked}, false)
	lockIt := func(r lock.Request) {
		t.Helper()
		r.Timeout = time.Hour
		if _, err := f.Lock(f.ctx, f.admin, e.ID, r); err != nil {
			t.Fatal(err)
		}
	}
	lockIt(lock.Request{Op: lock.GetCoauth, ID: "a", Type: quire.Coauth, Name: "Ann"})
	lockIt(lock.Request{Op: lock.GetCoauth, ID: "x", Type: quire.CoauthExclusive, Name: "Ann"})
	key := func(w, c string, seq int64) quire.Precondition {
		return quire.Precondition{Key: quire.LockKey{WOPI: w, Coauth: c}, Sequence: &seq, Unlocked: quire.OnlyEmptyUnlocked}
	}
	try("two locks", "invalid", key("A", "a", 1), false)
	try("a WOPI lock", "locked", key("A", "", 1), false)
	try("beside the exclusive lock, on an old sequence, without a chunk", "locked", key("", "a", 9), true)
	try("on an old sequence, without a chunk", "conflict", key("", "x", 9), true)
	try("without a chunk", "invalid", key("", "x", 1), true)
	if n := f.orphans(); n != 0 {
		t.Errorf("refusals left %d objects", n)
	}
	before := f.used()
	try("as it should be", "ok", key("", "x", 1), false)
	if got := f.streams(e.ID)[quire.MainContent]; got != big {
		t.Errorf("it has %d bytes", len(got))
	}
	if f.used() < before+int64(len(big)) {
		t.Error("it costs nothing")
	}
	// A request that names nothing of what it sends keeps nothing of it.
	s := new(chunkSave)
	s.stream("alt", big)
	s.send(t, strings.Repeat("for nothing", 20_000), 0)
	before = f.used()
	_, err := s.save(f, e.ID, key("", "x", 2))
	f.expect("with a chunk too many", "ok", err)
	if f.used() != before {
		t.Errorf("a chunk that nothing names costs %d bytes", f.used()-before)
	}
	f.clean()
}

// Another way of saving ends alternate streams and the properties of the
// content; so does time.
func TestAlternateStreamsEnd(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/f", "")
	write := func() {
		t.Helper()
		s := new(chunkSave)
		s.stream("alt", "alternate")
		s.send(t, "alternate", 0)
		s.request.ContentProperties = []chunk.ContentProperty{
			{Name: "keep", Value: "1", Retention: chunk.KeepOnContentChange}, {Name: "drop", Value: "2", Retention: chunk.DeleteOnContentChange},
		}
		if _, err := s.save(f, e.ID, quire.Precondition{}); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(what, want string) {
		t.Helper()
		snap, err := f.Snapshot(f.ctx, f.admin, e.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		got := fmt.Sprint(len(snap.Streams))
		for _, p := range snap.Properties {
			got += " " + p.Name
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	write()
	shows("written", "2 drop keep")
	f.put(f.admin, "/f", "plain")
	shows("after another save", "1 keep")
	write()
	if _, _, err := f.RestoreRevision(f.ctx, f.admin, e.ID, 2, quire.Precondition{}); err != nil {
		t.Fatal(err)
	}
	shows("after an old revision was restored", "1 keep")
	write()
	dup, err := f.Copy(f.ctx, f.admin, e.ID, quire.Target{Path: "/dup"})
	if err != nil || len(f.streams(dup.ID)) != 1 {
		t.Errorf("a copy has %d streams, %v", len(f.streams(dup.ID)), err)
	}
	f.clock.advance(quire.StreamLife)
	shows("after their time", "1")
	f.clean()
}
