package dir

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// fileSystem is what the driver asks of the operating system. It is an
// interface so that tests can take the power away at any call. Names are
// absolute paths; errors match those of package fs and syscall.
type fileSystem interface {
	// mkdir makes a folder, or fails with fs.ErrExist.
	mkdir(name string) error
	// create makes a new file for writing, or fails with fs.ErrExist.
	create(name string) (file, error)
	// publish gives a file another name, atomically, or fails with fs.ErrExist
	// if that is taken.
	publish(from, to string) error
	remove(name string) error
	// syncDir makes a folder's entries durable.
	syncDir(name string) error
	// readDir lists the names in a folder, in any order.
	readDir(name string) ([]string, error)
	stat(name string) (fs.FileInfo, error)
	open(name string) (readFile, error)
}

// file is a file that is being written.
type file interface {
	io.Writer
	// WriteBack makes the device begin to write n bytes from offset on, where
	// the system knows how, and does not wait for it.
	WriteBack(offset, n int64) error
	// Sync makes the bytes, not the name, durable.
	Sync() error
	Close() error
}

// readFile is a file that is being read: an *os.File.
type readFile interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// osFS is the operating system's file system.
type osFS struct{}

// osFile adds WriteBack to a file of the operating system.
type osFile struct{ *os.File }

func (osFS) mkdir(name string) error { return os.Mkdir(name, 0o700) }

func (osFS) create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) remove(name string) error { return os.Remove(name) }

func (osFS) readDir(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (osFS) stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osFS) open(name string) (readFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err // not a nil *os.File in the interface
	}
	return f, nil
}

// linkAndRemove is publish for systems that can't rename without overwriting: a
// link is never made over an existing name.
func linkAndRemove(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	// It is published. A temporary name that stays is cleared away some day.
	_ = os.Remove(from)
	return nil
}
