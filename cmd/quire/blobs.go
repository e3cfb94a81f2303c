package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/dir"
	"github.com/quire-docs/quire/blob/s3"
)

// blobs opens what keeps the documents' bytes.
func (s *storage) blobs(ctx context.Context) (blob.Driver, error) {
	if s.Blobs == "" {
		return dir.Open(filepath.Join(s.Data, "blobs"), dir.Options{})
	}
	place, err := s3.ParsePlace(s.Blobs)
	if err != nil {
		return nil, blobSetting(err)
	}
	d, err := s3.Open(ctx, place, s3.Options{})
	if err != nil {
		return nil, blobSetting(err)
	}
	return d, nil
}

// blobSetting tells errors of the setting from those of the moment.
func blobSetting(err error) error {
	var wrong *s3.SettingError
	if errors.As(err, &wrong) {
		return &settingError{"blobs", err.Error()}
	}
	return err
}
