package library_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

func (w *world) history() step {
	c, n, pre := w.caller(), w.some(false), w.precondition()
	pre.Absent, pre.Present = false, false
	number := int64(1 + w.rng.IntN(int(n.current)+1))
	old := n.revs[number]
	s := step{want: "ok"}
	bad := w.m.may(c, n.id, quire.Editor)
	if bad == "" && n.folder {
		bad = "kind"
	}
	if w.rng.IntN(3) == 0 {
		label := pick(w.rng, "", "named")
		s.what = fmt.Sprintf("%s labels revision %d of %s %q", c.Name, number, w.m.path(n.id), label)
		s.run = func() error {
			_, err := w.lib.LabelRevision(w.f.ctx, c, n.id, number, label)
			return err
		}
		if bad == "" && old == nil {
			bad = "missing"
		}
		s.happened = func() bool {
			_, r, err := w.f.Revision(w.f.ctx, w.f.admin, n.id, number)
			return err == nil && r.Label == label
		}
		s.done = func() error {
			old.label = label
			return nil
		}
	} else {
		s.what = fmt.Sprintf("%s restores revision %d of %s if %+v", c.Name, number, w.m.path(n.id), pre)
		s.run = func() error {
			_, _, err := w.lib.RestoreRevision(w.f.ctx, c, n.id, number, pre)
			return err
		}
		if bad == "" {
			bad = n.mayChange(lock.Content, pre, w.now())
		}
		if bad == "" && pre.Revision != nil && *pre.Revision != n.current {
			bad = "conflict"
		}
		if bad == "" && old == nil {
			bad = "missing"
		}
		s.happened = func() bool { return w.stat(n.id).Sequence != n.sequence }
		s.done = func() error {
			r := modelRevision{content: old.content, summed: old.summed, kind: quire.SaveRestore}
			return w.m.revise(n, r, n.current+1, w.now())
		}
	}
	if bad != "" {
		s.want = bad
	}
	return s
}

func (w *world) share() step {
	c, to, n := w.caller(), w.callers[1+w.rng.IntN(len(w.callers)-2)], w.some(w.rng.IntN(2) == 0)
	access := pick(w.rng, quire.Viewer, quire.Editor, quire.Owner)
	if w.rng.IntN(3) == 0 {
		return w.relink()
	}
	if w.rng.IntN(3) == 0 {
		c, n = w.f.admin, w.m.nodes[w.m.root] // or they soon could do nothing
	}
	have := w.m.access(c, n.id)
	s := step{what: fmt.Sprintf("%s makes %s %s of %s", c.Name, to.Name, access, w.m.path(n.id)), want: "ok"}
	if bad := w.m.may(c, n.id, quire.Editor); bad != "" {
		s.want = bad
	} else if access > have || w.m.grants[n.id][to.User] > have {
		s.want = "forbidden"
	}
	s.run = func() error { return w.lib.Share(w.f.ctx, c, n.id, to.User, access) }
	if w.rng.IntN(4) == 0 {
		access = quire.NoAccess
		s.what = fmt.Sprintf("%s takes %s from %s", c.Name, w.m.path(n.id), to.Name)
		needs := quire.Editor
		if to.User == c.User {
			needs = quire.Viewer
		}
		s.want = "ok"
		if bad := w.m.may(c, n.id, needs); bad != "" {
			s.want = bad
		} else if w.m.grants[n.id][to.User] > have {
			s.want = "forbidden"
		}
		s.run = func() error { return w.lib.Unshare(w.f.ctx, c, n.id, to.User) }
	}
	s.happened = func() bool {
		list, err := w.f.Sharing(w.f.ctx, w.f.admin, n.id)
		got := quire.NoAccess
		for _, g := range list.Grants {
			if g.Node == n.id && g.User == to.User {
				got = g.Access
			}
		}
		return err == nil && got == access
	}
	s.done = func() error {
		if w.m.grants[n.id] == nil {
			w.m.grants[n.id] = make(map[quire.UserID]quire.Access)
		}
		w.m.grants[n.id][to.User] = access
		return nil
	}
	return s
}

// relink gives the guest another link.
func (w *world) relink() step {
	n := w.some(w.rng.IntN(3) > 0)
	access := pick(w.rng, quire.Viewer, quire.Editor)
	s := step{what: fmt.Sprintf("the guest gets a link to %s as %s", w.m.path(n.id), access), want: "ok"}
	if !w.m.inTree(n.id) {
		s.want = "missing"
	}
	var k quire.Link
	s.run = func() (err error) {
		k, err = w.lib.StandingLink(w.f.ctx, w.f.admin, n.id, access)
		return err
	}
	s.happened = func() bool { return false } // nobody has got its id
	s.done = func() error {
		w.m.links[k.ID] = modelLink{n.id, access}
		for i, c := range w.callers {
			if c.User == "" {
				w.callers[i].Link = k.ID
			}
		}
		return nil
	}
	return s
}

// member picks a caller who can have uploads.
func (w *world) member() quire.Caller {
	for {
		if c := w.caller(); c.User != "" {
			return c
		}
	}
}

func (w *world) anUpload() (quire.UploadID, *modelUpload) {
	var ids []quire.UploadID
	for id := range w.m.uploads {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return "", nil
	}
	slices.Sort(ids)
	id := ids[w.rng.IntN(len(ids))]
	return id, w.m.uploads[id]
}

func (w *world) upload() step {
	id, u := w.anUpload()
	c := w.member()
	if u == nil || len(w.m.uploads) < 4 && w.rng.IntN(3) == 0 {
		declared := pick(w.rng, -1, -1, 0, 30, 200_000)
		s := step{what: fmt.Sprintf("%s begins an upload of %d", c.Name, declared), want: "ok"}
		s.run = func() error {
			u, err := w.lib.CreateUpload(w.f.ctx, c, library.NewUpload{Declared: int64(declared), Life: 1000 * time.Hour})
			id = u.ID
			return err
		}
		s.happened = func() bool { return false } // nobody has got its id
		s.done = func() error {
			w.m.uploads[id] = &modelUpload{owner: c.User, declared: int64(declared)}
			return nil
		}
		return s
	}
	if w.rng.IntN(8) > 0 { // mostly by its owner
		for c.User != u.owner {
			c = w.member()
		}
	}
	s := step{want: "ok"}
	if c.User != u.owner {
		s.want = "gone"
	}
	switch w.rng.IntN(6) {
	case 0:
		s.what = fmt.Sprintf("%s cancels an upload", c.Name)
		if c.Role == quire.RoleAdmin {
			s.want = "ok"
		}
		s.run = func() error { return w.lib.CancelUpload(w.f.ctx, c, id) }
		s.happened = func() bool {
			_, err := w.f.Upload(w.f.ctx, w.callerOf(u.owner), id)
			return err != nil
		}
		s.done = func() error {
			delete(w.m.uploads, id)
			return nil
		}
		return s
	case 1, 2:
		return w.commit(s, c, id, u)
	}
	return w.append(s, c, id, u)
}

func (w *world) callerOf(id quire.UserID) quire.Caller {
	for _, c := range w.callers {
		if c.User == id {
			return c
		}
	}
	return quire.Caller{}
}

func (w *world) append(s step, c quire.Caller, id quire.UploadID, u *modelUpload) step {
	piece := w.content()
	at := len(u.content)
	rewrite := w.rng.IntN(3) == 0
	if w.rng.IntN(4) == 0 {
		at = w.rng.IntN(at + 2)
	}
	s.what = fmt.Sprintf("%s appends %d bytes at %d of %d", c.Name, len(piece), at, len(u.content))
	s.run = func() error {
		_, _, err := w.lib.Append(w.f.ctx, c, id, int64(at), strings.NewReader(piece), library.Append{Rewrite: rewrite})
		return err
	}
	if s.want == "ok" {
		switch {
		case u.done != nil:
			s.want = "invalid"
		case at > len(u.content) || at < len(u.content) && !rewrite:
			s.want = "offset"
		case u.declared >= 0 && int64(at+len(piece)) > u.declared:
			s.want = "large"
		}
	}
	after := ""
	if s.want == "ok" {
		after = u.content[:at] + piece + u.content[min(at+len(piece), len(u.content)):]
	}
	epoch := w.uploadEpoch(id, u)
	s.happened = func() bool { return w.uploadEpoch(id, u) != epoch }
	s.done = func() error {
		u.content = after
		return nil
	}
	return s
}

func (w *world) uploadEpoch(id quire.UploadID, u *modelUpload) int64 {
	now, err := w.f.Upload(w.f.ctx, w.callerOf(u.owner), id)
	if err != nil {
		return -1
	}
	return now.Epoch
}

func (w *world) commit(s step, c quire.Caller, id quire.UploadID, u *modelUpload) step {
	t, pre := w.target(), w.precondition()
	s.what = fmt.Sprintf("%s commits an upload of %d bytes to %+v if %+v", c.Name, len(u.content), t, pre)
	s.run = func() error {
		_, done, err := w.lib.CommitUpload(w.f.ctx, c, id, t, library.Save{Precondition: pre})
		if err == nil && u.done != nil && done != *u.done {
			err = fmt.Errorf("committing again gave %+v instead of %+v", done, *u.done)
		}
		return err
	}
	if s.want != "ok" {
		return s
	}
	if u.done != nil {
		s.happened, s.done = func() bool { return false }, func() error { return nil }
		if bad := w.m.may(c, u.done.Node, quire.Viewer); bad != "" {
			s.want = bad
		}
		return s
	}
	sp := spot{}
	if u.declared >= 0 && int64(len(u.content)) != u.declared {
		s.want = "short"
	} else {
		var bad string
		if sp, bad = w.m.resolve(c, t); bad == "" {
			bad = w.m.maySave(c, t, sp, pre, w.now())
		}
		if bad != "" {
			s.want = bad
		}
	}
	w.landed(&s, c, sp, modelRevision{content: u.content})
	landed := s.done
	s.done = func() error {
		now, err := w.f.Upload(w.f.ctx, c, id)
		if err != nil || now.Done == nil {
			return fmt.Errorf("the upload is not done: %+v, %v", now, err)
		}
		u.done = now.Done
		return landed()
	}
	return s
}

// read looks at a node as one of the callers.
func (w *world) read() step {
	c, n := w.caller(), w.some(w.rng.IntN(4) == 0)
	s := step{what: fmt.Sprintf("%s reads %s", c.Name, w.m.path(n.id)), want: "ok"}
	bad := w.m.may(c, n.id, quire.Viewer)
	if bad == "" && n.folder {
		bad = "kind"
	}
	if bad != "" {
		s.want = bad
	}
	s.run = func() error {
		in, err := w.lib.Open(w.f.ctx, c, n.id, 0)
		if err != nil {
			return err
		}
		defer in.Close()
		var got strings.Builder
		if _, err := in.WriteRange(&got, 0, in.Size); err != nil {
			return err
		}
		if want := n.revs[n.current].content; got.String() != want {
			return fmt.Errorf("it has %d bytes, want %d", got.Len(), len(want))
		}
		return nil
	}
	s.happened = func() bool { return false }
	s.done = func() error { return nil }
	return s
}

// upkeep is the background work, which changes nothing that anybody sees but
// old revisions.
func (w *world) upkeep() step {
	s := step{what: "background work", want: "ok"}
	s.run = func() error {
		if err := w.lib.Chores(w.f.ctx); err != nil {
			return err
		}
		_, err := w.lib.Collect(w.f.ctx, 0)
		return err
	}
	s.always = true
	s.done = func() error { return w.thinned(w.m.root) }
	return s
}

// thinned tells the model which revisions are left of what is below a node.
func (w *world) thinned(id quire.NodeID) error {
	for _, n := range w.m.below(id) {
		if n.folder {
			continue
		}
		if err := n.thinned(w.f.numbers(n.id), w.rule, w.now()); err != nil {
			return fmt.Errorf("%s: %w", w.m.path(n.id), err)
		}
	}
	return nil
}
