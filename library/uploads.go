package library

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// retryAfter is when a caller should try again what was refused for load.
const retryAfter = 5 * time.Second

// NewUpload says what an upload session is for.
type NewUpload struct {
	Target   quire.Target
	Declared int64 // the whole size in bytes; -1 is not known yet
	// Life is how long the session lives after each byte that comes.
	Life time.Duration
	Meta map[string]string
}

// CreateUpload begins an upload session. The target is looked at now, so that
// a client learns early what cannot succeed, and decided when it is committed.
func (l *Library) CreateUpload(ctx context.Context, c quire.Caller, n NewUpload) (u quire.Upload, err error) {
	if n.Declared < -1 {
		return quire.Upload{}, &quire.Invalid{What: "size", Reason: "it is negative"}
	}
	if !c.Scope.Allows(quire.ScopeWrite) {
		return quire.Upload{}, quire.ErrForbidden
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if n.Target != (quire.Target{}) {
			p, err := l.resolve(tx, c, n.Target)
			if err != nil {
				return err
			}
			if p.there == nil {
				err = allow(c, p.parent, quire.Editor)
			} else {
				err = allow(c, *p.there, quire.Editor)
			}
			if err != nil {
				return err
			}
		}
		if n.Declared > 0 {
			room, err := l.room(tx, c.Site)
			if err == nil && room >= 0 && n.Declared > room {
				err = l.overQuota(tx, c.Site)
			}
			if err != nil {
				return err
			}
		}
		open, err := tx.CountUploads(c.User)
		if err != nil {
			return err
		}
		if open >= int64(l.opt.MaxUploads) {
			return &quire.Unavailable{Reason: "too many uploads are open: finish or cancel some first", After: time.Minute, Excess: true}
		}
		u = quire.Upload{
			ID: quire.UploadID(NewID()), Site: c.Site, Owner: c.User, Door: c.Door,
			Created: tx.Now(), Expires: tx.Now().Add(n.Life), Life: n.Life,
			Declared: n.Declared, Target: n.Target, Meta: maps.Clone(n.Meta),
		}
		return tx.InsertUpload(&u)
	})
	return u, err
}

// upload returns a session that is the caller's and has not expired.
func (l *Library) upload(tx *catalog.Tx, c quire.Caller, id quire.UploadID) (quire.Upload, error) {
	u, err := tx.Upload(id)
	switch {
	case errors.Is(err, quire.ErrNotFound):
		return u, quire.ErrUploadGone
	case err != nil:
		return u, err
	case u.Site != c.Site || u.Owner != c.User || !tx.Now().Before(u.Expires):
		return u, quire.ErrUploadGone
	}
	return u, nil
}

// Upload returns an upload session of the caller's.
func (l *Library) Upload(ctx context.Context, c quire.Caller, id quire.UploadID) (u quire.Upload, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		u, err = l.upload(tx, c, id)
		return err
	})
	return u, err
}

// Uploads returns the caller's upload sessions, whatever door they came by, in
// the order they began. Administrators may ask for everybody's. The holder of a
// link only has none: guests cannot be told from each other.
func (l *Library) Uploads(ctx context.Context, c quire.Caller, everybody bool) (list []quire.Upload, err error) {
	if everybody {
		if err := admin(c); err != nil {
			return nil, err
		}
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list = nil
		owner := c.User
		if everybody {
			owner = ""
		} else if owner == "" {
			return nil
		}
		all, err := tx.Uploads(owner)
		for _, u := range all {
			if u.Site == c.Site && tx.Now().Before(u.Expires) {
				list = append(list, u)
			}
		}
		return err
	})
	return list, err
}

// DescribeUpload changes what a session is for, before it is committed.
func (l *Library) DescribeUpload(ctx context.Context, c quire.Caller, id quire.UploadID, change func(*quire.Upload) error) (u quire.Upload, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if u, err = l.upload(tx, c, id); err != nil {
			return err
		}
		if u.Done != nil {
			return &quire.Invalid{What: "upload", Reason: "it is finished: start a new one"}
		}
		if err := change(&u); err != nil {
			return err
		}
		return tx.UpdateUpload(&u)
	})
	return u, err
}

// CancelUpload ends a session and gives up what it received. Administrators
// may cancel anybody's in their site.
func (l *Library) CancelUpload(ctx context.Context, c quire.Caller, id quire.UploadID) error {
	var u quire.Upload
	mayCancel := func(tx *catalog.Tx) (err error) {
		u, err = tx.Upload(id)
		if errors.Is(err, quire.ErrNotFound) || err == nil && u.Site != c.Site {
			return quire.ErrUploadGone
		}
		if err != nil {
			return err
		}
		if u.Owner != c.User && admin(c) != nil {
			return quire.ErrUploadGone
		}
		if !c.Scope.Allows(quire.ScopeWrite) {
			return quire.ErrForbidden
		}
		return nil
	}
	if err := l.view(ctx, mayCancel); err != nil {
		return err
	}
	l.active.stop(receiver{u.Site, u.Owner, id})
	return l.update(ctx, func(tx *catalog.Tx) error {
		if err := mayCancel(tx); err != nil {
			return err
		}
		return tx.DeleteUpload(&u)
	})
}

// Append says how a piece of an upload is to be taken.
type Append struct {
	Length int64 // of the body, if Sized
	Sized  bool
	Max    int64 // the most bytes that the body may have; 0 is no limit
	// Rewrite allows an offset below what was received: the bytes replace
	// what is there.
	Rewrite bool
	// Refuse refuses to begin while another piece of this upload is on its
	// way; otherwise the older request is ended and what it brought is kept.
	Refuse bool
	// Whole keeps nothing of a body that breaks off, is of another length than
	// announced, or that Check refuses.
	Whole bool
	Check func() error // called when the body has been read, before it counts
	// Quiet, if it is more than 0, is for protocols that do not tell when an
	// upload is complete: when nothing came for that long, what is here is
	// published in the background; see PublishUpload.
	Quiet time.Duration
	// Interrupt makes a read of the body that is under way return, because a
	// newer request wants to go on from what came. It may be nil.
	Interrupt func()
}

// AtEnd as the offset of Append is where the upload ends now.
const AtEnd = -1

// Append adds the bytes of a body to an upload at an offset, which must be
// where the last one ended. It returns the session as it is afterwards and how
// many bytes were added. When it returns, those are durable: also when err
// says that the body broke off, since what came can be gone on from.
//
// A long body whose length is announced is recorded while it comes, each
// Options.UploadStep bytes, so that a crash costs no more than that.
//
// Two requests on one upload cannot both win: bytes count only if nothing
// else changed the upload since the request began.
func (l *Library) Append(ctx context.Context, c quire.Caller, id quire.UploadID, offset int64, body io.Reader, o Append) (u quire.Upload, n int64, err error) {
	if o.Sized && o.Max > 0 && o.Length > o.Max {
		return quire.Upload{}, 0, &quire.TooLarge{Limit: o.Max}
	}
	ctx, release, err := l.active.start(ctx, receiver{c.Site, c.User, id}, o)
	if err != nil {
		return quire.Upload{}, 0, err
	}
	defer release()

	var room int64
	err = l.view(ctx, func(tx *catalog.Tx) error {
		if u, err = l.upload(tx, c, id); err != nil {
			return err
		}
		if offset == AtEnd {
			offset = u.Received
		}
		if err := mayAppend(u, c, offset, o); err != nil {
			return err
		}
		room, err = l.room(tx, c.Site)
		return err
	})
	if err != nil {
		return u, 0, err
	}

	limit := pieceLimit(u, offset, room, o)
	if o.Sized && room >= 0 && o.Length > room {
		return u, 0, l.noRoom(ctx, c)
	}
	// A long body is recorded in steps, so that a process that dies loses one
	// step and not what came in hours. Only where the body's length was announced
	// and is allowed: of what turns out to be too long, nothing may be kept.
	step := limit + 1
	if o.Sized && !o.Whole && o.Check == nil {
		step = min(step, l.opt.UploadStep)
	}
	for {
		p := part{offset: offset + n, limit: limit - n, room: room, last: n+step > limit}
		if p.body = io.LimitReader(body, step); p.last {
			p.body = io.LimitReader(body, limit-n+1)
		}
		after, added, err := l.appendPart(ctx, c, u, p, o)
		u, n = after, n+added
		if err != nil || p.last || added < step {
			if err == nil && o.Sized && n != o.Length {
				err = &quire.Incomplete{Got: n, Expected: o.Length}
			}
			return u, n, err
		}
	}
}

// part is one step of a piece.
type part struct {
	body   io.Reader
	offset int64 // in the upload, in bytes
	limit  int64 // how many bytes may come
	room   int64 // what the quota left when the piece began; -1 is no limit
	last   bool  // there is no step after it
}

// appendPart adds what one step brings to an upload that is as u says. It
// returns the session as it is afterwards, and how many bytes were added, also
// if the body broke off.
func (l *Library) appendPart(ctx context.Context, c quire.Caller, u quire.Upload, p part, o Append) (quire.Upload, int64, error) {
	s, bodyErr, err := l.takePart(ctx, p.body)
	if err != nil {
		return u, 0, err
	}
	in := whole(s)
	switch {
	case in.size > p.limit:
		if err = tooMuch(u, p.offset, p.room, o); errors.As(err, new(*quire.QuotaExceeded)) {
			err = l.noRoom(ctx, c)
		}
	case bodyErr == nil && o.Sized && o.Whole && in.size != o.Length:
		bodyErr = &quire.Incomplete{Got: in.size, Expected: o.Length}
	}
	if err == nil && o.Whole {
		err = bodyErr
	}
	if err == nil && bodyErr == nil && o.Check != nil {
		err = o.Check()
	}
	if err != nil || in.size == 0 {
		l.drop(ctx, in, nil)
		if err == nil {
			err = bodyErr
		}
		return u, 0, err
	}

	// The client may be gone, but what it sent is kept.
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	id, after := u.ID, u
	err = l.update(keep, func(tx *catalog.Tx) error {
		in.used = false
		now, err := l.upload(tx, c, id)
		if err != nil {
			return err
		}
		if now.Epoch != u.Epoch {
			return quire.ErrUploadBusy
		}
		if err := l.fit(tx, c.Site, in); err != nil {
			return err
		}
		in.used = true
		s.Created = tx.Now()
		if err := tx.InsertSegment(&s.Segment, s.data, u.Site, catalog.UploadHolder(id)); err != nil {
			return err
		}
		if err := overlay(tx, id, catalog.UploadExtent{Upload: id, Position: p.offset, Length: in.size, Segment: s.ID}); err != nil {
			return err
		}
		after = now
		after.Received = max(now.Received, p.offset+in.size)
		after.Expires = tx.Now().Add(now.Life)
		if err := planPublish(tx, id, o.Quiet); err != nil {
			return err
		}
		return tx.UpdateUpload(&after)
	})
	if err != nil {
		l.drop(keep, in, err)
		return u, 0, err
	}
	return after, in.size, bodyErr
}

// mayAppend decides whether a piece may begin at an offset.
func mayAppend(u quire.Upload, c quire.Caller, offset int64, o Append) error {
	switch {
	case !c.Scope.Allows(quire.ScopeWrite):
		return quire.ErrForbidden
	case u.Done != nil:
		return &quire.Invalid{What: "upload", Reason: "it is finished: start a new one"}
	case offset < 0 || offset > u.Received || offset < u.Received && !o.Rewrite:
		return &quire.OffsetMismatch{Got: offset, Expected: u.Received, Upload: u}
	case o.Sized && u.Declared >= 0 && o.Length > u.Declared-offset:
		return tooMuch(u, offset, -1, o)
	}
	return nil
}

// pieceLimit returns how many bytes a piece may have.
func pieceLimit(u quire.Upload, offset, room int64, o Append) int64 {
	limit := int64(1<<62 - 1)
	if o.Sized {
		limit = o.Length
	}
	if o.Max > 0 {
		limit = min(limit, o.Max)
	}
	if u.Declared >= 0 {
		limit = min(limit, u.Declared-offset)
	}
	if room >= 0 {
		limit = min(limit, room)
	}
	return limit
}

// tooMuch says which limit a piece is over.
func tooMuch(u quire.Upload, offset, room int64, o Append) error {
	limit := pieceLimit(u, offset, room, o)
	switch {
	case room >= 0 && limit == room:
		return &quire.QuotaExceeded{}
	case u.Declared >= 0 && limit == u.Declared-offset || u.Declared >= 0 && o.Sized && o.Length > u.Declared-offset:
		return &quire.TooLarge{Limit: u.Declared, Hint: ": the upload was announced to have no more"}
	case o.Sized && limit == o.Length:
		return &quire.Invalid{What: "body", Reason: "it is longer than announced: send its real length"}
	}
	return &quire.TooLarge{Limit: limit}
}

// takePart stores what a body brings, also if it breaks off; bodyErr is why it
// did.
func (l *Library) takePart(ctx context.Context, body io.Reader) (s fresh, bodyErr, err error) {
	body = &cancelled{ctx, body}
	head, bodyErr := readHead(body)
	if bodyErr != nil || len(head) <= quire.InlineMax {
		return l.inline(head), bodyErr, nil
	}
	// Storing goes on when the request is cancelled: the body then ends with
	// an error, and what it brought is kept.
	seg, bodyErr, err := l.blobs.PutPartial(context.WithoutCancel(ctx), io.MultiReader(bytes.NewReader(head), body))
	if err != nil {
		return fresh{}, nil, storage(err)
	}
	return fromBlob(seg), bodyErr, nil
}

// cancelled is a reader that ends when its context does.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (r *cancelled) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// overlay writes an extent over whatever an upload has at its place.
func overlay(tx *catalog.Tx, id quire.UploadID, x catalog.UploadExtent) error {
	end := x.Position + x.Length
	old, err := tx.UploadExtents(id, x.Position, end)
	if err != nil {
		return err
	}
	for _, o := range old {
		if o.Position < x.Position {
			left := o
			left.Length = x.Position - o.Position
			if err := tx.PutUploadExtent(&left); err != nil {
				return err
			}
		} else if err := tx.DeleteUploadExtent(id, o.Position); err != nil {
			return err
		}
		if tail := o.Position + o.Length - end; tail > 0 {
			right := catalog.UploadExtent{Upload: id, Position: end, Length: tail, Segment: o.Segment, Offset: o.Offset + o.Length - tail}
			if err := tx.PutUploadExtent(&right); err != nil {
				return err
			}
		}
	}
	return tx.PutUploadExtent(&x)
}

// CommitUpload makes what an upload received the content of its target, or of
// the target given if that is not empty. It copies no bytes. Committing again
// gives the same answer for as long as the session lives. When it fails, the
// session is as it was and can be committed again.
func (l *Library) CommitUpload(ctx context.Context, c quire.Caller, id quire.UploadID, t quire.Target, o Save) (e Entry, done quire.Saved, err error) {
	return l.commitUpload(ctx, c, id, func(tx *catalog.Tx, u *quire.Upload, in *incoming) (Entry, quire.Saved, error) {
		t := t
		if t == (quire.Target{}) {
			t = u.Target
		}
		return l.land(tx, c, t, in, o)
	})
}

// commitUpload is CommitUpload with a way to land.
func (l *Library) commitUpload(ctx context.Context, c quire.Caller, id quire.UploadID,
	land func(*catalog.Tx, *quire.Upload, *incoming) (Entry, quire.Saved, error)) (e Entry, done quire.Saved, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		u, err := l.upload(tx, c, id)
		if err != nil {
			return err
		}
		if u.Done != nil {
			done = *u.Done
			e, err = l.find(tx, c, done.Node, quire.Viewer)
			return err
		}
		if u.Declared >= 0 && u.Received != u.Declared {
			return &quire.Incomplete{Got: u.Received, Expected: u.Declared}
		}
		in, err := received(tx, u)
		if err != nil {
			return err
		}
		if e, done, err = land(tx, &u, in); err != nil {
			return err
		}
		if err := settle(tx, u, in, e.ID); err != nil {
			return err
		}
		u.Done = &done
		return tx.UpdateUpload(&u)
	})
	return e, done, err
}

// received returns what an upload has, as content without fresh segments.
func received(tx *catalog.Tx, u quire.Upload) (*incoming, error) {
	parts, err := tx.UploadExtents(u.ID, 0, 1<<62)
	if err != nil {
		return nil, err
	}
	in := &incoming{size: u.Received, extents: make([]quire.Extent, 0, len(parts))}
	var at int64
	for _, x := range parts {
		if x.Position != at {
			return nil, errors.New("an upload with a gap: run fsck")
		}
		at += x.Length
		in.extents = append(in.extents, quire.Extent{Segment: x.Segment, Offset: x.Offset, Length: x.Length})
	}
	if at != u.Received {
		return nil, errors.New("an upload that lacks its end: run fsck")
	}
	if len(parts) == 0 {
		sum := blake3.Sum256(nil)
		in.sum = sum[:]
	}
	if len(parts) == 1 && parts[0].Offset == 0 {
		if s, err := tx.Segment(parts[0].Segment); err == nil && s.Size == u.Received {
			in.sum = s.Sum
		}
	}
	return in, nil
}

// settle hands the segments of a committed upload to the file that they are
// part of now, and forgets the rest.
func settle(tx *catalog.Tx, u quire.Upload, in *incoming, file quire.NodeID) error {
	needed := make(map[quire.SegmentID]bool, len(in.extents))
	if in.used {
		for _, x := range in.extents {
			needed[x.Segment] = true
		}
	}
	held, err := tx.Holds(catalog.UploadHolder(u.ID))
	if err != nil {
		return err
	}
	published, err := tx.SharedHolds(catalog.UploadHolder(u.ID), catalog.NodeHolder(file))
	if err != nil {
		return err
	}
	for _, id := range published {
		delete(needed, id) // the file has it already
	}
	for _, id := range held {
		if !needed[id] { // rewritten since, or the same bytes as before
			if err := tx.Release(u.Site, catalog.UploadHolder(u.ID), id); err != nil {
				return err
			}
		}
	}
	if err := tx.MoveHolds(catalog.UploadHolder(u.ID), catalog.NodeHolder(file)); err != nil {
		return err
	}
	return tx.DeleteUploadExtents(u.ID, 0)
}

// active remembers which uploads this process is receiving bytes for, so that
// a client that comes back after a broken connection need not wait for the
// server to notice. It is only a courtesy: what counts is decided in the
// catalog, where several nodes meet.
type active struct {
	mu sync.Mutex // guards running
	// running has the request that is receiving bytes for each upload.
	running map[receiver]*receiving
}

// receiver names an upload together with who says that it is theirs, so that
// nobody can end the request of somebody else.
type receiver struct {
	site  quire.SiteID
	owner quire.UserID
	id    quire.UploadID
}

type receiving struct {
	cancel func() // ends the request's reading
	ended  chan struct{}
}

// start ends the older request on the upload and waits until what it brought
// is kept; or, with Refuse, is refused itself.
func (a *active) start(ctx context.Context, id receiver, o Append) (context.Context, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	me := &receiving{ended: make(chan struct{}), cancel: func() {
		cancel()
		if o.Interrupt != nil {
			o.Interrupt()
		}
	}}
	for {
		a.mu.Lock()
		if a.running == nil {
			a.running = make(map[receiver]*receiving)
		}
		older := a.running[id]
		if older == nil {
			a.running[id] = me
			a.mu.Unlock()
			return ctx, func() {
				a.mu.Lock()
				delete(a.running, id)
				a.mu.Unlock()
				cancel()
				close(me.ended)
			}, nil
		}
		a.mu.Unlock()
		if o.Refuse {
			cancel()
			return nil, nil, quire.ErrUploadBusy
		}
		older.cancel()
		select {
		case <-older.ended:
		case <-ctx.Done():
			cancel()
			return nil, nil, context.Cause(ctx)
		}
	}
}

// stop ends the request on an upload, if there is one here.
func (a *active) stop(id receiver) {
	a.mu.Lock()
	older := a.running[id]
	a.mu.Unlock()
	if older != nil {
		older.cancel()
		<-older.ended
	}
}
