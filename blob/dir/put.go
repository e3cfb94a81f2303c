package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/quire-docs/quire/blob"
)

const (
	// copySize is the most that is written at a time, in bytes.
	copySize = 1 << 20
	// writeBackSize is after how many bytes the device is set to work on them,
	// so that a large segment is mostly there when the flush at its end comes.
	writeBackSize = 512 << 10
)

// Put implements blob.Driver.
func (d *Driver) Put(ctx context.Context, key blob.Key, r io.Reader) (size int64, err error) {
	var source error // r's own failure, which must not be taken for the storage's
	defer func() {
		switch {
		case source != nil:
			size, err = 0, fmt.Errorf("blob: put %s: %w", key, source)
		case err != nil:
			// Not by wrap: what does not exist here is a folder or temporary
			// file, never the object.
			size, err = 0, fmt.Errorf("blob: put %.40q: %w", key, explain(err))
		}
	}()
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return 0, err
	}
	defer d.calls.Leave()

	// The name is of no consequence and not made from the key: two may be
	// putting the same key.
	tmp := filepath.Join(d.tmp(), string(blob.NewKey()))
	done := false
	defer func() {
		if !done {
			// If this fails as well, the next Open after StaleAfter does it.
			_ = d.fs.remove(tmp)
		}
	}()
	if size, source, err = d.write(ctx, tmp, r); source != nil || err != nil {
		return 0, err
	}
	if err := d.makeFolder(d.folder(key)); err != nil {
		return 0, err
	}
	// The last chance to stop: from here on it is seen through.
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := d.fs.publish(tmp, d.path(key)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return 0, fmt.Errorf("%w: %w", blob.ErrExists, err)
		}
		// A network file system may have done it all the same. What is at the
		// key now is not known to be ours, so it stays.
		return 0, fmt.Errorf("%w: %w", blob.ErrUncertain, err)
	}
	done = true
	if err := d.fs.syncDir(d.folder(key)); err != nil {
		// It is visible, and whole, but may not last. It is ours, so try to
		// undo it; that may not last either.
		return 0, errors.Join(fmt.Errorf("%w: %w", blob.ErrUncertain, err), d.fs.remove(d.path(key)))
	}
	return size, nil
}

// makeFolder makes a folder for segments and sees to it that it lasts, once for
// each folder.
func (d *Driver) makeFolder(name string) error {
	d.mu.Lock()
	ready := d.ready[name]
	d.mu.Unlock()
	if ready {
		return nil
	}
	if err := d.mkdir(name); err != nil {
		return err
	}
	// Even if it was there: whoever has made it may not have got as far as
	// this, and a segment lasts no longer than its folder.
	if err := d.fs.syncDir(d.segments()); err != nil {
		return err
	}
	d.mu.Lock()
	d.ready[name] = true
	d.mu.Unlock()
	return nil
}

// write makes a new, durable file called name of what r yields. If it fails
// there may be a file.
func (d *Driver) write(ctx context.Context, name string, r io.Reader) (size int64, source, err error) {
	f, err := d.fs.create(name)
	if err != nil {
		return 0, nil, err
	}
	isOpen := true
	defer func() {
		if isOpen { // r has panicked
			_ = f.Close()
		}
	}()
	s := &sink{ctx: ctx, f: f, piece: d.piece, writeBack: d.writeBack}
	source = d.copy(s, r)
	err = s.err
	if err == nil && source == nil {
		// Once only: after a failed fsync the kernel may have dropped the
		// bytes, and a second one would report success.
		err = f.Sync()
	}
	isOpen = false
	if e := f.Close(); err == nil {
		err = e // some file systems report a failed write only here
	}
	return s.size, source, err
}

// copy writes all of r to s. It returns r's errors only; s keeps its own.
func (d *Driver) copy(s *sink, r io.Reader) (source error) {
	if w, ok := r.(io.WriterTo); ok {
		_, err := w.WriteTo(s)
		if s.err != nil {
			return nil
		}
		return err
	}
	buf := d.pool.Get().(*[copySize]byte)
	defer d.pool.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			if _, werr := s.Write(buf[:n]); werr != nil {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 && s.check() != nil {
			return nil
		}
	}
}

// sink writes to a file piece by piece, checks the context before each, and
// starts writing back to the device early.
type sink struct {
	ctx              context.Context
	f                file
	piece, writeBack int64 // see Driver
	size             int64 // bytes written
	started          int64 // bytes whose writing to the device has been started
	err              error // the first failure, of the file or the context
}

// check notes that the context has ended.
func (s *sink) check() error {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	return s.err
}

func (s *sink) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		if err := s.check(); err != nil {
			return written, err
		}
		n, err := s.f.Write(p[:min(int64(len(p)), s.piece)])
		written += n
		s.size += int64(n)
		p = p[n:]
		if err == nil && s.size-s.started >= s.writeBack {
			err = s.f.WriteBack(s.started, s.size-s.started)
			s.started = s.size
		}
		if err != nil {
			s.err = err
			return written, err
		}
	}
	return written, nil
}
