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

// Marked is what a Claimer has beside Claim if the mark can be read without
// leaving one.
type Marked interface {
	// Owner returns the id of the installation that the storage belongs to; it
	// is empty if it is nobody's.
	Owner(ctx context.Context) (id string, err error)
}

// Owner returns the id of the installation that the storage belongs to; it is
// empty if it is nobody's, or cannot be known.
func (s *Store) Owner(ctx context.Context) (id string, err error) {
	m, ok := s.driver.(Marked)
	if !ok {
		return "", nil
	}
	err = s.retry(ctx, func() error {
		id, err = m.Owner(ctx)
		return err
	})
	return id, err
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

// ClaimedBy returns the id in the text that a driver found at a place.
func ClaimedBy(place, text string) (string, error) {
	id, ok := strings.CutPrefix(strings.TrimSpace(text), claimHead)
	if !ok || id == "" {
		return "", fmt.Errorf("%w: %s is marked by something that this version does not understand; use another place, or upgrade", ErrClaimed, place)
	}
	return id, nil
}

// CheckClaim compares the text that a driver found at a place with an
// installation's id.
func CheckClaim(place, text, id string) error {
	if text == ClaimText(id) {
		return nil
	}
	owner, err := ClaimedBy(place, text)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s holds the segments of installation %s, this is %s; use another bucket, prefix or folder", ErrClaimed, place, owner, id)
}
