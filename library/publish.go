package library

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// MetaBase is the key in an upload's Meta of the revision of the target, in
// decimal, that FinishUpload and PublishUpload may replace. If the file has
// moved on from it, the content is kept at the target's path under another
// name. Without it, whatever is there is replaced.
const MetaBase = "base"

const chorePublish = "publish"

// OpenUploads returns the caller's sessions that are neither committed nor
// expired, in the order they began.
func (l *Library) OpenUploads(ctx context.Context, c quire.Caller) (list []quire.Upload, err error) {
	if c.User == "" {
		return nil, nil // guests cannot be told from each other
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, err = tx.OpenUploads(c.User)
		return err
	})
	return list, err
}

// RestartUpload makes a session forget what it received, so that other content
// can be sent from the beginning.
func (l *Library) RestartUpload(ctx context.Context, c quire.Caller, id quire.UploadID, declared int64) (u quire.Upload, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if u, err = l.upload(tx, c, id); err != nil {
			return err
		}
		if u.Done != nil {
			return &quire.Invalid{What: "upload", Reason: "it is finished: start a new one"}
		}
		if err := tx.DeleteUploadExtents(id, 0); err != nil {
			return err
		}
		if err := tx.ReleaseAll(u.Site, catalog.UploadHolder(id)); err != nil {
			return err
		}
		u.Received, u.Declared = 0, declared
		return tx.UpdateUpload(&u)
	})
	return u, err
}

// FinishUpload is CommitUpload for a session whose target was settled when it
// began: its file, as far as MetaBase allows, or else its path. client is the
// content's modification time, if it is known.
func (l *Library) FinishUpload(ctx context.Context, c quire.Caller, id quire.UploadID, client time.Time) (e Entry, done quire.Saved, err error) {
	return l.commitUpload(ctx, c, id, func(tx *catalog.Tx, u *quire.Upload, in *incoming) (Entry, quire.Saved, error) {
		return l.landUpload(tx, c, u, in, client)
	})
}

// PublishUpload makes what an upload has received so far the content of its
// target, as FinishUpload would, and lets the upload go on: also a request that
// is adding to it now. What is published later becomes a further revision of
// the same file.
func (l *Library) PublishUpload(ctx context.Context, c quire.Caller, id quire.UploadID) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		u, err := l.upload(tx, c, id)
		if err != nil {
			return err
		}
		return l.publish(tx, c, &u)
	})
}

func (l *Library) publish(tx *catalog.Tx, c quire.Caller, u *quire.Upload) error {
	in, err := received(tx, *u)
	if err != nil {
		return err
	}
	if there, err := isPublished(tx, u, in); err != nil || there {
		return err
	}
	e, _, err := l.landUpload(tx, c, u, in, u.Target.Client)
	if err != nil {
		return err
	}
	if in.used {
		if err := holdAll(tx, e, in); err != nil {
			return err
		}
	}
	// The row stays as it is where it can, because a change of it would make a
	// request that is adding to the upload lose.
	if e.ID == u.Target.Node {
		return nil
	}
	u.Target.Node = e.ID
	return tx.UpdateUpload(u)
}

// isPublished says whether the target's current revision is what the upload
// has.
func isPublished(tx *catalog.Tx, u *quire.Upload, in *incoming) (bool, error) {
	n, ours, err := ourRevision(tx, u)
	if err != nil || !ours {
		return false, err
	}
	m, err := tx.Manifest(n.ID, n.Revision)
	return err == nil && slices.Equal(m.Main().Extents, in.extents), err
}

// ourRevision returns the target's file, and whether its current revision was
// published by the upload itself.
func ourRevision(tx *catalog.Tx, u *quire.Upload) (n quire.Node, ours bool, err error) {
	if u.Target.Node == "" {
		return n, false, nil
	}
	n, err = tx.Node(u.Target.Node)
	if errors.Is(err, quire.ErrNotFound) || err == nil && n.IsContainer() {
		return n, false, nil
	}
	if err != nil {
		return n, false, err
	}
	r, err := tx.Revision(n.ID, n.Revision)
	return n, err == nil && r.Session == string(u.ID), err
}

// landUpload lands an upload's content in its file, or beside it if that has
// gone or moved on.
func (l *Library) landUpload(tx *catalog.Tx, c quire.Caller, u *quire.Upload, in *incoming, client time.Time) (Entry, quire.Saved, error) {
	t, o := u.Target, Save{Session: string(u.ID)}
	t.Client = client
	if t.Node != "" {
		if base, err := strconv.ParseInt(u.Meta[MetaBase], 10, 64); err == nil {
			n, ours, err := ourRevision(tx, u)
			if err != nil {
				return Entry{}, quire.Saved{}, err
			}
			if ours {
				base = n.Revision
			}
			o.Revision = &base
		}
		e, done, err := l.land(tx, c, quire.Target{Node: t.Node, Client: client}, in, o)
		var moved *quire.Conflict
		if t.Path == "" || !errors.As(err, &moved) && !errors.Is(err, quire.ErrNotFound) {
			return e, done, err
		}
		t.Node, o.Revision = "", nil
	}
	return l.land(tx, c, t, in, o)
}

// planPublish plans that what an upload has is published when nothing more has
// come for a while.
func planPublish(tx *catalog.Tx, id quire.UploadID, quiet time.Duration) error {
	if quiet <= 0 {
		return nil
	}
	return tx.PutChore(catalog.Chore{Kind: chorePublish, Subject: string(id), Due: tx.Now().Add(quiet)})
}

// publishQuiet publishes an upload that nothing has come for in a while, on
// behalf of its owner as they are now. What cannot be published yet, because
// somebody has the file, is tried again for as long as the session lives.
func (l *Library) publishQuiet(ctx context.Context, id quire.UploadID) error {
	last := false
	err := l.update(ctx, func(tx *catalog.Tx) error {
		last = false
		u, err := tx.Upload(id)
		switch {
		case errors.Is(err, quire.ErrNotFound) || err == nil && u.Done != nil:
			return tx.DeleteChore(chorePublish, string(id))
		case err != nil:
			return err
		}
		last = !tx.Now().Before(u.Expires)
		user, err := tx.User(u.Owner)
		if errors.Is(err, quire.ErrNotFound) || err == nil && user.Disabled {
			return tx.DeleteChore(chorePublish, string(id))
		}
		if err != nil {
			return err
		}
		c := quire.Caller{User: user.ID, Site: user.Site, Name: user.Name, Role: user.Role, Scope: quire.ScopeWrite, Door: u.Door}
		if err := l.publish(tx, c, &u); err != nil {
			return err
		}
		return tx.DeleteChore(chorePublish, string(id))
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	l.log.Warn("what was uploaded could not become a file yet", "upload", id, "last", last, "error", err)
	return l.update(ctx, func(tx *catalog.Tx) error {
		if last {
			return tx.DeleteChore(chorePublish, string(id))
		}
		return planPublish(tx, id, time.Minute)
	})
}

// joinedLife is how long the parts of a joined upload are still there, for a
// client that did not get the answer and joins them again.
const joinedLife = time.Hour

// JoinUploads begins a session that has the bytes of finished ones of the same
// caller, one after the other. It copies nothing: the new session names the
// segments that the parts name. What n declares is not used; the new session
// is whole from the beginning and waits to be committed. The parts end within
// an hour.
func (l *Library) JoinUploads(ctx context.Context, c quire.Caller, n NewUpload, parts []quire.UploadID) (u quire.Upload, err error) {
	n.Declared = -1
	if u, err = l.CreateUpload(ctx, c, n); err != nil {
		return u, err
	}
	id := u.ID
	err = l.update(ctx, func(tx *catalog.Tx) error {
		if u, err = l.upload(tx, c, id); err != nil {
			return err
		}
		for _, part := range parts {
			if err := joinPart(tx, l, c, &u, part); err != nil {
				return err
			}
		}
		u.Declared = u.Received
		return tx.UpdateUpload(&u)
	})
	if err != nil {
		keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if cerr := l.CancelUpload(keep, c, id); cerr != nil {
			l.log.Warn("an upload that could not be joined stays until it expires", "upload", id, "error", cerr)
		}
	}
	return u, err
}

// joinPart adds what one session has to the end of another.
func joinPart(tx *catalog.Tx, l *Library, c quire.Caller, u *quire.Upload, id quire.UploadID) error {
	part, err := l.upload(tx, c, id)
	if err != nil {
		return err
	}
	if part.Done != nil || part.ID == u.ID {
		return &quire.Invalid{What: "upload", Reason: "a part is finished as a file of its own: join only parts"}
	}
	if part.Declared < 0 || part.Received != part.Declared {
		return &quire.Incomplete{Got: part.Received, Expected: max(part.Declared, part.Received+1)}
	}
	if u.Received > math.MaxInt64-part.Received {
		return &quire.TooLarge{Limit: math.MaxInt64}
	}
	extents, err := tx.UploadExtents(id, 0, 1<<62)
	if err != nil {
		return err
	}
	for _, x := range extents {
		if err := tx.Hold(u.Site, catalog.UploadHolder(u.ID), x.Segment); err != nil {
			return err
		}
		x.Upload, x.Position = u.ID, x.Position+u.Received
		if err := tx.PutUploadExtent(&x); err != nil {
			return err
		}
	}
	u.Received += part.Received
	if soon := tx.Now().Add(joinedLife); soon.Before(part.Expires) {
		part.Expires = soon
		return tx.UpdateUpload(&part)
	}
	return nil
}
