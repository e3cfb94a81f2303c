package library

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
)

// Any name can be numbered, and what comes out is a name again.
func FuzzNumbered(f *testing.F) {
	f.Add("a.txt", 1)
	f.Add(strings.Repeat("x", 255), 12345)
	f.Add("a."+strings.Repeat("x", 253), 7)
	f.Add("a b."+strings.Repeat("é", 125), 1<<20)
	f.Add("COM.x."+strings.Repeat("y", 245), 1)
	f.Fuzz(func(t *testing.T, name string, n int) {
		clean, key, err := CheckName(name)
		if err != nil || n < 1 || n > 1<<31 {
			return
		}
		for _, form := range []func(string, int) string{numbered, numberedClose} {
			got := form(clean, n)
			again, other, err := CheckName(got)
			if err != nil || again != got || other == key {
				t.Fatalf("%q with %d is %q: %v", clean, n, got, err)
			}
		}
		got := conflictName(clean, "Ann "+name, time.Unix(int64(n), 0))
		if again, _, err := CheckName(got); err != nil || again != got {
			t.Fatalf("the copy of %q is %q: %v", clean, got, err)
		}
	})
}

// A free name is found in few probes, however many are taken, and with gaps.
func TestFreeName(t *testing.T) {
	for _, name := range []string{"a.txt", strings.Repeat("é", 127), "x." + strings.Repeat("y", 253)} {
		for _, copies := range []int{0, 1, 2, 3, 4, 7, 8, 9, 100, 5000, 20_000} {
			t.Run(fmt.Sprintf("%.10s, %d copies", name, copies), func(t *testing.T) {
				have := map[string]bool{foldName(name): true}
				for i := 1; i <= copies; i++ {
					have[foldName(numbered(name, i))] = true
				}
				probes := 0
				taken := func(key string) (bool, error) {
					probes++
					return have[key], nil
				}
				got, err := freeName(name, numbered, taken)
				if err != nil || got != numbered(name, copies+1) {
					t.Errorf("got %q, %v", got, err)
				}
				if probes > 40 {
					t.Errorf("%d probes", probes)
				}
				delete(have, foldName(numbered(name, 1)))
				if got, err = freeName(name, numbered, taken); err != nil || got != numbered(name, 1) {
					t.Errorf("the first is free: got %q, %v", got, err)
				}
			})
		}
	}
	t.Run("all are taken", func(t *testing.T) {
		got, err := freeName("a.txt", numbered, func(string) (bool, error) { return true, nil })
		if _, _, bad := CheckName(got); err != nil || bad != nil {
			t.Errorf("got %q, %v, %v", got, err, bad)
		}
	})
	t.Run("the look fails", func(t *testing.T) {
		if _, err := freeName("a.txt", numbered, func(string) (bool, error) { return false, quire.ErrForbidden }); err == nil {
			t.Error("no error")
		}
	})
}
