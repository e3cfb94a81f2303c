package catalog

import (
	"github.com/quire-docs/quire"
)

// lockedUntil is when the last lock of a file ends: 0 if it has none. It is
// stored beside the lock so that locked files can be found.
func lockedUntil(s *quire.LockState) int64 {
	var until int64
	if s.WOPI != nil {
		until = millis(s.WOPI.Expires)
	}
	for _, c := range s.Coauth {
		until = max(until, millis(c.Expires))
	}
	return until
}

// LockedBelow returns a file in the tree below a container that somebody holds
// a lock on, or quire.ErrNotFound.
func (t *Tx) LockedBelow(site quire.SiteID, container quire.NodeID) (quire.Node, error) {
	locked, err := nodes.all(t, "WHERE site = $1 AND locked > 0 AND locked_until > $2", site, millis(t.now))
	if err != nil {
		return quire.Node{}, err
	}
	for _, n := range locked {
		up, err := t.Ancestry(n.ID, "")
		if err != nil {
			return quire.Node{}, err
		}
		for _, a := range up {
			if a.ID == container {
				return n, nil
			}
		}
	}
	return quire.Node{}, quire.ErrNotFound
}

// CountLocked tells how many files somebody holds a lock on.
func (t *Tx) CountLocked() (int64, error) {
	return t.number("SELECT COUNT(*) FROM nodes WHERE locked > 0 AND locked_until > $1", millis(t.now))
}
