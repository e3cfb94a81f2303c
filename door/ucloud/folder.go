package ucloud

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// What a connection of WEBSOCKET_V2 may hold at a time. A client may list as
// much as it likes, but only maxListed files may wait to be done; the server
// asks for no more of them at a time than it has room for.
const (
	// maxListed and maxListedText bound the files that were listed and are not
	// done, by their number and by the bytes of their paths.
	maxListed     = 1 << 16
	maxListedText = 8 << 20
	// smallFile is the largest file that is gathered in memory and saved in
	// one go; larger ones stream.
	smallFile = quire.InlineMax
	// The window: how many small files, with how many bytes, and how many
	// large files are asked for at a time.
	windowFiles = 1024
	windowBytes = 8 << 20
	windowLarge = 16
	// saveWorkers is how many small files are saved at a time. They share
	// durable commits.
	saveWorkers = 64
)

// arriving is a file that was listed and is not done.
type arriving struct {
	entry
	full  string         // its path in the site
	small bytes.Buffer   // what came of a small file
	large *io.PipeWriter // where a large one goes

	// The folder's mu guards the rest.

	queued  bool // it waits to be asked for
	asked   bool // OK was sent
	got     int64
	refused bool // it cannot be saved; what comes of it is thrown away
}

func (a *arriving) isLarge() bool { return a.size > smallFile }

// folder is one connection of WEBSOCKET_V2. The goroutine that reads the
// connection is its receiver; others save files and write answers.
type folder struct {
	*session
	ws   *socket
	tree bool            // the target is a folder
	base string          // the target's path in the site, "" for the root
	keep context.Context // for saves, which outlive the connection
	seen idSet
	// absent remembers folders that did not exist when they were looked for,
	// so that their files need not be looked for one by one.
	absent map[string]bool
	beat   time.Time // when the session's life was last extended

	dirs  dirs
	out   outbox
	saves sync.WaitGroup
	slots chan struct{}

	mu         sync.Mutex // guards the rest
	files      map[uint32]*arriving
	text       int // bytes of their paths
	waiting    [2][]*arriving
	asked      [2]int // how many files are asked for: small, large
	askedBytes int    // of the small ones
	err        error  // why the connection must end
	refusal    error  // why a file was refused
	refused    int    // how many in files were
	closing    bool   // the client sent CLOSE
	ended      bool   // nothing more is asked for
}

// errClosed ends reading after CLOSE.
var errClosed = errors.New("closed by the client")

func socketV2(c *call) error {
	s, err := c.session(c.r.URL.Query().Get("token"))
	if err != nil {
		return err
	}
	e, err := c.lib.Stat(c.ctx, s.caller, s.upload.Target.Node)
	if err != nil {
		return err
	}
	return c.accept(s.caller.User, MaxChunk+5, func(ws *socket) { c.serveFolder(s, e, ws) })
}

func (c *call) serveFolder(s *session, e library.Entry, ws *socket) {
	f := &folder{
		session: s, ws: ws, tree: s.folder(), base: strings.TrimSuffix(e.Path, "/"), keep: context.WithoutCancel(c.ctx),
		beat: s.upload.Expires.Add(-s.upload.Life), absent: make(map[string]bool), slots: make(chan struct{}, saveWorkers), files: make(map[uint32]*arriving),
	}
	if f.tree {
		// The token reaches its folder and what is below, and nothing else.
		f.caller.Within = s.upload.Target.Node
	}
	f.out.init(ws)
	ws.farewell = func() { f.stop(errStopping) }
	c.sockets.add(ws)
	c.live.enter(s.upload.ID)
	err := f.run()
	last := c.live.leave(s.upload.ID)
	f.over(last)
	ws.end(c, err)
}

// run serves the connection until it ends, and says why it did: nil after
// CLOSE.
func (f *folder) run() error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := f.out.run(); err != nil {
			f.stop(errBroken)
		}
	}()
	err := f.read()
	// Files that came whole are saved, whatever became of the connection.
	f.abandon()
	f.saves.Wait()
	f.out.close()
	<-written
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if errors.Is(err, errClosed) {
		return f.refusal
	}
	return err
}

func (f *folder) read() error {
	r := bufio.NewReaderSize(nil, 64<<10)
	for {
		text, msg, err := f.ws.next()
		if err != nil {
			return err
		}
		if text {
			b, err := io.ReadAll(io.LimitReader(msg, 64))
			if err != nil {
				return err
			}
			if string(b) != "ping" {
				return bad(`only "ping" may be sent as text here`)
			}
			f.out.text("pong")
			continue
		}
		r.Reset(msg)
		if err := parseFrame(r, f); err != nil {
			return err
		}
		if err := f.extend(); err != nil {
			return err
		}
	}
}

// stop ends the connection for a reason.
func (f *folder) stop(err error) {
	f.mu.Lock()
	first := f.err == nil
	if first {
		f.err = err
	}
	f.mu.Unlock()
	if first {
		// What is done is told before the reason.
		go func() {
			f.out.drain()
			f.ws.interrupt(f.keep, err)
		}()
	}
}

// abandon gives up the files that did not come whole.
func (f *folder) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for _, a := range f.files {
		if a.large != nil && a.got < a.size {
			a.large.CloseWithError(errBroken)
		}
	}
}

// extend lets the session live on while its connections are busy.
func (f *folder) extend() error {
	if err := f.still(f.keep); err != nil || !f.tree {
		return err // the bytes of a single file extend its session
	}
	if time.Since(f.beat) < 5*time.Minute && f.upload.Meta[metaIdle] == "" {
		return nil
	}
	u, err := f.lib.DescribeUpload(f.keep, f.caller, f.upload.ID, func(u *quire.Upload) error {
		u.Meta = with(u.Meta, metaIdle, "")
		u.Expires = time.Now().Add(u.Life)
		return nil
	})
	f.upload, f.beat = u, time.Now()
	return err
}

// over notes what became of the session: it ends with CLOSE, and is idle where
// all that was listed is done. Connections that share it are let alone.
func (f *folder) over(last bool) {
	f.mu.Lock()
	closing, idle := f.closing, len(f.files) == 0 && f.err == nil
	f.mu.Unlock()
	if !last || !f.tree {
		return
	}
	var err error
	switch {
	case closing:
		err = f.lib.CancelUpload(f.keep, f.caller, f.upload.ID)
	case idle:
		_, err = f.lib.DescribeUpload(f.keep, f.caller, f.upload.ID, func(u *quire.Upload) error {
			u.Meta = with(u.Meta, metaIdle, "yes")
			return nil
		})
	}
	if err != nil && !errors.Is(err, quire.ErrUploadGone) {
		f.log.Warn("a folder's upload session could not be ended; it expires by itself", "upload", f.upload.ID, "error", err)
	}
}

// closed is CLOSE: the rest of the frame has no meaning.
func (f *folder) closed() error {
	f.mu.Lock()
	f.closing = true
	f.mu.Unlock()
	return errClosed
}

// list takes an entry of a listing: the file is left out if it is here
// already, and asked for when there is room.
func (f *folder) list(e entry) error {
	a := &arriving{entry: e, full: f.base}
	if f.tree {
		if err := checkRelative(e.path); err != nil {
			return err
		}
		a.full = f.base + "/" + e.path
		// Names that cannot be stored are refused before anything is sent.
		if _, err := library.SplitPath(a.full); err != nil {
			return err
		}
	} else if e.path != "" {
		return bad("this session is for one file: its path in the listing is empty")
	}
	f.mu.Lock()
	if !f.tree && len(f.files) > 0 {
		f.mu.Unlock()
		return bad("this session is for one file, which is listed already")
	}
	if f.files[e.id] != nil {
		f.mu.Unlock()
		return bad("the listing names a file's number twice")
	}
	if len(f.files) == maxListed || f.text+len(e.path) > maxListedText {
		f.mu.Unlock()
		return bad("too many files are listed and not done: list the rest later")
	}
	f.files[e.id] = a
	f.text += len(e.path)
	f.mu.Unlock()
	f.seen.add(e.id)

	here, err := f.here(a)
	if err != nil {
		return err
	}
	if here {
		f.done(a, true)
		return f.out.room()
	}
	f.mu.Lock()
	f.waiting[class(a)] = append(f.waiting[class(a)], a)
	a.queued = true
	empty := f.ask()
	f.mu.Unlock()
	for _, a := range empty {
		f.save(a)
	}
	return f.out.room()
}

// here says whether a file need not be sent, since it exists with the same
// size and nearly the same time.
func (f *folder) here(a *arriving) (bool, error) {
	parent := f.base
	if f.tree {
		parent = a.full[:strings.LastIndexByte(a.full, '/')]
		if f.absent[parent] {
			return false, nil
		}
	}
	e, err := f.lib.Lookup(f.keep, f.caller, a.full)
	switch {
	case errors.Is(err, quire.ErrNotFound):
		f.lookForFolder(parent)
		return false, nil
	case err != nil:
		return false, err
	}
	return !e.IsContainer() && e.Size == a.size && e.Revision > 0 && e.ID != f.made() && apart(mtime(e.Node), a.mtime) < time.Minute, nil
}

// made returns the empty file that the session itself made and has nothing in
// yet.
func (f *folder) made() quire.NodeID {
	if !f.tree && f.upload.Done == nil && f.upload.Meta[library.MetaBase] != "" {
		return f.upload.Target.Node
	}
	return ""
}

func apart(a, b time.Time) time.Duration {
	if a.Before(b) {
		return b.Sub(a)
	}
	return a.Sub(b)
}

// maxAbsent bounds the memory of folders that do not exist.
const maxAbsent = 4096

func (f *folder) lookForFolder(path string) {
	if path == "" || !f.tree {
		return
	}
	if _, err := f.lib.Lookup(f.keep, f.caller, path); errors.Is(err, quire.ErrNotFound) {
		if len(f.absent) == maxAbsent {
			clear(f.absent)
		}
		f.absent[path] = true
	}
}

func class(a *arriving) int {
	if a.isLarge() {
		return 1
	}
	return 0
}

// next takes the first of the files that wait. The caller holds mu.
func (f *folder) next(class int) *arriving {
	q := f.waiting[class]
	a := q[0]
	q[0] = nil // it must not be kept by the slice
	f.waiting[class] = q[1:]
	a.queued = false
	return a
}

// ask asks for as many files as there is room for, and returns those that have
// no bytes to wait for. The caller holds mu.
func (f *folder) ask() (empty []*arriving) {
	if f.ended {
		return nil
	}
	for len(f.waiting[0]) > 0 && f.asked[0] < windowFiles && f.askedBytes+int(f.waiting[0][0].size) <= windowBytes {
		a := f.next(0)
		f.asked[0]++
		f.askedBytes += int(a.size)
		a.asked = true
		f.out.add(opOK, a.id)
		if a.size == 0 {
			empty = append(empty, a)
		}
	}
	for len(f.waiting[1]) > 0 && f.asked[1] < windowLarge {
		a := f.next(1)
		f.asked[1]++
		a.asked = true
		f.out.add(opOK, a.id)
	}
	return empty
}
