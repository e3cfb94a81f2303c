package chunk_test

import (
	"bytes"
	"context"
	"errors"
	"go/build"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quire-docs/quire/chunk"
	"pgregory.net/rapid"
)

func sign(t testing.TB, data []byte) chunk.Signature {
	t.Helper()
	s, err := chunk.Sign(t.Context(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fataler is what both testing.T and rapid.T are.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkSound checks what must hold of any stream: the pieces tile it, and Sign cuts as
// Cut does and hashes each piece rightly.
func checkSound(t fataler, data []byte) (chunk.Scheme, []chunk.Piece) {
	t.Helper()
	size := int64(len(data))
	scheme, pieces, err := chunk.Cut(bytes.NewReader(data), size)
	if err != nil {
		t.Fatalf("Cut: %v", err)
	}
	var at int64
	for i, p := range pieces {
		if p.Offset != at || p.Length < 0 || p.Length > size-at || p.Length == 0 && size > 0 {
			t.Fatalf("piece %d is %v, after %d of %d bytes", i, p, at, size)
		}
		at += p.Length
	}
	if at != size || len(pieces) == 0 {
		t.Fatalf("%d pieces cover %d of %d bytes", len(pieces), at, size)
	}
	if scheme != chunk.Zip && (scheme != chunk.FullFile || len(pieces) != 1) {
		t.Fatalf("%v with %d pieces", scheme, len(pieces))
	}
	s, err := chunk.Sign(context.Background(), bytes.NewReader(data), size)
	if err != nil {
		t.Fatalf("Sign: %v", err)
	}
	if s.Scheme != scheme || !slices.Equal(s.Pieces(), pieces) {
		t.Fatalf("Sign cuts as %v %v, Cut as %v %v", s.Scheme, s.Pieces(), scheme, pieces)
	}
	for i, p := range pieces {
		if want := chunk.Sum(data[p.Offset : p.Offset+p.Length]); s.Chunks[i].ID != want {
			t.Fatalf("piece %d signed as %v, want %v", i, s.Chunks[i].ID, want)
		}
	}
	return scheme, pieces
}

func checkTiles(t *testing.T, data []byte, wantScheme chunk.Scheme, want []chunk.Piece) {
	t.Helper()
	scheme, pieces := checkSound(t, data)
	if scheme != wantScheme {
		t.Fatalf("cut as %v, want %v", scheme, wantScheme)
	}
	if d := cmp.Diff(want, pieces); d != "" {
		t.Errorf("pieces differ (-want +got):\n%s", d)
	}
}

func TestCutOtherStreams(t *testing.T) {
	for _, data := range [][]byte{
		nil, []byte("P"), []byte("PK\x05\x06"), []byte("plain text"), make([]byte, 21), make([]byte, 22),
		randomBytes(1, 100), randomBytes(2, 300_000), bytes.Repeat([]byte("PK\x05\x06"), 40_000),
		bytes.Repeat([]byte("PK\x01\x02"), 40_000),
	} {
		checkTiles(t, data, chunk.FullFile, []chunk.Piece{{Offset: 0, Length: int64(len(data))}})
	}
	if got := sign(t, nil).Chunks; len(got) != 1 || got[0] != (chunk.Chunk{ID: chunk.Sum(nil)}) {
		t.Errorf("an empty stream has the chunks %v", got)
	}
	if _, ok := sign(t, []byte("text")).LastZipChunk(); ok {
		t.Error("a text has a LastZipChunk")
	}
	for _, size := range []int64{-1, -1 << 63} {
		if _, _, err := chunk.Cut(bytes.NewReader(nil), size); err == nil {
			t.Errorf("Cut takes a size of %d", size)
		}
		if _, err := chunk.Sign(t.Context(), bytes.NewReader(nil), size); err == nil {
			t.Errorf("Sign takes a size of %d", size)
		}
	}
}

func mutate(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + r.IntN(4) {
		if len(data) == 0 {
			break
		}
		// What decides lies mostly at the end and in headers.
		at := r.IntN(len(data))
		if r.IntN(2) == 0 {
			at = max(0, len(data)-1-r.IntN(400))
		}
		switch r.IntN(6) {
		case 0:
			data[at] ^= 1 << r.IntN(8)
		case 1:
			data[at] = byte(r.Uint32())
		case 2:
			data[at] = 0xff
		case 3:
			data = slices.Delete(data, at, min(len(data), at+1+r.IntN(30)))
		case 4:
			data = slices.Insert(data, at, make([]byte, 1+r.IntN(30))...)
		case 5:
			from := r.IntN(len(data))
			copy(data[at:], data[from:min(len(data), from+46)])
		}
	}
	return data
}

func TestCutMutatedArchives(t *testing.T) {
	sample := decode(t, sampleArchive)
	bent, _ := archive{members: some, zip64: true, prefix: "MZ", relative: true, comment: "c"}.build()
	sources := [][]byte{sample, bent, document(t, 12)}
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for range 20 {
			checkSound(t, mutate(r, sources[r.IntN(len(sources))]))
		}
	})
}

func TestCutBuiltArchives(t *testing.T) {
	text := rapid.StringN(0, 30, 40)
	one := rapid.Custom(func(t *rapid.T) member {
		return member{
			name:  text.Draw(t, "name"),
			extra: text.Draw(t, "extra"),
			data:  rapid.StringN(0, 300, 900).Draw(t, "data"),
			zip64: rapid.Bool().Draw(t, "zip64"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a := archive{
			prefix:   text.Draw(t, "prefix"),
			relative: rapid.Bool().Draw(t, "relative"),
			members:  rapid.SliceOfN(one, 0, 12).Draw(t, "members"),
			comment:  text.Draw(t, "comment"),
			zip64:    rapid.Bool().Draw(t, "zip64"),
		}
		a.order = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1)).Perm(len(a.members))
		data, want := a.build()
		scheme, got := checkSound(t, data)
		if scheme != chunk.Zip || !cmp.Equal(got, want) {
			t.Fatalf("%v %v, want Zip %v", scheme, got, want)
		}
	})
}

// TestCutLargeArchives has archives of which only a part is in memory at once.
func TestCutLargeArchives(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := string(randomBytes(8, 400_000))
	for range 20 {
		a := archive{prefix: noise[:r.IntN(3)*90_000], comment: noise[:r.IntN(0xffff)], zip64: r.IntN(2) == 0}
		for range 1 + r.IntN(12) {
			at := r.IntN(len(noise))
			a.members = append(a.members, member{
				name:       noise[:r.IntN(0xffff)],
				data:       noise[at : at+r.IntN(len(noise)-at)],
				descriptor: noise[:r.IntN(2)*r.IntN(200_000)],
				zip64:      r.IntN(2) == 0,
			})
		}
		data, want := a.build()
		checkTiles(t, data, chunk.Zip, want)
		// A lie that is found last makes what was done before void.
		a.members[len(a.members)-1].noMark = true
		data, _ = a.build()
		checkTiles(t, data, chunk.FullFile, []chunk.Piece{{Length: int64(len(data))}})
	}
}

func FuzzCut(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("PK\x05\x06 no archive"))
	f.Add(decode(f, sampleArchive))
	f.Add(document(f, 5))
	for _, a := range []archive{
		{}, {members: some, zip64: true, zip64Pad: "01"}, {members: some, prefix: "MZ", relative: true, comment: "PK\x05\x06"},
		{members: with(1, func(m *member) { m.zip64 = true; m.descriptor = "PK\x07\x08012345678901" })},
	} {
		data, _ := a.build()
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkSound(t, data) })
}

var errRead = errors.New("a broken disk")

// faulty fails from the given read on.
type faulty struct {
	io.ReaderAt
	good int
}

func (f *faulty) ReadAt(b []byte, at int64) (int, error) {
	if f.good--; f.good < 0 {
		return 0, errRead
	}
	return f.ReaderAt.ReadAt(b, at)
}

func TestReadErrorsAreErrors(t *testing.T) {
	data, _ := archive{members: []member{{data: string(make([]byte, 300_000))}, {data: string(make([]byte, 300_000))}}}.build()
	size := int64(len(data))
	failed := 0
	for good := range 100 {
		_, _, err := chunk.Cut(&faulty{bytes.NewReader(data), good}, size)
		if err != nil && !errors.Is(err, errRead) {
			t.Fatalf("Cut after %d reads: %v", good, err)
		}
		s, signErr := chunk.Sign(t.Context(), &faulty{bytes.NewReader(data), good}, size)
		if signErr != nil && !errors.Is(signErr, errRead) {
			t.Fatalf("Sign after %d reads: %v", good, signErr)
		}
		if signErr == nil && err == nil {
			if len(s.Chunks) != 5 {
				t.Fatalf("%d chunks", len(s.Chunks))
			}
			break
		}
		failed++
	}
	if failed < 4 || failed > 10 {
		t.Errorf("%d reads of %d bytes", failed, size)
	}
	if _, _, err := chunk.Cut(bytes.NewReader(data[:size-1]), size); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Cut of too short a stream: %v", err)
	}
	if _, err := chunk.Sign(t.Context(), bytes.NewReader(make([]byte, size-1)), size); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Sign of too short a stream: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := chunk.Sign(ctx, bytes.NewReader(data), size); !errors.Is(err, context.Canceled) {
		t.Errorf("Sign with a cancelled context: %v", err)
	}
}

// counted counts the bytes and calls of a ReaderAt.
type counted struct {
	io.ReaderAt
	calls int
	bytes int64
}

func (c *counted) ReadAt(b []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, at)
	c.calls++
	c.bytes += int64(n)
	return n, err
}

// TestSignReadsOnce holds that a large archive is read once, in large reads.
func TestSignReadsOnce(t *testing.T) {
	part := string(randomBytes(4, 500_000))
	a := archive{}
	for range 8 {
		a.members = append(a.members, member{name: "part", data: part}, member{name: "small", data: part[:50]})
	}
	data, _ := a.build()
	size := int64(len(data))
	c := &counted{ReaderAt: bytes.NewReader(data)}
	if _, err := chunk.Sign(t.Context(), c, size); err != nil {
		t.Fatal(err)
	}
	if c.bytes > size+256<<10 || c.calls > int(size/(64<<10)) {
		t.Errorf("Sign made %d reads of %d bytes for a stream of %d", c.calls, c.bytes, size)
	}
	c = &counted{ReaderAt: bytes.NewReader(data)}
	if _, _, err := chunk.Cut(c, size); err != nil {
		t.Fatal(err)
	}
	if c.bytes > 256<<10 {
		t.Errorf("Cut read %d bytes of a stream of %d", c.bytes, size)
	}
}

// allocated returns how many bytes do allocates, at the least of some runs.
func allocated(do func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func TestSignMemory(t *testing.T) {
	data := make([]byte, 32<<20)
	r := bytes.NewReader(data)
	sign(t, data) // fills the pool
	got := allocated(func() { chunk.Sign(context.Background(), r, int64(len(data))) })
	if got > 512<<10 {
		t.Errorf("signing %d bytes allocates %d", len(data), got)
	}
}

// TestImports holds that nothing here can inflate an archive, open a file or use the
// network.
func TestImports(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"bytes", "cmp", "context", "encoding/base64", "encoding/binary", "encoding/json", "errors", "fmt", "hash/maphash", "io",
		"math", "math/bits", "slices", "strconv", "sync", "unicode/utf8", "github.com/quire-docs/quire",
	}
	for _, i := range p.Imports {
		if !slices.Contains(allowed, i) {
			t.Errorf("package chunk imports %s", i)
		}
	}
}

func BenchmarkCut(b *testing.B) {
	data := document(b, 1000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	r := bytes.NewReader(data)
	for b.Loop() {
		if s, _, err := chunk.Cut(r, int64(len(data))); s != chunk.Zip || err != nil {
			b.Fatal(s, err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	large, _ := archive{members: []member{{data: string(randomBytes(5, 16<<20))}, {data: string(randomBytes(6, 16<<20))}}}.build()
	for name, data := range map[string][]byte{"1000 entries": document(b, 1000), "2 large entries": large} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			r := bytes.NewReader(data)
			for b.Loop() {
				if _, err := chunk.Sign(context.Background(), r, int64(len(data))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
