package library_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/chunk"
	"github.com/quire-docs/quire/library"
)

// writes counts what is made durable: each is one wait for the disk.
type writes struct {
	catalog.Driver
	commits atomic.Int64
	objects atomic.Int64
}

func (w *writes) Update(ctx context.Context, f func(catalog.Conn) error) error {
	w.commits.Add(1)
	return w.Driver.Update(ctx, f)
}

// objects is the blob driver of writes.
type objects struct {
	blob.Driver
	*writes
}

// localObjects is objects over files of this machine.
type localObjects struct {
	objects
	blob.LocalFiles
}

func (o objects) Put(ctx context.Context, key blob.Key, r io.Reader) (int64, error) {
	o.writes.objects.Add(1)
	return o.Driver.Put(ctx, key, r)
}

func (o objects) Close() error { return nil }

// counted returns a library over the fixture's store that counts its writes.
func (f *fixture) counted() (*fixture, *writes) {
	w := &writes{Driver: f.store}
	g := *f
	var files blob.Driver = objects{f.local, w}
	if local, ok := f.local.(blob.LocalFiles); ok {
		files = localObjects{objects{f.local, w}, local}
	}
	g.Library = library.New(catalog.New(w), blob.New(files, blob.Options{}), library.Options{})
	return &g, w
}

// parts makes a document of many chunks.
func parts(n int) []string {
	list := []string{"PK\x03\x04 first"}
	for i := range n - 2 {
		list = append(list, fmt.Sprintf("part %d %s", i, strings.Repeat("text ", 200)))
	}
	return append(list, "PK\x01\x02 last")
}

// deck makes a file of many chunks with their signature.
func (f *fixture) deck(path string, chunks []string) library.Entry {
	f.t.Helper()
	e := f.put(f.admin, path, "")
	var s chunkSave
	s.stream(quire.MainContent, chunks...)
	for _, c := range chunks {
		s.send(f.t, c, 0)
	}
	e, err := s.save(f, e.ID, quire.Precondition{})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

// savePart replaces a chunk in the middle by a new one.
func (f *fixture) savePart(id quire.NodeID, chunks []string, with string) {
	f.t.Helper()
	chunks[len(chunks)/2] = with
	var s chunkSave
	s.stream(quire.MainContent, chunks...)
	s.send(f.t, with, 0)
	if _, err := s.save(f, id, quire.Precondition{}); err != nil {
		f.t.Fatal(err)
	}
}

// TestDurableWrites: a save waits for the disk once, or twice if its bytes are
// too many for the catalog, however many chunks and revisions the file has.
func TestDurableWrites(t *testing.T) {
	f, w := open(t, library.Options{}).counted()
	chunks := parts(1000)
	e := f.deck("/deck.pptx", chunks)
	rows := []struct {
		name             string
		bytes            int
		commits, objects int64
	}{
		{"20 KB", 20 << 10, 1, 0},
		{"64 KB", quire.InlineMax, 1, 0},
		{"a byte more", quire.InlineMax + 1, 1, 1},
		{"1 MB", 1 << 20, 1, 1},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for round := range 3 {
				commits, objects := w.commits.Load(), w.objects.Load()
				content := fmt.Sprint(r.name, round)
				f.savePart(e.ID, chunks, content+strings.Repeat("x", r.bytes-len(content)))
				if got := w.commits.Load() - commits; got != r.commits {
					t.Errorf("%d commits, want %d", got, r.commits)
				}
				if got := w.objects.Load() - objects; got != r.objects {
					t.Errorf("%d objects, want %d", got, r.objects)
				}
			}
		})
	}
	commits := w.commits.Load()
	f.put(f.admin, "/small", "four")
	if got := w.commits.Load() - commits; got != 1 {
		t.Errorf("a small file takes %d commits", got)
	}
}

// cpu returns the time that the process has had on all cores.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSaveChunks saves one part of 20 KB into a file of 1,000 chunks that
// has had some, many and very many revisions.
func BenchmarkSaveChunks(b *testing.B) {
	for _, revisions := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("revisions=%d", revisions), func(b *testing.B) {
			f := open(b, library.Options{})
			chunks := parts(1000)
			e := f.deck("/deck.pptx", chunks)
			text := strings.Repeat("x", 20<<10)
			n := 0
			for ; n < revisions; n++ {
				f.savePart(e.ID, chunks, fmt.Sprint(n, text))
			}
			busy := cpu(b)
			b.ResetTimer()
			for b.Loop() {
				n++
				f.savePart(e.ID, chunks, fmt.Sprint(n, text))
			}
			b.ReportMetric(float64((cpu(b)-busy).Microseconds())/float64(b.N)/1000, "cpu-ms/op")
		})
	}
}

var signSize = flag.Int64("sign.size", 256<<20, "how many bytes are signed by BenchmarkFirstSignature")

// noise yields n bytes that do not repeat.
func noise(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
}

// BenchmarkFirstSignature works out the signature of a stored file, beside the
// hash of as many bytes in memory.
func BenchmarkFirstSignature(b *testing.B) {
	f := open(b, library.Options{})
	in := make([]byte, 256<<20)
	if _, err := io.ReadFull(noise(int64(len(in))), in); err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		e, _, err := f.Save(f.ctx, f.admin, quire.Target{Path: fmt.Sprint("/large", n)}, noise(*signSize), library.Save{})
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		var h chunk.Hasher
		for done := int64(0); done < *signSize; done += int64(len(in)) {
			_, _ = h.Write(in)
		}
		hash := time.Since(began)
		began = time.Now()
		snap, err := f.Snapshot(f.ctx, f.admin, e.ID, nil)
		if err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		snap.Close()
		b.ReportMetric(float64(*signSize)/1e9/hash.Seconds(), "hash-GB/s")
		b.ReportMetric(float64(*signSize)/1e9/took.Seconds(), "sign-GB/s")
		b.ReportMetric(hash.Seconds()/took.Seconds(), "ratio")
	}
}
