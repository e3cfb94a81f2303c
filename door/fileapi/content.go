package fileapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// metadata is GET metadata.
func metadata(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, describe(e))
}

// listing is a folder with a page of its children.
type listing struct {
	description
	Contents []description `json:"contents"`
	Cursor   string        `json:"cursor,omitempty"`
	HasMore  bool          `json:"has_more"`
}

// list is GET list: a folder and a page of its children.
func list(c *call) error {
	e, err := c.subject()
	if err != nil {
		return err
	}
	limit, err := c.limit(1000)
	if err != nil {
		return err
	}
	sort, err := c.sorting()
	if err != nil {
		return err
	}
	if c.has("offset") {
		return listAt(c, e, sort, limit)
	}
	sort.Limit, sort.After = limit, c.q.Get("cursor")
	page, next, err := c.lib.List(c.ctx, c.caller, e.ID, sort)
	if err != nil {
		return err
	}
	out := listing{description: describe(e), Contents: make([]description, len(page)), Cursor: next, HasMore: next != ""}
	for i, x := range page {
		out.Contents[i] = describe(x)
	}
	return c.answer(http.StatusOK, out)
}

// listAt is list by position, folders before files, with how many entries there
// are in all.
func listAt(c *call, e library.Entry, sort library.Listing, limit int) error {
	if c.has("cursor") {
		return badParam("offset, cursor", "give one of them")
	}
	offset, err := c.number(0, "offset")
	if err == nil && offset > 1<<40 {
		err = badParam("offset", "use a smaller number")
	}
	if err != nil {
		return err
	}
	page, total, err := c.lib.ListAt(c.ctx, c.caller, e.ID, library.Page{Sort: sort.Sort, Descending: sort.Descending, Offset: int(offset), Limit: limit})
	if err != nil {
		return err
	}
	out := struct {
		listing
		Total int64 `json:"total"`
	}{listing{description: describe(e), Contents: make([]description, len(page)), HasMore: offset+int64(len(page)) < total}, total}
	for i, x := range page {
		out.Contents[i] = describe(x)
	}
	return c.answer(http.StatusOK, out)
}

func (c *call) sorting() (library.Listing, error) {
	var l library.Listing
	switch s := c.q.Get("sort"); s {
	case "", "name":
	case "size":
		l.Sort = library.BySize
	case "modified":
		l.Sort = library.ByModified
	default:
		return l, badParam("sort", "use name, size or modified")
	}
	var err error
	l.Descending, err = c.flag("descending", false)
	return l, err
}

// delta is GET delta: what happened below a folder since a time, or after the
// cursor of the last answer.
func delta(c *call) error {
	e, err := c.subjectOrRoot()
	if err != nil {
		return err
	}
	since, err := c.seconds("modified")
	if err != nil {
		return err
	}
	var after int64
	if text := c.q.Get("cursor"); text != "" {
		if after, err = decimal(text); err != nil {
			return badParam("cursor", "it is not one that delta gave: start again without it")
		}
	}
	limit, err := c.limit(1000)
	if err != nil {
		return err
	}
	changes, cursor, more, err := c.lib.Changes(c.ctx, c.caller, e.ID, after, since, limit)
	if err != nil {
		return err
	}
	type entry struct {
		UID      quire.NodeID    `json:"uid"`
		Path     string          `json:"path"`
		Action   quire.EventKind `json:"action"`
		Modified float64         `json:"modified"`
	}
	out := struct {
		HasMore bool    `json:"has_more"`
		Cursor  string  `json:"cursor"`
		Entries []entry `json:"entries"`
	}{more, strconv.FormatInt(cursor, 10), []entry{}}
	for _, ch := range changes {
		out.Entries = append(out.Entries, entry{ch.Node, ch.Path, ch.Kind, unix(ch.Time)})
	}
	return c.answer(http.StatusOK, out)
}

// search is GET search: by a part of the name.
func search(c *call) error {
	e, err := c.subjectOrRoot()
	if err != nil {
		return err
	}
	limit, err := c.limit(100)
	if err != nil {
		return err
	}
	found, next, err := c.lib.Search(c.ctx, c.caller, e.ID, strings.TrimSpace(c.q.Get("query")), c.q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	out := struct {
		Entries []description `json:"entries"`
		Cursor  string        `json:"cursor,omitempty"`
		HasMore bool          `json:"has_more"`
	}{make([]description, len(found)), next, next != ""}
	for i, x := range found {
		out.Entries[i] = describe(x)
	}
	return c.answer(http.StatusOK, out)
}
