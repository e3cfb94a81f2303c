package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/quire-docs/quire"
)

// TableVersion returns the version of a live coauth table (CSPP Plus §2, rule
// 7): an opaque text that is never empty, changes when what the table shows
// changes, and does not change when a lock is merely refreshed.
func TableVersion(s quire.LockState) string {
	type row struct {
		ID, Metadata, Type, Name string
		Since                    int64
	}
	rows := make([]row, len(s.Coauth))
	for i, c := range s.Coauth {
		rows[i] = row{c.ID, c.Metadata, string(c.Type), c.Name, c.Since.UnixMilli()}
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.ID, b.ID) })
	text, _ := json.Marshal(rows) // plain strings and numbers always have JSON
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
