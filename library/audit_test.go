package library_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// told writes a page of the record as lines, the oldest first.
func (f *fixture) told(after int64) (lines []string, last int64) {
	f.t.Helper()
	list, err := f.Audit(f.ctx, f.admin, after, time.Time{}, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	last = after
	for _, e := range list {
		last = e.Seq
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %t", e.Kind, e.Name, e.Path, e.Refused())))
	}
	return lines, last
}

// TestAuditRefusals: who asks for what they may not is recorded, once, whether the
// answer is that it is forbidden or that there is no such thing; the answer is the
// same as without a record, and only administrators see it.
func TestAuditRefusals(t *testing.T) {
	f := open(t, library.Options{RecordReads: true})
	e := f.put(f.admin, "/plan.txt", "text")
	viewer := f.user("vera", quire.RoleMember, quire.Viewer)
	stranger := f.user("sam", quire.RoleMember, quire.NoAccess)
	reader := viewer
	reader.Name, reader.Scope = "vera's program", quire.ScopeRead
	_, before := f.told(0)

	for range 2 {
		if _, err := f.save(viewer, quire.Target{Path: "/plan.txt", OnConflict: quire.Replace}, "other", library.Save{}); !errors.Is(err, quire.ErrForbidden) {
			t.Errorf("a viewer saves: %v", err)
		}
		if _, err := f.Stat(f.ctx, stranger, e.ID); !errors.Is(err, quire.ErrNotFound) || err.Error() != quire.ErrNotFound.Error() {
			t.Errorf("a stranger looks: %v", err)
		}
		if _, err := f.Stat(f.ctx, f.admin, "nothing"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
	}
	f.read(viewer, e.ID, 0)
	f.read(viewer, e.ID, 0)
	lines, after := f.told(before)
	want := "refused vera /plan.txt true|refused sam /plan.txt true|read vera /plan.txt false"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("recorded:\n%s, want\n%s", got, want)
	}

	if _, err := f.Audit(f.ctx, viewer, 0, time.Time{}, 10); !errors.Is(err, quire.ErrForbidden) {
		t.Errorf("a member sees the record: %v", err)
	}
	list, err := f.Activities(f.ctx, viewer, e.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range list {
		if !ev.Kind.OnNode() {
			t.Errorf("everybody sees that %s was %s", ev.Name, ev.Kind)
		}
	}
	changes, cursor, _, err := f.Changes(f.ctx, viewer, "", before, time.Time{}, 100)
	if err != nil || len(changes) != 0 || cursor != after {
		t.Errorf("the change feed tells %v up to %d, %v", changes, cursor, err)
	}
}

// TestAuditPurge: what is deleted for good is recorded with who did it.
func TestAuditPurge(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/a.txt", "text")
	if err := f.Delete(f.ctx, f.admin, e.ID, quire.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	_, before := f.told(0)
	if err := f.Purge(f.ctx, f.admin, e.ID); err != nil {
		t.Fatal(err)
	}
	if lines, _ := f.told(before); strings.Join(lines, "|") != "purge admin a.txt false" {
		t.Errorf("recorded: %v", lines)
	}
}

// TestAuditLife: events are kept as long as is said, and no longer.
func TestAuditLife(t *testing.T) {
	f := open(t, library.Options{EventLife: 30 * 24 * time.Hour})
	f.put(f.admin, "/old.txt", "text")
	f.clock.advance(29 * 24 * time.Hour)
	f.put(f.admin, "/new.txt", "text")
	keep := func(what string, want bool) {
		t.Helper()
		if err := f.Chores(f.ctx); err != nil {
			t.Fatal(err)
		}
		lines, _ := f.told(0)
		if got := strings.Contains(strings.Join(lines, "|"), "/old.txt"); got != want {
			t.Errorf("%s: %v", what, lines)
		}
		if !strings.Contains(strings.Join(lines, "|"), "/new.txt") {
			t.Errorf("%s: the new one is gone too: %v", what, lines)
		}
	}
	keep("after 29 days", true)
	f.clock.advance(2 * 24 * time.Hour)
	keep("after 31 days", false)
}
