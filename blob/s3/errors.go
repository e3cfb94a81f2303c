package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/quire-docs/quire/blob"
)

// SettingError is a setting that cannot be right. Its text says what to do.
type SettingError struct {
	Reason string
	Err    error // what the server or network said, nil if it was not asked
}

func (e *SettingError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("S3 blobs: %s (%v)", e.Reason, e.Err)
	}
	return "S3 blobs: " + e.Reason
}

// Unwrap gives what the server or network said.
func (e *SettingError) Unwrap() error { return e.Err }

// wrap is deferred with the address of a result: it says what went wrong, in
// the terms of package blob.
func (d *Driver) wrap(ctx context.Context, op string, key blob.Key, err *error) {
	if *err != nil {
		*err = fmt.Errorf("blob: %s %.40q: %w", op, key, d.explain(ctx, *err))
	}
}

// explain makes an error match those of package blob.
func (d *Driver) explain(ctx context.Context, err error) error {
	switch {
	case err == nil || isOurs(err):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	switch code(err) {
	case minio.NoSuchKey:
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	case "InvalidRange":
		return fmt.Errorf("%w: %w", blob.ErrRange, err)
	case "PreconditionFailed":
		return fmt.Errorf("%w: %w", blob.ErrExists, err)
	case "QuotaExceeded", "EntityTooLarge", "XMinioStorageFull", "StorageFull":
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	var r minio.ErrorResponse
	if errors.As(err, &r) && r.StatusCode == http.StatusInsufficientStorage {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	if passing(err) {
		return fmt.Errorf("%w: %w", blob.ErrTransient, err)
	}
	return err
}

// isOurs says whether an error is one of package blob already.
func isOurs(err error) bool {
	for _, e := range []error{blob.ErrNotFound, blob.ErrExists, blob.ErrBadKey, blob.ErrRange, blob.ErrClosed, blob.ErrUncertain, blob.ErrTransient, blob.ErrNoSpace} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// passing says whether the same call may succeed when repeated: the network
// failed, or the server said that it cannot at present.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, errOpen) {
		return errors.Is(err, errOpen)
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return true
	}
	switch r.Code {
	case "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "BadDigest":
		return true
	}
	// A conflict is one with another call that is under way, as with one that
	// removes the folder in which a server keeps the object.
	return r.StatusCode == http.StatusConflict ||
		r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented && r.StatusCode != http.StatusInsufficientStorage ||
		r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout
}
