package lock_test

import (
	"errors"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

// Who may change a file: each key in each state. In "c r d", the letters say
// that content may be changed, that the file may be renamed, that it may be
// deleted. The free file's column is for a door that asks for no lock.
func TestMayChangeTable(t *testing.T) {
	key := func(w, c string) quire.LockKey { return quire.LockKey{WOPI: w, Coauth: c} }
	rows := []struct {
		name string
		key  quire.LockKey
		//    free, wopi A, coauth a, coauth a b, coauth a! b, coauth a b!
		want [6]string
	}{
		{"nothing", key("", ""), [6]string{"crd", "", "", "", "", ""}},
		{"WOPI A", key("A", ""), [6]string{"rd", "crd", "", "", "", ""}},
		{"WOPI B", key("B", ""), [6]string{"rd", "", "", "", "", ""}},
		{"WOPI a", key("a", ""), [6]string{"rd", "", "", "", "", ""}},
		{"coauth a", key("", "a"), [6]string{"rd", "", "cr", "cr", "cr", "r"}},
		{"coauth b", key("", "b"), [6]string{"rd", "", "", "cr", "r", "cr"}},
		{"coauth c", key("", "c"), [6]string{"rd", "", "", "", "", ""}},
		{"coauth A", key("", "A"), [6]string{"rd", "", "", "", "", ""}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for i, s := range allStates {
				got := ""
				for _, c := range []struct {
					change lock.Change
					letter string
				}{{lock.Content, "c"}, {lock.Rename, "r"}, {lock.Delete, "d"}} {
					err := lock.MayChange(frozen(t, s), lock.Attempt{Change: c.change, Key: row.key, Size: 10, Sequence: seq}, start.Add(time.Second))
					var locked *quire.Locked
					switch {
					case err == nil:
						got += c.letter
					case !errors.As(err, &locked) || show(locked.State) != stateTitles[i]:
						t.Errorf("%s: %v", stateTitles[i], err)
					}
				}
				if got != row.want[i] {
					t.Errorf("%s: got %q, want %q", stateTitles[i], got, row.want[i])
				}
			}
		})
	}
	t.Run("both kinds of lock", func(t *testing.T) {
		for i, s := range allStates {
			for _, c := range []lock.Change{lock.Content, lock.Rename, lock.Delete} {
				if err := lock.MayChange(s, lock.Attempt{Change: c, Key: key("A", "a")}, start); class(err) != "invalid" {
					t.Errorf("%s: %v", stateTitles[i], err)
				}
			}
		}
	})
}

// New content for a file that nobody has locked: what is presented, the file's
// size, and the door's rule.
func TestUnlockedContent(t *testing.T) {
	now := start
	left := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", Timeout: time.Minute}, lock.Request{Op: lock.Unlock, ID: "A"})
	ended := now
	same := func(a, b string) bool { return a[:1] == b[:1] }
	rows := []struct {
		name  string
		state quire.LockState
		a     lock.Attempt
		after time.Duration // since the last lock ended
		//    AllowUnlocked, OnlyEmptyUnlocked, RecentHolderUnlocked
		want [3]bool
	}{
		{"never locked, nothing presented", free, lock.Attempt{Size: 1}, 0, [3]bool{true, false, false}},
		{"never locked, empty, nothing presented", free, lock.Attempt{}, 0, [3]bool{true, true, true}},
		{"never locked, empty, a stale WOPI id", free, lock.Attempt{Key: quire.LockKey{WOPI: "A"}}, 0, [3]bool{false, true, true}},
		{"never locked, empty, a stale coauth id", free, lock.Attempt{Key: quire.LockKey{Coauth: "a"}}, 0, [3]bool{false, true, true}},
		{"never locked, a WOPI id", free, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "A"}}, 0, [3]bool{}},
		{"never locked, a coauth id", free, lock.Attempt{Size: 1, Key: quire.LockKey{Coauth: "a"}}, 0, [3]bool{}},
		{"the last holder, at once", left, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "A"}}, 0, [3]bool{false, false, true}},
		{"the last holder, just in time", left, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "A"}}, lock.LateSave - 1, [3]bool{false, false, true}},
		{"the last holder, too late", left, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "A"}}, lock.LateSave, [3]bool{}},
		{"the last holder's session", left, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "A2"}, Same: same}, 0, [3]bool{false, false, true}},
		{"another session", left, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "B"}, Same: same}, 0, [3]bool{}},
		{"another id", left, lock.Attempt{Size: 1, Key: quire.LockKey{WOPI: "A2"}}, 0, [3]bool{}},
		{"the last holder's id as a coauth id", left, lock.Attempt{Size: 1, Key: quire.LockKey{Coauth: "A"}}, 0, [3]bool{}},
		{"the last holder, after another change", left, lock.Attempt{Size: 1, Sequence: 1, Key: quire.LockKey{WOPI: "A"}}, 0, [3]bool{}},
		{"after a lock, nothing presented", left, lock.Attempt{Size: 1}, 0, [3]bool{true, false, false}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for i, rule := range []quire.UnlockedRule{quire.AllowUnlocked, quire.OnlyEmptyUnlocked, quire.RecentHolderUnlocked} {
				a := row.a
				a.Change, a.Rule = lock.Content, rule
				a.Sequence += seq
				err := lock.MayChange(frozen(t, row.state), a, ended.Add(row.after))
				if (err == nil) != row.want[i] {
					t.Errorf("rule %d: %v", rule, err)
				}
				if err != nil && class(err) != "locked" {
					t.Errorf("rule %d: %v", rule, err)
				}
				for _, c := range []lock.Change{lock.Rename, lock.Delete} {
					a.Change = c
					if err := lock.MayChange(row.state, a, ended.Add(row.after)); err != nil {
						t.Errorf("rename and delete need no lock: %v", err)
					}
				}
			}
		})
	}
}

// A lock that has expired protects nothing and lets nobody in, but its holder
// may be late.
func TestExpiredLocks(t *testing.T) {
	now := start
	w := must(t, free, &now, lock.Request{Op: lock.Lock, ID: "A", Timeout: time.Minute})
	ends := now.Add(time.Minute)
	a := lock.Attempt{Change: lock.Content, Size: 1, Sequence: seq}
	if err := lock.MayChange(w, a, ends.Add(-1)); class(err) != "locked" {
		t.Errorf("just before: %v", err)
	}
	if err := lock.MayChange(w, a, ends); err != nil {
		t.Errorf("then: %v", err)
	}
	a.Key.WOPI, a.Rule = "A", quire.RecentHolderUnlocked
	if err := lock.MayChange(w, a, ends.Add(time.Hour)); err != nil {
		t.Errorf("its holder, late: %v", err)
	}
	now = start
	c := must(t, free, &now, get("a", quire.CoauthExclusive, ""), get("b", quire.Coauth, ""))
	a = lock.Attempt{Change: lock.Content, Key: quire.LockKey{Coauth: "b"}, Size: 1}
	if err := lock.MayChange(c, a, now); class(err) != "locked" {
		t.Errorf("beside an exclusive lock: %v", err)
	}
	if err := lock.MayChange(c, a, row(t, c, "a").Expires); err != nil {
		t.Errorf("when that has expired: %v", err)
	}
	a.Key.Coauth = "a"
	if err := lock.MayChange(c, a, row(t, c, "a").Expires); class(err) != "locked" {
		t.Errorf("with the one that has expired: %v", err)
	}
}
