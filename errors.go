package quire

import (
	"errors"
	"fmt"
	"time"
)

// Sentinels. Match them, and the types below, with errors.Is and errors.As;
// never by text. What they say ends with what to do, because users see it.
var (
	// ErrNotFound: there is no such thing, or the caller may not know of it.
	ErrNotFound = errors.New("not found: check the id or path, and that you have access to it")
	// ErrForbidden: the caller may see the thing but not do this to it.
	ErrForbidden = errors.New("not permitted: ask the owner for access")
	// ErrUnauthenticated: no valid credential was presented.
	ErrUnauthenticated = errors.New("not signed in: present a valid token")
	// ErrNotEmpty: a container that still has children.
	ErrNotEmpty = errors.New("the folder is not empty: delete what is in it first")
	// ErrUploadGone: the upload session is unknown, has expired or was
	// cancelled.
	ErrUploadGone = errors.New("no such upload: it may have expired; start a new one")
	// ErrUploadBusy: another request on the same upload went first.
	ErrUploadBusy = errors.New("another request is writing to this upload: ask for its offset and go on from there")
	// ErrNotAFile and ErrNotAContainer: the node is of the other kind.
	ErrNotAFile      = errors.New("that is a folder: name a file")
	ErrNotAContainer = errors.New("that is a file: name a folder")
	// ErrNoSpace: the disk or bucket under the store is full.
	ErrNoSpace = errors.New("the server has no space left: tell its operator")
)

// Invalid reports an argument that can never be right.
type Invalid struct {
	What   string // the argument, in the words of the domain
	Reason string
}

func (e *Invalid) Error() string { return fmt.Sprintf("%s: %s", e.What, e.Reason) }

// InvalidName reports a name that no node can have.
type InvalidName struct {
	Name   string
	Reason string // ends with what to do
}

func (e *InvalidName) Error() string { return fmt.Sprintf("the name %q %s", e.Name, e.Reason) }

// Exists reports that a name is taken.
type Exists struct {
	Node NodeID // what has the name
	Name string
	Free string // a name that was free at the time
	Lock LockState
}

func (e *Exists) Error() string {
	return fmt.Sprintf("%q exists already: choose another name, for example %q", e.Name, e.Free)
}

// Locked reports that a lock stands in the way. State is the lock state in the
// transaction that refused, so that an answer needs no second, racing read.
type Locked struct {
	State  LockState
	Reason string // for people
}

func (e *Locked) Error() string {
	switch {
	case e.Reason != "":
		return e.Reason
	case e.State.WOPI != nil:
		return "the file is being edited until " + stamp(e.State.WOPI.Expires) + ": try again after that"
	case len(e.State.Coauth) > 0:
		return "the file is being edited by several people: try again later"
	}
	return "the file is not locked with that lock: take a lock first"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// Conflict reports that the content has moved on since the caller saw it.
type Conflict struct {
	Current Node // in the transaction that refused
}

func (e *Conflict) Error() string {
	return fmt.Sprintf("the file has changed: it is at revision %d now; get it, merge your changes and save again", e.Current.Revision)
}

// TooLarge reports a body over a limit.
type TooLarge struct {
	Limit int64 // bytes
	Hint  string
}

func (e *TooLarge) Error() string {
	return fmt.Sprintf("more than %d bytes%s", e.Limit, orDefault(e.Hint, ": send less"))
}

// QuotaExceeded reports that a site has no room for what was sent.
type QuotaExceeded struct {
	Quota int64 // bytes
	Used  int64
}

func (e *QuotaExceeded) Error() string {
	return fmt.Sprintf("the quota of %d bytes is used up (%d in use): delete something, or ask an administrator for more", e.Quota, e.Used)
}

// OffsetMismatch reports a chunk that does not start where the last one ended.
type OffsetMismatch struct {
	Got, Expected int64
	Upload        Upload
}

func (e *OffsetMismatch) Error() string {
	return fmt.Sprintf("Submitted input out of alignment: got [%d] expected [%d]", e.Got, e.Expected)
}

// Incomplete reports a body that ended before its stated length.
type Incomplete struct {
	Got, Expected int64
}

func (e *Incomplete) Error() string {
	return fmt.Sprintf("the body has %d bytes instead of the %d announced: send it again", e.Got, e.Expected)
}

// Unavailable reports that the server cannot do this now.
type Unavailable struct {
	Reason string
	After  time.Duration // when to try again
	Excess bool          // it is the caller who asks for too much at once
}

func (e *Unavailable) Error() string { return e.Reason }

func orDefault(s, d string) string {
	if s == "" {
		return d
	}
	return s
}
