//go:build unix

package dir

import (
	"errors"
	"os"
)

func (osFS) syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
