package fileapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

func dropboxGet(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	rev, err := c.revParam(e)
	if err != nil {
		return err
	}
	in, err := c.lib.Open(c.ctx, c.caller, e.ID, rev)
	if err != nil {
		return err
	}
	defer in.Close()
	e = in.Entry
	e.Revision, e.Size = in.Revision, in.Size
	meta, err := ascii(box(e))
	if err != nil {
		return err
	}
	c.w.Header().Set("x-dropbox-metadata", meta)
	return c.content(in, c.media)
}

// dropboxSave reads how files_put and commit_chunked_upload save, which differs
// from the native calls: overwrite is the default, and a parent_rev that is not
// the latest keeps both.
func (c *call) dropboxSave(p string) (quire.Target, library.Save, error) {
	t := quire.Target{Path: p, OnConflict: quire.Replace}
	var o library.Save
	overwrite, err := c.flag("overwrite", true)
	if err != nil {
		return t, o, err
	}
	autorename, err := c.flag("autorename", true)
	if err != nil {
		return t, o, err
	}
	parent := c.q.Get("parent_rev")
	if parent == "" {
		if !overwrite {
			t.OnConflict = quire.Reject
			if autorename {
				t.OnConflict = quire.Rename
			}
		}
		return t, o, nil
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil && !errors.Is(err, quire.ErrNotFound) {
		return t, o, err
	}
	id, n, ok := parseBoxRev(parent)
	if err != nil || !ok || id != e.ID || n > e.Revision {
		return t, o, badParam("parent_rev", "there is no such revision of the file")
	}
	switch {
	case n == e.Revision:
		o.Node, o.Revision = id, &n
	case !autorename:
		return t, o, &quire.Conflict{Current: e.Node}
	default:
		t.Path, t.OnConflict = conflictedCopy(p), quire.Rename
	}
	return t, o, nil
}

// conflictedCopy returns the path of the copy that is kept beside a file which
// has moved on.
func conflictedCopy(p string) string {
	const tail = " (conflicted copy)"
	at := strings.LastIndexByte(p, '/') + 1
	stem, ext := p[at:], ""
	if i := strings.LastIndexByte(stem, '.'); i > 0 && len(stem)-i < 64 {
		stem, ext = stem[:i], stem[i:]
	}
	for len(stem)+len(tail)+len(ext) > quire.MaxNameBytes {
		_, n := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-n]
	}
	return p[:at] + stem + tail + ext
}

func dropboxPut(c *call, p string) error {
	n, err := c.length()
	if err != nil {
		return err
	}
	t, o, err := c.dropboxSave(p)
	if err != nil {
		return err
	}
	o.Length, o.Sized, o.Max = n, true, maxBody
	e, _, err := c.lib.Save(c.ctx, c.caller, t, c.r.Body, o)
	if err != nil {
		return boxTaken(err)
	}
	return c.answer(http.StatusOK, box(e))
}

// boxTaken is 409 where a save finds the name taken; other calls answer 403 to
// that.
func boxTaken(err error) error {
	if errors.As(err, new(*quire.Exists)) {
		return &statusError{status: http.StatusConflict, code: "conflict", msg: err.Error()}
	}
	return err
}

func dropboxCommit(c *call, p string) error {
	t, o, err := c.dropboxSave(p)
	if err != nil {
		// Whoever commits again may name a parent that the first time replaced.
		if u, uerr := c.lib.Upload(c.ctx, c.caller, quire.UploadID(c.q.Get("upload_id"))); uerr != nil || u.Done == nil {
			return err
		}
	}
	e, err := c.commit(t, o)
	if err != nil {
		return boxTaken(err)
	}
	return c.answer(http.StatusOK, box(e))
}

// A media link is a URL that a browser or player gets one file from, without a
// token, for a few hours. It carries who made it and which file it is for, and
// is good for as long as that user may read that file.
const (
	mediaPrefix  = "qm_"
	mediaPurpose = "fileapi.media"
	mediaLife    = 4 * time.Hour
)

func dropboxMedia(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	if e.IsContainer() {
		return quire.ErrNotAFile
	}
	expires := time.Now().Add(mediaLife)
	token, err := c.ids.Sign(c.ctx, mediaPurpose, []byte(string(c.caller.User)+" "+string(e.ID)), expires)
	if err != nil {
		return err
	}
	u := c.opt.PublicURL.JoinPath("/1/files/auto", (&url.URL{Path: e.Path}).EscapedPath())
	u.RawQuery = url.Values{"access_token": {mediaPrefix + token}}.Encode()
	return c.answer(http.StatusOK, map[string]string{"url": u.String(), "expires": stamp(expires)})
}

// mediaBearer returns whom a media link was made by, limited to reading its
// file.
func (c *call) mediaBearer(ctx context.Context, token string) (quire.Caller, error) {
	payload, _, err := c.ids.Open(ctx, mediaPurpose, token)
	if err != nil {
		return quire.Caller{}, err
	}
	user, node, ok := strings.Cut(string(payload), " ")
	if !ok || node == "" {
		return quire.Caller{}, quire.ErrUnauthenticated
	}
	caller, err := c.ids.Caller(ctx, quire.UserID(user), quire.ScopeRead)
	caller.Within = quire.NodeID(node)
	c.media = true
	return caller, err
}

// dropboxThumbnail says that there is none: metadata says thumb_exists false.
func dropboxThumbnail(c *call, p string) error {
	e, err := c.lib.Lookup(c.ctx, c.caller, p)
	if err != nil {
		return err
	}
	if e.IsContainer() {
		return quire.ErrNotAFile
	}
	return &statusError{status: http.StatusUnsupportedMediaType, code: "no_thumbnail", msg: "there is no thumbnail of this file: get the file itself"}
}
