package lock

import (
	"time"

	"github.com/quire-docs/quire"
)

// Change is what somebody wants to do to a file.
type Change int

// The changes. Reading is never restricted by a lock.
const (
	Content Change = iota + 1 // new content, by whatever protocol
	Rename                    // another name or container
	Delete
)

// Attempt is one change that somebody wants to make.
type Attempt struct {
	Change   Change
	Key      quire.LockKey // what is presented
	Same     SameID
	Size     int64 // the file's, in bytes
	Sequence int64 // the file's sequence number
	Rule     quire.UnlockedRule
}

// Empty says whether a key presents nothing.
func Empty(k quire.LockKey) bool { return k == quire.LockKey{} }

// MayChange decides whether a file may be changed at a time. The table, where
// WOPI and coauth are what the caller presents:
//
//	the file is            nothing   WOPI                coauth
//	free                   by rule   by rule             content: by rule; else yes
//	WOPI-locked            no        if it is that lock  no
//	coauth-locked          no        no                  content: if it is in the table
//	                                                     and nobody else's is exclusive;
//	                                                     rename: if it is in the table;
//	                                                     delete: no
//
// By rule: rename and delete are free; content follows quire.UnlockedRule.
// Presenting both kinds at once is an error whatever the state, and so is a
// change that is none of those above: what nobody thought of is not allowed.
func MayChange(s quire.LockState, a Attempt, now time.Time) error {
	if a.Change < Content || a.Change > Delete {
		return &quire.Invalid{What: "change", Reason: "it is not known"}
	}
	if a.Key.WOPI != "" && a.Key.Coauth != "" {
		return &quire.Invalid{What: "lock", Reason: "present a WOPI lock or a coauth lock, not both"}
	}
	s = At(s, now, a.Sequence)
	switch {
	case s.WOPI != nil:
		if a.Key.WOPI == "" || !a.Same.same(s.WOPI.ID, a.Key.WOPI) {
			return refuse(s)
		}
		return nil
	case len(s.Coauth) > 0:
		if a.Key.Coauth == "" || index(s.Coauth, a.Key.Coauth) < 0 || a.Change == Delete {
			return refuse(s)
		}
		if x := exclusive(s.Coauth); a.Change == Content && x != nil && x.ID != a.Key.Coauth {
			return refuse(s)
		}
		return nil
	}
	if a.Change != Content || a.Rule == quire.AllowUnlocked && Empty(a.Key) {
		return nil
	}
	if a.Rule == quire.AllowUnlocked {
		// What is presented is held no more: its holder's idea of the file may
		// be old.
		return refuse(s)
	}
	if a.Size == 0 {
		return nil
	}
	if a.Rule == quire.RecentHolderUnlocked && late(s, a, now) {
		return nil
	}
	return refuse(s)
}

// late says whether a save comes from the holder of the last lock, while
// nothing has changed since it ended.
func late(s quire.LockState, a Attempt, now time.Time) bool {
	return s.Last != nil && a.Key.WOPI != "" && a.Same.same(s.Last.ID, a.Key.WOPI) &&
		s.Last.Sequence == a.Sequence && now.Sub(s.Last.Ended) < LateSave
}

// Blocker is which kind of lock a file has.
type Blocker int

// The kinds.
const (
	None          Blocker = iota
	ByWOPI                // the WOPI lock
	ByCoauth              // coauth locks, none of them exclusive
	ByCoauthAlone         // coauth locks, one of them exclusive
)

// What returns which kind of lock a live state has, for the headers that say
// what stands in the way.
func What(s quire.LockState) Blocker {
	switch {
	case s.WOPI != nil:
		return ByWOPI
	case exclusive(s.Coauth) != nil:
		return ByCoauthAlone
	case len(s.Coauth) > 0:
		return ByCoauth
	}
	return None
}

// refuse is the refusal of a live state, with a reason for people. It names
// nobody but a WOPI lock's holder who allowed it.
func refuse(s quire.LockState) error {
	e := &quire.Locked{State: s}
	switch What(s) {
	case ByWOPI:
		who := "somebody"
		if s.WOPI.Visible && s.WOPI.Name != "" {
			who = s.WOPI.Name
		}
		e.Reason = who + " has been editing the file" + in(s.WOPI.Editor) + " since " + clock(s.WOPI.Since) +
			"; it is locked until " + clock(s.WOPI.Expires) + ": try again later, or ask the owner to unlock it"
	case ByCoauthAlone:
		x := exclusive(s.Coauth)
		e.Reason = "one of those who edit the file together" + in(x.Editor) + " has it alone; that lock was taken at " +
			clock(x.Since) + " and lasts until " + clock(x.Expires) + ": try again in a moment"
	case ByCoauth:
		first, last := s.Coauth[0], s.Coauth[0].Expires
		for _, c := range s.Coauth {
			if c.Since.Before(first.Since) {
				first = c
			}
			if c.Expires.After(last) {
				last = c.Expires
			}
		}
		e.Reason = "the file has been open for editing together" + in(first.Editor) + " since " + clock(first.Since) +
			"; it is locked until " + clock(last) + ": open it in the same editor, or try again later"
	default:
		e.Reason = "the file is not locked by you: lock it first"
	}
	return e
}

func in(editor string) string {
	if editor == "" {
		return ""
	}
	return " in " + editor
}

// clock has the date too: a lock that is refreshed can be days old.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
