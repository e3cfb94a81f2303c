package catalog

import (
	"encoding/base32"
	"strings"
	"testing"
)

// TestUsageShard: the bytes of different files are counted in different rows, also
// where the ids were made one after the other.
func TestUsageShard(t *testing.T) {
	rows := map[int64]int{}
	const now, files = 1_800_000_000_000, 64 * 40
	for i := range uint64(files) {
		// 48 bits of time, then bits of which only a few of the last character are.
		var b [16]byte
		for j := range 6 {
			b[j] = byte((now + i) >> (8 * (5 - j)))
		}
		b[15] = byte(i)
		rows[usageShard(strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])))]++
	}
	for row := range int64(usageShards) {
		if n := rows[row]; n == 0 || n > 4*files/usageShards {
			t.Errorf("row %d counts %d of %d files", row, n, files)
		}
	}
}
