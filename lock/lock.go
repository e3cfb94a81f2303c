// Package lock decides over a file's locks: the one WOPI lock, or the table of
// coauth locks. It is pure: a state, a request and a time go in; the next state
// or a refusal comes out. Every door's locks and changes go through it, so that
// one lock holds at every door.
//
// Refusals are *quire.Locked with the live state, for the answer's headers, and
// arguments that can never be right are *quire.Invalid. Functions never change
// what they are given.
package lock

import (
	"slices"
	"strconv"
	"time"

	"github.com/quire-docs/quire"
)

// Times of the protocols.
const (
	// DefaultTimeout is how long a WOPI lock lasts after the last Lock or
	// RefreshLock that asked for no other time (WOPI §2).
	DefaultTimeout = 30 * time.Minute
	// MinTimeout and MaxTimeout bound what a client may ask for (CSPP Plus §2).
	MinTimeout = 60 * time.Second
	MaxTimeout = 3600 * time.Second
	// LateSave is how long after its end the last WOPI lock still lets its
	// holder save, if nothing changed since (quire.RecentHolderUnlocked).
	LateSave = 24 * time.Hour
)

// maxTable bounds the coauth locks of one file.
const maxTable = 1000

// Op is what is asked of a lock.
type Op int

// The operations. The coauth ones are those of CSPP Plus §2.
const (
	Lock            Op = iota + 1 // take the WOPI lock, or refresh it if it has the same id
	Refresh                       // RefreshLock
	Unlock                        // Unlock
	UnlockAndRelock               // swap the lock with OldID for one with ID
	GetCoauth                     // GetCoauthLock: take, refresh or convert
	RefreshCoauth                 // RefreshCoauthLock
	UnlockCoauth                  // UnlockCoauthLock
	ForceUnlock                   // drop everything; who may do so is not decided here
)

// SameID says whether two WOPI lock ids belong to one editing session. nil is
// equality.
type SameID func(a, b string) bool

func (f SameID) same(a, b string) bool { return a == b || f != nil && f(a, b) }

// Request is one lock operation.
type Request struct {
	Op    Op
	ID    string // of the lock: 1 to quire.MaxLockID ASCII characters
	OldID string // for UnlockAndRelock
	// Timeout is how long the lock is to last, MinTimeout to MaxTimeout. 0 is
	// DefaultTimeout for WOPI locks; coauth locks must say.
	Timeout  time.Duration
	Visible  bool             // the holder's name may be told, until the next Lock or Refresh
	Type     quire.CoauthType // for GetCoauth
	Metadata string           // for GetCoauth and RefreshCoauth: at most quire.MaxLockMetadata bytes
	User     quire.UserID
	Name     string // of the user, for others to see; never empty for GetCoauth
	Editor   string
	Same     SameID
}

// At returns a state without the locks that have expired at a time: a lock is
// gone at the very instant it expires. An expired WOPI lock becomes the last
// one, ended when it expired.
//
// sequence is the file's sequence number. It is taken for the one that the lock
// ended with. While the lock lived only its holder could change the file, so
// that is true until the first change after its end; therefore whoever stores
// a change of a file must store At of its lock state in the same transaction,
// or the old holder could save late over that change.
func At(s quire.LockState, now time.Time, sequence int64) quire.LockState {
	if w := s.WOPI; w != nil && !now.Before(w.Expires) {
		s.Last = &quire.LastLock{ID: w.ID, User: w.User, Ended: w.Expires, Sequence: sequence}
		s.WOPI = nil
	}
	for _, c := range s.Coauth {
		if now.Before(c.Expires) {
			continue
		}
		var alive []quire.CoauthLock
		for _, c := range s.Coauth {
			if now.Before(c.Expires) {
				alive = append(alive, c)
			}
		}
		s.Coauth = alive
		break
	}
	return s
}

// NextExpiry returns when the first of the locks that are live at a time is
// going to expire if nobody refreshes it; ok is false if there is none. It is
// for display: what has expired needs no sweep.
func NextExpiry(s quire.LockState, now time.Time) (next time.Time, ok bool) {
	for _, t := range expiries(s) {
		if now.Before(t) && (!ok || t.Before(next)) {
			next, ok = t, true
		}
	}
	return next, ok
}

func expiries(s quire.LockState) []time.Time {
	var all []time.Time
	if s.WOPI != nil {
		all = append(all, s.WOPI.Expires)
	}
	for _, c := range s.Coauth {
		all = append(all, c.Expires)
	}
	return all
}

// Apply decides a lock operation on a file at a time. With an error it returns
// the live state, for an answer that tells of it; there is nothing to store.
// Bad arguments are *quire.Invalid whatever the state, a refusal is
// *quire.Locked, and a coauth table that is full *quire.Unavailable. The table:
//
//	                 free        WOPI, same id  WOPI, other id  coauth locks
//	Lock             take        refresh        refuse          refuse
//	Refresh          refuse      refresh        refuse          refuse
//	Unlock           refuse      release        refuse          refuse
//	UnlockAndRelock  refuse      swap           refuse          refuse    (the id is OldID)
//	GetCoauth        take        refuse         refuse          take, refresh or convert;
//	                                                            a second exclusive: refuse
//	RefreshCoauth    refuse      refuse         refuse          refresh if it is in the table
//	UnlockCoauth     refuse      refuse         refuse          release if it is in the table
func Apply(s quire.LockState, r Request, sequence int64, now time.Time) (quire.LockState, error) {
	s = At(s, now, sequence)
	if r.Op == ForceUnlock {
		return quire.LockState{}, nil
	}
	if err := check(r); err != nil {
		return s, err
	}
	switch r.Op {
	case Lock, Refresh, Unlock, UnlockAndRelock:
		return applyWOPI(s, r, sequence, now)
	}
	return applyCoauth(s, r, now)
}

// check refuses arguments that no state makes right.
func check(r Request) error {
	if r.Op < Lock || r.Op > ForceUnlock {
		return &quire.Invalid{What: "lock operation", Reason: "it is not known"}
	}
	if err := checkID("lock id", r.ID); err != nil {
		return err
	}
	if r.Op == UnlockAndRelock {
		if err := checkID("old lock id", r.OldID); err != nil {
			return err
		}
	}
	timed := r.Op != Unlock && r.Op != UnlockCoauth
	optional := r.Op == Lock || r.Op == Refresh || r.Op == UnlockAndRelock
	if timed && (r.Timeout < MinTimeout || r.Timeout > MaxTimeout) && !(optional && r.Timeout == 0) {
		return &quire.Invalid{What: "lock timeout", Reason: "use 60 to 3600 seconds"}
	}
	if r.Op == GetCoauth && r.Type != quire.Coauth && r.Type != quire.CoauthExclusive {
		return &quire.Invalid{What: "coauth lock type", Reason: "use Coauth or CoauthExclusive"}
	}
	if len(r.Metadata) > quire.MaxLockMetadata {
		return &quire.Invalid{What: "coauth lock metadata", Reason: "use at most " + strconv.Itoa(quire.MaxLockMetadata) + " bytes"}
	}
	return nil
}

func checkID(what, id string) error {
	switch {
	case id == "":
		return &quire.Invalid{What: what, Reason: "it is missing"}
	case len(id) > quire.MaxLockID:
		return &quire.Invalid{What: what, Reason: "use at most " + strconv.Itoa(quire.MaxLockID) + " characters"}
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return &quire.Invalid{What: what, Reason: "use printable ASCII characters only"}
		}
	}
	return nil
}

func applyWOPI(s quire.LockState, r Request, sequence int64, now time.Time) (quire.LockState, error) {
	if len(s.Coauth) > 0 {
		return s, refuse(s)
	}
	held := r.ID
	if r.Op == UnlockAndRelock {
		held = r.OldID
	}
	if s.WOPI == nil {
		if r.Op != Lock {
			return s, refuse(s)
		}
		s.WOPI = taken(r, now)
		s.Last = nil
		return s, nil
	}
	if !r.Same.same(s.WOPI.ID, held) {
		return s, refuse(s)
	}
	switch r.Op {
	case Unlock:
		s.Last = &quire.LastLock{ID: s.WOPI.ID, User: s.WOPI.User, Ended: now, Sequence: sequence}
		s.WOPI = nil
	case UnlockAndRelock:
		s.WOPI = taken(r, now)
	default:
		// The taker and the time it was taken stay; the id is the one that was
		// presented last, which differs only where ids are compared by session.
		w := *s.WOPI
		w.ID, w.Visible, w.Expires = r.ID, r.Visible, now.Add(r.timeout())
		s.WOPI = &w
	}
	return s, nil
}

func (r Request) timeout() time.Duration {
	if r.Timeout == 0 {
		return DefaultTimeout
	}
	return r.Timeout
}

func taken(r Request, now time.Time) *quire.WOPILock {
	return &quire.WOPILock{ID: r.ID, User: r.User, Name: r.Name, Visible: r.Visible, Editor: r.Editor, Since: now, Expires: now.Add(r.timeout())}
}

func applyCoauth(s quire.LockState, r Request, now time.Time) (quire.LockState, error) {
	if s.WOPI != nil {
		return s, refuse(s)
	}
	s.Coauth = slices.Clone(s.Coauth)
	at := index(s.Coauth, r.ID)
	switch {
	case r.Op != GetCoauth && at < 0:
		return s, refuse(s)
	case r.Op == UnlockCoauth:
		s.Coauth = slices.Delete(s.Coauth, at, at+1)
		return s, nil
	case r.Op == RefreshCoauth:
		c := &s.Coauth[at]
		c.Expires = now.Add(r.Timeout)
		if r.Metadata != "" {
			c.Metadata = r.Metadata
		}
		return s, nil
	}
	if x := exclusive(s.Coauth); r.Type == quire.CoauthExclusive && x != nil && x.ID != r.ID {
		return s, refuse(s)
	}
	if at < 0 {
		if len(s.Coauth) >= maxTable {
			return s, &quire.Unavailable{Reason: "too many people edit this file at once: try again later", After: time.Minute}
		}
		s.Coauth = append(s.Coauth, quire.CoauthLock{ID: r.ID, User: r.User, Name: r.Name, Editor: r.Editor, Since: now})
		at = len(s.Coauth) - 1
		s.Last = nil
	}
	c := &s.Coauth[at]
	c.Type, c.Metadata, c.Expires = r.Type, r.Metadata, now.Add(r.Timeout)
	return s, nil
}

func index(table []quire.CoauthLock, id string) int {
	return slices.IndexFunc(table, func(c quire.CoauthLock) bool { return c.ID == id })
}

// exclusive returns the CoauthExclusive lock of a table, or nil.
func exclusive(table []quire.CoauthLock) *quire.CoauthLock {
	for i := range table {
		if table[i].Type == quire.CoauthExclusive {
			return &table[i]
		}
	}
	return nil
}
