package library

import (
	"context"
	"strconv"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// MaxPage is the most entries that one page of a listing has.
const MaxPage = 25000

// Listing says which page of a container is wanted.
type Listing struct {
	Sort       catalog.SortKey // "" is by name
	Descending bool
	Limit      int    // 1 to MaxPage; 0 is 1,000
	After      string // where the last page ended; "" is the beginning
}

// List returns a page of a container's children, and where the next page
// begins: "" after the last one. By name, a page costs the same wherever it
// is; other orders read the whole container.
func (l *Library) List(ctx context.Context, c quire.Caller, id quire.NodeID, w Listing) (list []Entry, next string, err error) {
	limit, err := pageSize(w.Limit, 1000)
	if err != nil {
		return nil, "", err
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, next = nil, ""
		top, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		if !top.IsContainer() {
			return quire.ErrNotAContainer
		}
		var page []quire.Node
		if (w.Sort == "" || w.Sort == catalog.ByName) && !w.Descending {
			if page, err = tx.Children(id, w.After, limit+1); err != nil {
				return err
			}
			if len(page) > limit {
				next = page[limit-1].NameKey
			}
		} else {
			offset := 0
			if w.After != "" {
				if offset, err = strconv.Atoi(w.After); err != nil || offset < 0 {
					return &quire.Invalid{What: "cursor", Reason: "it is not one that a listing gave: start again without it"}
				}
			}
			if page, err = tx.SortedChildren(id, w.Sort, w.Descending, offset, limit+1); err != nil {
				return err
			}
			if len(page) > limit {
				next = strconv.Itoa(offset + limit)
			}
		}
		page = page[:min(len(page), limit)]
		list, err = l.entries(tx, c, top, page)
		return err
	})
	return list, next, err
}

// entries dresses children for a caller. What was granted on them may be more
// than what their container gives.
func (l *Library) entries(tx *catalog.Tx, c quire.Caller, top Entry, page []quire.Node) ([]Entry, error) {
	more := make(map[quire.NodeID]quire.Access)
	if c.User != "" && top.Access < quire.Owner {
		given, err := tx.GrantsTo(c.User)
		if err != nil {
			return nil, err
		}
		for _, g := range given {
			more[g.Node] = g.Access
		}
	}
	list := make([]Entry, len(page))
	for i, n := range page {
		list[i] = Entry{Node: n, Path: joinPath(top.Path, n.Name), Access: max(top.Access, more[n.ID])}
		list[i].Lock = live(list[i].Node, tx.Now())
	}
	return list, nil
}

func pageSize(limit, byDefault int) (int, error) {
	switch {
	case limit == 0:
		return byDefault, nil
	case limit < 0 || limit > MaxPage:
		return 0, &quire.Invalid{What: "limit", Reason: "use a number from 1 to " + strconv.Itoa(MaxPage)}
	}
	return limit, nil
}

// Search returns nodes below a container whose name contains a text, without
// regard to case, and where the next page begins: "" after the last one.
func (l *Library) Search(ctx context.Context, c quire.Caller, container quire.NodeID, text, after string, limit int) (list []Entry, next string, err error) {
	if limit, err = pageSize(limit, 100); err != nil {
		return nil, "", err
	}
	if text == "" {
		return nil, "", &quire.Invalid{What: "query", Reason: "it is empty: say what to search for"}
	}
	key := foldName(text)
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list, next = nil, ""
		top, err := l.find(tx, c, container, quire.Viewer)
		if err != nil {
			return err
		}
		at := quire.NodeID(after)
		for {
			page, err := tx.FindNamed(c.Site, key, at, limit)
			if err != nil {
				return err
			}
			for _, n := range page {
				if len(list) == limit {
					next = string(at)
					return nil
				}
				at = n.ID
				e, err := l.find(tx, c, n.ID, quire.Viewer)
				if err != nil || e.ID == top.ID || !below(top.Path, e.Path) {
					continue
				}
				list = append(list, e)
			}
			if len(page) < limit {
				return nil
			}
		}
	})
	return list, next, err
}

// SharedWith returns the nodes that were granted to the caller, or that a
// presented link opens.
func (l *Library) SharedWith(ctx context.Context, c quire.Caller) (list []Entry, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		list = nil
		var ids []quire.NodeID
		if c.User != "" {
			given, err := tx.GrantsTo(c.User)
			if err != nil {
				return err
			}
			for _, g := range given {
				ids = append(ids, g.Node)
			}
		}
		if c.Link != "" {
			if k, err := l.liveLink(tx, c.Link); err == nil {
				ids = append(ids, k.Node)
			}
		}
		for _, id := range ids {
			if e, err := l.find(tx, c, id, quire.Viewer); err == nil {
				list = append(list, e)
			}
		}
		return nil
	})
	return list, err
}

// The orders of a listing, for doors, which do not see the catalog.
const (
	ByName     = catalog.ByName
	BySize     = catalog.BySize
	ByModified = catalog.ByModified
)
