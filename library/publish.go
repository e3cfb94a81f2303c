package library

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// MetaBase is the key in an upload's Meta of the target's revision that the
// upload goes on from, in decimal. Where it is set, an upload that is published
// in the background replaces that revision only: if the file has moved on, the
// content is kept at the target's path under another name.
const MetaBase = "base"

// metaPublished marks uploads that share segments with the file that they were
// published as.
const metaPublished = "published"

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

// PublishUpload makes what an upload has received so far the content of a
// target, as CommitUpload does, but lets the upload go on. What is published
// next becomes a further revision of the same file, where that is still as it
// was published.
func (l *Library) PublishUpload(ctx context.Context, c quire.Caller, id quire.UploadID, t quire.Target, o Save) (e Entry, done quire.Saved, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		u, err := l.upload(tx, c, id)
		if err != nil {
			return err
		}
		e, done, err = l.publish(tx, c, &u, t, o)
		return err
	})
	return e, done, err
}

func (l *Library) publish(tx *catalog.Tx, c quire.Caller, u *quire.Upload, t quire.Target, o Save) (Entry, quire.Saved, error) {
	in, err := received(tx, *u)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	e, done, err := l.land(tx, c, t, in, o)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if err := holdAll(tx, e, in); err != nil {
		return Entry{}, quire.Saved{}, err
	}
	meta := map[string]string{}
	for k, v := range u.Meta {
		meta[k] = v
	}
	meta[metaPublished], meta[MetaBase] = strconv.FormatInt(u.Received, 10), strconv.FormatInt(e.Revision, 10)
	u.Meta, u.Target.Node = meta, e.ID
	return e, done, tx.UpdateUpload(u)
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
		if err := l.publishWhereItFits(tx, c, &u); err != nil {
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

// publishWhereItFits publishes to the file that the upload is for, or beside
// it if that has gone or moved on.
func (l *Library) publishWhereItFits(tx *catalog.Tx, c quire.Caller, u *quire.Upload) error {
	t, o := u.Target, Save{}
	if t.Node != "" {
		t = quire.Target{Node: t.Node, Client: t.Client}
		if base, err := strconv.ParseInt(u.Meta[MetaBase], 10, 64); err == nil {
			o.Revision = &base
		}
	}
	_, _, err := l.publish(tx, c, u, t, o)
	var moved *quire.Conflict
	if (errors.As(err, &moved) || errors.Is(err, quire.ErrNotFound)) && u.Target.Node != "" && u.Target.Path != "" {
		t = u.Target
		t.Node = ""
		_, _, err = l.publish(tx, c, u, t, Save{})
	}
	return err
}
