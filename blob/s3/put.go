package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/quire-docs/quire/blob"
)

const (
	// attempts is how often a part or an object is sent in all, while the
	// failures are passing ones.
	attempts = 5
	// atOnce is how many parts of one Put are under way at a time.
	atOnce = 3
	// maxParts is the most that an upload may have.
	maxParts = 10_000
	// finishWithin is how long making an object visible may take once it has
	// begun; the caller's context does not end it any more.
	finishWithin = 5 * time.Minute
	// callHeader, among an object's metadata, is the number of the call that
	// stored it.
	callHeader = "Quire-Call"
)

// Put implements blob.Driver.
func (d *Driver) Put(ctx context.Context, key blob.Key, r io.Reader) (size int64, err error) {
	var source error // r's own failure, which must not be taken for the storage's
	defer func() {
		switch {
		case source != nil:
			size, err = 0, fmt.Errorf("blob: put %s: %w", key, source)
		case err != nil:
			size = 0
			d.wrap(ctx, "put", key, &err)
		}
	}()
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return 0, err
	}
	defer d.calls.Leave()

	u := &upload{d: d, ctx: ctx, key: key, call: string(blob.NewKey())}
	buf := d.pool.Get().(*[]byte)
	n, end, err := fill(ctx, r, *buf)
	if err == io.EOF || err == nil && end {
		err = nil
		defer d.pool.Put(buf)
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return int64(n), u.whole((*buf)[:n])
	}
	if err != nil {
		d.pool.Put(buf)
		if ctx.Err() == nil {
			source = err
		}
		return 0, err
	}
	size, source, err = u.parts(r, buf, n)
	return size, err
}

// fill reads until buf is full, or r ends, or ctx does. end says that r has
// ended; err is r's error, or the context's.
func fill(ctx context.Context, r io.Reader, buf []byte) (n int, end bool, err error) {
	for n < len(buf) {
		if err := ctx.Err(); err != nil {
			return n, false, err
		}
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// upload is one Put.
type upload struct {
	d    *Driver
	ctx  context.Context
	key  blob.Key
	call string
}

func (u *upload) options() minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType: "application/octet-stream", ServerSideEncryption: u.d.sse, DisableContentSha256: true,
		UserMetadata: map[string]string{callHeader: u.call},
	}
	return o
}

// whole stores what fits into one part.
func (u *upload) whole(b []byte) error {
	o := u.options()
	o.SetMatchETagExcept("*")
	o.UserMetadata["x-amz-checksum-crc32c"] = checksum(b)
	return u.publish(func(ctx context.Context) error {
		_, err := u.d.core.PutObject(ctx, u.d.at.Bucket, u.d.name(u.key), bytes.NewReader(b), int64(len(b)), "", "", o)
		return err
	})
}

// publish makes a call that makes the object visible, and finds out what became
// of it if the answer is lost.
func (u *upload) publish(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), finishWithin)
	defer cancel()
	err := u.d.repeat(ctx, call)
	if err == nil {
		return nil
	}
	existing, serr := u.d.core.StatObject(ctx, u.d.at.Bucket, u.d.name(u.key), minio.StatObjectOptions{})
	switch {
	case serr == nil && existing.UserMetadata[callHeader] == u.call:
		return nil // it was done by an attempt whose answer got lost
	case serr == nil:
		return fmt.Errorf("%w: %w", blob.ErrExists, err)
	case passing(err) && !errors.Is(err, errOpen):
		// It may still be under way in the server.
		return fmt.Errorf("%w: %w", blob.ErrUncertain, err)
	}
	return err
}

// repeat makes a call until it does not fail for a passing reason.
func (d *Driver) repeat(ctx context.Context, call func(context.Context) error) error {
	for n := 0; ; n++ {
		err := call(ctx)
		if err == nil || ctx.Err() != nil || n == attempts-1 || !passing(err) || errors.Is(err, errOpen) {
			return err
		}
		pause := d.opts.Backoff << n
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// parts stores an object of more than one part; the first is in buf, full. It
// takes buf over.
func (u *upload) parts(r io.Reader, buf *[]byte, n int) (size int64, source, err error) {
	d := u.d
	o := u.options()
	o.UserMetadata["x-amz-checksum-algorithm"] = "CRC32C"
	var id string
	err = d.repeat(u.ctx, func(ctx context.Context) (err error) {
		id, err = d.core.NewMultipartUpload(ctx, d.at.Bucket, d.name(u.key), o)
		return err
	})
	if err != nil {
		d.pool.Put(buf)
		return 0, nil, err
	}
	published := false
	defer func() {
		if published {
			return
		}
		abort := func(ctx context.Context) error {
			return d.core.AbortMultipartUpload(ctx, d.at.Bucket, d.name(u.key), id)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), time.Minute)
		defer cancel()
		if err := d.repeat(ctx, abort); err != nil && code(err) != minio.NoSuchUpload {
			d.later(abort)
		}
	}()
	var done []minio.CompletePart
	size, done, source, err = u.sendParts(r, buf, n, id)
	if source != nil || err != nil {
		return 0, source, err
	}
	if err := u.ctx.Err(); err != nil {
		return 0, nil, err
	}
	finish := minio.PutObjectOptions{}
	finish.SetMatchETagExcept("*")
	err = u.publish(func(ctx context.Context) error {
		_, err := d.core.CompleteMultipartUpload(ctx, d.at.Bucket, d.name(u.key), id, done, finish)
		return err
	})
	published = err == nil
	return size, nil, err
}

// later makes a call beside everything else, again and again while the server does
// not answer, for some minutes at most. What it does not reach is left to
// abortAbandoned.
func (d *Driver) later(call func(context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life.Err() != nil {
		return
	}
	d.background.Go(func() {
		ctx, cancel := context.WithTimeout(d.life, 10*time.Minute)
		defer cancel()
		tick := time.NewTicker(breakFor)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := call(ctx); err == nil || !passing(err) {
				return
			}
		}
	})
}

// sendParts sends the part in buf and all that r still yields.
func (u *upload) sendParts(r io.Reader, buf *[]byte, n int, id string) (size int64, done []minio.CompletePart, source, err error) {
	ctx, cancel := context.WithCancel(u.ctx)
	defer cancel()
	var (
		mu     sync.Mutex
		failed error
		wg     sync.WaitGroup
		slots  = make(chan struct{}, atOnce)
	)
	defer wg.Wait() // runs before cancel: a part that is under way has its buffer until then
	end := false
	for number := 1; ; number++ {
		sum := checksum((*buf)[:n])
		part := u.part(slots, (*buf)[:n], sum, number, id, buf)
		slots <- struct{}{}
		size += int64(n)
		mu.Lock()
		done = append(done, minio.CompletePart{PartNumber: number, ChecksumCRC32C: sum})
		mu.Unlock()
		wg.Go(func() {
			etag, err := part(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err
				cancel()
			}
			done[number-1].ETag = etag
		})
		if end {
			break
		}
		if number == maxParts {
			mu.Lock()
			failed = fmt.Errorf("%w: more than %d parts", blob.ErrNoSpace, maxParts)
			mu.Unlock()
			break
		}
		buf = u.buffer(number)
		n, end, source = fill(ctx, r, *buf) // ends also when a part fails
		if source != nil || n == 0 {
			u.recycle(buf)
			break
		}
	}
	if source != nil {
		cancel()
	}
	wg.Wait()
	switch {
	case u.ctx.Err() != nil:
		return 0, nil, nil, u.ctx.Err()
	case failed != nil && (source == nil || errors.Is(source, context.Canceled)):
		return 0, nil, nil, failed
	}
	return size, done, source, nil
}

// buffer gives memory for the part after the given one.
func (u *upload) buffer(number int) *[]byte {
	if number < 1000 {
		return u.d.pool.Get().(*[]byte)
	}
	b := make([]byte, u.d.opts.PartSize<<(number/1000))
	return &b
}

func (u *upload) recycle(buf *[]byte) {
	if int64(len(*buf)) == u.d.opts.PartSize {
		u.d.pool.Put(buf)
	}
}

// part makes the function that sends one part, and then frees its place and
// its memory.
func (u *upload) part(slots chan struct{}, b []byte, sum string, number int, id string, buf *[]byte) func(context.Context) (string, error) {
	return func(ctx context.Context) (etag string, err error) {
		defer func() {
			u.recycle(buf)
			<-slots
		}()
		opts := minio.PutObjectPartOptions{
			DisableContentSha256: true,
			CustomHeader:         http.Header{"X-Amz-Checksum-Crc32c": {sum}},
		}
		err = u.d.repeat(ctx, func(ctx context.Context) error {
			p, err := u.d.core.PutObjectPart(ctx, u.d.at.Bucket, u.d.name(u.key), id, number, bytes.NewReader(b), int64(len(b)), opts)
			etag = p.ETag
			return err
		})
		return etag, err
	}
}

// checksum is the CRC-32C in the form of S3's headers.
func checksum(b []byte) string {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}
