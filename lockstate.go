package quire

import "time"

// LockState is who protects a file: nobody, one WOPI lock, or a table of
// coauth locks. Package lock decides over it; the catalog stores it in the
// file's row, so that a lock check and a change are one transaction.
//
// Expired locks may still be in a stored state. They count for nothing: use
// lock.At to drop them.
type LockState struct {
	WOPI   *WOPILock    `json:"wopi,omitempty"`
	Coauth []CoauthLock `json:"coauth,omitempty"` // in the order they were taken
	Last   *LastLock    `json:"last,omitempty"`   // the WOPI lock that was released or expired last
}

// WOPILock is the one lock of a file under WOPI. It belongs to its id, not to
// the user who took it.
type WOPILock struct {
	ID      string    `json:"id"`
	User    UserID    `json:"user,omitempty"`
	Name    string    `json:"name"`              // of the user who took it
	Visible bool      `json:"visible,omitempty"` // the name may be told to others
	Editor  string    `json:"editor,omitempty"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// CoauthType is the type of a coauth lock.
type CoauthType string

// The types of coauth lock (CSPP Plus §2).
const (
	Coauth          CoauthType = "Coauth"
	CoauthExclusive CoauthType = "CoauthExclusive"
)

// CoauthLock is one row of a file's coauth table.
type CoauthLock struct {
	ID       string     `json:"id"`
	Type     CoauthType `json:"type"`
	Metadata string     `json:"metadata,omitempty"`
	User     UserID     `json:"user,omitempty"`
	Name     string     `json:"name"` // of the user who took it; never empty
	Editor   string     `json:"editor,omitempty"`
	Since    time.Time  `json:"since"`   // when this id's lock was first taken
	Expires  time.Time  `json:"expires"` // it is gone at this instant
}

// LastLock remembers the WOPI lock that a file had last, so that a save which
// arrives after Unlock or expiry is not lost.
type LastLock struct {
	ID       string    `json:"id"`
	User     UserID    `json:"user,omitempty"`
	Ended    time.Time `json:"ended"`
	Sequence int64     `json:"sequence"` // the file's sequence number when it ended
}

// LockKey is what a caller presents to a lock. At most one field may be set.
type LockKey struct {
	WOPI   string
	Coauth string
}
