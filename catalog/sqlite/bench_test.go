package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// syncs is how many appends of 4 KiB the folder's disk makes durable in a
// second, one after the other: what the catalog's figures are measured by.
func syncs(b *testing.B, folder string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(folder, "syncs"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	n := 0
	began := time.Now()
	for ; time.Since(began) < time.Second; n++ {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

// benchStore is a catalog of some files.
func benchStore(b *testing.B, files int) (s *catalog.Store, folder string) {
	b.Helper()
	folder = b.TempDir()
	s = catalog.New(open(b, filepath.Join(folder, "catalog.db")))
	b.Cleanup(func() { s.Close() })
	err := s.Update(context.Background(), func(tx *catalog.Tx) error {
		for i := range files {
			if err := tx.InsertNode(&quire.Node{ID: fileID(i), NameKey: fmt.Sprint("n", i), Kind: quire.File}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, folder
}

func fileID(i int) quire.NodeID { return quire.NodeID(fmt.Sprint("n", i)) }

// callers runs f b.N times, from so many goroutines, and returns how many
// times a second that was.
func callers(b *testing.B, count int, f func(caller int) error) float64 {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	b.ResetTimer()
	for c := range count {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	return float64(b.N) / b.Elapsed().Seconds()
}

// BenchmarkLockRefresh reads a file's record, changes its lock and writes it
// durably. ratio is how many of these the catalog does in the time that the
// disk needs for one small durable write: above 1, callers share commits.
func BenchmarkLockRefresh(b *testing.B) {
	const files = 64
	ctx := context.Background()
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint("callers=", n), func(b *testing.B) {
			s, folder := benchStore(b, files)
			disk := syncs(b, folder)
			rate := callers(b, n, func(c int) error {
				return s.Update(ctx, func(tx *catalog.Tx) error {
					n, err := tx.Node(fileID(c % files))
					if err != nil {
						return err
					}
					n.Lock.WOPI = &quire.WOPILock{ID: "lock", Expires: tx.Now().Add(30 * time.Minute)}
					return tx.UpdateNode(&n)
				})
			})
			b.ReportMetric(rate, "refreshes/s")
			b.ReportMetric(disk, "fsyncs/s")
			b.ReportMetric(rate/disk, "ratio")
		})
	}
}

// BenchmarkView reads one file's record.
func BenchmarkView(b *testing.B) {
	s, _ := benchStore(b, 64)
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		err := s.View(ctx, func(tx *catalog.Tx) error {
			_, err := tx.Node(fileID(i % 64))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdate writes single rows that have nothing to do with each other.
func BenchmarkUpdate(b *testing.B) {
	ctx := context.Background()
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprint("callers=", n), func(b *testing.B) {
			s, _ := benchStore(b, 0)
			due := time.Now()
			var number atomic.Int64
			rate := callers(b, n, func(int) error {
				subject := fmt.Sprint(number.Add(1))
				return s.Update(ctx, func(tx *catalog.Tx) error {
					return tx.PutChore(catalog.Chore{Kind: "bench", Subject: subject, Due: due})
				})
			})
			b.ReportMetric(rate, "updates/s")
		})
	}
}
