package lock_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/lock"
)

var steps = flag.Int("steps", 20_000, "how many random lock operations a seed makes")

// held is one lock of the model.
type held struct {
	exclusive bool
	metadata  string
	since     time.Time
	until     time.Time
}

// model is a second, plainer way to say what locks do: two sets of names with
// an end, in which nothing is ever refreshed in place.
type model struct {
	wopi   map[string]held // at most one
	coauth map[string]held
}

func (m *model) expire(now time.Time) {
	gone := func(_ string, h held) bool { return !h.until.After(now) }
	maps.DeleteFunc(m.wopi, gone)
	maps.DeleteFunc(m.coauth, gone)
}

func (m *model) alone() (string, bool) {
	for id, h := range m.coauth {
		if h.exclusive {
			return id, true
		}
	}
	return "", false
}

// apply says whether a request is granted, and does it.
func (m *model) apply(r lock.Request, now time.Time) bool {
	m.expire(now)
	life := r.Timeout
	if life == 0 {
		life = 1800 * time.Second
	}
	_, hasW := m.wopi[r.ID]
	_, hasOld := m.wopi[r.OldID]
	c, hasC := m.coauth[r.ID]
	alone, isAlone := m.alone()
	switch r.Op {
	case lock.Lock:
		if len(m.coauth) > 0 || len(m.wopi) > 0 && !hasW {
			return false
		}
		m.wopi[r.ID] = held{until: now.Add(life)}
	case lock.Refresh:
		if !hasW {
			return false
		}
		m.wopi[r.ID] = held{until: now.Add(life)}
	case lock.Unlock:
		if !hasW {
			return false
		}
		delete(m.wopi, r.ID)
	case lock.UnlockAndRelock:
		if !hasOld {
			return false
		}
		delete(m.wopi, r.OldID)
		m.wopi[r.ID] = held{until: now.Add(life)}
	case lock.GetCoauth:
		exclusive := r.Type == quire.CoauthExclusive
		if len(m.wopi) > 0 || exclusive && isAlone && alone != r.ID {
			return false
		}
		since := now
		if hasC {
			since = c.since
		}
		m.coauth[r.ID] = held{exclusive, r.Metadata, since, now.Add(life)}
	case lock.RefreshCoauth:
		if !hasC {
			return false
		}
		if r.Metadata != "" {
			c.metadata = r.Metadata
		}
		c.until = now.Add(life)
		m.coauth[r.ID] = c
	case lock.UnlockCoauth:
		if !hasC {
			return false
		}
		delete(m.coauth, r.ID)
	case lock.ForceUnlock:
		clear(m.wopi)
		clear(m.coauth)
	}
	return true
}

// mayChange says the same of a change of a file that is not empty, at a door
// that needs no lock.
func (m *model) mayChange(c lock.Change, k quire.LockKey, now time.Time) bool {
	m.expire(now)
	if len(m.wopi) > 0 {
		_, ok := m.wopi[k.WOPI]
		return ok
	}
	if len(m.coauth) > 0 {
		_, ok := m.coauth[k.Coauth]
		alone, isAlone := m.alone()
		return ok && c != lock.Delete && (c == lock.Rename || !isAlone || alone == k.Coauth)
	}
	return c != lock.Content || k == quire.LockKey{}
}

func (m *model) String() string {
	var lines []string
	for id, h := range m.wopi {
		lines = append(lines, fmt.Sprintf("wopi %s until %s", id, h.until.Format(time.TimeOnly)))
	}
	for id, h := range m.coauth {
		lines = append(lines, fmt.Sprintf("coauth %s %v %q since %s until %s", id, h.exclusive, h.metadata, h.since.Format(time.TimeOnly), h.until.Format(time.TimeOnly)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// visible writes a state as the model writes itself.
func visible(s quire.LockState) string {
	m := model{make(map[string]held), make(map[string]held)}
	if s.WOPI != nil {
		m.wopi[s.WOPI.ID] = held{until: s.WOPI.Expires}
	}
	for _, c := range s.Coauth {
		m.coauth[c.ID] = held{c.Type == quire.CoauthExclusive, c.Metadata, c.Since, c.Expires}
	}
	return m.String()
}

// invariant says what must be true of every state that was just decided on.
func invariant(s quire.LockState, now time.Time) error {
	if s.WOPI != nil && len(s.Coauth) > 0 {
		return fmt.Errorf("a WOPI lock and coauth locks together")
	}
	if s.WOPI != nil && !now.Before(s.WOPI.Expires) {
		return fmt.Errorf("an expired WOPI lock")
	}
	seen := make(map[string]bool)
	alone := 0
	for _, c := range s.Coauth {
		switch {
		case !now.Before(c.Expires):
			return fmt.Errorf("an expired coauth lock %s", c.ID)
		case seen[c.ID]:
			return fmt.Errorf("the coauth lock %s twice", c.ID)
		case c.Name == "":
			return fmt.Errorf("a coauth lock %s of nobody", c.ID)
		}
		seen[c.ID] = true
		if c.Type == quire.CoauthExclusive {
			alone++
		}
	}
	if alone > 1 {
		return fmt.Errorf("%d exclusive locks", alone)
	}
	return nil
}

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func randomRequest(rng *rand.Rand) lock.Request {
	return lock.Request{
		Op:       lock.Op(1 + rng.IntN(int(lock.ForceUnlock)-rng.IntN(2))), // seldom by force
		ID:       pick(rng, "A", "B", "c"),
		OldID:    pick(rng, "A", "B", "c"),
		Type:     pick(rng, quire.Coauth, quire.Coauth, quire.CoauthExclusive),
		Metadata: pick(rng, "", "", "m", "n"),
		Timeout:  time.Duration(60+rng.IntN(200)) * time.Second,
		Name:     "Ann",
	}
}

func TestRandomOperations(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			m := &model{make(map[string]held), make(map[string]held)}
			var s quire.LockState
			now := start
			granted := 0
			for i := range *steps {
				now = now.Add(time.Duration(rng.IntN(30)) * time.Second)
				before, _ := json.Marshal(s)
				r := randomRequest(rng)
				got, err := lock.Apply(s, r, seq, now)
				want := m.apply(r, now)
				switch {
				case want != (err == nil) || err != nil && class(err) != "locked":
					t.Fatalf("step %d: %+v on %s gave %v", i, r, visible(s), err)
				case visible(got) != m.String():
					t.Fatalf("step %d: %+v gave\n%s, want\n%s", i, r, visible(got), m)
				}
				if err := invariant(got, now); err != nil {
					t.Fatalf("step %d: %+v: %v", i, r, err)
				}
				if want {
					granted++
				}
				a := lock.Attempt{Change: lock.Change(1 + rng.IntN(3)), Size: 1}
				if rng.IntN(2) == 0 {
					a.Key.WOPI = pick(rng, "", "A", "B", "c")
				} else {
					a.Key.Coauth = pick(rng, "", "A", "B", "c")
				}
				if err := lock.MayChange(got, a, now); (err == nil) != m.mayChange(a.Change, a.Key, now) {
					t.Fatalf("step %d: %+v on %s gave %v", i, a, visible(got), err)
				}
				if after, _ := json.Marshal(s); string(after) != string(before) {
					t.Fatalf("step %d: %+v changed what it was given from %s to %s", i, r, before, after)
				}
				s = got
				if rng.IntN(4) == 0 { // what is stored keeps expired locks until the next operation
					later := now.Add(time.Duration(rng.IntN(300)) * time.Second)
					if err := invariant(lock.At(s, later, seq), later); err != nil {
						t.Fatalf("step %d: after a while: %v", i, err)
					}
				}
			}
			if granted < *steps/10 || granted > *steps*9/10 {
				t.Errorf("%d of %d operations were granted: the test does not test much", granted, *steps)
			}
		})
	}
}
