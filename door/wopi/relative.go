package wopi

import (
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi/utf7"
	"github.com/quire-docs/quire/library"
)

// wish is the name that a client wants for something new (WOPI §4): suggested,
// to be adjusted until it fits, or to be taken as it is.
type wish struct {
	name      string
	exact     bool
	overwrite bool // exact only: a file that has the name gets a new version
}

// readWish reads the target headers. stem is put before a suggestion that is
// only an extension; "" takes it as a name. both is the answer to a request
// with both headers.
func (c *call) readWish(stem string, both error) (wish, error) {
	suggested, relative := c.r.Header.Get("X-WOPI-SuggestedTarget"), c.r.Header.Get("X-WOPI-RelativeTarget")
	switch {
	case strings.TrimSpace(suggested) != "" && strings.TrimSpace(relative) != "":
		return wish{}, both
	case strings.TrimSpace(relative) != "":
		name, err := utf7.Decode(relative)
		if err != nil {
			return wish{}, badRequest("X-WOPI-RelativeTarget is not UTF-7")
		}
		return wish{name: name, exact: true, overwrite: c.flag("X-WOPI-OverwriteRelativeTarget")}, nil
	case strings.TrimSpace(suggested) != "":
		name, err := utf7.Decode(suggested)
		if err != nil {
			name = suggested // a wish never fails
		}
		if stem != "" && strings.HasPrefix(name, ".") {
			name = stem + name
		}
		return wish{name: library.SanitizeName(name)}, nil
	}
	return wish{}, badRequest("name the target in X-WOPI-SuggestedTarget or X-WOPI-RelativeTarget")
}

// target turns a wish into what the library understands. An exact name that
// cannot be is refused with one that can.
func (c *call) wishTarget(parent quire.NodeID, n wish, invalid string) (quire.Target, error) {
	t := quire.Target{Parent: parent, Name: n.name, OnConflict: quire.Rename}
	if !n.exact {
		return t, nil
	}
	if _, _, err := library.CheckName(n.name); err != nil {
		c.w.Header().Set("X-WOPI-ValidRelativeTarget", utf7.Encode(library.SanitizeName(n.name)))
		c.w.Header().Set(invalid, asciiLine(err.Error()))
		return t, err
	}
	t.OnConflict = quire.Reject
	if n.overwrite {
		t.OnConflict = quire.Replace
	}
	return t, nil
}

// putRelativeFile is PutRelativeFile (WOPI §4).
func putRelativeFile(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	parent, err := c.lib.Stat(c.ctx, c.caller, e.Parent)
	if err != nil || parent.Access < quire.Editor {
		return errUnsupported // as UserCanNotWriteRelative says
	}
	n, err := c.readWish(strings.TrimSuffix(e.Name, path.Ext(e.Name)), badRequest("name one target, not two"))
	if err != nil {
		return err
	}
	return c.newFile(parent, n, c.r.Body, c.r.ContentLength)
}

// createChildFile is CreateChildFile: it makes a file of 0 bytes (WOPI §4).
func createChildFile(c *call) error {
	parent, err := c.container()
	if err != nil {
		return err
	}
	n, err := c.readWish("New document", errUnsupported)
	if err != nil {
		return err
	}
	if parent.Access < quire.Editor {
		return quire.ErrNotFound
	}
	return c.newFile(parent, n, strings.NewReader(""), 0)
}

// newFile saves a body under a wished name and answers with where it is.
func (c *call) newFile(parent library.Entry, n wish, body io.Reader, length int64) error {
	t, err := c.wishTarget(parent.ID, n, "X-WOPI-InvalidFileNameError")
	if err != nil {
		return err
	}
	o := library.Save{Max: c.opt.MaxSize, Length: length, Sized: length >= 0}
	if text := c.header("X-WOPI-Size"); text != "" {
		size, err := strconv.ParseInt(text, 10, 64)
		if err != nil || size < 0 || length >= 0 && size != length {
			return badRequest("X-WOPI-Size is not the size of the body")
		}
		o.Length, o.Sized = size, true
	}
	e, _, err := c.lib.Save(c.ctx, c.caller, t, body, o)
	if err != nil {
		return c.taken(n, err)
	}
	u, err := c.pointer(aFile, e.ID)
	if err != nil {
		return err
	}
	return c.answer(struct {
		Name        string
		URL         string `json:"Url"`
		HostViewURL string `json:"HostViewUrl"`
		HostEditURL string `json:"HostEditUrl"`
	}{e.Name, u, c.base() + "/view/" + string(e.ID), c.base() + "/edit/" + string(e.ID)})
}

// taken adds what a client needs to choose another name.
func (c *call) taken(n wish, err error) error {
	var exists *quire.Exists
	switch {
	case errors.As(err, &exists):
		c.w.Header().Set("X-WOPI-ValidRelativeTarget", utf7.Encode(exists.Free))
		if exists.Lock.WOPI != nil {
			c.w.Header().Set("X-WOPI-Lock", exists.Lock.WOPI.ID)
		}
	case n.overwrite && errors.Is(err, quire.ErrForbidden):
		return &statusError{http.StatusNotImplemented, "you may not overwrite that file"}
	}
	return err
}
