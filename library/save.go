package library

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/lock"
)

// Save says how content is to be saved. The zero value saves a body of unknown
// length for the caller.
type Save struct {
	quire.Precondition
	SameLock lock.SameID    // compares WOPI lock ids; nil is exactly
	Length   int64          // of the body, if Sized: a body of another length changes nothing
	Sized    bool           //
	Max      int64          // the most bytes that the body may have; 0 is no limit
	Authors  []quire.UserID // who wrote it; empty is the caller
	Kind     quire.SaveKind
	Session  string // the editing session, so that its autosaves can collapse
	// Rescue keeps content for an existing file that a lock or a newer revision
	// refuses: in a conflict copy beside it. The refusal is returned all the
	// same.
	Rescue bool
}

// Save stores a body as the content of the target: a new file, or a new
// revision of the one that is there. When it returns nil, bytes and metadata
// are durable. When it fails, nothing has changed.
//
// A body that equals the current content is a success that costs no storage:
// the sequence number rises, so that protocols which promise a new version
// keep their word, but there is no new revision.
func (l *Library) Save(ctx context.Context, c quire.Caller, t quire.Target, body io.Reader, o Save) (e Entry, done quire.Saved, err error) {
	if o.Sized && o.Max > 0 && o.Length > o.Max {
		return Entry{}, quire.Saved{}, &quire.TooLarge{Limit: o.Max}
	}
	// A refusal that can be known now saves the client from sending the body.
	// A little one is sent sooner than looked into.
	room, refused := int64(-1), error(nil)
	if !o.Sized || o.Length > quire.InlineMax {
		room, refused = l.check(ctx, c, t, o)
	}
	if refused != nil && !(o.Rescue && refusal(refused)) {
		return Entry{}, quire.Saved{}, refused
	}
	if refused != nil {
		room = -1 // the copy that is kept is weighed when it lands
	}
	in, err := l.stage(ctx, c, body, room, o)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if err = refused; err == nil {
		err = l.update(ctx, func(tx *catalog.Tx) error {
			e, done, err = l.land(tx, c, t, in, o)
			return err
		})
	}
	kept := err == nil && in.used
	if o.Rescue && refusal(err) {
		rerr := l.rescue(ctx, c, t.Node, in, o)
		kept = rerr == nil && in.used
		err = errors.Join(err, rerr)
	}
	if !kept {
		l.drop(ctx, in, err)
	}
	return e, done, err
}

// check looks whether a save can succeed as things are, and returns how many
// bytes the quota leaves; -1 is no limit.
func (l *Library) check(ctx context.Context, c quire.Caller, t quire.Target, o Save) (room int64, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		p, err := l.resolve(tx, c, t)
		if err != nil {
			return err
		}
		if err := l.maySave(tx, c, t, p, o); err != nil {
			return err
		}
		room, err = l.room(tx, c.Site)
		if err == nil && room >= 0 && o.Sized && o.Length > room {
			err = l.overQuota(tx, c.Site)
		}
		return err
	})
	return room, err
}

// maySave decides whether content may be saved at a place.
func (l *Library) maySave(tx *catalog.Tx, c quire.Caller, t quire.Target, p place, o Save) error {
	if p.there == nil {
		switch {
		case o.Present || o.Node != "" || o.Revision != nil || o.Sequence != nil:
			return quire.ErrNotFound
		case !lock.Empty(o.Key):
			return &quire.Locked{Reason: "the file is new and cannot be locked: save it without a lock"}
		}
		return allow(c, p.parent, quire.Editor)
	}
	e := *p.there
	if e.IsContainer() {
		if t.Node != "" {
			return quire.ErrNotAFile
		}
		return l.existing(tx, p)
	}
	if t.Node == "" && t.OnConflict != quire.Replace || o.Absent {
		return l.existing(tx, p)
	}
	if err := allow(c, e, quire.Editor); err != nil {
		return err
	}
	if err := mayChange(e, lock.Content, o.Precondition, o.SameLock, tx.Now()); err != nil {
		return err
	}
	return checkPrecondition(e, o.Precondition)
}

// mayChange asks the lock's decision about an entry whose lock state is live.
func mayChange(e Entry, change lock.Change, pre quire.Precondition, same lock.SameID, now time.Time) error {
	return lock.MayChange(e.Lock, lock.Attempt{
		Change: change, Key: pre.Key, Same: same,
		Size: e.Size, Sequence: e.Sequence, Rule: pre.Unlocked,
	}, now)
}

func checkPrecondition(e Entry, pre quire.Precondition) error {
	if pre.Node != "" && pre.Node != e.ID ||
		pre.Revision != nil && *pre.Revision != e.Revision || pre.Sequence != nil && *pre.Sequence != e.Sequence ||
		!pre.Modified.IsZero() && e.Modified.After(pre.Modified) {
		return &quire.Conflict{Current: e.Node}
	}
	return nil
}

// incoming is content that is durable and waits for its transaction.
type incoming struct {
	extents []quire.Extent
	size    int64
	sum     []byte // BLAKE3-256 of it all, where known
	fresh   []fresh
	used    bool // the transaction that ran last names the fresh segments
}

// fresh is a segment that no record names yet.
type fresh struct {
	quire.Segment
	data []byte // where it will live in the catalog
}

// stage makes a body durable. Little goes along with the transaction; more
// goes to the blob store first.
func (l *Library) stage(ctx context.Context, c quire.Caller, body io.Reader, room int64, o Save) (*incoming, error) {
	limit := int64(-1)
	if o.Max > 0 {
		limit = o.Max
	}
	if o.Sized && (limit < 0 || o.Length < limit) {
		limit = o.Length
	}
	if room >= 0 && (limit < 0 || room < limit) {
		limit = room
	}
	if limit >= 0 {
		body = io.LimitReader(body, limit+1) // one more, to see that it is too long
	}
	s, err := l.take(ctx, body)
	if err != nil {
		return nil, err
	}
	switch {
	case o.Sized && s.Size != o.Length:
		err = &quire.Incomplete{Got: s.Size, Expected: o.Length}
	case o.Max > 0 && s.Size > o.Max:
		err = &quire.TooLarge{Limit: o.Max}
	case room >= 0 && s.Size > room:
		err = l.noRoom(ctx, c)
	}
	in := whole(s)
	if err != nil {
		l.drop(ctx, in, err)
		return nil, err
	}
	return in, nil
}

// take reads a body to its end into one segment.
func (l *Library) take(ctx context.Context, body io.Reader) (fresh, error) {
	head, err := readHead(body)
	if err != nil {
		return fresh{}, err
	}
	if len(head) <= quire.InlineMax {
		return l.inline(head), nil
	}
	seg, err := l.blobs.Put(ctx, io.MultiReader(bytes.NewReader(head), body))
	if err != nil {
		return fresh{}, storage(err)
	}
	return fromBlob(seg), nil
}

// readHead reads up to one byte more than goes into the catalog. What it
// allocates follows what has come, not what was announced, from a size on that
// holds most of what is small.
func readHead(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(4<<10 + bytes.MinRead)
	_, err := io.Copy(&b, io.LimitReader(r, quire.InlineMax+1))
	return b.Bytes(), err
}

// whole makes content of one segment.
func whole(s fresh) *incoming {
	in := &incoming{size: s.Size, sum: s.Sum}
	if s.Size > 0 {
		in.extents = []quire.Extent{{Segment: s.ID, Length: s.Size}}
		in.fresh = []fresh{s}
	}
	return in
}

// drop removes the blobs of content that was not saved. Where it is not known
// whether it was, they stay: the garbage collection will find out.
func (l *Library) drop(ctx context.Context, in *incoming, why error) {
	if errors.Is(why, catalog.ErrUncertain) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, s := range in.fresh {
		if s.ID.InCatalog() {
			continue
		}
		if err := l.blobs.Delete(ctx, blobKey(s.ID)); err != nil {
			l.log.Warn("a segment that was not saved stays for the garbage collection", "segment", s.ID, "error", err)
		}
	}
}

// land is the transaction of every save: whatever door content came by, and
// whether as a body or as an upload, this is where it becomes a revision.
func (l *Library) land(tx *catalog.Tx, c quire.Caller, t quire.Target, in *incoming, o Save) (Entry, quire.Saved, error) {
	in.used = false
	p, err := l.resolve(tx, c, t)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if err := l.maySave(tx, c, t, p, o); err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if err := l.fit(tx, c.Site, in); err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if p.there == nil {
		parent, err := l.makeContainers(tx, c, p.parent, p.missing)
		if err != nil {
			return Entry{}, quire.Saved{}, err
		}
		return l.create(tx, c, parent, p.name, t.Client, in, o)
	}
	return l.revise(tx, c, *p.there, t.Client, in, o)
}

// fit refuses content for which the quota has no room.
func (l *Library) fit(tx *catalog.Tx, site quire.SiteID, in *incoming) error {
	var more int64
	for _, s := range in.fresh {
		more += s.Size
	}
	if more == 0 {
		return nil
	}
	room, err := l.room(tx, site)
	if err == nil && room >= 0 && more > room {
		err = l.overQuota(tx, site)
	}
	return err
}

// room returns how many bytes a site's quota leaves; -1 is no limit.
func (l *Library) room(tx *catalog.Tx, site quire.SiteID) (int64, error) {
	s, err := tx.Site(site)
	if err != nil || s.Quota <= 0 {
		return -1, err
	}
	used, err := tx.Usage(site)
	return max(0, s.Quota-used), err
}

// noRoom is the refusal of a body that turned out to be larger than what the
// quota leaves.
func (l *Library) noRoom(ctx context.Context, c quire.Caller) error {
	return l.view(ctx, func(tx *catalog.Tx) error { return l.overQuota(tx, c.Site) })
}

func (l *Library) overQuota(tx *catalog.Tx, site quire.SiteID) error {
	s, err := tx.Site(site)
	if err != nil {
		return err
	}
	used, err := tx.Usage(site)
	if err != nil {
		return err
	}
	return &quire.QuotaExceeded{Quota: s.Quota, Used: used}
}

// create makes a file with its first revision.
func (l *Library) create(tx *catalog.Tx, c quire.Caller, parent Entry, name string, client time.Time, in *incoming, o Save) (Entry, quire.Saved, error) {
	e, err := l.newNode(tx, c, parent, name, quire.File)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	return l.advance(tx, c, e, client, in, o, true)
}

// revise makes new content current. Alternate streams and properties that
// belong to the old content go (CSPP Plus §3).
func (l *Library) revise(tx *catalog.Tx, c quire.Caller, e Entry, client time.Time, in *incoming, o Save) (Entry, quire.Saved, error) {
	if err := tx.DropProperties(e.ID, true, tx.Now().Add(-quire.StreamLife)); err != nil {
		return Entry{}, quire.Saved{}, err
	}
	same, err := l.same(tx, e, in)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if same {
		e.Sequence++
		e.Modified = after(e.Modified, tx.Now())
		if !client.IsZero() {
			e.Client = client
		}
		if err := tx.UpdateNode(&e.Node); err != nil {
			return Entry{}, quire.Saved{}, err
		}
		return e, quire.Saved{Node: e.ID, Revision: e.Revision, Sequence: e.Sequence}, nil
	}
	return l.advance(tx, c, e, client, in, o, false)
}

// same says whether content equals the current revision, alternate streams
// included.
func (l *Library) same(tx *catalog.Tx, e Entry, in *incoming) (bool, error) {
	if in.sum == nil || in.size != e.Size || e.Revision == 0 {
		return false, nil
	}
	r, err := tx.Revision(e.ID, e.Revision)
	if err != nil || !bytes.Equal(r.Sum, in.sum) {
		return false, err
	}
	m, err := tx.Manifest(e.ID, e.Revision)
	return len(m.Streams) <= 1, err
}

// advance adds a revision of MainContent alone and makes it current.
func (l *Library) advance(tx *catalog.Tx, c quire.Caller, e Entry, client time.Time, in *incoming, o Save, created bool) (Entry, quire.Saved, error) {
	m := quire.Manifest{Streams: []quire.Stream{{ID: quire.MainContent, Size: in.size, Extents: in.extents, Updated: tx.Now()}}}
	r := quire.Revision{Size: in.size, Sum: in.sum, Kind: o.Kind, Session: o.Session, Authors: o.Authors}
	e, err := l.append(tx, c, e, &m, r, in, client, created)
	return e, quire.Saved{Node: e.ID, Revision: e.Revision, Sequence: e.Sequence, Created: created}, err
}

// append makes a manifest the current revision of a file. It is the only place
// where revisions come from.
func (l *Library) append(tx *catalog.Tx, c quire.Caller, e Entry, m *quire.Manifest, r quire.Revision, in *incoming, client time.Time, created bool) (Entry, error) {
	holder := catalog.NodeHolder(e.ID)
	for _, s := range in.fresh {
		s.Created = tx.Now()
		if err := tx.InsertSegment(&s.Segment, s.data, e.Site, holder); err != nil {
			return Entry{}, err
		}
	}
	in.used = true
	e.Revision++
	e.Sequence++
	e.Size = r.Size
	e.Modified = after(e.Modified, tx.Now())
	e.Client = client
	r.Node, r.Number, r.Sequence, r.Created, r.Door = e.ID, e.Revision, e.Sequence, e.Modified, c.Door
	if len(r.Authors) == 0 && c.User != "" {
		r.Authors = []quire.UserID{c.User}
	}
	slices.Sort(r.Authors)
	r.Authors = slices.Compact(r.Authors)
	if err := tx.InsertRevision(&r, m); err != nil {
		return Entry{}, err
	}
	if scattered(m) >= manySmall {
		if err := tx.AddChore(catalog.Chore{Kind: choreCompact, Subject: string(e.ID), Due: tx.Now().Add(compactPause)}); err != nil {
			return Entry{}, err
		}
	}
	if l.opt.Thumbnails != nil && e.Size > 0 && l.opt.Thumbnails(e.Name) {
		if err := tx.AddChore(catalog.Chore{Kind: choreThumbnails, Subject: string(e.ID), Due: tx.Now().Add(thumbnailPause)}); err != nil {
			return Entry{}, err
		}
	}
	if created {
		if err := tx.InsertNode(&e.Node); err != nil {
			return Entry{}, err
		}
		if e.Path == "" {
			return e, nil // a copy in the making: the event of its tree tells of it
		}
		return e, l.record(tx, c, quire.EventNew, e, nil)
	}
	if err := tx.UpdateNode(&e.Node); err != nil {
		return Entry{}, err
	}
	if err := tx.AddChore(catalog.Chore{Kind: choreThin, Subject: string(e.ID), Due: tx.Now().Add(l.opt.Retention.All)}); err != nil {
		return Entry{}, err
	}
	return e, l.record(tx, c, quire.EventUpdate, e, map[string]any{"revision": e.Revision})
}

// after returns the transaction's time, or a millisecond after the last change
// if that is later: a file's modification time always rises, because editors
// take it for a version.
func after(last, now time.Time) time.Time {
	if !now.After(last) {
		return last.Add(time.Millisecond)
	}
	return now
}
