package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/quire-docs/quire/blob"
)

// Open implements blob.Driver.
func (d *Driver) Open(ctx context.Context, key blob.Key, offset, length int64) (r io.ReadCloser, err error) {
	defer d.wrap(ctx, "open", key, &err)
	if offset < 0 || length < blob.ToEnd || offset+max(length, 0) < offset {
		return nil, fmt.Errorf("%w: %d bytes from %d on", blob.ErrRange, length, offset)
	}
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return nil, err
	}
	defer d.calls.Leave()
	if length == 0 {
		return d.openEmpty(ctx, key, offset)
	}
	var opts minio.GetObjectOptions
	switch {
	case length > 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		opts.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	body, info, _, err := d.core.GetObject(ctx, d.at.Bucket, d.name(key), opts)
	if code(err) == "InvalidRange" && length == blob.ToEnd {
		return d.openEmpty(ctx, key, offset) // at the very end, or beyond
	}
	if err != nil {
		return nil, err
	}
	if length > 0 && info.Size != length {
		_ = body.Close()
		return nil, fmt.Errorf("%w: %d bytes from %d on: the object has %d of them", blob.ErrRange, length, offset, info.Size)
	}
	return &reader{ctx: ctx, d: d, key: key, body: body, left: info.Size}, nil
}

// Presign implements blob.Presigner. The URL is of the public endpoint, if the
// place has one.
func (d *Driver) Presign(ctx context.Context, key blob.Key, link blob.Link) (text string, err error) {
	defer d.wrap(ctx, "presign", key, &err)
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return "", err
	}
	defer d.calls.Leave()
	q := url.Values{
		"response-content-type": {link.Type}, "response-content-disposition": {link.Disposition},
		"response-cache-control": {"private, no-store"},
	}
	u, err := d.public.PresignedGetObject(ctx, d.at.Bucket, d.name(key), link.Life, q)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// openEmpty opens the empty range at an offset.
func (d *Driver) openEmpty(ctx context.Context, key blob.Key, offset int64) (io.ReadCloser, error) {
	o, err := d.core.StatObject(ctx, d.at.Bucket, d.name(key), minio.StatObjectOptions{})
	if err != nil {
		return nil, err
	}
	if offset > o.Size {
		return nil, fmt.Errorf("%w: offset %d of %d bytes", blob.ErrRange, offset, o.Size)
	}
	return &reader{ctx: ctx, d: d, key: key, body: io.NopCloser(strings.NewReader(""))}, nil
}

// reader reads an answer's body and does not take its breaking off for its end.
type reader struct {
	ctx  context.Context
	d    *Driver
	key  blob.Key
	body io.ReadCloser
	left int64 // bytes to come
}

func (r *reader) Read(p []byte) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err = r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && r.left == 0:
		return n, nil // the end comes with the next call
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	r.d.wrap(r.ctx, "read", r.key, &err)
	return n, err
}

func (r *reader) Close() error {
	_ = r.body.Close() // nothing that was read depends on it
	return nil
}
