package dir

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
)

// repeat yields n bytes by copying a buffer, which costs about as much as
// receiving them from a socket does.
type repeat struct {
	buf  []byte
	left int64
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.buf)
	r.left -= int64(n)
	return n, nil
}

// plain writes a file as simply as it can be done durably, without a checksum,
// and removes it, as a measure of what the machine is capable of.
func plain(b *testing.B, dir string, r io.Reader, buf []byte, rename bool) {
	name := filepath.Join(dir, string(blob.NewKey()))
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, r, buf); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	if rename {
		if err := os.Rename(name, name+"x"); err != nil {
			b.Fatal(err)
		}
		if err := (osFS{}).syncDir(dir); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut streams segments of 1 GiB (256 MiB with -short) through a Store
// with its checksum. The metric "of-plain" is its speed divided by that of
// writing a plain file and flushing it, alternately in the same run.
func BenchmarkPut(b *testing.B) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 256 << 20
	}
	path := b.TempDir()
	store := blob.New(mustOpen(b, filepath.Join(path, "blobs"), Options{}), blob.Options{})
	source, buf := blobtest.Bytes(1, 1<<20), make([]byte, 1<<20)
	b.SetBytes(size)
	b.ReportAllocs()
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		seg, err := store.Put(b.Context(), &repeat{source, size})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		if err := store.Delete(b.Context(), seg.Key); err != nil {
			b.Fatal(err)
		}
		scratch := filepath.Join(path, "scratch")
		if err := os.Mkdir(scratch, 0o700); err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		plain(b, scratch, &repeat{source, size}, buf, false)
		theirs += time.Since(start)
		if err := os.RemoveAll(scratch); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(theirs)/float64(ours), "of-plain")
	b.ReportMetric(float64(size)*float64(b.N)/theirs.Seconds()/1e6, "plain-MB/s")
}

// BenchmarkPutSmall stores segments of 4 KiB. The metric "of-plain" is its
// speed divided by that of create, write, fsync, rename and fsync of the folder.
func BenchmarkPutSmall(b *testing.B) {
	path := b.TempDir()
	store := blob.New(mustOpen(b, filepath.Join(path, "blobs"), Options{}), blob.Options{})
	scratch := filepath.Join(path, "scratch")
	if err := os.Mkdir(scratch, 0o700); err != nil {
		b.Fatal(err)
	}
	content, buf := blobtest.Bytes(1, 4<<10), make([]byte, 4<<10)
	// Every folder has been used before, as in a store that is a while old.
	for range 4 << 10 {
		if _, err := store.Put(b.Context(), bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := store.Put(b.Context(), bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		start = time.Now()
		plain(b, scratch, bytes.NewReader(content), buf, true)
		theirs += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(theirs)/float64(ours), "of-plain")
	b.ReportMetric(float64(b.N)/theirs.Seconds(), "plain/s")
	b.ReportMetric(float64(b.N)/ours.Seconds(), "puts/s")
}

// BenchmarkRead opens, reads and closes a range of 64 KiB.
func BenchmarkRead(b *testing.B) {
	d := mustOpen(b, b.TempDir(), Options{})
	key := blob.NewKey()
	if _, err := d.Put(b.Context(), key, blobtest.Sparse(8<<20)); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := d.Open(b.Context(), key, 1<<20, int64(len(buf)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, buf); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
