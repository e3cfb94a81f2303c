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

// claimName is the file that holds the installation's id.
const claimName = "installation"

var (
	_ blob.Claimer = (*Driver)(nil)
	_ blob.Marked  = (*Driver)(nil)
)

// Claim implements blob.Claimer.
func (d *Driver) Claim(ctx context.Context, id string) error {
	if err := d.calls.Enter(ctx); err != nil {
		return err
	}
	defer d.calls.Leave()
	name := filepath.Join(d.root, claimName)
	text, err := d.readClaim(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.writeClaim(name, blob.ClaimText(id)); err != nil {
			return fmt.Errorf("blob: claim %s: %w", d.root, explain(err))
		}
		text, err = d.readClaim(name)
	}
	if err != nil {
		return fmt.Errorf("blob: claim %s: %w", d.root, explain(err))
	}
	return blob.CheckClaim(d.root, text, id)
}

// Owner implements blob.Marked.
func (d *Driver) Owner(ctx context.Context) (string, error) {
	if err := d.calls.Enter(ctx); err != nil {
		return "", err
	}
	defer d.calls.Leave()
	text, err := d.readClaim(filepath.Join(d.root, claimName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("blob: owner of %s: %w", d.root, explain(err))
	}
	return blob.ClaimedBy(d.root, text)
}

func (d *Driver) readClaim(name string) (string, error) {
	f, err := d.fs.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 200))
	return string(text), err
}

// writeClaim makes the file durably, unless another is faster.
func (d *Driver) writeClaim(name, text string) error {
	tmp := filepath.Join(d.tmp(), string(blob.NewKey()))
	f, err := d.fs.create(tmp)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.fs.publish(tmp, name)
	}
	if err != nil {
		_ = d.fs.remove(tmp)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return d.fs.syncDir(d.root)
}
