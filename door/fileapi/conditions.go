package fileapi

import (
	"errors"
	"mime"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// destination reads where content is to land, and under which conditions.
func (c *call) destination() (quire.Target, library.Save, error) {
	var t quire.Target
	var o library.Save
	uid, p := c.q.Get("uid"), c.q.Get("path")
	switch {
	case (uid == "") == (p == ""):
		return t, o, badParam("uid, path", "give exactly one of them: the folder's uid with filename, or a path")
	case p != "":
		t.Path = p
	default:
		t.Parent = quire.NodeID(uid)
		if t.Name = c.filename(); t.Name == "" {
			return t, o, badParam("filename", "name the file, in filename or in a Content-Disposition header")
		}
	}
	overwrite, err := c.flag("overwrite", false)
	if err != nil {
		return t, o, err
	}
	if overwrite {
		t.OnConflict = quire.Replace
	}
	if t.Client, err = c.seconds("client_modified"); err != nil {
		return t, o, err
	}
	if o.Precondition, err = c.precondition(); err != nil {
		return t, o, err
	}
	switch {
	case o.Absent:
		t.OnConflict = quire.Reject
	case o.Present || o.Revision != nil:
		// Who names the content that theirs comes from means that file.
		t.OnConflict = quire.Replace
	}
	return t, o, nil
}

// precondition reads parent_revision, and If-Match and If-None-Match, which are
// the standard way to say the same.
func (c *call) precondition() (pre quire.Precondition, err error) {
	rev, ok, err := c.given("parent_revision")
	if err != nil {
		return pre, err
	}
	if ok {
		pre.Revision = &rev
	}
	if m := strings.TrimSpace(c.r.Header.Get("If-None-Match")); m != "" {
		if m != "*" {
			return pre, badParam("If-None-Match", "only * has a meaning here")
		}
		pre.Absent = true
	}
	switch m := strings.TrimSpace(c.r.Header.Get("If-Match")); {
	case m == "":
	case m == "*":
		pre.Present = true
	case strings.Contains(m, ","):
		return pre, badParam("If-Match", "give one ETag")
	default:
		id, n, ok := parseETag(m)
		if !ok {
			return pre, preconditionFailed(errNotOurs)
		}
		if pre.Revision != nil && *pre.Revision != n {
			return pre, badParam("parent_revision", "it is another one than If-Match names: give one of them")
		}
		pre.Node, pre.Revision = id, &n
	}
	return pre, nil
}

var errNotOurs = errors.New("If-Match is not the ETag of a file here: use the one that came with its content")

// parseETag is the inverse of etag.
func parseETag(text string) (quire.NodeID, int64, bool) {
	id, rest, ok := strings.Cut(strings.TrimPrefix(text, `"`), "-")
	n, err := decimal(strings.TrimSuffix(rest, `"`))
	if !ok || err != nil || etag(quire.NodeID(id), n) != text {
		return "", 0, false
	}
	return quire.NodeID(id), n, true
}

// conditional says how a refusal is to be told: 412 where the condition came in
// a header, and a conflict where parent_revision names a file that is gone.
func (c *call) conditional(err error) error {
	if err == nil {
		return nil
	}
	var conflict *quire.Conflict
	var exists *quire.Exists
	missing := errors.Is(err, quire.ErrNotFound)
	if !missing && !errors.As(err, &conflict) && !errors.As(err, &exists) {
		return err
	}
	switch {
	case c.r.Header.Get("If-Match") != "" || c.r.Header.Get("If-None-Match") != "":
		return preconditionFailed(err)
	case missing && c.has("parent_revision"):
		return &statusError{409, "conflict", "the file is not there any more: save without parent_revision to make it anew", &quire.Conflict{}}
	}
	return err
}

// refused is conditional for changes of place, where a taken name is no failed
// condition.
func (c *call) refused(err error) error {
	if errors.As(err, new(*quire.Exists)) {
		return err
	}
	return c.conditional(err)
}

// filename returns the name for a new file: the parameter, or what the
// Content-Disposition header says.
func (c *call) filename() string {
	if name := c.q.Get("filename"); name != "" {
		return name
	}
	return dispositionName(c.r.Header.Get("Content-Disposition"))
}

// dispositionName returns the name in a Content-Disposition header, or nothing.
func dispositionName(header string) string {
	_, params, err := mime.ParseMediaType(header)
	if err != nil {
		return ""
	}
	return params["filename"]
}
