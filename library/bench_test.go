package library_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// BenchmarkSave saves new files of 4 KiB from many callers at once.
func BenchmarkSave(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			f := open(b, library.Options{})
			body := strings.Repeat("x", 4000)
			var n atomic.Int64
			b.SetParallelism((callers + 1) / 2)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					i := n.Add(1)
					t := quire.Target{Path: fmt.Sprintf("/w%d/%d", i%16, i), OnConflict: quire.Replace}
					if _, _, err := f.Save(f.ctx, f.admin, t, strings.NewReader(fmt.Sprint(i, body)), library.Save{}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
