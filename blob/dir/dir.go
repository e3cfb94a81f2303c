// Package dir keeps segments as files in a directory, one file each.
//
// The layout, below the path given to Open:
//
//	format              "quire blob directory 1\n"; written last when a store is
//	                    made
//	tmp/<random>        what is being written; cleared of old files by Open
//	segments/ab/<key>   the finished segments; ab are the key's first two
//	                    characters
//
// One level of 1,024 folders (two characters of base32) keeps folders small
// enough to list up to a hundred million segments. Each is made, durably, when
// it is first needed.
//
// A segment is written to tmp, flushed to the device (fsync), renamed into its
// folder, which fails if the name is taken, and the folder flushed. So a name
// in segments always has all its bytes, whenever the power fails, and a success
// is durable. The directory must be on one file system that keeps these
// promises; several processes, also on several machines, may share it.
//
// Files have mode 0600 and folders 0700: only the server's user gets at them.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/quire-docs/quire/blob"
)

const (
	formatName   = "format"
	formatText   = "quire blob directory 1\n"
	tmpName      = "tmp"
	segmentsName = "segments"
	// fanOut is how many of a key's first characters name its folder.
	fanOut = 2
)

// ErrFormat: the directory holds something else than a store, or a store that a
// later version of the program has made.
var ErrFormat = errors.New("not a blob directory that this version understands: name an empty or new directory, or upgrade")

// Options are the settings of a Driver. The zero value is good.
type Options struct {
	// StaleAfter is how long ago a file in tmp must have been written to last
	// for Open to remove it; younger ones may be another process's work. An
	// upload that has stood still for longer fails when it goes on. 0 means 24
	// hours; a negative value removes nothing.
	StaleAfter time.Duration
}

// Driver is a blob.Driver and blob.LocalFiles over a directory.
type Driver struct {
	fs   fileSystem
	root string
	pool sync.Pool // of *[copySize]byte
	// piece is the most that is written at a time, and writeBack after how much
	// the device is set to work; in bytes. They are smaller in tests.
	piece, writeBack int64

	calls blob.Gate

	mu    sync.Mutex      // guards what follows
	ready map[string]bool // folders for segments that are known to be durable
}

var (
	_ blob.Driver     = (*Driver)(nil)
	_ blob.LocalFiles = (*Driver)(nil)
)

// Open opens the store in the directory at path, which it makes, with parents,
// if it does not exist. A directory that has other things in it, or a store of
// another version, gives ErrFormat and is left alone.
func Open(path string, opts Options) (*Driver, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open blob directory: %w", err)
	}
	return open(osFS{}, abs, opts, time.Now())
}

func open(fsys fileSystem, root string, opts Options, now time.Time) (*Driver, error) {
	d := &Driver{fs: fsys, root: root, piece: copySize, writeBack: writeBackSize, ready: map[string]bool{}}
	d.pool.New = func() any { return new([copySize]byte) }
	if err := d.prepare(opts, now); err != nil {
		return nil, fmt.Errorf("open blob directory: %w", explain(err))
	}
	return d, nil
}

// Close implements blob.Driver.
func (d *Driver) Close() error {
	d.calls.Close()
	return nil
}

func (d *Driver) tmp() string      { return filepath.Join(d.root, tmpName) }
func (d *Driver) segments() string { return filepath.Join(d.root, segmentsName) }
func (d *Driver) folder(key blob.Key) string {
	return filepath.Join(d.segments(), string(key[:fanOut]))
}
func (d *Driver) path(key blob.Key) string { return filepath.Join(d.folder(key), string(key)) }

// Stat implements blob.Driver.
func (d *Driver) Stat(ctx context.Context, key blob.Key) (info blob.Info, err error) {
	defer wrap("stat", key, &err)
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return blob.Info{}, err
	}
	defer d.calls.Leave()
	fi, err := d.fs.stat(d.path(key))
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: fi.Size(), Modified: fi.ModTime()}, nil
}

// Delete implements blob.Driver.
func (d *Driver) Delete(ctx context.Context, key blob.Key) (err error) {
	defer wrap("delete", key, &err)
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return err
	}
	defer d.calls.Leave()
	if err := d.fs.remove(d.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also where there was nothing to remove: it may be gone by a call that
	// has not got as far as this.
	if err := d.fs.syncDir(d.folder(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements blob.Driver.
func (d *Driver) List(ctx context.Context, after blob.Key, limit int) (infos []blob.Info, err error) {
	defer wrap("list after", after, &err)
	if after != "" && !after.Valid() {
		return nil, blob.ErrBadKey
	}
	if limit < 1 || limit > blob.MaxList {
		return nil, fmt.Errorf("%w: limit %d", blob.ErrRange, limit)
	}
	if err := d.calls.Enter(ctx); err != nil {
		return nil, err
	}
	defer d.calls.Leave()
	folders, err := d.fs.readDir(d.segments())
	if err != nil {
		return nil, err
	}
	slices.Sort(folders)
	for _, name := range folders {
		if len(name) != fanOut || after != "" && name < string(after[:fanOut]) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if infos, err = d.listFolder(infos, name, after, limit); err != nil {
			return nil, err
		}
		if len(infos) == limit {
			break
		}
	}
	return infos, nil
}

// listFolder appends what is in one folder to infos.
func (d *Driver) listFolder(infos []blob.Info, folder string, after blob.Key, limit int) ([]blob.Info, error) {
	names, err := d.fs.readDir(filepath.Join(d.segments(), folder))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		key := blob.Key(name)
		// Things that are not segments are left by network file systems and
		// people.
		if !key.Valid() || name[:fanOut] != folder || key <= after {
			continue
		}
		fi, err := d.fs.stat(d.path(key))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, blob.Info{Key: key, Size: fi.Size(), Modified: fi.ModTime()})
		if len(infos) == limit {
			break
		}
	}
	return infos, nil
}

// wrap is deferred with the address of a result: it says what went wrong, in
// the terms of package blob.
func wrap(op string, key blob.Key, err *error) {
	switch {
	case *err == nil:
	case errors.Is(*err, fs.ErrNotExist):
		// The name of the file adds nothing to the key.
		*err = fmt.Errorf("blob: %s %s: %w", op, key, blob.ErrNotFound)
	default:
		*err = fmt.Errorf("blob: %s %.40q: %w", op, key, explain(*err))
	}
}

// explain makes the operating system's ways to say that there is no space left
// match blob.ErrNoSpace.
func explain(err error) error {
	if errors.Is(err, blob.ErrNoSpace) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}

// Open implements blob.Driver.
func (d *Driver) Open(ctx context.Context, key blob.Key, offset, length int64) (r io.ReadCloser, err error) {
	defer wrap("open", key, &err)
	if offset < 0 || length < blob.ToEnd || offset+max(length, 0) < offset {
		return nil, fmt.Errorf("%w: %d bytes from %d on", blob.ErrRange, length, offset)
	}
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return nil, err
	}
	defer d.calls.Leave()
	f, err := d.fs.open(d.path(key))
	if err != nil {
		return nil, err
	}
	// Only a range that does not name its last byte needs the size; for the
	// others the end of the file tells.
	if length <= 0 {
		fi, err := f.Stat()
		if err == nil && offset > fi.Size() {
			err = fmt.Errorf("%w: offset %d of %d bytes", blob.ErrRange, offset, fi.Size())
		}
		if err != nil {
			_ = f.Close() // the first failure says more
			return nil, err
		}
		if length == blob.ToEnd {
			length = fi.Size() - offset
		}
	}
	return &rangeReader{ctx: ctx, f: f, offset: offset, left: length}, nil
}

// rangeReader reads a range of a file.
type rangeReader struct {
	ctx    context.Context
	f      readFile
	offset int64 // of the next byte
	left   int64 // bytes to come
}

func (r *rangeReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.f.ReadAt(p, r.offset)
	r.offset += int64(n)
	r.left -= int64(n)
	if err == io.EOF {
		err = nil
		if r.left > 0 {
			err = fmt.Errorf("%w: the object ends %d bytes earlier", blob.ErrRange, r.left)
		}
	}
	return n, err
}

func (r *rangeReader) Close() error { return r.f.Close() }

// File implements blob.LocalFiles.
func (d *Driver) File(ctx context.Context, key blob.Key) (f *os.File, err error) {
	defer wrap("open", key, &err)
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return nil, err
	}
	defer d.calls.Leave()
	r, err := d.fs.open(d.path(key))
	if err != nil {
		return nil, err
	}
	f, ok := r.(*os.File)
	if !ok {
		_ = r.Close()
		return nil, errors.ErrUnsupported // a file system of the tests
	}
	return f, nil
}
