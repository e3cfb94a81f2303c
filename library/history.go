package library

import (
	"context"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/lock"
)

// Revisions returns a page of a file's history, the newest first, with numbers
// below before (0 is from the newest). Unless all is set, autosaves of an
// editing session that a later save of it replaced are left out: they are one
// line of the history that people see.
func (l *Library) Revisions(ctx context.Context, c quire.Caller, id quire.NodeID, before int64, limit int, all bool) (list []quire.Revision, err error) {
	if limit, err = pageSize(limit, 100); err != nil {
		return nil, err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list = nil
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		newer := ""
		if before > 0 && !all {
			if r, err := tx.Revision(id, before); err == nil {
				newer = r.Session
			}
		}
		for {
			page, err := tx.Revisions(id, before, limit)
			if err != nil {
				return err
			}
			for _, r := range page {
				before = r.Number
				hidden := collapses(r) && r.Session == newer
				newer = r.Session
				if hidden && !all {
					continue
				}
				if list = append(list, r); len(list) == limit {
					return nil
				}
			}
			if len(page) < limit {
				return nil
			}
		}
	})
	return list, err
}

// collapses says whether a revision disappears from the history when a newer
// one of its session follows it.
func collapses(r quire.Revision) bool {
	return r.Kind == quire.SaveAutosave && r.Session != "" && r.Label == ""
}

// Revision returns one revision of a file.
func (l *Library) Revision(ctx context.Context, c quire.Caller, id quire.NodeID, number int64) (e Entry, r quire.Revision, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		if e, err = l.find(tx, c, id, quire.Viewer); err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		if number == 0 {
			number = e.Revision
		}
		r, err = tx.Revision(id, number)
		return err
	})
	return e, r, err
}

// RestoreRevision makes an old revision's content current again, as a new
// revision. It copies no bytes.
func (l *Library) RestoreRevision(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, pre quire.Precondition) (e Entry, done quire.Saved, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if e, err = l.find(tx, c, id, quire.Editor); err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		if err := mayChange(e, lock.Content, pre, nil, tx.Now()); err != nil {
			return err
		}
		if err := checkPrecondition(e, pre); err != nil {
			return err
		}
		old, err := tx.Revision(id, number)
		if err != nil {
			return err
		}
		m, err := tx.Manifest(id, number)
		if err != nil {
			return err
		}
		main := *m.Main()
		main.Updated = tx.Now()
		if err := tx.DropProperties(e.ID, true, tx.Now().Add(-quire.StreamLife)); err != nil {
			return err
		}
		r := quire.Revision{Size: old.Size, Sum: old.Sum, Kind: quire.SaveRestore, From: number}
		e, err = l.append(tx, c, e, &quire.Manifest{Streams: []quire.Stream{main}}, r, &incoming{}, e.Client, false)
		done = quire.Saved{Node: e.ID, Revision: e.Revision, Sequence: e.Sequence}
		return err
	})
	return e, done, err
}

// LabelRevision names a revision, so that it is never thinned; an empty label
// takes the name away.
func (l *Library) LabelRevision(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, label string) (r quire.Revision, err error) {
	if len(label) > quire.MaxNameBytes {
		return r, &quire.Invalid{What: "label", Reason: "it is too long: use at most 255 bytes"}
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Editor)
		if err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		if r, err = tx.Revision(id, number); err != nil {
			return err
		}
		r.Label = label
		if err := tx.UpdateRevision(&r); err != nil || label != "" {
			return err
		}
		// Nothing but its name may have kept it.
		return tx.AddChore(catalog.Chore{Kind: choreThin, Subject: string(id), Due: tx.Now()})
	})
	return r, err
}

// Copy makes a new file with the content of another's current revision, or a
// new container with all that is below another. It copies no bytes. The copy
// appears whole or not at all.
func (l *Library) Copy(ctx context.Context, c quire.Caller, id quire.NodeID, t quire.Target) (Entry, error) {
	src, err := l.Stat(ctx, c, id)
	if err != nil {
		return Entry{}, err
	}
	if t.Name == "" && t.Path == "" {
		t.Name = src.Name
	}
	if src.IsContainer() {
		return l.copyTree(ctx, c, src, t)
	}
	var e Entry
	err = l.update(ctx, func(tx *catalog.Tx) error {
		src, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		in, err := shared(tx, src)
		if err != nil {
			return err
		}
		if err := l.roomFor(tx, c.Site, in.size); err != nil {
			return err
		}
		t := t
		t.Client = src.Client
		if e, _, err = l.land(tx, c, t, in, Save{}); err != nil {
			return err
		}
		return holdAll(tx, e, in)
	})
	return e, err
}

// shared returns a file's current content as content for another file.
func shared(tx *catalog.Tx, src Entry) (*incoming, error) {
	m, err := tx.Manifest(src.ID, src.Revision)
	if err != nil {
		return nil, err
	}
	r, err := tx.Revision(src.ID, src.Revision)
	if err != nil {
		return nil, err
	}
	return &incoming{extents: m.Main().Extents, size: m.Main().Size, sum: r.Sum}, nil
}

// holdAll makes a file hold the segments of content that it shares, unless it
// had the same content already.
func holdAll(tx *catalog.Tx, e Entry, in *incoming) error {
	if !in.used {
		return nil
	}
	held := make(map[quire.SegmentID]bool)
	for _, x := range in.extents {
		if held[x.Segment] {
			continue
		}
		held[x.Segment] = true
		if err := tx.Hold(e.Site, catalog.NodeHolder(e.ID), x.Segment); err != nil {
			return err
		}
	}
	return nil
}

func (l *Library) roomFor(tx *catalog.Tx, site quire.SiteID, bytes int64) error {
	room, err := l.room(tx, site)
	if err == nil && room >= 0 && bytes > room {
		err = l.overQuota(tx, site)
	}
	return err
}

// copyTree builds the copy of a tree out of sight, in the trash, and then
// moves it to its place in one step. If it is interrupted, the chore that
// purges the trash removes what was built.
func (l *Library) copyTree(ctx context.Context, c quire.Caller, src Entry, t quire.Target) (e Entry, err error) {
	var top quire.Node
	err = l.update(ctx, func(tx *catalog.Tx) error {
		p, err := l.resolve(tx, c, t)
		if err != nil {
			return err
		}
		if p.there != nil {
			return l.existing(tx, p)
		}
		if err := allow(c, p.parent, quire.Editor); err != nil {
			return err
		}
		if err := l.fits(tx, src, p.parent); err != nil {
			return err
		}
		s, err := l.siteTops(tx, c.Site)
		if err != nil {
			return err
		}
		top = quire.Node{
			ID: quire.NodeID(l.recordID()), Site: c.Site, Parent: s.trash, Name: p.name, Kind: quire.Container,
			Owner: ownerOf(c, p.parent), Created: tx.Now(), Modified: tx.Now(),
			Trashed: &quire.Trashed{At: tx.Now()}, // nobody's: it cannot be restored
		}
		top.NameKey = "/" + string(top.ID)
		if err := tx.InsertNode(&top); err != nil {
			return err
		}
		return tx.PutChore(catalog.Chore{Kind: chorePurge, Subject: string(top.ID), Due: tx.Now().Add(l.opt.TrashLife)})
	})
	if err != nil {
		return Entry{}, err
	}
	if err = l.copyChildren(ctx, c, src.ID, top.ID, 0); err == nil {
		err = l.update(ctx, func(tx *catalog.Tx) error {
			p, err := l.resolve(tx, c, t)
			if err != nil {
				return err
			}
			if p.there != nil {
				return l.existing(tx, p)
			}
			parent, err := l.makeContainers(tx, c, p.parent, p.missing)
			if err != nil {
				return err
			}
			if err := allow(c, parent, quire.Editor); err != nil {
				return err
			}
			n, err := tx.Node(top.ID)
			if err != nil {
				return err
			}
			n.Parent, n.Name, n.NameKey, n.Trashed = parent.ID, p.name, foldName(p.name), nil
			if err := tx.UpdateNode(&n); err != nil {
				return err
			}
			if err := tx.DeleteChore(chorePurge, string(n.ID)); err != nil {
				return err
			}
			e = Entry{Node: n, Path: joinPath(parent.Path, n.Name), Access: parent.Access}
			return l.record(tx, c, quire.EventNew, e, map[string]any{"copy": src.Path})
		})
	}
	if err != nil {
		if perr := l.purge(context.WithoutCancel(ctx), top.ID); perr != nil {
			l.log.Warn("an unfinished copy stays until the trash is purged", "node", top.ID, "error", perr)
		}
	}
	return e, err
}

// copyBatch is how many nodes one transaction copies.
const copyBatch = 100

func (l *Library) copyChildren(ctx context.Context, c quire.Caller, from, to quire.NodeID, depth int) error {
	if depth > quire.MaxDepth {
		return tooDeep()
	}
	type pair struct{ from, to quire.NodeID }
	var folders []pair
	for after, more := "", true; more; {
		var found []pair
		next := after
		err := l.update(ctx, func(tx *catalog.Tx) error {
			found, next, more = nil, after, false
			page, err := tx.Children(from, after, copyBatch)
			if err != nil {
				return err
			}
			more = len(page) == copyBatch
			for _, n := range page {
				next = n.NameKey
				copied := quire.Node{
					ID: quire.NodeID(l.recordID()), Site: n.Site, Parent: to, Name: n.Name, NameKey: n.NameKey,
					Kind: n.Kind, Owner: c.User, Created: tx.Now(), Modified: tx.Now(), Client: n.Client,
				}
				if copied.Owner == "" {
					copied.Owner = n.Owner // the holder of a link is nobody
				}
				if n.IsContainer() {
					if err := tx.InsertNode(&copied); err != nil {
						return err
					}
					found = append(found, pair{n.ID, copied.ID})
					continue
				}
				in, err := shared(tx, Entry{Node: n})
				if err != nil {
					return err
				}
				if err := l.roomFor(tx, c.Site, in.size); err != nil {
					return err
				}
				e, _, err := l.advance(tx, c, Entry{Node: copied}, n.Client, in, Save{}, true)
				if err != nil {
					return err
				}
				if err := holdAll(tx, e, in); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		after = next
		folders = append(folders, found...)
	}
	for _, f := range folders {
		if err := l.copyChildren(ctx, c, f.from, f.to, depth+1); err != nil {
			return err
		}
	}
	return nil
}
