package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"
)

// fault says what is to happen to a call of a powerFS.
type fault int

const (
	none   fault = iota
	before       // it fails and does nothing
	after        // it is done and then fails
	power        // the power fails instead
)

var errPower = errors.New("the power has failed")

// powerFS is a file system in memory that remembers what has been flushed, as
// little of it as POSIX allows: the bytes of a file last once the file has been
// flushed, a name in a folder once the folder has been.
type powerFS struct {
	mu    sync.Mutex // guards all that follows, and all nodes
	root  *node
	now   time.Time
	calls []string // of those that change anything
	// plan is asked about each changing call, by its number from 0.
	plan func(n int, op string) (fault, error)
	off  bool // the power has failed
	held int  // files that have not been closed
	// lies makes it claim to have flushed what it has not: op is "sync" or
	// "syncDir".
	lies string
}

// node is a file or folder. What is durable of it is what is left after the
// power has failed.
type node struct {
	folder           bool
	entries, durable map[string]*node // of a folder
	data, flushed    []byte           // of a file
	modified         time.Time
}

func newFolder() *node {
	return &node{folder: true, entries: map[string]*node{}, durable: map[string]*node{}}
}

func newPowerFS(now time.Time) *powerFS { return &powerFS{root: newFolder(), now: now} }

// crash returns the file system as it may be found when the power is back. Of
// what was not flushed, nothing is left, or, given rng, whatever it chooses:
// the device may have written any of it.
func (p *powerFS) crash(rng *rand.Rand) *powerFS {
	p.mu.Lock()
	defer p.mu.Unlock()
	copies := map[*node]*node{}
	var survive func(n *node) *node
	survive = func(n *node) *node {
		if c, ok := copies[n]; ok {
			return c // two names of one file
		}
		c := &node{folder: n.folder, modified: n.modified}
		copies[n] = c
		if !n.folder {
			c.data = append([]byte(nil), n.flushed...)
			if rng != nil && len(n.data) > len(n.flushed) && rng.IntN(2) == 0 {
				// Some more, of the right length or not, with holes.
				c.data = append([]byte(nil), n.data[:len(n.flushed)+rng.IntN(len(n.data)-len(n.flushed)+1)]...)
				if rng.IntN(2) == 0 {
					clear(c.data[len(n.flushed):])
				}
			}
			c.flushed = append([]byte(nil), c.data...)
			return c
		}
		c.entries, c.durable = map[string]*node{}, map[string]*node{}
		names := map[string]bool{}
		for name := range n.entries {
			names[name] = true
		}
		for name := range n.durable {
			names[name] = true
		}
		for name := range names {
			entry := n.durable[name]
			if rng != nil && rng.IntN(2) == 0 {
				entry = n.entries[name]
			}
			if entry != nil {
				e := survive(entry)
				c.entries[name], c.durable[name] = e, e
			}
		}
		return c
	}
	return &powerFS{root: survive(p.root), now: p.now}
}

// change makes a call that changes something, as planned.
func (p *powerFS) change(op, name string, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return errPower
	}
	f, err := none, error(nil)
	if p.plan != nil {
		f, err = p.plan(len(p.calls), op)
	}
	p.calls = append(p.calls, op+" "+filepath.Base(name))
	switch f {
	case before:
		return &fs.PathError{Op: op, Path: name, Err: err}
	case after:
		if err := do(); err != nil {
			return err
		}
		return &fs.PathError{Op: op, Path: name, Err: err}
	case power:
		p.off = true
		return errPower
	}
	if err := do(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// find returns a node, or nil.
func (p *powerFS) find(name string) *node {
	name = filepath.ToSlash(filepath.Clean(name))
	n := p.root
	for part := range split(name) {
		if n == nil || !n.folder {
			return nil
		}
		n = n.entries[part]
	}
	return n
}

func split(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := 1
		for i := 1; i <= len(name); i++ {
			if i == len(name) || name[i] == '/' {
				if i > start && !yield(name[start:i]) {
					return
				}
				start = i + 1
			}
		}
	}
}

// add gives a node a name.
func (p *powerFS) add(name string, n *node) error {
	parent := p.find(filepath.Dir(name))
	if parent == nil || !parent.folder {
		return fs.ErrNotExist
	}
	if parent.entries[filepath.Base(name)] != nil {
		return fs.ErrExist
	}
	parent.entries[filepath.Base(name)] = n
	return nil
}

func (p *powerFS) mkdir(name string) error {
	return p.change("mkdir", name, func() error { return p.add(name, newFolder()) })
}

func (p *powerFS) create(name string) (file, error) {
	n := &node{modified: p.now}
	if err := p.change("create", name, func() error { return p.add(name, n) }); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.held++
	p.mu.Unlock()
	return &powerFile{p: p, n: n, name: name}, nil
}

func (p *powerFS) publish(from, to string) error {
	return p.change("publish", to, func() error {
		n := p.find(from)
		if n == nil {
			return fs.ErrNotExist
		}
		if err := p.add(to, n); err != nil {
			return err
		}
		delete(p.find(filepath.Dir(from)).entries, filepath.Base(from))
		return nil
	})
}

func (p *powerFS) remove(name string) error {
	return p.change("remove", name, func() error {
		if p.find(name) == nil {
			return fs.ErrNotExist
		}
		delete(p.find(filepath.Dir(name)).entries, filepath.Base(name))
		return nil
	})
}

func (p *powerFS) syncDir(name string) error {
	return p.change("syncDir", name, func() error {
		n := p.find(name)
		if n == nil {
			return fs.ErrNotExist
		}
		if p.lies == "syncDir" {
			return nil
		}
		n.durable = map[string]*node{}
		for name, entry := range n.entries {
			n.durable[name] = entry
		}
		return nil
	})
}

func (p *powerFS) readDir(name string) (names []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.find(name)
	if n == nil {
		return nil, &fs.PathError{Op: "readDir", Path: name, Err: fs.ErrNotExist}
	}
	for name := range n.entries {
		names = append(names, name)
	}
	return names, nil
}

func (p *powerFS) stat(name string) (fs.FileInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.find(name); n != nil {
		return info{size: int64(len(n.data)), modified: n.modified}, nil
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

func (p *powerFS) open(name string) (readFile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.find(name); n != nil {
		p.held++
		return &powerFile{p: p, n: n, name: name, reading: true}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// powerFile is an open file of a powerFS.
type powerFile struct {
	p       *powerFS
	n       *node
	name    string
	reading bool
}

func (f *powerFile) Write(b []byte) (n int, err error) {
	err = f.p.change("write", f.name, func() error {
		f.n.data = append(f.n.data, b...)
		f.n.modified = f.p.now
		n = len(b)
		return nil
	})
	return n, err
}

func (f *powerFile) WriteBack(offset, n int64) error {
	return f.p.change("writeBack", f.name, func() error {
		if offset < 0 || offset+n > int64(len(f.n.data)) {
			return fmt.Errorf("write back %d bytes from %d of %d", n, offset, len(f.n.data))
		}
		return nil // it may be written, but there is no promise
	})
}

func (f *powerFile) Sync() error {
	return f.p.change("sync", f.name, func() error {
		if f.p.lies != "sync" {
			f.n.flushed = append([]byte(nil), f.n.data...)
		}
		return nil
	})
}

func (f *powerFile) Close() error {
	f.p.mu.Lock()
	f.p.held--
	f.p.mu.Unlock()
	if f.reading {
		return nil
	}
	return f.p.change("close", f.name, func() error { return nil })
}

func (f *powerFile) ReadAt(b []byte, offset int64) (int, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	if offset >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *powerFile) Stat() (fs.FileInfo, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return info{size: int64(len(f.n.data)), modified: f.n.modified}, nil
}

type info struct {
	size     int64
	modified time.Time
}

func (i info) Name() string       { return "" }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o600 }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
