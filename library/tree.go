package library

import (
	"context"
	"errors"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/lock"
)

// CreateContainer makes a container where the target says. With
// quire.Replace, a container that is there already is the answer, and created
// is false.
func (l *Library) CreateContainer(ctx context.Context, c quire.Caller, t quire.Target) (e Entry, created bool, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		e, created = Entry{}, false
		p, err := l.resolve(tx, c, t)
		if err != nil {
			return err
		}
		if p.there != nil {
			if t.OnConflict == quire.Replace && p.there.IsContainer() {
				e = *p.there
				return nil
			}
			return l.existing(tx, p)
		}
		parent, err := l.makeContainers(tx, c, p.parent, p.missing)
		if err != nil {
			return err
		}
		e, err = l.insert(tx, c, parent, p.name, quire.Container)
		created = err == nil
		return err
	})
	return e, created, err
}

// place is what a target resolves to: the node that is there, or where one can
// be made.
type place struct {
	there   *Entry   // what has the name already
	parent  Entry    // the last container that exists
	missing []string // containers to be made in it first
	name    string   // a free, clean name
}

// resolve finds out where a target points. It changes nothing. With
// quire.Rename, the name in the result is free; otherwise a node that has the
// name is returned.
func (l *Library) resolve(tx *catalog.Tx, c quire.Caller, t quire.Target) (place, error) {
	if t.Node != "" {
		e, err := l.find(tx, c, t.Node, quire.Viewer)
		return place{there: &e}, err
	}
	var p place
	container, name := t.Parent, t.Name
	if container == "" {
		names, err := SplitPath(t.Path)
		if err != nil {
			return place{}, err
		}
		if name != "" {
			names = append(names, name)
		}
		if len(names) == 0 {
			return place{}, &quire.Invalid{What: "path", Reason: "it names the root folder: add a name"}
		}
		name = names[len(names)-1]
		container, p.missing, err = l.walk(tx, c.Site, names[:len(names)-1])
		if err != nil {
			return place{}, err
		}
	}
	clean, key, err := CheckName(name)
	if err != nil {
		return place{}, err
	}
	p.name = clean
	if p.parent, err = l.find(tx, c, container, quire.Viewer); err != nil {
		return place{}, err
	}
	if !p.parent.IsContainer() {
		return place{}, quire.ErrNotAContainer
	}
	if len(p.missing) > 0 {
		return p, allow(c, p.parent, quire.Editor)
	}
	n, err := tx.Child(container, key)
	switch {
	case errors.Is(err, quire.ErrNotFound):
		return p, allow(c, p.parent, quire.Editor)
	case err != nil:
		return place{}, err
	}
	if t.OnConflict == quire.Rename || t.OnConflict == quire.RenameClose {
		if err := allow(c, p.parent, quire.Editor); err != nil {
			return place{}, err
		}
		form := numbered
		if t.OnConflict == quire.RenameClose {
			form = numberedClose
		}
		p.name, err = l.freeAs(tx, container, clean, form)
		return p, err
	}
	there, err := l.findNode(tx, c, n, quire.Viewer)
	if err != nil {
		return place{}, err
	}
	p.there = &there
	return p, nil
}

// freeIn returns a name near to the one given that is free in a container.
func (l *Library) freeIn(tx *catalog.Tx, container quire.NodeID, name string) (string, error) {
	return l.freeAs(tx, container, name, numbered)
}

// freeAs is freeIn with numbers written in a form.
func (l *Library) freeAs(tx *catalog.Tx, container quire.NodeID, name string, form func(string, int) string) (string, error) {
	return freeName(name, form, func(key string) (bool, error) {
		_, err := tx.Child(container, key)
		if errors.Is(err, quire.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
}

// existing is the refusal of a taken name.
func (l *Library) existing(tx *catalog.Tx, p place) error {
	free, err := l.freeIn(tx, p.there.Parent, p.there.Name)
	if err != nil {
		return err
	}
	return &quire.Exists{Node: p.there.ID, Name: p.there.Name, Free: free, Lock: p.there.Lock}
}

// makeContainers makes a chain of containers and returns the last.
func (l *Library) makeContainers(tx *catalog.Tx, c quire.Caller, parent Entry, names []string) (Entry, error) {
	var err error
	for _, name := range names {
		if parent, err = l.insert(tx, c, parent, name, quire.Container); err != nil {
			return Entry{}, err
		}
	}
	return parent, nil
}

// insert makes a node under a name that is clean and free.
func (l *Library) insert(tx *catalog.Tx, c quire.Caller, parent Entry, name string, kind quire.Kind) (Entry, error) {
	e, err := l.newNode(tx, c, parent, name, kind)
	if err != nil {
		return e, err
	}
	if err := tx.InsertNode(&e.Node); err != nil {
		return Entry{}, err
	}
	return e, l.record(tx, c, quire.EventNew, e, nil)
}

// newNode makes a node without writing it.
func (l *Library) newNode(tx *catalog.Tx, c quire.Caller, parent Entry, name string, kind quire.Kind) (Entry, error) {
	if err := allow(c, parent, quire.Editor); err != nil {
		return Entry{}, err
	}
	if strings.Count(parent.Path, "/") >= quire.MaxDepth {
		return Entry{}, tooDeep()
	}
	n := quire.Node{
		ID: quire.NodeID(l.recordID()), Site: parent.Site, Parent: parent.ID,
		Name: name, NameKey: foldName(name), Kind: kind, Owner: ownerOf(c, parent),
		Created: tx.Now(), Modified: tx.Now(),
	}
	return Entry{Node: n, Path: joinPath(parent.Path, name), Access: parent.Access}, nil
}

// ownerOf says who owns what a caller makes: the holder of a link is nobody,
// so the container's owner does.
func ownerOf(c quire.Caller, parent Entry) quire.UserID {
	if c.User != "" {
		return c.User
	}
	return parent.Owner
}

func tooDeep() error {
	return &quire.Invalid{What: "folder", Reason: "too many folders inside each other: put it higher up"}
}

// Move gives a node another name, another container, or both. An empty parent
// or name in the target keeps what it has. The key is what the caller presents
// to the file's lock: a locked file is moved only by its lock's holder.
func (l *Library) Move(ctx context.Context, c quire.Caller, id quire.NodeID, t quire.Target, pre quire.Precondition, same lock.SameID) (e Entry, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) error {
		e, err = l.find(tx, c, id, quire.Editor)
		if err != nil {
			return err
		}
		if e.Parent == "" {
			return &quire.Invalid{What: "folder", Reason: "the root folder cannot be moved or renamed"}
		}
		if !e.IsContainer() {
			if err := mayChange(e, lock.Rename, pre, same, tx.Now()); err != nil {
				return err
			}
		}
		if err := checkPrecondition(e, pre); err != nil {
			return err
		}
		if t.Parent == "" && t.Path == "" {
			t.Parent = e.Parent
			if t.Name == "" {
				return &quire.Invalid{What: "target", Reason: "name a new folder or a new name"}
			}
		} else if t.Name == "" && t.Path == "" {
			t.Name = e.Name
		}
		// Only a change of case, or none: the node is in its own way.
		switch name, itself, err := l.isAt(tx, e, t); {
		case err != nil:
			return err
		case itself:
			return l.place(tx, c, &e, e.Parent, name, joinPath(pathUp(e.Path), name))
		}
		p, err := l.resolve(tx, c, t)
		if err != nil {
			return err
		}
		if p.there != nil {
			if t.OnConflict != quire.Replace || p.there.IsContainer() || e.IsContainer() {
				return l.existing(tx, p)
			}
			if err := l.discard(tx, c, *p.there, quire.Precondition{}, same); err != nil {
				return err
			}
			if p.parent, err = l.find(tx, c, p.there.Parent, quire.Editor); err != nil {
				return err
			}
		}
		parent, err := l.makeContainers(tx, c, p.parent, p.missing)
		if err != nil {
			return err
		}
		if err := allow(c, parent, quire.Editor); err != nil {
			return err
		}
		if err := l.fits(tx, e, parent); err != nil {
			return err
		}
		return l.place(tx, c, &e, parent.ID, p.name, joinPath(parent.Path, p.name))
	})
	return e, err
}

// isAt says whether a target is the place where a node is already, and returns
// the name as the target writes it.
func (l *Library) isAt(tx *catalog.Tx, e Entry, t quire.Target) (name string, itself bool, err error) {
	if t.Parent != "" {
		clean, key, err := CheckName(t.Name)
		return clean, t.Parent == e.Parent && key == e.NameKey, err
	}
	path := t.Path
	if t.Name != "" {
		path = joinPath(path, t.Name)
	}
	names, err := SplitPath(path)
	if err != nil || len(names) == 0 {
		return "", false, err
	}
	id, rest, err := l.walk(tx, e.Site, names)
	return names[len(names)-1], id == e.ID && len(rest) == 0, err
}

// fits refuses to put a container into itself, and trees that are too deep.
func (l *Library) fits(tx *catalog.Tx, e, parent Entry) error {
	up, err := tx.Ancestry(parent.ID, "")
	if err != nil {
		return err
	}
	if !e.IsContainer() {
		if len(up) > quire.MaxDepth {
			return tooDeep()
		}
		return nil
	}
	for _, a := range up {
		if a.ID == e.ID {
			return &quire.Invalid{What: "folder", Reason: "a folder cannot be put into itself: choose another one"}
		}
	}
	height, err := tx.Height(e.ID)
	if err != nil {
		return err
	}
	if len(up)+height >= quire.MaxDepth {
		return tooDeep()
	}
	return nil
}

// place writes a node's new name and container, and records it.
func (l *Library) place(tx *catalog.Tx, c quire.Caller, e *Entry, parent quire.NodeID, name, path string) error {
	old := *e
	moved := e.Parent != parent
	if !moved && e.Name == name {
		return nil
	}
	e.Parent, e.Name, e.NameKey, e.Path = parent, name, foldName(name), path
	if err := tx.UpdateNode(&e.Node); err != nil {
		return err
	}
	if !moved {
		return l.record(tx, c, quire.EventRename, *e, map[string]any{"from": old.Path})
	}
	if err := l.record(tx, c, quire.EventMoveOut, old, map[string]any{"to": e.Path}); err != nil {
		return err
	}
	return l.record(tx, c, quire.EventMoveIn, *e, map[string]any{"from": old.Path})
}

// pathUp returns the path of the container of what is at a path.
func pathUp(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// Delete moves a node to the trash, from where Untrash brings it back until
// it is purged. A locked file, or a container with one below it, stays.
func (l *Library) Delete(ctx context.Context, c quire.Caller, id quire.NodeID, pre quire.Precondition, same lock.SameID) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Editor)
		if err != nil {
			return err
		}
		return l.discard(tx, c, e, pre, same)
	})
}

// DeleteEmpty is Delete for a container that must be empty: quire.ErrNotEmpty
// otherwise.
func (l *Library) DeleteEmpty(ctx context.Context, c quire.Caller, id quire.NodeID) error {
	return l.update(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Editor)
		if err != nil {
			return err
		}
		if !e.IsContainer() {
			return quire.ErrNotAContainer
		}
		full, err := tx.HasChildren(id)
		if err != nil {
			return err
		}
		if full {
			return quire.ErrNotEmpty
		}
		return l.discard(tx, c, e, quire.Precondition{}, nil)
	})
}

const chorePurge = "purge"

func (l *Library) discard(tx *catalog.Tx, c quire.Caller, e Entry, pre quire.Precondition, same lock.SameID) error {
	if err := allow(c, e, quire.Editor); err != nil {
		return err
	}
	if e.Parent == "" {
		return &quire.Invalid{What: "folder", Reason: "the root folder cannot be deleted"}
	}
	if err := checkPrecondition(e, pre); err != nil {
		return err
	}
	if e.IsContainer() {
		switch n, err := tx.LockedBelow(e.Site, e.ID); {
		case err == nil:
			return &quire.Locked{State: n.Lock, Reason: "a file in the folder is being edited: try again when nobody edits it"}
		case !errors.Is(err, quire.ErrNotFound):
			return err
		}
	} else if err := mayChange(e, lock.Delete, pre, same, tx.Now()); err != nil {
		return err
	}
	t, err := l.siteTops(tx, e.Site)
	if err != nil {
		return err
	}
	n := e.Node
	n.Trashed = &quire.Trashed{Parent: n.Parent, By: c.User, At: tx.Now()}
	n.Parent, n.NameKey, n.Lock = t.trash, "/"+string(n.ID), quire.LockState{}
	if err := tx.UpdateNode(&n); err != nil {
		return err
	}
	if err := tx.PutChore(catalog.Chore{Kind: chorePurge, Subject: string(n.ID), Due: tx.Now().Add(l.opt.TrashLife)}); err != nil {
		return err
	}
	return l.record(tx, c, quire.EventRemove, e, nil)
}
