package lock_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

func get(id string, kind quire.CoauthType, metadata string) lock.Request {
	return lock.Request{Op: lock.GetCoauth, ID: id, Type: kind, Metadata: metadata, Timeout: time.Minute, User: "u-" + quire.UserID(id), Name: "N-" + id}
}

func refreshCoauth(id, metadata string) lock.Request {
	return lock.Request{Op: lock.RefreshCoauth, ID: id, Metadata: metadata, Timeout: time.Minute}
}

func row(t *testing.T, s quire.LockState, id string) quire.CoauthLock {
	t.Helper()
	for _, c := range s.Coauth {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("%s is not in the table %s", id, show(s))
	return quire.CoauthLock{}
}

// The rules of CSPP Plus §2 by their numbers; what is the doors' is theirs to
// test.
func TestCoauthRules(t *testing.T) {
	t.Run("2 Get again refreshes, and replaces type and metadata", func(t *testing.T) {
		now := start
		s := must(t, free, &now, get("a", quire.Coauth, "one"))
		first := row(t, s, "a")
		again := get("a", quire.CoauthExclusive, "two")
		again.User, again.Name, again.Timeout = "u9", "Zoe", 5*time.Minute
		s = must(t, s, &now, again)
		want := first
		want.Type, want.Metadata, want.Expires = quire.CoauthExclusive, "two", now.Add(5*time.Minute)
		if diff := cmp.Diff(want, row(t, s, "a")); diff != "" {
			t.Error(diff)
		}
		s = must(t, s, &now, get("a", quire.Coauth, ""))
		if c := row(t, s, "a"); c.Type != quire.Coauth || c.Metadata != "" || !c.Since.Equal(first.Since) {
			t.Errorf("missing metadata is stored as empty: got %+v", c)
		}
	})
	t.Run("3 only one CoauthExclusive", func(t *testing.T) {
		now := start
		s := must(t, free, &now, get("a", quire.CoauthExclusive, ""), get("b", quire.Coauth, "b's"))
		for _, id := range []string{"b", "c"} {
			got, err := lock.Apply(s, get(id, quire.CoauthExclusive, "x"), seq, now)
			if class(err) != "locked" || !cmp.Equal(s, got) {
				t.Errorf("%s: got %v, %v", id, show(got), err)
			}
		}
		s = must(t, s, &now, get("a", quire.Coauth, ""), get("b", quire.CoauthExclusive, ""))
		if show(s) != "coauth a b!" {
			t.Errorf("after it was given up: %s", show(s))
		}
		s = must(t, s, &now, lock.Request{Op: lock.UnlockCoauth, ID: "b"}, get("c", quire.CoauthExclusive, ""))
		if show(s) != "coauth a c!" {
			t.Errorf("after it was released: %s", show(s))
		}
	})
	t.Run("4 Refresh replaces metadata only by some", func(t *testing.T) {
		now := start
		s := must(t, free, &now, get("a", quire.CoauthExclusive, "one"), refreshCoauth("a", ""))
		if c := row(t, s, "a"); c.Metadata != "one" || c.Type != quire.CoauthExclusive || !c.Expires.Equal(now.Add(time.Minute)) {
			t.Errorf("got %+v", c)
		}
		s = must(t, s, &now, refreshCoauth("a", "two"))
		if c := row(t, s, "a"); c.Metadata != "two" {
			t.Errorf("got %+v", c)
		}
	})
	t.Run("5 Refresh and Unlock of what is not in the table", func(t *testing.T) {
		now := start
		s := must(t, free, &now, get("a", quire.Coauth, ""), get("b", quire.Coauth, ""))
		later := row(t, s, "a").Expires
		for _, r := range []lock.Request{refreshCoauth("c", ""), {Op: lock.UnlockCoauth, ID: "c"}} {
			if _, err := lock.Apply(s, r, seq, now); class(err) != "locked" {
				t.Errorf("unknown: %v", err)
			}
		}
		for _, r := range []lock.Request{refreshCoauth("a", ""), {Op: lock.UnlockCoauth, ID: "a"}} {
			_, err := lock.Apply(s, r, seq, later)
			var locked *quire.Locked
			if !errors.As(err, &locked) || show(locked.State) != "coauth b" {
				t.Errorf("expired: %v", err)
			}
		}
	})
	t.Run("6 gone exactly when the timeout has passed", func(t *testing.T) {
		now := start
		s := must(t, free, &now, get("a", quire.CoauthExclusive, ""))
		ends := now.Add(time.Minute)
		s = must(t, s, &now, get("b", quire.Coauth, ""))
		if got := show(lock.At(s, ends.Add(-1), seq)); got != "coauth a! b" {
			t.Errorf("just before: %s", got)
		}
		if got := show(lock.At(s, ends, seq)); got != "coauth b" {
			t.Errorf("then: %s", got)
		}
		if got := show(lock.At(s, ends.Add(time.Second), seq)); got != "free" {
			t.Errorf("and when the other has: %s", got)
		}
		if _, err := lock.Apply(s, get("c", quire.CoauthExclusive, ""), seq, ends); err != nil {
			t.Errorf("an expired exclusive lock stands in the way: %v", err)
		}
		if _, err := lock.Apply(s, lock.Request{Op: lock.Lock, ID: "A"}, seq, ends.Add(time.Second)); err != nil {
			t.Errorf("expired locks stand in the way of a WOPI lock: %v", err)
		}
	})
	t.Run("7 the table's version", func(t *testing.T) {
		now := start
		seen := map[string]string{lock.TableVersion(free): "an empty table"}
		if lock.TableVersion(free) == "" {
			t.Error("an empty table has an empty version")
		}
		s := free
		changed := func(what string, r lock.Request) {
			t.Helper()
			s = must(t, s, &now, r)
			v := lock.TableVersion(s)
			if was, ok := seen[v]; ok {
				t.Errorf("%s: the version is that after %q", what, was)
			}
			seen[v] = what
		}
		kept := func(what string, r lock.Request) {
			t.Helper()
			v := lock.TableVersion(s)
			s = must(t, s, &now, r)
			if lock.TableVersion(s) != v {
				t.Errorf("%s: the version changed", what)
			}
		}
		changed("added", get("a", quire.Coauth, "m"))
		changed("another added", get("b", quire.Coauth, "m"))
		kept("refreshed", refreshCoauth("a", ""))
		kept("refreshed with the same metadata", refreshCoauth("a", "m"))
		kept("taken again", get("a", quire.Coauth, "m"))
		changed("other metadata", refreshCoauth("a", "n"))
		changed("another type", get("a", quire.CoauthExclusive, "n"))
		changed("no metadata", get("a", quire.CoauthExclusive, ""))
		kept("refreshed once more", refreshCoauth("b", ""))
		changed("released", lock.Request{Op: lock.UnlockCoauth, ID: "a"})
		now = row(t, s, "b").Expires
		if v := lock.TableVersion(lock.At(s, now, seq)); v != lock.TableVersion(free) {
			t.Errorf("expired: %s (%s)", v, seen[v])
		}
	})
	t.Run("9 Get while a WOPI lock is held", func(t *testing.T) {
		_, err := lock.Apply(wopiA, get("A", quire.Coauth, ""), seq, start)
		var locked *quire.Locked
		if !errors.As(err, &locked) || lock.What(locked.State) != lock.ByWOPI {
			t.Errorf("got %v", err)
		}
	})
	t.Run("10 WOPI operations while coauth locks are held", func(t *testing.T) {
		for s, want := range map[int]lock.Blocker{2: lock.ByCoauth, 4: lock.ByCoauthAlone} {
			for _, r := range []lock.Request{
				{Op: lock.Lock, ID: "a"}, {Op: lock.Refresh, ID: "a"}, {Op: lock.Unlock, ID: "a"}, {Op: lock.UnlockAndRelock, OldID: "a", ID: "b"},
			} {
				_, err := lock.Apply(allStates[s], r, seq, start)
				var locked *quire.Locked
				if !errors.As(err, &locked) || lock.What(locked.State) != want {
					t.Errorf("%s, %+v: %v", stateTitles[s], r, err)
				}
			}
		}
	})
	t.Run("13 a lock belongs to its id", func(t *testing.T) {
		now := start
		one, two := get("a", quire.Coauth, ""), get("b", quire.Coauth, "")
		two.User, two.Name = one.User, one.Name
		s := must(t, free, &now, one, two)
		if show(s) != "coauth a b" {
			t.Errorf("one user, two locks: %s", show(s))
		}
		r := refreshCoauth("a", "")
		r.User, r.Name = "other", "Other"
		s = must(t, s, &now, r)
		if c := row(t, s, "a"); c.User != one.User || c.Name != one.Name {
			t.Errorf("refreshed by another user: %+v", c)
		}
		s = must(t, s, &now, lock.Request{Op: lock.UnlockCoauth, ID: "a", User: "other"})
		if show(s) != "coauth b" {
			t.Errorf("released by another user: %s", show(s))
		}
	})
}

// A table is not endless, and what is in it can still be used when it is full.
func TestFullTable(t *testing.T) {
	s, err := free, error(nil)
	for i := range 1000 {
		if s, err = lock.Apply(s, get(fmt.Sprint(i), quire.Coauth, ""), seq, start); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = lock.Apply(s, get("more", quire.Coauth, ""), seq, start); class(err) != "unavailable" {
		t.Errorf("got %v", err)
	}
	now := start
	must(t, s, &now, get("7", quire.CoauthExclusive, ""), refreshCoauth("8", ""), lock.Request{Op: lock.UnlockCoauth, ID: "9"}, get("more", quire.Coauth, ""))
}
