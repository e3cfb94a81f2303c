package ucloud

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// file is a file or folder on the wire.
type file struct {
	ID        string `json:"id"`
	CreatedAt int64  `json:"createdAt"` // Unix milliseconds, like all times here
	Status    status `json:"status"`
}

type status struct {
	Type       string `json:"type"` // "FILE" or "DIRECTORY"
	Size       int64  `json:"sizeInBytes"`
	ModifiedAt int64  `json:"modifiedAt"`
	AccessedAt int64  `json:"accessedAt"`
	UnixMode   int    `json:"unixMode"`
	UnixOwner  int    `json:"unixOwner"`
	UnixGroup  int    `json:"unixGroup"`
}

// The store knows accesses, not Unix permissions: these tell what a caller may
// do as near as can be.
const (
	modeRead, modeWrite   = 0o440, 0o660
	modeEnter, modeChange = 0o550, 0o770
)

func describe(drive string, e library.Entry) file {
	modified := mtime(e.Node).UnixMilli()
	f := file{ID: wireID(drive, strings.TrimSuffix(e.Path, "/")), CreatedAt: e.Created.UnixMilli(), Status: status{
		Type: "FILE", Size: e.Size, ModifiedAt: modified, AccessedAt: modified, UnixMode: modeRead,
	}}
	writes := e.Access >= quire.Editor
	switch {
	case e.IsContainer() && writes:
		f.Status.Type, f.Status.UnixMode = "DIRECTORY", modeChange
	case e.IsContainer():
		f.Status.Type, f.Status.UnixMode = "DIRECTORY", modeEnter
	case writes:
		f.Status.UnixMode = modeWrite
	}
	return f
}

// mtime is when a file's content was modified: as its sender knows it, or else
// when it came.
func mtime(n quire.Node) time.Time {
	if !n.Client.IsZero() {
		return n.Client
	}
	return n.Modified
}

type browseQuery struct {
	path, next, sortBy, direction string
	perPage                       *int
}

type page struct {
	Items        []file  `json:"items"`
	Next         *string `json:"next"`
	ItemsPerPage int     `json:"itemsPerPage"`
}

// The sizes of a page.
const (
	defaultPage = 250
	maxPage     = 1000
)

// browse lists a folder, for users.
func browse(c *call) error {
	q := c.r.URL.Query()
	b := browseQuery{path: q.Get("path"), next: q.Get("next"), sortBy: q.Get("sortBy"), direction: q.Get("sortDirection")}
	if text := q.Get("itemsPerPage"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return bad("itemsPerPage must be a number")
		}
		b.perPage = &n
	}
	return c.browse(b)
}

// browseProvider lists a folder, for UCloud itself.
func browseProvider(c *call) error {
	var body struct {
		Browse struct {
			Flags struct {
				Path string `json:"path"`
			} `json:"flags"`
			ItemsPerPage  *int    `json:"itemsPerPage"`
			Next          *string `json:"next"`
			SortBy        *string `json:"sortBy"`
			SortDirection *string `json:"sortDirection"`
		} `json:"browse"`
	}
	if err := c.read(&body); err != nil {
		return err
	}
	b := body.Browse
	return c.browse(browseQuery{b.Flags.Path, text(b.Next), text(b.SortBy), text(b.SortDirection), b.ItemsPerPage})
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (c *call) browse(b browseQuery) error {
	w := library.Listing{Limit: defaultPage, After: b.next}
	if b.perPage != nil {
		if *b.perPage < 1 {
			return bad("itemsPerPage must be 1 or more")
		}
		w.Limit = min(*b.perPage, maxPage)
	}
	switch b.sortBy {
	case "", "PATH":
	case "SIZE":
		w.Sort = library.BySize
	case "MODIFIED_AT":
		w.Sort = library.ByModified
	default:
		return bad("sortBy must be PATH, SIZE or MODIFIED_AT")
	}
	switch strings.ToLower(b.direction) {
	case "", "ascending":
	case "descending":
		w.Descending = true
	default:
		return bad("sortDirection must be ascending or descending")
	}
	if b.path == "" || b.path == "/" {
		// The drives that there are: one.
		e, err := c.lib.Lookup(c.ctx, c.caller, "/")
		if err != nil && !errors.Is(err, quire.ErrNotFound) {
			return err
		}
		p := page{Items: []file{}, ItemsPerPage: w.Limit}
		if err == nil {
			p.Items = append(p.Items, describe(string(c.site.ID), e))
		}
		return c.answer(http.StatusOK, p)
	}
	drive, path, err := c.locate(b.path)
	if err != nil {
		return err
	}
	top, err := c.lib.Lookup(c.ctx, c.caller, path)
	if err != nil {
		return err
	}
	list, next, err := c.lib.List(c.ctx, c.caller, top.ID, w)
	if err != nil {
		return err
	}
	p := page{Items: make([]file, len(list)), ItemsPerPage: w.Limit}
	for i, e := range list {
		p.Items[i] = describe(drive, e)
	}
	if next != "" {
		p.Next = &next
	}
	return c.answer(http.StatusOK, p)
}

// retrieve describes one file, for users.
func retrieve(c *call) error { return c.retrieve(c.r.URL.Query().Get("id")) }

// retrieveProvider describes one file, for UCloud itself.
func retrieveProvider(c *call) error {
	var body struct {
		Retrieve struct {
			ID string `json:"id"`
		} `json:"retrieve"`
	}
	if err := c.read(&body); err != nil {
		return err
	}
	return c.retrieve(body.Retrieve.ID)
}

func (c *call) retrieve(id string) error {
	drive, path, err := c.locate(id)
	if err != nil {
		return err
	}
	e, err := c.lib.Lookup(c.ctx, c.caller, path)
	if err == nil && !e.IsContainer() {
		if err = c.settle(e.ID); err == nil {
			e, err = c.lib.Stat(c.ctx, c.caller, e.ID)
		}
	}
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, describe(drive, e))
}
