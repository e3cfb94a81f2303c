package lock_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

// start is when all tables begin.
var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// seq is the file's sequence number in the tables.
const seq = 7

func wopi(id string) quire.LockState {
	return quire.LockState{WOPI: &quire.WOPILock{ID: id, User: "u1", Name: "Ann", Since: start, Expires: start.Add(lock.DefaultTimeout)}}
}

// table is a coauth table of locks that are written "id" or, where they are
// exclusive, "id!".
func table(ids ...string) quire.LockState {
	var s quire.LockState
	for _, id := range ids {
		c := quire.CoauthLock{ID: id, Type: quire.Coauth, User: "u1", Name: "Ann", Since: start, Expires: start.Add(10 * time.Minute)}
		if strings.HasSuffix(id, "!") {
			c.ID, c.Type = strings.TrimSuffix(id, "!"), quire.CoauthExclusive
		}
		s.Coauth = append(s.Coauth, c)
	}
	return s
}

// show writes a state as the tables have it: "free", "wopi A", "coauth a b!".
func show(s quire.LockState) string {
	switch {
	case s.WOPI != nil && len(s.Coauth) > 0:
		return "both"
	case s.WOPI != nil:
		return "wopi " + s.WOPI.ID
	case len(s.Coauth) > 0:
		text := "coauth"
		for _, c := range s.Coauth {
			text += " " + c.ID
			if c.Type == quire.CoauthExclusive {
				text += "!"
			}
		}
		return text
	}
	return "free"
}

// class names the kind of an outcome.
func class(err error) string {
	var locked *quire.Locked
	var invalid *quire.Invalid
	var busy *quire.Unavailable
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &locked):
		return "locked"
	case errors.As(err, &invalid):
		return "invalid"
	case errors.As(err, &busy):
		return "unavailable"
	}
	return err.Error()
}

// frozen fails the test if a state is changed before the test ends.
func frozen(t *testing.T, s quire.LockState) quire.LockState {
	t.Helper()
	before, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if after, _ := json.Marshal(s); string(after) != string(before) {
			t.Errorf("the state was changed from %s to %s", before, after)
		}
	})
	return s
}

var (
	free        = quire.LockState{}
	wopiA       = wopi("A")
	coauthA     = table("a")
	coauthAB    = table("a", "b")
	coauthXB    = table("a!", "b")
	coauthAX    = table("a", "b!")
	allStates   = []quire.LockState{free, wopiA, coauthA, coauthAB, coauthXB, coauthAX}
	stateTitles = []string{"free", "wopi A", "coauth a", "coauth a b", "coauth a! b", "coauth a b!"}
)

func TestTitles(t *testing.T) {
	for i, s := range allStates {
		if show(s) != stateTitles[i] {
			t.Errorf("got %q, want %q", show(s), stateTitles[i])
		}
	}
}

// Every operation in every state: "-" is a refusal, which must change nothing;
// else the state afterwards.
func TestApplyTable(t *testing.T) {
	get := func(id string, kind quire.CoauthType) lock.Request {
		return lock.Request{Op: lock.GetCoauth, ID: id, Type: kind, Timeout: time.Minute, User: "u2", Name: "Bob"}
	}
	refresh := func(id string) lock.Request {
		return lock.Request{Op: lock.RefreshCoauth, ID: id, Timeout: time.Minute}
	}
	rows := []struct {
		name string
		r    lock.Request
		//    free, wopi A, coauth a, coauth a b, coauth a! b, coauth a b!
		want [6]string
	}{
		{"Lock A", lock.Request{Op: lock.Lock, ID: "A"}, [6]string{"wopi A", "wopi A", "-", "-", "-", "-"}},
		{"Lock B", lock.Request{Op: lock.Lock, ID: "B"}, [6]string{"wopi B", "-", "-", "-", "-", "-"}},
		{"Lock a", lock.Request{Op: lock.Lock, ID: "a"}, [6]string{"wopi a", "-", "-", "-", "-", "-"}},
		{"RefreshLock A", lock.Request{Op: lock.Refresh, ID: "A"}, [6]string{"-", "wopi A", "-", "-", "-", "-"}},
		{"RefreshLock B", lock.Request{Op: lock.Refresh, ID: "B"}, [6]string{"-", "-", "-", "-", "-", "-"}},
		{"RefreshLock a", lock.Request{Op: lock.Refresh, ID: "a"}, [6]string{"-", "-", "-", "-", "-", "-"}},
		{"Unlock A", lock.Request{Op: lock.Unlock, ID: "A"}, [6]string{"-", "free", "-", "-", "-", "-"}},
		{"Unlock B", lock.Request{Op: lock.Unlock, ID: "B"}, [6]string{"-", "-", "-", "-", "-", "-"}},
		{"Unlock a", lock.Request{Op: lock.Unlock, ID: "a"}, [6]string{"-", "-", "-", "-", "-", "-"}},
		{"UnlockAndRelock A to B", lock.Request{Op: lock.UnlockAndRelock, OldID: "A", ID: "B"}, [6]string{"-", "wopi B", "-", "-", "-", "-"}},
		{"UnlockAndRelock A to A", lock.Request{Op: lock.UnlockAndRelock, OldID: "A", ID: "A"}, [6]string{"-", "wopi A", "-", "-", "-", "-"}},
		{"UnlockAndRelock B to A", lock.Request{Op: lock.UnlockAndRelock, OldID: "B", ID: "A"}, [6]string{"-", "-", "-", "-", "-", "-"}},
		{"GetCoauth a", get("a", quire.Coauth), [6]string{"coauth a", "-", "coauth a", "coauth a b", "coauth a b", "coauth a b!"}},
		{"GetCoauth c", get("c", quire.Coauth), [6]string{"coauth c", "-", "coauth a c", "coauth a b c", "coauth a! b c", "coauth a b! c"}},
		{"GetCoauth A", get("A", quire.Coauth), [6]string{"coauth A", "-", "coauth a A", "coauth a b A", "coauth a! b A", "coauth a b! A"}},
		{"GetCoauth a exclusive", get("a", quire.CoauthExclusive), [6]string{"coauth a!", "-", "coauth a!", "coauth a! b", "coauth a! b", "-"}},
		{"GetCoauth b exclusive", get("b", quire.CoauthExclusive), [6]string{"coauth b!", "-", "coauth a b!", "coauth a b!", "-", "coauth a b!"}},
		{"GetCoauth c exclusive", get("c", quire.CoauthExclusive), [6]string{"coauth c!", "-", "coauth a c!", "coauth a b c!", "-", "-"}},
		{"RefreshCoauth a", refresh("a"), [6]string{"-", "-", "coauth a", "coauth a b", "coauth a! b", "coauth a b!"}},
		{"RefreshCoauth c", refresh("c"), [6]string{"-", "-", "-", "-", "-", "-"}},
		{"RefreshCoauth A", refresh("A"), [6]string{"-", "-", "-", "-", "-", "-"}},
		{"UnlockCoauth a", lock.Request{Op: lock.UnlockCoauth, ID: "a"}, [6]string{"-", "-", "free", "coauth b", "coauth b", "coauth b!"}},
		{"UnlockCoauth c", lock.Request{Op: lock.UnlockCoauth, ID: "c"}, [6]string{"-", "-", "-", "-", "-", "-"}},
		{"ForceUnlock", lock.Request{Op: lock.ForceUnlock}, [6]string{"free", "free", "free", "free", "free", "free"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for i, s := range allStates {
				s = frozen(t, s)
				got, err := lock.Apply(s, row.r, seq, start.Add(time.Second))
				if row.want[i] == "-" {
					var locked *quire.Locked
					if !errors.As(err, &locked) {
						t.Errorf("%s: got %q, %v", stateTitles[i], show(got), err)
					} else if show(locked.State) != stateTitles[i] {
						t.Errorf("%s: the refusal tells of %q", stateTitles[i], show(locked.State))
					}
					if diff := cmp.Diff(s, got); diff != "" {
						t.Errorf("%s: a refusal changed the state:\n%s", stateTitles[i], diff)
					}
					continue
				}
				if err != nil || show(got) != row.want[i] {
					t.Errorf("%s: got %q, %v; want %q", stateTitles[i], show(got), err, row.want[i])
				}
			}
		})
	}
}

// Arguments that can never be right are refused whatever the state.
func TestArguments(t *testing.T) {
	long := strings.Repeat("x", quire.MaxLockID)
	coauth := lock.Request{Op: lock.GetCoauth, ID: "a", Type: quire.Coauth, Timeout: time.Minute}
	with := func(r lock.Request, f func(*lock.Request)) lock.Request {
		f(&r)
		return r
	}
	rows := []struct {
		name string
		r    lock.Request
		ok   bool
	}{
		{"no operation", lock.Request{ID: "A"}, false},
		{"an operation beyond the last", lock.Request{Op: lock.ForceUnlock + 1, ID: "A"}, false},
		{"Lock without an id", lock.Request{Op: lock.Lock}, false},
		{"RefreshLock without an id", lock.Request{Op: lock.Refresh}, false},
		{"Unlock without an id", lock.Request{Op: lock.Unlock}, false},
		{"UnlockAndRelock without an id", lock.Request{Op: lock.UnlockAndRelock, OldID: "A"}, false},
		{"UnlockAndRelock without an old id", lock.Request{Op: lock.UnlockAndRelock, ID: "A"}, false},
		{"GetCoauth without an id", with(coauth, func(r *lock.Request) { r.ID = "" }), false},
		{"UnlockCoauth without an id", lock.Request{Op: lock.UnlockCoauth}, false},
		{"the longest id", lock.Request{Op: lock.Lock, ID: long}, true},
		{"a longer id", lock.Request{Op: lock.Lock, ID: long + "x"}, false},
		{"a longer old id", lock.Request{Op: lock.UnlockAndRelock, ID: "A", OldID: long + "x"}, false},
		{"an id that is not ASCII", lock.Request{Op: lock.Lock, ID: "é"}, false},
		{"an id with a line break", lock.Request{Op: lock.Lock, ID: "a\r\nb"}, false},
		{"an id of JSON", lock.Request{Op: lock.Lock, ID: `{"S":"1 ~","E":2}`}, true},
		{"a timeout of 59 s", lock.Request{Op: lock.Lock, ID: "A", Timeout: 59 * time.Second}, false},
		{"a timeout of 60 s", lock.Request{Op: lock.Lock, ID: "A", Timeout: 60 * time.Second}, true},
		{"a timeout of 3600 s", lock.Request{Op: lock.Lock, ID: "A", Timeout: 3600 * time.Second}, true},
		{"a timeout of 3601 s", lock.Request{Op: lock.Lock, ID: "A", Timeout: 3601 * time.Second}, false},
		{"a timeout of -1 s", lock.Request{Op: lock.Lock, ID: "A", Timeout: -time.Second}, false},
		{"a coauth lock", coauth, true},
		{"a coauth lock without a timeout", with(coauth, func(r *lock.Request) { r.Timeout = 0 }), false},
		{"a coauth lock of 59 s", with(coauth, func(r *lock.Request) { r.Timeout = 59 * time.Second }), false},
		{"a coauth lock of 3600 s", with(coauth, func(r *lock.Request) { r.Timeout = 3600 * time.Second }), true},
		{"a coauth lock of 3601 s", with(coauth, func(r *lock.Request) { r.Timeout = 3601 * time.Second }), false},
		{"a coauth lock without a type", with(coauth, func(r *lock.Request) { r.Type = "" }), false},
		{"a coauth lock of type None", with(coauth, func(r *lock.Request) { r.Type = "None" }), false},
		{"a coauth lock of type coauth", with(coauth, func(r *lock.Request) { r.Type = "coauth" }), false},
		{"the longest metadata", with(coauth, func(r *lock.Request) { r.Metadata = strings.Repeat("é", 2048) }), true},
		{"longer metadata", with(coauth, func(r *lock.Request) { r.Metadata = strings.Repeat("é", 2048) + "x" }), false},
		{"RefreshCoauth without a timeout", lock.Request{Op: lock.RefreshCoauth, ID: "a"}, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for i, s := range allStates {
				got, err := lock.Apply(frozen(t, s), row.r, seq, start)
				if row.ok == (class(err) == "invalid") {
					t.Errorf("%s: got %v", stateTitles[i], err)
				}
				if !row.ok && show(got) != stateTitles[i] {
					t.Errorf("%s: it became %s", stateTitles[i], show(got))
				}
			}
		})
	}
}
