package ucloud

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// chunk takes the next bytes of a file.
func (f *folder) chunk(id uint32, data *bufio.Reader) error {
	f.mu.Lock()
	a := f.files[id]
	asked, refused := false, false
	if a != nil {
		asked, refused = a.asked, a.refused
	}
	f.mu.Unlock()
	if a == nil {
		// The browser sends an empty chunk for an empty file, which was done
		// before it came. Anything else is for a file that was not listed.
		if _, err := data.Peek(1); err == io.EOF && f.seen.has(id) {
			return nil
		}
		return bad("a chunk is for a file that was not listed, or is done")
	}
	if !asked {
		return bad("a chunk is for a file that was not asked for")
	}
	if a.got == a.size {
		return nil // it came whole and is being saved; there can be no more
	}
	rest := &io.LimitedReader{R: data, N: a.size - a.got}
	var err error
	switch {
	case refused:
		_, err = io.Copy(io.Discard, rest)
	case a.isLarge():
		if a.large == nil {
			f.stream(a)
		}
		_, err = io.Copy(a.large, rest)
		if errors.Is(err, errRefused) {
			_, err = io.Copy(io.Discard, rest)
		}
	default:
		_, err = a.small.ReadFrom(rest)
	}
	sent := a.size - rest.N - a.got
	f.mu.Lock()
	a.got += sent
	whole := a.got == a.size && sent > 0
	gone := whole && a.refused
	if gone {
		f.drop(a)
	}
	f.mu.Unlock()
	switch {
	case err != nil:
		return err
	case gone:
		f.advance()
	case whole && a.large != nil:
		a.large.Close()
	case whole:
		f.save(a)
	}
	return nil
}

// errRefused is what a stream sees whose file cannot be saved.
var errRefused = errors.New("the file was refused")

// skip is the client giving a file up.
func (f *folder) skip(id uint32) error {
	f.mu.Lock()
	a := f.files[id]
	if a == nil {
		f.mu.Unlock()
		if f.seen.has(id) {
			return nil // it was done before this came
		}
		return bad("a file is given up that was not listed")
	}
	late := a.got == a.size && a.asked // it has come whole and is being saved
	if !late && a.large != nil {
		a.large.CloseWithError(errGivenUp)
	}
	wait := a.large != nil
	f.mu.Unlock()
	if late || wait {
		return nil // the goroutine that saves it counts it
	}
	f.done(a, false)
	return nil
}

// errGivenUp ends the stream of a file that the client gave up.
var errGivenUp = errors.New("the client gave the file up")

// save saves a small file that came whole, beside others.
func (f *folder) save(a *arriving) {
	f.slots <- struct{}{}
	f.saves.Go(func() {
		err := f.store(a, bytes.NewReader(a.small.Bytes()))
		a.small = bytes.Buffer{}
		<-f.slots
		f.saved(a, err)
	})
}

// stream saves a large file while it comes.
func (f *folder) stream(a *arriving) {
	r, w := io.Pipe()
	f.mu.Lock()
	a.large = w
	f.mu.Unlock()
	f.saves.Go(func() {
		err := f.store(a, r)
		// Whoever still sends is not to wait for a reader.
		r.CloseWithError(errRefused)
		f.saved(a, err)
	})
}

// store makes a file's bytes durable in the tree: all of them, or none.
func (f *folder) store(a *arriving, body io.Reader) error {
	if !f.tree {
		return f.storeSingle(a, body)
	}
	cut := strings.LastIndexByte(a.full, '/')
	parent, err := f.parent(a.full[:cut])
	if err != nil {
		return err
	}
	t := quire.Target{Parent: parent, Name: a.full[cut+1:], OnConflict: policy(f.upload.Meta[metaPolicy]).files(), Client: a.mtime}
	o := library.Save{Length: a.size, Sized: true}
	_, _, err = f.lib.Save(f.keep, f.caller, t, body, o)
	if again, ok := body.(io.Seeker); ok && errors.Is(err, quire.ErrNotFound) {
		// The folder has gone meanwhile: this one and the next make it anew.
		f.dirs.forget(a.full[:cut])
		t.Parent, t.Name, t.Path = "", "", a.full
		if _, err := again.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, _, err = f.lib.Save(f.keep, f.caller, t, body, o)
	}
	return err
}

// dirs remembers the folders that a connection puts files into, so that not
// each of them is walked to from the root.
type dirs struct {
	mu sync.Mutex // guards ids
	// ids has folders by their path in the site.
	ids map[string]func() (quire.NodeID, error)
}

// maxDirs bounds the memory of dirs.
const maxDirs = 4096

func (d *dirs) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ids, path)
}

// parent returns the folder at a path, made if it is not there.
func (f *folder) parent(path string) (quire.NodeID, error) {
	if path == f.base {
		return f.upload.Target.Node, nil
	}
	f.dirs.mu.Lock()
	get := f.dirs.ids[path]
	if get == nil {
		get = sync.OnceValues(func() (quire.NodeID, error) {
			e, _, err := f.lib.CreateContainer(f.keep, f.caller, quire.Target{Path: path, OnConflict: quire.Replace})
			return e.ID, err
		})
		if f.dirs.ids == nil || len(f.dirs.ids) == maxDirs {
			f.dirs.ids = make(map[string]func() (quire.NodeID, error))
		}
		f.dirs.ids[path] = get
	}
	f.dirs.mu.Unlock()
	return get()
}

// storeSingle stores the one file of a file's session. The session collects it
// first, so that it can go beside a file that has moved on meanwhile.
func (f *folder) storeSingle(a *arriving, body io.Reader) error {
	if f.upload.Done != nil {
		return bad("the upload is complete: create another one")
	}
	if fresh := f.upload.Declared < 0 && f.upload.Received <= a.size; !fresh {
		if err := f.align(f.keep, 0, a.size); err != nil {
			return err
		}
	}
	_, _, err := f.lib.Append(f.keep, f.caller, f.upload.ID, 0, body, library.Append{Length: a.size, Sized: true, Rewrite: true, Refuse: true})
	if err != nil {
		return err
	}
	return f.finish(context.WithoutCancel(f.keep), a.mtime)
}

// saved counts a file that was saved, or finds out what to do about one that
// was not.
func (f *folder) saved(a *arriving, err error) {
	switch {
	case err == nil, errors.Is(err, errGivenUp):
		f.done(a, false)
	case errors.Is(err, errBroken):
		// The connection is gone, and the file with it: nothing has changed.
	case single(err):
		f.refuse(a, err)
	default:
		f.stop(err)
	}
}

// single says whether an error is about one file, so that others may fare
// better.
func single(err error) bool {
	var (
		locked *quire.Locked
		moved  *quire.Conflict
		taken  *quire.Exists
		name   *quire.InvalidName
		bad    *quire.Invalid
	)
	return errors.As(err, &locked) || errors.As(err, &moved) || errors.As(err, &taken) || errors.As(err, &name) || errors.As(err, &bad) ||
		errors.Is(err, quire.ErrNotAContainer) || errors.Is(err, quire.ErrNotAFile)
}

// refuse notes that a file cannot be saved. The others go on; then the
// connection ends with the reason.
func (f *folder) refuse(a *arriving, err error) {
	f.mu.Lock()
	if f.files[a.id] == a {
		a.refused = true
		f.refused++
		if a.got == a.size {
			f.drop(a)
		}
	}
	if f.refusal == nil {
		f.refusal = err
	}
	f.mu.Unlock()
	f.advance()
}

// done counts a file and makes room for others.
func (f *folder) done(a *arriving, skipped bool) {
	f.mu.Lock()
	if f.files[a.id] != a {
		f.mu.Unlock()
		return
	}
	f.drop(a)
	if skipped {
		f.out.add(opSkip, a.id)
	}
	f.out.count()
	f.mu.Unlock()
	f.advance()
}

// drop forgets a file. The caller holds mu.
func (f *folder) drop(a *arriving) {
	delete(f.files, a.id)
	f.text -= len(a.path)
	if a.refused {
		f.refused--
	}
	if a.queued {
		q := &f.waiting[class(a)]
		for i, w := range *q {
			if w == a {
				*q = append((*q)[:i:i], (*q)[i+1:]...)
				break
			}
		}
		a.queued = false
	}
	if !a.asked {
		return
	}
	f.asked[class(a)]--
	if !a.isLarge() {
		f.askedBytes -= int(a.size)
	}
}

// advance asks for what there is room for now. Where only files are left that
// were refused, the connection ends with the reason.
func (f *folder) advance() {
	f.mu.Lock()
	empty := f.ask()
	end := error(nil)
	if f.refusal != nil && len(f.files) == f.refused {
		end = f.refusal
	}
	f.mu.Unlock()
	for _, a := range empty {
		f.save(a)
	}
	if end != nil {
		f.stop(end)
	}
}
