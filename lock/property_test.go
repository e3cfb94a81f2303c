package lock_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

// drawState is a state as it may be stored: it may hold expired locks.
func drawState(t *rapid.T) quire.LockState {
	since := func() time.Time {
		return start.Add(-time.Duration(rapid.IntRange(0, 7200).Draw(t, "age")) * time.Second)
	}
	until := func() time.Time {
		return start.Add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "left")) * time.Minute)
	}
	id := rapid.SampledFrom([]string{"A", "B", "c", "d", "e"})
	var s quire.LockState
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 1:
		s.WOPI = &quire.WOPILock{ID: id.Draw(t, "id"), User: "u1", Name: "Ann", Visible: rapid.Bool().Draw(t, "visible"),
			Editor: rapid.SampledFrom([]string{"", "E"}).Draw(t, "editor"), Since: since(), Expires: until()}
	case 2:
		ids := rapid.SliceOfDistinct(id, rapid.ID[string]).Draw(t, "ids")
		alone := rapid.IntRange(-1, len(ids)-1).Draw(t, "alone")
		for i, id := range ids {
			c := quire.CoauthLock{ID: id, Type: quire.Coauth, Metadata: rapid.SampledFrom([]string{"", "m", "n"}).Draw(t, "metadata"),
				User: "u2", Name: "Bob", Editor: "E", Since: since(), Expires: until()}
			if i == alone {
				c.Type = quire.CoauthExclusive
			}
			s.Coauth = append(s.Coauth, c)
		}
	}
	if rapid.Bool().Draw(t, "last") {
		s.Last = &quire.LastLock{ID: id.Draw(t, "last id"), Ended: since(), Sequence: seq}
	}
	return s
}

func drawRequest(t *rapid.T) lock.Request {
	id := rapid.SampledFrom([]string{"A", "B", "c", "d", "e", "f"})
	return lock.Request{
		Op:       lock.Op(rapid.IntRange(int(lock.Lock), int(lock.ForceUnlock)).Draw(t, "op")),
		ID:       id.Draw(t, "id"),
		OldID:    id.Draw(t, "old id"),
		Timeout:  time.Duration(rapid.IntRange(60, 3600).Draw(t, "timeout")) * time.Second,
		Visible:  rapid.Bool().Draw(t, "visible"),
		Type:     rapid.SampledFrom([]quire.CoauthType{quire.Coauth, quire.CoauthExclusive}).Draw(t, "type"),
		Metadata: rapid.SampledFrom([]string{"", "m", "n"}).Draw(t, "metadata"),
		User:     "u3",
		Name:     "Cid",
	}
}

// clone shares nothing with what it copies.
func clone(s quire.LockState) quire.LockState {
	if s.WOPI != nil {
		w := *s.WOPI
		s.WOPI = &w
	}
	if s.Last != nil {
		l := *s.Last
		s.Last = &l
	}
	s.Coauth = slices.Clone(s.Coauth)
	return s
}

func text(s quire.LockState) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// What Apply says depends on its arguments alone, which it leaves as they are;
// and it does not matter whether what has expired was dropped before.
func TestApplyIsAFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, r := drawState(t), drawRequest(t)
		// Room behind the table shows an append into what was given.
		s.Coauth = slices.Grow(s.Coauth, 3)
		room := s.Coauth[:cap(s.Coauth)]
		beyond := slices.Clone(room)
		before := clone(s)
		one, err1 := lock.Apply(s, r, seq, start)
		two, err2 := lock.Apply(clone(s), r, seq, start)
		three, err3 := lock.Apply(lock.At(clone(s), start, seq), r, seq, start)
		if text(one) != text(two) || class(err1) != class(err2) {
			t.Fatalf("twice the same gave\n%s, %v\n%s, %v", text(one), err1, text(two), err2)
		}
		if text(one) != text(three) || class(err1) != class(err3) {
			t.Fatalf("dropping what has expired first gave\n%s, %v\ninstead of\n%s, %v", text(three), err3, text(one), err1)
		}
		if text(s) != text(before) || !cmp.Equal(room, beyond) {
			t.Fatalf("the state was changed from %s to %s", text(before), text(s))
		}
		if err := invariant(one, start); err != nil {
			t.Fatal(err)
		}
		var locked *quire.Locked
		if errors.As(err1, &locked) && text(locked.State) != text(lock.At(s, start, seq)) {
			t.Fatalf("the refusal tells of %s", text(locked.State))
		}
	})
}

// A lock that is held cannot be got round: not by the file's size, not by the
// door's rule for unlocked files, not by having had the last lock.
func TestLockedWhateverTheRule(t *testing.T) {
	for i, s := range allStates[1:] {
		s = clone(s)
		s.Last = &quire.LastLock{ID: "Z", Ended: start, Sequence: seq}
		for _, rule := range []quire.UnlockedRule{quire.AllowUnlocked, quire.OnlyEmptyUnlocked, quire.RecentHolderUnlocked} {
			for _, size := range []int64{0, 10} {
				for _, change := range []lock.Change{lock.Content, lock.Rename, lock.Delete} {
					for _, key := range []quire.LockKey{{}, {WOPI: "Z"}, {Coauth: "Z"}, {WOPI: "a"}, {Coauth: "A"}} {
						a := lock.Attempt{Change: change, Key: key, Size: size, Sequence: seq, Rule: rule}
						if err := lock.MayChange(s, a, start); class(err) != "locked" {
							t.Errorf("%s, %+v: %v", stateTitles[i+1], a, err)
						}
					}
				}
			}
		}
	}
}

func TestUnknownChange(t *testing.T) {
	for i, s := range allStates {
		for _, change := range []lock.Change{0, lock.Delete + 1, -1} {
			if err := lock.MayChange(s, lock.Attempt{Change: change, Key: quire.LockKey{WOPI: "A"}}, start); class(err) != "invalid" {
				t.Errorf("%s, change %d: %v", stateTitles[i], change, err)
			}
		}
	}
}

// A rule that a later version adds must not open what this one cannot judge.
func TestUnknownRule(t *testing.T) {
	s := quire.LockState{Last: &quire.LastLock{ID: "A", Ended: start, Sequence: seq}}
	a := lock.Attempt{Change: lock.Content, Key: quire.LockKey{WOPI: "A"}, Size: 1, Sequence: seq, Rule: quire.RecentHolderUnlocked + 1}
	if err := lock.MayChange(s, a, start); class(err) != "locked" {
		t.Errorf("got %v", err)
	}
}

// Two states have one version exactly if their tables show the same rows, in
// whatever order.
func TestTableVersionIsWhatIsShown(t *testing.T) {
	type shown struct {
		ID, Metadata, Name string
		Type               quire.CoauthType
		Since              int64
	}
	rows := func(s quire.LockState) map[shown]bool {
		set := make(map[shown]bool)
		for _, c := range s.Coauth {
			set[shown{c.ID, c.Metadata, c.Name, c.Type, c.Since.UnixMilli()}] = true
		}
		return set
	}
	rapid.Check(t, func(t *rapid.T) {
		s := lock.At(drawState(t), start, seq)
		other := clone(s)
		for i := range other.Coauth { // what the table does not show
			c := &other.Coauth[i]
			c.Expires, c.User, c.Editor = c.Expires.Add(time.Minute), "other", "other"
		}
		if len(other.Coauth) > 0 {
			other.Coauth = rapid.Permutation(other.Coauth).Draw(t, "order")
			if rapid.Bool().Draw(t, "change") {
				c := &other.Coauth[0]
				switch rapid.IntRange(0, 4).Draw(t, "field") {
				case 0:
					c.ID += "x"
				case 1:
					c.Metadata += "x"
				case 2:
					c.Name += "x"
				case 3:
					c.Since = c.Since.Add(time.Millisecond)
				case 4:
					other.Coauth = other.Coauth[1:]
				}
			}
		}
		v, w := lock.TableVersion(s), lock.TableVersion(other)
		if (v == w) != cmp.Equal(rows(s), rows(other)) {
			t.Fatalf("versions %s and %s of\n%s\n%s", v, w, text(s), text(other))
		}
		if v == "" || v != strings.ToLower(v) || strings.Trim(v, "0123456789abcdef") != "" {
			t.Fatalf("the version %q is not plain", v)
		}
	})
}

// Each of the five fields that a row shows counts; the others do not.
func TestTableVersionFields(t *testing.T) {
	rows := []struct {
		name   string
		change func(*quire.CoauthLock)
		counts bool
	}{
		{"CoauthLockId", func(c *quire.CoauthLock) { c.ID = "A" }, true},
		{"CoauthLockMetadata", func(c *quire.CoauthLock) { c.Metadata = "m" }, true},
		{"CoauthLockType", func(c *quire.CoauthLock) { c.Type = quire.CoauthExclusive }, true},
		{"UserFriendlyName", func(c *quire.CoauthLock) { c.Name = "Bob" }, true},
		{"CoauthLockTime", func(c *quire.CoauthLock) { c.Since = c.Since.Add(time.Millisecond) }, true},
		{"less than CoauthLockTime tells", func(c *quire.CoauthLock) { c.Since = c.Since.Add(time.Microsecond) }, false},
		{"another time zone", func(c *quire.CoauthLock) { c.Since = c.Since.In(time.FixedZone("", 3600)) }, false},
		{"the expiry", func(c *quire.CoauthLock) { c.Expires = c.Expires.Add(time.Hour) }, false},
		{"the user's id", func(c *quire.CoauthLock) { c.User = "u9" }, false},
		{"the editor", func(c *quire.CoauthLock) { c.Editor = "E" }, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := clone(coauthAB)
			row.change(&s.Coauth[0])
			if (lock.TableVersion(s) != lock.TableVersion(coauthAB)) != row.counts {
				t.Errorf("got %s for %s", lock.TableVersion(s), text(s))
			}
		})
	}
}

func TestNextExpiry(t *testing.T) {
	mixed := table("a", "b", "c")
	mixed.Coauth[0].Expires = start.Add(3 * time.Minute)
	mixed.Coauth[1].Expires = start.Add(time.Minute)
	mixed.Coauth[2].Expires = start.Add(2 * time.Minute)
	rows := []struct {
		name  string
		s     quire.LockState
		after time.Duration
		want  time.Duration // 0: none
	}{
		{"free", free, 0, 0},
		{"WOPI", wopiA, 0, lock.DefaultTimeout},
		{"WOPI, expired", wopiA, lock.DefaultTimeout, 0},
		{"coauth", mixed, 0, time.Minute},
		{"coauth, one expired", mixed, time.Minute, 2 * time.Minute},
		{"coauth, two expired", mixed, 2 * time.Minute, 3 * time.Minute},
		{"coauth, all expired", mixed, 3 * time.Minute, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, ok := lock.NextExpiry(frozen(t, row.s), start.Add(row.after))
			if ok != (row.want != 0) || ok && !got.Equal(start.Add(row.want)) {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

// What people are told: since when, until when, in what; and no name of those
// who did not allow it.
func TestReasons(t *testing.T) {
	hidden := clone(wopiA)
	hidden.WOPI.Editor = "Word"
	told := clone(hidden)
	told.WOPI.Visible = true
	nameless := clone(told)
	nameless.WOPI.Name, nameless.WOPI.Editor = "", ""
	together := table("a", "b")
	together.Coauth[1].Since, together.Coauth[1].Editor = start.Add(-25*time.Hour), "Word"
	together.Coauth[1].Expires = start.Add(20 * time.Minute)
	alone := table("a", "b!")
	alone.Coauth[1].Editor = "Word"
	rows := []struct {
		name string
		s    quire.LockState
		want string
	}{
		{"a holder who is not to be named", hidden, "somebody has been editing the file in Word since 2030-01-02 03:04 UTC; it is locked until 2030-01-02 03:34 UTC: try again later, or ask the owner to unlock it"},
		{"a holder who may be named", told, "Ann has been editing the file in Word since 2030-01-02 03:04 UTC; it is locked until 2030-01-02 03:34 UTC: try again later, or ask the owner to unlock it"},
		{"a holder without a name", nameless, "somebody has been editing the file since 2030-01-02 03:04 UTC; it is locked until 2030-01-02 03:34 UTC: try again later, or ask the owner to unlock it"},
		{"coauth", together, "the file has been open for editing together in Word since 2030-01-01 02:04 UTC; it is locked until 2030-01-02 03:24 UTC: open it in the same editor, or try again later"},
		{"coauth, exclusive", alone, "one of those who edit the file together in Word has it alone; that lock was taken at 2030-01-02 03:04 UTC and lasts until 2030-01-02 03:14 UTC: try again in a moment"},
		{"free", free, "the file is not locked by you: lock it first"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := lock.Apply(frozen(t, row.s), lock.Request{Op: lock.Refresh, ID: "Z"}, seq, start)
			if class(err) != "locked" || err.Error() != row.want {
				t.Errorf("got  %v\nwant %s", err, row.want)
			}
		})
	}
}

// Whatever a client sends, Apply answers with a state that may be stored or
// with one of its three errors, and accepts only arguments within bounds.
func FuzzApply(f *testing.F) {
	f.Add(int(lock.Lock), "A", "", int64(0), "", "", 0)
	f.Add(int(lock.UnlockAndRelock), "B", "A", int64(time.Hour), "", "", 1)
	f.Add(int(lock.GetCoauth), "a", "", int64(time.Minute), "CoauthExclusive", "m", 2)
	f.Add(int(lock.RefreshCoauth), "a", "", int64(time.Minute), "", "é", 5)
	f.Add(int(lock.UnlockCoauth), "\x7f", "", int64(-1), "None", "", 3)
	f.Fuzz(func(t *testing.T, op int, id, old string, timeout int64, kind, metadata string, which int) {
		s := allStates[uint(which)%uint(len(allStates))]
		before := text(s)
		r := lock.Request{Op: lock.Op(op), ID: id, OldID: old, Timeout: time.Duration(timeout), Type: quire.CoauthType(kind), Metadata: metadata, Name: "Ann"}
		got, err := lock.Apply(s, r, seq, start)
		if text(s) != before {
			t.Fatalf("the state was changed from %s to %s", before, text(s))
		}
		if err := invariant(got, start); err != nil {
			t.Fatal(err)
		}
		switch class(err) {
		case "locked", "invalid":
			if text(got) != before {
				t.Fatalf("%v changed the state to %s", err, text(got))
			}
		case "ok":
			for _, c := range got.Coauth {
				if c.Type != quire.Coauth && c.Type != quire.CoauthExclusive || len(c.Metadata) > quire.MaxLockMetadata || !plain(c.ID) {
					t.Fatalf("stored %+v", c)
				}
			}
			if got.WOPI != nil && !plain(got.WOPI.ID) {
				t.Fatalf("stored %+v", got.WOPI)
			}
			if next, ok := lock.NextExpiry(got, start); ok && next.Sub(start) > lock.MaxTimeout {
				t.Fatalf("locked until %v", next)
			}
		default:
			t.Fatal(err)
		}
	})
}

func plain(id string) bool {
	return id != "" && len(id) <= quire.MaxLockID && strings.IndexFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
