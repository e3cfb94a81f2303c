// Package dir keeps objects as files in a folder.
package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/quire-docs/quire/blob"
)

// Options are the settings of a Driver.
type Options struct{}

// Driver is a blob.Driver on one folder.
type Driver struct{ root string }

// Open opens a folder.
func Open(root string, _ Options) (*Driver, error) {
	for _, p := range []string{root, filepath.Join(root, "tmp")} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return nil, err
		}
	}
	return &Driver{root}, nil
}

func (d *Driver) path(k blob.Key) string { return filepath.Join(d.root, string(k[:2]), string(k)) }

func syncDir(p string) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Put implements blob.Driver.
func (d *Driver) Put(ctx context.Context, k blob.Key, r io.Reader) (int64, error) {
	f, err := os.CreateTemp(filepath.Join(d.root, "tmp"), "put")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	n, err := io.Copy(f, r)
	if err != nil {
		return n, err
	}
	if err := f.Sync(); err != nil {
		return n, err
	}
	p := d.path(k)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return n, err
	}
	if err := os.Link(f.Name(), p); err != nil {
		return n, err
	}
	return n, syncDir(filepath.Dir(p))
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return blob.ErrNotFound
	}
	return err
}

// File implements blob.LocalFiles.
func (d *Driver) File(_ context.Context, k blob.Key) (*os.File, error) {
	f, err := os.Open(d.path(k))
	return f, notFound(err)
}

// Open implements blob.Driver.
func (d *Driver) Open(ctx context.Context, k blob.Key, off, n int64) (io.ReadCloser, error) {
	f, err := d.File(ctx, k)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		st, _ := f.Stat()
		n = st.Size() - off
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, off, n), f}, nil
}

// Stat implements blob.Driver.
func (d *Driver) Stat(_ context.Context, k blob.Key) (blob.Info, error) {
	st, err := os.Stat(d.path(k))
	if err != nil {
		return blob.Info{}, notFound(err)
	}
	return blob.Info{Key: k, Size: st.Size(), Modified: st.ModTime()}, nil
}

// Delete implements blob.Driver.
func (d *Driver) Delete(_ context.Context, k blob.Key) error {
	if err := os.Remove(d.path(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements blob.Driver.
func (d *Driver) List(_ context.Context, after blob.Key, limit int) ([]blob.Info, error) {
	all, err := filepath.Glob(filepath.Join(d.root, "??", "*"))
	sort.Strings(all)
	var out []blob.Info
	for _, p := range all {
		k := blob.Key(filepath.Base(p))
		if k <= after || len(out) == limit {
			continue
		}
		if i, err := d.Stat(nil, k); err == nil {
			out = append(out, i)
		}
	}
	return out, err
}

// Close implements blob.Driver.
func (d *Driver) Close() error { return nil }
