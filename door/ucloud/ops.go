package ucloud

import (
	"errors"
	"strings"
	"sync"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

type fileItem struct {
	ID     string `json:"id"`
	Policy string `json:"conflictPolicy"`
}

type pairItem struct {
	Old    string `json:"oldId"`
	New    string `json:"newId"`
	Policy string `json:"conflictPolicy"`
}

// task is a finished long-running task of UCloud's, and what it made.
type task struct {
	Type string `json:"type"`
	ID   string `json:"id,omitempty"`
}

func complete(id string) task { return task{"complete", id} }

// lookup returns what an id names.
func (c *call) lookup(id string) (drive string, e library.Entry, err error) {
	drive, path, err := c.locate(id)
	if err != nil {
		return "", library.Entry{}, err
	}
	e, err = c.lib.Lookup(c.ctx, c.caller, path)
	return drive, e, err
}

func createFolder(c *call) error {
	return bulk(c, false, func(item fileItem) (task, error) {
		drive, path, err := c.locate(item.ID)
		if err != nil {
			return task{}, err
		}
		p, err := parsePolicy(item.Policy)
		if err != nil {
			return task{}, err
		}
		e, _, err := c.makeFolder(path, p)
		if err != nil {
			return task{}, err
		}
		return complete(wireID(drive, e.Path)), nil
	})
}

// transfer is a move or a copy.
type transfer struct {
	one  func(c *call, e library.Entry, t quire.Target) (library.Entry, error)
	done func(c *call, e library.Entry) error // after all that is in a folder
}

func moveFiles(c *call) error {
	return c.transfer(transfer{
		one: func(c *call, e library.Entry, t quire.Target) (library.Entry, error) {
			return c.lib.Move(c.ctx, c.caller, e.ID, t, quire.Precondition{}, nil)
		},
		done: func(c *call, e library.Entry) error {
			err := c.lib.DeleteEmpty(c.ctx, c.caller, e.ID)
			if errors.Is(err, quire.ErrNotEmpty) {
				err = nil // somebody put something there meanwhile
			}
			return err
		},
	})
}

func copyFiles(c *call) error {
	return c.transfer(transfer{
		one: func(c *call, e library.Entry, t quire.Target) (library.Entry, error) {
			return c.lib.Copy(c.ctx, c.caller, e.ID, t)
		},
		done: func(*call, library.Entry) error { return nil },
	})
}

func (c *call) transfer(t transfer) error {
	return bulk(c, false, func(item pairItem) (task, error) {
		p, err := parsePolicy(item.Policy)
		if err != nil {
			return task{}, err
		}
		_, from, err := c.lookup(item.Old)
		if err != nil {
			return task{}, err
		}
		drive, path, err := c.locate(item.New)
		if err != nil {
			return task{}, err
		}
		e, err := t.put(c, from, path, p)
		if err != nil {
			return task{}, err
		}
		return complete(wireID(drive, e.Path)), nil
	})
}

// put moves or copies to a path, as the policy says.
func (t transfer) put(c *call, from library.Entry, path string, p policy) (library.Entry, error) {
	to, err := c.lib.Lookup(c.ctx, c.caller, path)
	switch {
	case errors.Is(err, quire.ErrNotFound):
		return t.one(c, from, quire.Target{Path: path, OnConflict: p.files()})
	case err != nil:
		return to, err
	case to.ID == from.ID && p != policyRename && p != policyMergeRename:
		// Onto itself: at most the case of its name changes.
		return t.one(c, from, quire.Target{Path: path, OnConflict: quire.Reject})
	case to.IsContainer() && from.IsContainer() && p.merges():
		if to.ID == from.ID || strings.HasPrefix(to.Path+"/", from.Path+"/") {
			return to, bad("a folder cannot be put into itself: choose another one")
		}
		return to, t.merge(c, from, to, p)
	}
	return t.one(c, from, quire.Target{Path: path, OnConflict: p.files()})
}

// merge puts all that is in one folder into another.
func (t transfer) merge(c *call, from, to library.Entry, p policy) error {
	for after := ""; ; {
		list, next, err := c.lib.List(c.ctx, c.caller, from.ID, library.Listing{After: after})
		if err != nil {
			return err
		}
		for _, e := range list {
			if _, err := t.put(c, e, strings.TrimSuffix(to.Path, "/")+"/"+e.Name, p); err != nil {
				return err
			}
		}
		if next == "" {
			return t.done(c, from)
		}
		after = next
	}
}

func trashFiles(c *call) error {
	return bulk(c, false, func(item fileItem) (task, error) {
		_, e, err := c.lookup(item.ID)
		if err != nil {
			return task{}, err
		}
		return complete(""), c.lib.Delete(c.ctx, c.caller, e.ID, quire.Precondition{}, nil)
	})
}

// deleteFiles deletes for good.
func deleteFiles(c *call) error {
	return bulk(c, false, func(item fileItem) (struct{}, error) {
		_, e, err := c.lookup(item.ID)
		if err == nil {
			err = c.lib.Delete(c.ctx, c.caller, e.ID, quire.Precondition{}, nil)
		}
		if err == nil {
			err = c.lib.Purge(c.ctx, c.caller, e.ID)
		}
		return struct{}{}, err
	})
}

// emptyTrash purges what the caller may purge of their site's trash, whatever
// folder of the drive the item names.
func emptyTrash(c *call) error {
	empty := sync.OnceValue(func() error {
		_, err := c.lib.EmptyTrash(c.ctx, c.caller)
		return err
	})
	return bulk(c, false, func(item fileItem) (task, error) {
		if _, _, err := c.locate(item.ID); err != nil {
			return task{}, err
		}
		return complete(""), empty()
	})
}
