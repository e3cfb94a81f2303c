package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrClaimed: the storage belongs to another installation.
var ErrClaimed = errors.New("blob: the storage belongs to another installation")

// Claimer is what a Driver has beside its interface if its storage can hold the
// id of the installation that it belongs to.
type Claimer interface {
	// Claim makes the storage the installation's, durably, if it is nobody's.
	// If it is another's it gives ErrClaimed and changes nothing. Of several
	// that claim at once one wins.
	Claim(ctx context.Context, id string) error
}

// Claim makes the storage that of an installation, known by an id of 1 to 100
// visible ASCII characters, or gives ErrClaimed if it is another's: two catalogs
// over one storage would delete each other's segments as garbage. Storage that
// cannot hold an id is anybody's.
func (s *Store) Claim(ctx context.Context, id string) error {
	if len(id) == 0 || len(id) > 100 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("blob: %q cannot be an installation's id", id)
	}
	c, ok := s.driver.(Claimer)
	if !ok {
		return nil
	}
	return s.retry(ctx, func() error { return c.Claim(ctx, id) })
}

// claimHead begins the text that marks a storage.
const claimHead = "quire installation "

// ClaimText is the text by which drivers mark a storage as an installation's.
func ClaimText(id string) string { return claimHead + id + "\n" }

// CheckClaim compares the text that a driver found at a place with an
// installation's id.
func CheckClaim(place, text, id string) error {
	if text == ClaimText(id) {
		return nil
	}
	owner, ok := strings.CutPrefix(strings.TrimSpace(text), claimHead)
	if !ok {
		return fmt.Errorf("%w: %s is marked by something that this version does not understand; use another place, or upgrade", ErrClaimed, place)
	}
	return fmt.Errorf("%w: %s holds the segments of installation %s, this is %s; use another bucket, prefix or folder", ErrClaimed, place, owner, id)
}
