package ucloud_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/quire-docs/quire/door/ucloud"
)

var (
	benchFiles = flag.Int("files", 10_000, "how many small files BenchmarkSmallFiles sends")
	benchConns = flag.Int("connections", 4, "over how many connections BenchmarkSmallFiles sends")
	bigSize    = flag.Int64("big", 96<<20, "how many bytes the test of large files sends")
)

// smallSize is how large the i-th file of the benchmark is: 1 to 8 KiB.
func smallSize(i int) int { return 1024 + i*7919%7168 }

func smallPath(i int) string { return fmt.Sprintf("d%02d/e%02d/file-%05d.txt", i%20, i/20%10, i) }

// BenchmarkSmallFiles sends a folder of small files over WEBSOCKET_V2, every
// one durable before it is counted, and measures beside it how long cp -r and
// sync take for the same tree.
func BenchmarkSmallFiles(b *testing.B) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 512)
	b.Run("websocket", func(b *testing.B) {
		for n := range b.N {
			b.StopTimer()
			f := open(b, ucloud.Options{})
			u := f.begin(fmt.Sprintf("/main/tree%d", n), "FOLDER", `["WEBSOCKET_V2"]`, "RENAME")
			b.StartTimer()
			var wg sync.WaitGroup
			for c := range *benchConns {
				conn := dial(b, u.Endpoint)
				wg.Go(func() { sendSmall(conn, c, *benchConns, *benchFiles, data) })
			}
			wg.Wait()
			b.StopTimer()
		}
		b.ReportMetric(float64(*benchFiles*b.N)/b.Elapsed().Seconds(), "files/s")
	})
	b.Run("cp", func(b *testing.B) {
		from := b.TempDir()
		for i := range *benchFiles {
			path := filepath.Join(from, smallPath(i))
			os.MkdirAll(filepath.Dir(path), 0o777)
			if err := os.WriteFile(path, data[:smallSize(i)], 0o666); err != nil {
				b.Fatal(err)
			}
		}
		syscall.Sync()
		b.ResetTimer()
		for n := range b.N {
			if err := exec.Command("cp", "-r", from, filepath.Join(b.TempDir(), strconv.Itoa(n))).Run(); err != nil {
				b.Fatal(err)
			}
			syscall.Sync()
		}
		b.ReportMetric(float64(*benchFiles*b.N)/b.Elapsed().Seconds(), "files/s")
	})
}

// sendSmall sends every so many-th file and waits until all are complete.
func sendSmall(c *client, first, step, n int, data []byte) {
	asked := make(chan uint32, n)
	go func() {
		var list []byte
		for i := first; i < n; i += step {
			list = append(list, listing(uint32(i), int64(smallSize(i)), day, smallPath(i))...)
			if len(list) > 60_000 || i+step >= n {
				if c.conn.Write(c.ctx, websocket.MessageBinary, frame(4, list)) != nil {
					return
				}
				list = nil
			}
		}
		for id := range asked {
			if c.conn.Write(c.ctx, websocket.MessageBinary, frame(2, u32(id), data[:smallSize(int(id))])) != nil {
				return
			}
		}
	}()
	want := uint32((n - first + step - 1) / step)
	for {
		for b := []byte(c.read()); len(b) >= 5; b = b[5:] {
			switch v := binary.BigEndian.Uint32(b[1:]); {
			case b[0] == 0:
				asked <- v
			case b[0] == 5 && v == want:
				close(asked)
				return
			}
		}
	}
}

// source yields the same random bytes each time it is opened.
func source(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1, 2, 3}), n)
}

// TestLargeFiles sends one large file by each protocol, interrupted along the
// way, and compares it. Memory must not follow the size.
func TestLargeFiles(t *testing.T) {
	size := *bigSize
	f := open(t, ucloud.Options{})
	want := sha256.New()
	io.Copy(want, source(size))
	peak := watchMemory(t)
	same := func(path string) {
		t.Helper()
		in, err := f.lib.OpenPath(f.ctx, f.admin, path, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		got := sha256.New()
		if _, err := io.Copy(got, in.Reader(0, in.Size)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("%s has other bytes", path)
		}
	}
	random := rand.New(rand.NewPCG(5, 6))

	t.Run("chunks", func(t *testing.T) {
		u := f.chunked("/main/chunks.bin", "RENAME")
		part := make([]byte, 16_000_000)
		at := int64(0)
		for src := bufio.NewReaderSize(source(size), 1<<20); at < size; {
			n, _ := io.ReadFull(src, part[:min(int64(len(part)), size-at)])
			if random.IntN(4) == 0 {
				f.cut(u, at, size, part[:n], random.IntN(n))
				u = f.chunked("/main/chunks.bin", "RENAME")
			}
			if a := f.send(chunk(u, at, size, part[:n])); a.status != 200 {
				t.Fatalf("chunk at %d: %d %s", at, a.status, a.body)
			}
			at += int64(n)
		}
		same("/chunks.bin")
	})
	t.Run("V1", func(t *testing.T) {
		u := f.begin("/main/v1.bin", "FILE", `["WEBSOCKET"]`, "RENAME")
		part := make([]byte, 4_000_000)
		src := bufio.NewReaderSize(source(size), 1<<20)
		c := dial(t, u.Endpoint)
		c.text(fmt.Sprintf("0 %d", size))
		for at := int64(0); at < size; {
			n, _ := io.ReadFull(src, part[:min(int64(len(part)), size-at)])
			if random.IntN(8) == 0 {
				// The connection breaks in the middle of a frame.
				if w, err := c.conn.Writer(c.ctx, websocket.MessageBinary); err == nil {
					w.Write(part[:random.IntN(n)])
				}
				c.conn.CloseNow()
				c = f.again(u, at, size)
			}
			c.send(part[:n])
			_, got, err := c.conn.Read(c.ctx)
			for err != nil && strings.Contains(err.Error(), "another request") {
				// The broken connection's frame came after all.
				c = f.again(u, at, size)
				c.send(part[:n])
				_, got, err = c.conn.Read(c.ctx)
			}
			at += int64(n)
			if err != nil || string(got) != strconv.FormatInt(at, 10) {
				t.Fatalf("got %s, %v at %d", got, err, at)
			}
		}
		same("/v1.bin")
	})
	t.Run("V2", func(t *testing.T) {
		u := f.begin("/main/v2", "FOLDER", `["WEBSOCKET"]`, "RENAME")
		for attempt := range 3 {
			c := dial(t, u.Endpoint)
			c.send(frame(4, listing(0, size, day, "v2.bin")))
			c.read()
			stop := size
			if attempt < 2 {
				stop = random.Int64N(size)
			}
			part := make([]byte, 4_000_000)
			src := source(stop)
			for at := int64(0); at < stop; {
				n, _ := io.ReadFull(src, part[:min(int64(len(part)), stop-at)])
				c.send(frame(2, u32(0), part[:n]))
				at += int64(n)
			}
			if attempt == 2 {
				c.done(1)
			}
			c.conn.CloseNow()
			if _, err := f.lib.Lookup(f.ctx, f.admin, "/v2/v2.bin"); (err == nil) != (attempt == 2) {
				t.Errorf("attempt %d: %v", attempt, err)
			}
		}
		same("/v2/v2.bin")
	})
	limit := uint64(64 << 20)
	if !f.place.Local() {
		limit += 64 << 20 // an upload to a bucket keeps four parts of 8 MiB, and goes on while the next begins
	}
	if p := peak(); p > limit {
		t.Errorf("the heap grew to %d MB", p>>20)
	} else {
		t.Logf("the heap grew to %d MB", p>>20)
	}
	f.clean()
}

// again opens a V1 connection for a session that another one may still be
// leaving.
func (f *fixture) again(u upload, at, total int64) *client {
	f.t.Helper()
	for range 200 {
		c := dial(f.t, u.Endpoint)
		c.text(fmt.Sprintf("%d %d", at, total))
		c.send(nil) // answered with the offset, if the session is free
		if _, b, err := c.conn.Read(c.ctx); err == nil && string(b) == strconv.FormatInt(at, 10) {
			return c
		} else if err != nil && !strings.Contains(err.Error(), "another request") {
			f.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	f.t.Fatal("the session stays busy")
	return nil
}

// watchMemory returns how far the heap in use has grown at most.
func watchMemory(t *testing.T) (peak func() uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return most - min(most, before)
	}
}
