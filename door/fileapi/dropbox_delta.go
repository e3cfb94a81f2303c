package fileapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// deltaPage is how many entries one answer of delta has, about.
const deltaPage = 1000

// maxWalks is how many folders may wait to be told whole. With more of them the
// client is better off beginning anew.
const maxWalks = 50

// deltaCursor is what a client of delta hands back. It holds where the client
// is, so that any node can go on; what it names is looked up with the access of
// whoever presents it.
type deltaCursor struct {
	Top  quire.NodeID `json:"p"` // what path_prefix names
	Seq  int64        `json:"s"` // the last event that was told
	Time int64        `json:"t"` // Unix ms: every event since is after Seq
	// Walks are the trees that are yet to be told whole: the entire site for a
	// new client, and folders that were moved into it.
	Walks []walk `json:"w,omitempty"`
}

// walk is a tree that is told in order, and how far that is.
type walk struct {
	Top quire.NodeID `json:"n"`
	At  []step       `json:"a,omitempty"` // the way down to the entry that was told last
}

// step is one entry on that way.
type step struct {
	Node quire.NodeID `json:"n"`
	Key  string       `json:"k"` // its place in the folder
}

func (d deltaCursor) encode() (string, error) {
	b, err := json.Marshal(d)
	return base64.RawURLEncoding.EncodeToString(b), err
}

func parseDeltaCursor(text string) (d deltaCursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil || d.Seq < 0 || len(d.Walks) > maxWalks {
		return deltaCursor{}, badParam("cursor", "it is not one that delta gave: start again without it")
	}
	return d, nil
}

// boxDelta is one answer of delta in the making.
type boxDelta struct {
	c       *call
	cursor  deltaCursor
	Entries [][2]any `json:"entries"` // lower-case path, metadata or nil
	Reset   bool     `json:"reset"`
	Cursor  string   `json:"cursor"`
	HasMore bool     `json:"has_more"`
}

// dropboxDelta tells what has changed since a cursor. Without one, the client
// is to forget what it has and is told everything that is there.
func dropboxDelta(c *call, _ string) error {
	prefix := c.q.Get("path_prefix")
	if prefix == "" {
		prefix = "/"
	}
	top, err := c.lib.Lookup(c.ctx, c.caller, prefix)
	if err != nil {
		return err
	}
	d := &boxDelta{c: c, Entries: [][2]any{}}
	if text := c.q.Get("cursor"); text != "" {
		if d.cursor, err = parseDeltaCursor(text); err != nil {
			return err
		}
	}
	// Events that the client has not seen may have been forgotten since.
	old := time.Since(time.UnixMilli(d.cursor.Time)) >= c.lib.EventLife()
	if d.cursor.Top != top.ID || old || len(d.cursor.Walks) > maxWalks {
		if err := d.begin(top); err != nil {
			return err
		}
	}
	if err := d.fill(top); err != nil {
		return err
	}
	if d.Cursor, err = d.cursor.encode(); err != nil {
		return err
	}
	return c.answer(http.StatusOK, d)
}

// begin starts anew.
func (d *boxDelta) begin(top library.Entry) error {
	now := time.Now()
	seq, err := d.c.lib.LatestChange(d.c.ctx, d.c.caller)
	d.Reset = true
	d.cursor = deltaCursor{Top: top.ID, Seq: seq, Time: now.UnixMilli(), Walks: []walk{{Top: top.ID}}}
	return err
}

// fill adds a page of entries: of trees that are told whole, of what has
// changed, and of the trees that came with that.
func (d *boxDelta) fill(top library.Entry) error {
	if err := d.walks(top); err != nil {
		return err
	}
	more := true
	if d.room() > 0 {
		var err error
		if more, err = d.changes(top); err != nil {
			return err
		}
	}
	if len(d.cursor.Walks) > maxWalks {
		d.Entries = [][2]any{}
		if err := d.begin(top); err != nil {
			return err
		}
	}
	err := d.walks(top)
	d.HasMore = more || len(d.cursor.Walks) > 0
	return err
}

func (d *boxDelta) walks(top library.Entry) error {
	for len(d.cursor.Walks) > 0 && d.room() > 0 {
		done, err := d.goOn(&d.cursor.Walks[0], top)
		if err != nil {
			return err
		}
		if done {
			d.cursor.Walks = d.cursor.Walks[1:]
		}
	}
	return nil
}

func (d *boxDelta) room() int { return deltaPage - len(d.Entries) }

func (d *boxDelta) gone(path string) {
	d.Entries = append(d.Entries, [2]any{strings.ToLower(path), nil})
}

func (d *boxDelta) there(e library.Entry) {
	d.Entries = append(d.Entries, [2]any{strings.ToLower(e.Path), box(e)})
}

// goOn tells more of a tree, containers before what is in them. It returns true
// at the end of it.
func (d *boxDelta) goOn(w *walk, top library.Entry) (done bool, err error) {
	e, err := d.c.lib.Stat(d.c.ctx, d.c.caller, w.Top)
	if errors.Is(err, quire.ErrNotFound) {
		return true, nil // an event tells of it
	}
	if err != nil {
		return false, err
	}
	if e.ID != top.ID && !strings.HasPrefix(e.Path, strings.TrimSuffix(top.Path, "/")+"/") {
		return true, nil // it has left, and an event tells of that too
	}
	if len(w.At) == 0 && e.Path != "/" && e.ID == top.ID {
		d.there(e)
	}
	way, err := d.tell(e, w.At, 0)
	w.At = way
	return way == nil, err
}

// tell tells what is in a container after a place in it, and returns the place
// where it stopped because the page is full; nil is the end.
func (d *boxDelta) tell(e library.Entry, at []step, depth int) ([]step, error) {
	if !e.IsContainer() || depth > quire.MaxDepth {
		return nil, nil
	}
	after := ""
	if len(at) > 0 {
		after = at[0].Key
		child, err := d.c.lib.Stat(d.c.ctx, d.c.caller, at[0].Node)
		if err != nil && !errors.Is(err, quire.ErrNotFound) {
			return nil, err
		}
		if err == nil && child.Parent == e.ID {
			below, err := d.tell(child, at[1:], depth+1)
			if below != nil || err != nil {
				return append([]step{at[0]}, below...), err
			}
		}
	}
	for {
		if d.room() <= 0 {
			return []step{{Key: after}}, nil
		}
		page, next, err := d.c.lib.List(d.c.ctx, d.c.caller, e.ID, library.Listing{After: after, Limit: d.room()})
		if err != nil {
			return nil, err
		}
		for _, x := range page {
			if d.room() <= 0 {
				return []step{{Key: after}}, nil
			}
			d.there(x)
			here := step{x.ID, x.NameKey}
			after = x.NameKey
			if !x.IsContainer() {
				continue
			}
			below, err := d.tell(x, nil, depth+1)
			if below != nil || err != nil {
				return append([]step{here}, below...), err
			}
		}
		if next == "" {
			return nil, nil
		}
		after = next
	}
}

// changes tells a page of what has happened, as things are now: first what is
// gone from where it was, then what is there. It returns whether there is more.
func (d *boxDelta) changes(top library.Entry) (more bool, err error) {
	now := time.Now()
	list, seq, more, err := d.c.lib.Changes(d.c.ctx, d.c.caller, top.ID, d.cursor.Seq, time.Time{}, d.room())
	if err != nil {
		return false, err
	}
	d.cursor.Seq, d.cursor.Time = seq, now.UnixMilli()
	if more && len(list) > 0 {
		d.cursor.Time = list[len(list)-1].Time.UnixMilli()
	}
	gone, told := make(map[string]bool), make(map[string]bool)
	leave := func(path string) {
		if path = strings.ToLower(path); path != "" && !gone[path] {
			gone[path] = true
			d.gone(path)
		}
	}
	for _, ch := range list {
		switch ch.Kind {
		case quire.EventRemove, quire.EventMoveOut:
			leave(ch.Path)
		case quire.EventRename:
			from, _ := ch.Detail["from"].(string)
			leave(from)
		}
	}
	for _, ch := range list {
		path := strings.ToLower(ch.Path)
		e, err := d.at(ch)
		switch {
		case errors.Is(err, quire.ErrNotFound):
			leave(path)
			continue
		case err != nil:
			return false, err
		}
		whole := e.IsContainer() && (gone[path] || brings(ch))
		if told[path] && !whole {
			continue
		}
		if !told[path] {
			told[path] = true
			d.there(e)
		}
		if whole {
			d.plan(e.ID)
		}
	}
	return more, nil
}

// at returns what stands where something happened.
func (d *boxDelta) at(ch library.Change) (library.Entry, error) {
	if ch.Entry != nil && ch.Entry.Path == ch.Path {
		return *ch.Entry, nil
	}
	return d.c.lib.Lookup(d.c.ctx, d.c.caller, ch.Path)
}

// brings says whether a folder came with what is in it, of which no events
// tell: moved, renamed, copied, or back from the trash.
func brings(ch library.Change) bool {
	switch ch.Kind {
	case quire.EventMoveIn, quire.EventRename:
		return true
	case quire.EventNew:
		return ch.Detail["copy"] != nil || ch.Detail["from"] != nil
	}
	return false
}

// plan has a tree told whole.
func (d *boxDelta) plan(id quire.NodeID) {
	for _, w := range d.cursor.Walks {
		if w.Top == id && len(w.At) == 0 {
			return
		}
	}
	d.cursor.Walks = append(d.cursor.Walks, walk{Top: id})
}
