package library_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

// world is a library that operations are made on, beside the model of it.
type world struct {
	f       *fixture         // sees the store as it is
	lib     *library.Library // the one under test, over stores that may fail
	m       *model
	rng     *rand.Rand
	rule    library.Retention
	callers []quire.Caller
	serial  int
}

// step is one operation. It is foretold, made, and then told to the model.
type step struct {
	what     string
	want     string       // the outcome
	run      func() error // makes it
	happened func() bool  // looks whether it was done, when nobody knows
	done     func() error // changes the model
	always   bool         // tell the model even if it failed
}

func (w *world) now() time.Time { return w.f.clock.now() }

// caller picks who acts: often somebody who may.
func (w *world) caller() quire.Caller {
	if w.rng.IntN(2) == 0 {
		return w.callers[w.rng.IntN(2)]
	}
	return w.callers[w.rng.IntN(len(w.callers))]
}

// some picks a node: mostly one of the tree, of the kind that is asked for.
func (w *world) some(folder bool) *modelNode {
	var list, all []*modelNode
	for _, n := range w.m.nodes {
		all = append(all, n)
		if n.folder == folder && w.m.inTree(n.id) {
			list = append(list, n)
		}
	}
	if len(list) == 0 || w.rng.IntN(15) == 0 {
		list = all
	}
	slices.SortFunc(list, func(a, b *modelNode) int { return strings.Compare(string(a.id), string(b.id)) })
	return list[w.rng.IntN(len(list))]
}

func (w *world) name() string { return pick(w.rng, "a", "A", "b.txt", "B.TXT", "c", "d.x", "e", "f") }

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

func (w *world) content() string {
	w.serial++
	text := fmt.Sprintf("content %d", w.serial)
	switch w.rng.IntN(12) {
	case 0:
		return ""
	case 1:
		return strings.Repeat(text, 7000) // to the blob store
	case 2, 3:
		return pick(w.rng, "same", "old")
	}
	return text
}

// target is somewhere to put something.
func (w *world) target() quire.Target {
	t := quire.Target{OnConflict: pick(w.rng, quire.Rename, quire.Replace, quire.Replace, quire.Reject)}
	if w.rng.IntN(2) == 0 {
		t.Parent, t.Name = w.some(true).id, w.name()
		return t
	}
	if n := w.some(w.rng.IntN(8) > 0); w.m.inTree(n.id) {
		t.Path = strings.TrimSuffix(w.m.path(n.id), "/")
	}
	for range w.rng.IntN(3) - 1 {
		t.Path += "/" + w.name()
	}
	t.Path += "/" + w.name()
	return t
}

func (w *world) key() quire.LockKey {
	switch w.rng.IntN(6) {
	case 0, 1:
		return quire.LockKey{WOPI: pick(w.rng, "L1", "L2")}
	case 2:
		return quire.LockKey{Coauth: pick(w.rng, "C1", "C2")}
	}
	return quire.LockKey{}
}

func (w *world) precondition() quire.Precondition {
	pre := quire.Precondition{Key: w.key(), Unlocked: pick(w.rng, quire.AllowUnlocked, quire.AllowUnlocked, quire.OnlyEmptyUnlocked, quire.RecentHolderUnlocked)}
	switch w.rng.IntN(8) {
	case 0:
		pre.Revision = ptr(int64(1 + w.rng.IntN(3)))
	case 1:
		pre.Absent = true
	case 2:
		pre.Present = true
	}
	return pre
}

// exists looks whether there is something at a path.
func (w *world) exists(path string) bool {
	_, err := w.f.Lookup(w.f.ctx, w.f.admin, path)
	return err == nil
}

// landed completes a step that puts content somewhere.
func (w *world) landed(s *step, c quire.Caller, sp spot, r modelRevision) {
	if sp.there == nil {
		path := ""
		if s.want == "ok" {
			path = w.m.full(sp)
		}
		s.happened = func() bool { return w.exists(path) }
		s.done = func() error {
			n := w.m.make(w.f, c, sp, false)
			return w.m.revise(n, r, 1, w.now())
		}
		return
	}
	n := sp.there
	s.happened = func() bool { return w.stat(n.id).Sequence != n.sequence }
	s.done = func() error { return w.m.revise(n, r, w.stat(n.id).Revision, w.now()) }
}

func (w *world) stat(id quire.NodeID) library.Entry {
	e, _ := w.f.Stat(w.f.ctx, w.f.admin, id)
	return e
}

func (w *world) save() step {
	c, t, pre, content := w.caller(), w.target(), w.precondition(), w.content()
	if w.rng.IntN(3) == 0 {
		t = quire.Target{Node: w.some(false).id}
	}
	o := library.Save{Precondition: pre, Session: pick(w.rng, "", "s", "t"), Kind: pick(w.rng, quire.SaveManual, quire.SaveAutosave)}
	s := step{what: fmt.Sprintf("%s saves %d bytes to %+v if %+v", c.Name, len(content), t, pre), want: "ok"}
	sp, bad := w.m.resolve(c, t)
	if bad == "" {
		bad = w.m.maySave(c, t, sp, pre, w.now())
	}
	if bad != "" {
		s.want = bad
	}
	s.run = func() error {
		_, _, err := w.lib.Save(w.f.ctx, c, t, strings.NewReader(content), o)
		return err
	}
	w.landed(&s, c, sp, modelRevision{content: content, summed: true, kind: o.Kind, session: o.Session})
	return s
}

func (w *world) mkdir() step {
	c, t := w.caller(), w.target()
	s := step{what: fmt.Sprintf("%s makes the folder %+v", c.Name, t), want: "ok"}
	sp, bad := w.m.resolve(c, t)
	found := bad == "" && sp.there != nil && sp.there.folder && t.OnConflict == quire.Replace
	switch {
	case bad != "":
		s.want = bad
	case sp.there != nil && !found:
		s.want = "exists"
	}
	s.run = func() error {
		_, _, err := w.lib.CreateContainer(w.f.ctx, c, t)
		return err
	}
	if found || s.want != "ok" {
		s.happened, s.done = func() bool { return false }, func() error { return nil }
		return s
	}
	path := w.m.full(sp)
	s.happened = func() bool { return w.exists(path) }
	s.done = func() error {
		w.m.make(w.f, c, sp, true)
		return nil
	}
	return s
}

func (w *world) move() step {
	c, n, t, pre := w.caller(), w.some(w.rng.IntN(3) == 0), w.target(), quire.Precondition{Key: w.key()}
	switch w.rng.IntN(4) {
	case 0:
		t = quire.Target{Name: w.name(), OnConflict: t.OnConflict}
	case 1:
		t.Path, t.Name, t.Parent = "", "", w.some(true).id
	}
	s := step{what: fmt.Sprintf("%s moves %s to %+v with %+v", c.Name, w.m.path(n.id), t, pre.Key), want: "ok"}
	s.run = func() error {
		_, err := w.lib.Move(w.f.ctx, c, n.id, t, pre, nil)
		return err
	}
	m, sp := w.m, spot{}
	s.want, sp = func() (string, spot) {
		if bad := m.may(c, n.id, quire.Editor); bad != "" {
			return bad, sp
		}
		if n.id == m.root {
			return "invalid", sp
		}
		if !n.folder {
			if bad := n.mayChange(lock.Rename, pre, w.now()); bad != "" {
				return bad, sp
			}
		}
		t := t
		if t.Parent == "" && t.Path == "" {
			t.Parent = n.parent
		} else if t.Name == "" && t.Path == "" {
			t.Name = n.name
		}
		if at := w.at(t); at == n {
			name := t.Name
			if name == "" {
				name = t.Path[strings.LastIndex(t.Path, "/")+1:]
			}
			return "ok", spot{parent: n.parent, name: name}
		}
		sp, bad := m.resolve(c, t)
		if bad != "" {
			return bad, sp
		}
		if x := sp.there; x != nil {
			if t.OnConflict != quire.Replace || x.folder || n.folder {
				return "exists", sp
			}
			if bad := m.may(c, x.id, quire.Editor); bad != "" {
				return bad, sp
			}
			if bad := x.mayChange(lock.Delete, quire.Precondition{}, w.now()); bad != "" {
				return bad, sp
			}
			sp.parent = x.parent
		}
		if bad := m.may(c, sp.parent, quire.Editor); bad != "" {
			return bad, sp
		}
		if n.folder && slices.Contains(m.up(sp.parent), n) {
			return "invalid", sp
		}
		return "ok", sp
	}()
	if s.want != "ok" {
		return s
	}
	path, replaced := m.full(sp), sp.there
	s.happened = func() bool {
		return w.stat(n.id).Path == path && (replaced == nil || w.stat(replaced.id).ID == "")
	}
	s.done = func() error {
		if replaced != nil {
			m.discard(c, replaced)
		}
		parent := sp.parent
		if len(sp.missing) > 0 {
			parent = m.make(w.f, c, spot{parent: sp.parent, missing: sp.missing[:len(sp.missing)-1], name: sp.missing[len(sp.missing)-1]}, true).id
		}
		m.move(n, parent, sp.name)
		return nil
	}
	return s
}

// at returns the node that is at a target already.
func (w *world) at(t quire.Target) *modelNode {
	if t.Parent != "" {
		if !w.m.inTree(t.Parent) {
			return nil
		}
		return w.m.child(t.Parent, t.Name)
	}
	sp, _ := w.m.resolve(w.f.admin, quire.Target{Path: t.Path, OnConflict: quire.Replace})
	return sp.there
}

func (w *world) copy() step {
	c, n, t := w.caller(), w.some(w.rng.IntN(4) == 0), w.target()
	if n.id == w.m.root || len(w.m.nodes) > 60 && n.folder {
		n = w.some(false)
	}
	if n.id == w.m.root {
		return w.read()
	}
	s := step{what: fmt.Sprintf("%s copies %s to %+v", c.Name, w.m.path(n.id), t), want: "ok"}
	s.run = func() error {
		_, err := w.lib.Copy(w.f.ctx, c, n.id, t)
		return err
	}
	if bad := w.m.may(c, n.id, quire.Viewer); bad != "" {
		s.want = bad
		return s
	}
	sp, bad := w.m.resolve(c, t)
	if !n.folder {
		if bad == "" {
			bad = w.m.maySave(c, t, sp, quire.Precondition{}, w.now())
		}
		if bad != "" {
			s.want = bad
		}
		cur := n.revs[n.current]
		w.landed(&s, c, sp, modelRevision{content: cur.content, summed: cur.summed})
		return s
	}
	switch {
	case bad != "":
		s.want = bad
	case sp.there != nil:
		s.want = "exists"
	case slices.Contains(w.m.up(sp.parent), n):
		s.want = "invalid"
	default:
		path := w.m.full(sp)
		s.happened = func() bool { return w.exists(path) }
		s.done = func() error {
			w.m.copyTree(w.f, c, n.id, w.m.make(w.f, c, sp, true).id, w.now())
			return nil
		}
	}
	return s
}

func (w *world) delete() step {
	c, n, pre := w.caller(), w.some(w.rng.IntN(3) == 0), quire.Precondition{Key: w.key()}
	s := step{what: fmt.Sprintf("%s deletes %s with %+v", c.Name, w.m.path(n.id), pre.Key), want: "ok"}
	s.run = func() error { return w.lib.Delete(w.f.ctx, c, n.id, pre, nil) }
	switch bad := w.m.may(c, n.id, quire.Editor); {
	case bad != "":
		s.want = bad
	case n.id == w.m.root:
		s.want = "invalid"
	case n.folder && w.m.lockedBelow(n.id, w.now()):
		s.want = "locked"
	case !n.folder && n.mayChange(lock.Delete, pre, w.now()) != "":
		s.want = n.mayChange(lock.Delete, pre, w.now())
	}
	s.happened = func() bool { return w.stat(n.id).ID == "" }
	s.done = func() error {
		w.m.discard(c, n)
		return nil
	}
	return s
}

func (w *world) untrash() step {
	c, list := w.caller(), w.m.trash()
	if len(list) == 0 {
		return w.delete()
	}
	n := list[w.rng.IntN(len(list))]
	s := step{what: fmt.Sprintf("%s restores %s", c.Name, n.name), want: "ok"}
	mine := c.Role == quire.RoleAdmin || c.User != "" && (n.trashed.By == c.User || n.owner == c.User)
	if w.rng.IntN(3) == 0 {
		s.what = fmt.Sprintf("%s purges %s", c.Name, n.name)
		s.run = func() error { return w.lib.Purge(w.f.ctx, c, n.id) }
		if !mine {
			s.want = "missing"
		}
		s.happened = func() bool { return !w.inTrash(n.id) }
		s.done = func() error {
			w.m.purge(n.id)
			return nil
		}
		return s
	}
	s.run = func() error {
		_, err := w.lib.Untrash(w.f.ctx, c, n.id)
		return err
	}
	parent := n.trashed.Parent
	bad := w.m.may(c, parent, quire.Editor)
	if bad == "missing" {
		parent = w.m.root
		bad = w.m.may(c, parent, quire.Editor)
	}
	if !mine {
		bad = "missing"
	}
	if bad != "" {
		s.want = bad
	}
	s.happened = func() bool { return w.stat(n.id).ID != "" }
	s.done = func() error {
		if w.m.child(parent, n.name) != nil {
			n.name = w.m.free(parent, n.name)
		}
		n.trashed, n.parent = nil, parent
		w.m.event(quire.EventNew, n)
		return w.thinned(n.id) // it has been, in the trash as well
	}
	return s
}

func (w *world) inTrash(id quire.NodeID) bool {
	list, _, err := w.f.Trash(w.f.ctx, w.f.admin, "", 5000)
	return err != nil || slices.ContainsFunc(list, func(e library.Entry) bool { return e.ID == id })
}

func (w *world) lock() step {
	c, n := w.caller(), w.some(false)
	r := lock.Request{
		Op: lock.Op(1 + w.rng.IntN(8)), ID: pick(w.rng, "L1", "L2"), OldID: pick(w.rng, "L1", "L2"), User: c.User, Name: c.Name,
		Timeout: pick(w.rng, 10*time.Minute, 30*time.Minute), Type: pick(w.rng, quire.Coauth, quire.CoauthExclusive),
	}
	if w.rng.IntN(2) == 0 {
		r.Op = pick(w.rng, lock.Lock, lock.GetCoauth, lock.ForceUnlock) // or there would be few locks
	}
	if r.Op >= lock.GetCoauth {
		r.ID = pick(w.rng, "C1", "C2")
	}
	s := step{what: fmt.Sprintf("%s asks %+v of %s", c.Name, r, w.m.path(n.id)), want: "ok"}
	needs := quire.Editor
	s.run = func() error {
		_, err := w.lib.Lock(w.f.ctx, c, n.id, r)
		return err
	}
	if r.Op == lock.ForceUnlock {
		needs = quire.Owner
		s.run = func() error {
			_, err := w.lib.ForceUnlock(w.f.ctx, c, n.id)
			return err
		}
	}
	next, err := lock.Apply(n.lock, r, n.sequence, w.now())
	switch bad := w.m.may(c, n.id, needs); {
	case bad != "":
		s.want = bad
	case n.folder:
		s.want = "kind"
	case err != nil:
		s.want = outcome(err)
	}
	s.happened = func() bool { return asJSON(w.stat(n.id).Lock) == asJSON(next) }
	s.done = func() error {
		n.lock = next
		return nil
	}
	return s
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
