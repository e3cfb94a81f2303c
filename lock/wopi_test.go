package lock_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

// must applies operations that have to succeed, each a second after the one
// before.
func must(t *testing.T, s quire.LockState, now *time.Time, rs ...lock.Request) quire.LockState {
	t.Helper()
	for _, r := range rs {
		*now = now.Add(time.Second)
		next, err := lock.Apply(frozen(t, s), r, seq, *now)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		s = next
	}
	return s
}

func TestWOPITimeouts(t *testing.T) {
	rows := []struct {
		name string
		op   lock.Request
		ask  time.Duration
		want time.Duration
	}{
		{"Lock", lock.Request{Op: lock.Lock, ID: "A"}, 0, 30 * time.Minute},
		{"Lock for 100 s", lock.Request{Op: lock.Lock, ID: "A"}, 100 * time.Second, 100 * time.Second},
		{"RefreshLock", lock.Request{Op: lock.Refresh, ID: "A"}, 0, 30 * time.Minute},
		{"RefreshLock for 60 s, shorter than before", lock.Request{Op: lock.Refresh, ID: "A"}, 60 * time.Second, 60 * time.Second},
		{"UnlockAndRelock", lock.Request{Op: lock.UnlockAndRelock, OldID: "A", ID: "B"}, 0, 30 * time.Minute},
		{"UnlockAndRelock for 61 s", lock.Request{Op: lock.UnlockAndRelock, OldID: "A", ID: "B"}, 61 * time.Second, 61 * time.Second},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			now := start
			s := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", Timeout: time.Hour})
			row.op.Timeout = row.ask
			s = must(t, s, &now, row.op)
			if got := s.WOPI.Expires.Sub(now); got != row.want {
				t.Errorf("it lasts %v, want %v", got, row.want)
			}
			if lock.At(s, now.Add(row.want-time.Millisecond), seq).WOPI == nil {
				t.Error("gone a millisecond too early")
			}
			if lock.At(s, now.Add(row.want), seq).WOPI != nil {
				t.Error("still there at the instant it expires")
			}
		})
	}
}

// A lock belongs to its id: anybody may refresh and release it, and it stays
// the taker's.
func TestLockBelongsToItsID(t *testing.T) {
	now := start
	s := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", User: "u1", Name: "Ann", Editor: "E"})
	taken := now
	s = must(t, s, &now,
		lock.Request{Op: lock.Refresh, ID: "A", User: "u2", Name: "Bob"},
		lock.Request{Op: lock.Lock, ID: "A", User: "u3", Name: "Cid"})
	if s.WOPI.User != "u1" || s.WOPI.Name != "Ann" || s.WOPI.Editor != "E" || !s.WOPI.Since.Equal(taken) {
		t.Errorf("got %+v", s.WOPI)
	}
	s = must(t, s, &now, lock.Request{Op: lock.UnlockAndRelock, OldID: "A", ID: "B", User: "u2", Name: "Bob"})
	if s.WOPI.User != "u2" || s.WOPI.Name != "Bob" || !s.WOPI.Since.Equal(now) {
		t.Errorf("a new lock, got %+v", s.WOPI)
	}
	s = must(t, s, &now, lock.Request{Op: lock.Unlock, ID: "B", User: "u9"})
	if s.WOPI != nil {
		t.Errorf("got %+v", s.WOPI)
	}
}

// A holder's name may be told until the lock is next updated without leave.
func TestUserVisible(t *testing.T) {
	now := start
	refused := func(s quire.LockState) string {
		_, err := lock.Apply(s, lock.Request{Op: lock.Lock, ID: "Z"}, seq, now)
		var locked *quire.Locked
		if !errors.As(err, &locked) {
			t.Fatal(err)
		}
		return locked.Reason
	}
	s := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", Name: "Ann", Visible: true})
	if !s.WOPI.Visible || !strings.Contains(refused(s), "Ann") {
		t.Errorf("got %+v, %q", s.WOPI, refused(s))
	}
	s = must(t, s, &now, lock.Request{Op: lock.Refresh, ID: "A"})
	if s.WOPI.Visible || strings.Contains(refused(s), "Ann") {
		t.Errorf("after a refresh: got %+v, %q", s.WOPI, refused(s))
	}
	s = must(t, s, &now, lock.Request{Op: lock.Refresh, ID: "A", Visible: true})
	if !s.WOPI.Visible {
		t.Error("a refresh with leave did not give it")
	}
	s = must(t, s, &now, lock.Request{Op: lock.UnlockAndRelock, OldID: "A", ID: "B", Name: "Bob"})
	if s.WOPI.Visible || strings.Contains(refused(s), "Bob") {
		t.Errorf("after UnlockAndRelock: got %+v", s.WOPI)
	}
}

// What ended last is remembered until somebody takes a lock.
func TestLastLock(t *testing.T) {
	now := start
	s := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", User: "u1"}, lock.Request{Op: lock.Unlock, ID: "A"})
	if s.Last == nil || *s.Last != (quire.LastLock{ID: "A", User: "u1", Ended: now, Sequence: seq}) {
		t.Errorf("after Unlock: %+v", s.Last)
	}
	if again := must(t, s, &now, lock.Request{Op: lock.Lock, ID: "B"}); again.Last != nil {
		t.Errorf("after another Lock: %+v", again.Last)
	}
	coauth := lock.Request{Op: lock.GetCoauth, ID: "a", Type: quire.Coauth, Timeout: time.Minute}
	if again := must(t, s, &now, coauth); again.Last != nil {
		t.Errorf("after a coauth lock: %+v", again.Last)
	}
	now = start
	s = must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", User: "u1", Timeout: time.Minute})
	ends := now.Add(time.Minute)
	s = lock.At(frozen(t, s), ends.Add(time.Hour), seq+1)
	if s.Last == nil || *s.Last != (quire.LastLock{ID: "A", User: "u1", Ended: ends, Sequence: seq + 1}) {
		t.Errorf("after it expired: %+v", s.Last)
	}
	if s = must(t, s, &now, lock.Request{Op: lock.ForceUnlock}); s.Last != nil {
		t.Errorf("a lock that was broken lets nobody save late: %+v", s.Last)
	}
}

// Ids can be compared by editing session: the id that was presented last is
// the one that counts.
func TestSameSession(t *testing.T) {
	now := start
	same := func(a, b string) bool { return a[:1] == b[:1] }
	s := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "S1", Same: same})
	s = must(t, s, &now, lock.Request{Op: lock.Refresh, ID: "S2", Same: same})
	if s.WOPI.ID != "S2" {
		t.Errorf("got %q", s.WOPI.ID)
	}
	for _, r := range []lock.Request{
		{Op: lock.Lock, ID: "T1", Same: same},
		{Op: lock.Unlock, ID: "S1"}, // compared exactly
		{Op: lock.UnlockAndRelock, OldID: "T1", ID: "S1", Same: same},
	} {
		if _, err := lock.Apply(s, r, seq, now); class(err) != "locked" {
			t.Errorf("%+v: %v", r, err)
		}
	}
	must(t, s, &now, lock.Request{Op: lock.Unlock, ID: "S3", Same: same})
}

func TestWhat(t *testing.T) {
	want := []lock.Blocker{lock.None, lock.ByWOPI, lock.ByCoauth, lock.ByCoauth, lock.ByCoauthAlone, lock.ByCoauthAlone}
	for i, s := range allStates {
		if got := lock.What(s); got != want[i] {
			t.Errorf("%s: got %v, want %v", stateTitles[i], got, want[i])
		}
	}
}
