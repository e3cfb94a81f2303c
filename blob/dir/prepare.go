package dir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/quire-docs/quire/blob"
)

// prepare makes what is missing of the store, durably, and tidies up.
func (d *Driver) prepare(opts Options, now time.Time) error {
	if err := d.mkdirAll(d.root); err != nil {
		return err
	}
	names, err := d.fs.readDir(d.root)
	if err != nil {
		return err
	}
	finished, err := d.checkFormat(names)
	if err != nil {
		return err
	}
	// Also in a store that was finished: many a backup leaves out empty folders.
	for _, name := range []string{d.tmp(), d.segments()} {
		if err := d.mkdir(name); err != nil {
			return err
		}
	}
	if names, err = d.fs.readDir(d.segments()); err != nil {
		return err
	}
	// Even if nothing is new here: another process may be between making a
	// folder and this.
	for _, name := range []string{d.segments(), d.root} {
		if err := d.fs.syncDir(name); err != nil {
			return err
		}
	}
	for _, name := range names {
		d.ready[filepath.Join(d.segments(), name)] = true
	}
	if !finished {
		if err := d.writeFormat(); err != nil {
			return err
		}
	}
	return d.clean(opts, now)
}

// mkdirAll makes a folder and those above it, each of them durably.
func (d *Driver) mkdirAll(name string) error {
	_, err := d.fs.stat(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(name)
	if parent == name {
		return err
	}
	if err := d.mkdirAll(parent); err != nil {
		return err
	}
	if err := d.mkdir(name); err != nil {
		return err
	}
	return d.fs.syncDir(parent)
}

// mkdir makes a folder unless there is one.
func (d *Driver) mkdir(name string) error {
	if err := d.fs.mkdir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// checkFormat says whether the root, which has the given names in it, is a
// finished store, and fails if it is something else.
func (d *Driver) checkFormat(names []string) (finished bool, err error) {
	for _, name := range names {
		if name == formatName {
			return true, d.readFormat()
		}
	}
	for _, name := range names {
		// A store that was being made, and what a file system has by itself.
		known := name == tmpName || name == segmentsName || name == "lost+found" || strings.HasPrefix(name, ".")
		if !known {
			return false, fmt.Errorf("%w: it has %q in it", ErrFormat, name)
		}
	}
	return false, nil
}

func (d *Driver) readFormat() error {
	f, err := d.fs.open(filepath.Join(d.root, formatName))
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 100))
	if err != nil {
		return err
	}
	if string(text) != formatText {
		return fmt.Errorf("%w: its format is %q", ErrFormat, text)
	}
	return nil
}

// writeFormat marks the store as finished.
func (d *Driver) writeFormat() error {
	tmp := filepath.Join(d.tmp(), string(blob.NewKey()))
	f, err := d.fs.create(tmp)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, formatText)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.fs.publish(tmp, filepath.Join(d.root, formatName))
	}
	if err != nil {
		_ = d.fs.remove(tmp)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Another process was faster.
	}
	return d.fs.syncDir(d.root)
}

// clean removes what writers that were killed have left in tmp.
func (d *Driver) clean(opts Options, now time.Time) error {
	switch {
	case opts.StaleAfter < 0:
		return nil
	case opts.StaleAfter == 0:
		opts.StaleAfter = 24 * time.Hour
	}
	names, err := d.fs.readDir(d.tmp())
	if err != nil {
		return err
	}
	for _, name := range names {
		if !blob.Key(name).Valid() {
			continue // not one of ours
		}
		name = filepath.Join(d.tmp(), name)
		fi, err := d.fs.stat(name)
		if err == nil && now.Sub(fi.ModTime()) > opts.StaleAfter {
			err = d.fs.remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
