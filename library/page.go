package library

import (
	"context"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Page says which part of a container is wanted, by position: what a window
// onto a long list needs.
type Page struct {
	Sort       catalog.SortKey // "" is by name
	Descending bool
	Offset     int // the first entry's position, 0 or more
	Limit      int // 1 to MaxPage; 0 is 1,000
}

// ListAt returns a part of a container's children, containers before files,
// and how many children there are in all.
func (l *Library) ListAt(ctx context.Context, c quire.Caller, id quire.NodeID, w Page) (list []Entry, total int64, err error) {
	limit, err := pageSize(w.Limit, 1000)
	if err != nil {
		return nil, 0, err
	}
	if w.Offset < 0 {
		return nil, 0, &quire.Invalid{What: "offset", Reason: "use a number, 0 or more"}
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list = nil
		top, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		if !top.IsContainer() {
			return quire.ErrNotAContainer
		}
		page, err := tx.ChildrenAt(id, w.Sort, w.Descending, w.Offset, limit)
		if err != nil {
			return err
		}
		if total, err = tx.CountChildren(id); err != nil {
			return err
		}
		list, err = l.entries(tx, c, top, page)
		return err
	})
	return list, total, err
}

// maxWalk is how many nodes one walk visits, so that nobody has the server
// read a whole site by accident.
const maxWalk = 1_000_000

// Walk calls visit for every file and container that is named and for all that
// is below, containers before what is in them, with its path below the folder
// that holds what was named. Names that are taken twice at the top get a number.
// What disappears meanwhile is passed over; the first error of visit ends the
// walk.
func (l *Library) Walk(ctx context.Context, c quire.Caller, ids []quire.NodeID, visit func(rel string, e Entry) error) error {
	left := maxWalk
	taken := make(map[string]bool)
	for _, id := range ids {
		e, err := l.Stat(ctx, c, id)
		if err != nil {
			return err
		}
		name := e.Name
		if e.Parent == "" {
			name = "files"
		}
		if taken[foldName(name)] {
			if name, err = freeName(name, numbered, func(key string) (bool, error) { return taken[key], nil }); err != nil {
				return err
			}
		}
		taken[foldName(name)] = true
		if err := l.walkTree(ctx, c, e, name, &left, visit); err != nil {
			return err
		}
	}
	return nil
}

func (l *Library) walkTree(ctx context.Context, c quire.Caller, e Entry, rel string, left *int, visit func(string, Entry) error) error {
	if *left--; *left < 0 {
		return &quire.TooLarge{Limit: maxWalk, Hint: " files: choose fewer folders"}
	}
	if strings.Count(rel, "/") > quire.MaxDepth {
		return tooDeep()
	}
	if err := visit(rel, e); err != nil || !e.IsContainer() {
		return err
	}
	for after := ""; ; {
		page, next, err := l.List(ctx, c, e.ID, Listing{After: after, Limit: 1000})
		if err != nil {
			return passOver(err)
		}
		for _, x := range page {
			if err := l.walkTree(ctx, c, x, rel+"/"+x.Name, left, visit); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}
