package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/quire-docs/quire/client"
)

// sendChunks is `quire put --chunked`.
func (c *putCmd) sendChunks(a *app, cl *client.Client, f *os.File, size int64, target string) error {
	if c.Rename || c.Parent != 0 {
		return &settingError{"chunked", "it cannot be used with --rename or --parent-revision"}
	}
	t, err := cl.PutChunks(a.ctx, target, f, size)
	if err != nil {
		return fmt.Errorf("put %s: %w", target, err)
	}
	return a.printTransfer(t, t.Path)
}

// fetchChunks is `quire get --chunked`. The local file, if there is one, is the
// older copy; it is replaced when the new content is whole.
func (c *getCmd) fetchChunks(a *app, cl *client.Client, d client.Download, local string) error {
	if d.Revision != 0 {
		return &settingError{"chunked", "it gets the current revision only"}
	}
	var known io.ReaderAt
	var size int64
	old, err := os.Open(local)
	switch {
	case err == nil:
		defer old.Close()
		st, err := old.Stat()
		if err != nil {
			return err
		}
		known, size = old, st.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	part, err := os.OpenFile(local+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	t, err := cl.GetChunks(a.ctx, d.Path, known, size, part)
	if err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), local)
	}
	if err != nil {
		_ = os.Remove(part.Name()) // it is of no use
		return fmt.Errorf("get %s: %w", d.Path, err)
	}
	return a.printTransfer(t, local)
}

func (a *app) printTransfer(t client.Transferred, name string) error {
	saved := 0.0
	if t.Bytes > 0 {
		saved = max(0, 100*(1-float64(t.Moved)/float64(t.Bytes)))
	}
	return a.print(t, "%s %d bytes, %d of them moved: %.1f %% saved\n", name, t.Bytes, t.Moved, saved)
}
