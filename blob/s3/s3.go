// Package s3 keeps segments as objects in a bucket of any server that speaks
// S3, one object each.
//
// The layout, below the prefix that the bucket is used with:
//
//	quire-installation  the id of the installation that the place belongs to
//	segments/<key>      the finished segments
//	probe/<random>      written, read and deleted by Open
//
// An object is stored with a condition (If-None-Match) that makes the server
// refuse an existing key, so the server has to know conditional writes; Open
// finds out. What is longer than a part goes up in parts, several at a time, and
// appears when the last call names them all. Each part has a CRC-32C that the
// server checks.
//
// A segment carries a random number of the call that stored it. Where an answer
// is lost, that tells whether an object at the key is this call's.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/quire-docs/quire/blob"
)

// Names below the prefix.
const (
	segmentsName = "segments/"
	markerName   = "quire-installation"
	probeName    = "probe/"
)

// Options are the settings of a Driver, beside where the objects are. The zero
// value is good.
type Options struct {
	// StaleAfter is how old an unfinished upload must be to be aborted;
	// younger ones may be another process's work. 0 means 72 hours; a negative
	// value aborts nothing.
	StaleAfter time.Duration
	// PartSize is the size of a part in bytes, 5 MiB or more; 0 means 8 MiB. It
	// doubles after each thousand parts. A Put uses up to four times as much
	// memory, and no more than what it stores.
	PartSize int64
	// Credentials sign the requests; nil means those of the standard AWS
	// variables and files.
	Credentials *credentials.Credentials
	// Transport carries the requests; nil means one of its own.
	Transport http.RoundTripper
	// Backoff is the pause before a call is repeated the first time; it
	// doubles. 0 means 100 ms.
	Backoff time.Duration
}

// Driver is a blob.Driver over a bucket.
type Driver struct {
	core    *minio.Core
	public  *minio.Client // makes presigned URLs, and no requests
	at      Place
	opts    Options
	sse     encrypt.ServerSide
	breaker *breaker
	pool    sync.Pool // of *[]byte, PartSize long
	own     *http.Transport

	// life ends when the driver is closed; background is what goes on until then.
	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup

	calls blob.Gate
	mu    sync.Mutex // guards that nothing begins in the background after life
}

var (
	_ blob.Driver    = (*Driver)(nil)
	_ blob.Claimer   = (*Driver)(nil)
	_ blob.Presigner = (*Driver)(nil)
)

// Open opens the store at a place. It writes, reads and deletes a small object
// there, so that wrong settings are found out now; each gives a *SettingError
// that says what to do. Then, and each day from then on, it aborts abandoned
// uploads.
func Open(ctx context.Context, at Place, opts Options) (*Driver, error) {
	if opts.PartSize == 0 {
		opts.PartSize = 8 << 20
	}
	if opts.StaleAfter == 0 {
		opts.StaleAfter = 72 * time.Hour
	}
	if opts.Backoff <= 0 {
		opts.Backoff = 100 * time.Millisecond
	}
	if opts.Credentials == nil {
		providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
		if at.amazon() {
			providers = append(providers, &credentials.IAM{})
		}
		opts.Credentials = credentials.NewChainCredentials(providers)
	}
	d := &Driver{at: at, opts: opts}
	d.pool.New = func() any { b := make([]byte, opts.PartSize); return &b }
	if opts.Transport == nil {
		d.own = transport()
		opts.Transport = d.own
	}
	d.breaker = &breaker{next: opts.Transport, now: time.Now}
	var err error
	if d.sse, err = at.encryption(); err != nil {
		return nil, err
	}
	d.core, err = minio.NewCore(at.Endpoint.Host, &minio.Options{
		Creds: opts.Credentials, Secure: at.Endpoint.Scheme == "https", Region: at.Region,
		Transport: d.breaker, BucketLookup: at.lookup(), MaxRetries: 1,
	})
	if err != nil {
		return nil, &SettingError{Reason: "the endpoint: " + err.Error()}
	}
	d.public = d.core.Client
	if at.Public != (url.URL{}) {
		d.public, err = minio.New(at.Public.Host, &minio.Options{
			Creds: opts.Credentials, Secure: at.Public.Scheme == "https", Region: at.Region, Transport: d.breaker, BucketLookup: at.lookup(),
		})
		if err != nil {
			return nil, &SettingError{Reason: "the public endpoint: " + err.Error()}
		}
	}
	if err := d.probe(ctx); err != nil {
		d.idleConnections()
		return nil, err
	}
	if opts.StaleAfter > 0 {
		if err := d.abortAbandoned(ctx, time.Now().Add(-opts.StaleAfter)); err != nil {
			d.idleConnections()
			return nil, fmt.Errorf("open S3 blobs: abandoned uploads: %w", d.explain(ctx, err))
		}
	}
	d.life, d.end = context.WithCancel(context.Background())
	if opts.StaleAfter > 0 {
		d.background.Go(d.clean)
	}
	return d, nil
}

// transport is like http.DefaultTransport, for many connections to one host.
func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: 10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		DisableCompression:    true, // ranges are of the stored bytes
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}
}

func (d *Driver) idleConnections() {
	if d.own != nil {
		d.own.CloseIdleConnections()
	}
}

// Close implements blob.Driver.
func (d *Driver) Close() error {
	d.calls.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	d.background.Wait()
	d.idleConnections()
	return nil
}

// name is a segment's name in the bucket.
func (d *Driver) name(key blob.Key) string { return d.at.Prefix + segmentsName + string(key) }

// Stat implements blob.Driver.
func (d *Driver) Stat(ctx context.Context, key blob.Key) (info blob.Info, err error) {
	defer d.wrap(ctx, "stat", key, &err)
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return blob.Info{}, err
	}
	defer d.calls.Leave()
	o, err := d.core.StatObject(ctx, d.at.Bucket, d.name(key), minio.StatObjectOptions{})
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Key: key, Size: o.Size, Modified: o.LastModified}, nil
}

// Delete implements blob.Driver.
func (d *Driver) Delete(ctx context.Context, key blob.Key) (err error) {
	defer d.wrap(ctx, "delete", key, &err)
	if err := d.calls.EnterKey(ctx, key); err != nil {
		return err
	}
	defer d.calls.Leave()
	err = d.core.RemoveObject(ctx, d.at.Bucket, d.name(key), minio.RemoveObjectOptions{})
	if code(err) == minio.NoSuchKey {
		return nil
	}
	return err
}

// List implements blob.Driver.
func (d *Driver) List(ctx context.Context, after blob.Key, limit int) (infos []blob.Info, err error) {
	defer d.wrap(ctx, "list after", after, &err)
	if after != "" && !after.Valid() {
		return nil, blob.ErrBadKey
	}
	if limit < 1 || limit > blob.MaxList {
		return nil, fmt.Errorf("%w: limit %d", blob.ErrRange, limit)
	}
	if err := d.calls.Enter(ctx); err != nil {
		return nil, err
	}
	defer d.calls.Leave()
	opts := minio.ListObjectsOptions{Prefix: d.at.Prefix + segmentsName, Recursive: true, MaxKeys: min(limit, 1000)}
	if after != "" {
		opts.StartAfter = d.name(after)
	}
	for o := range d.core.ListObjectsIter(ctx, d.at.Bucket, opts) {
		if o.Err != nil {
			return nil, o.Err
		}
		key := blob.Key(o.Key[len(opts.Prefix):])
		if !key.Valid() || key <= after {
			continue // something that people put there
		}
		infos = append(infos, blob.Info{Key: key, Size: o.Size, Modified: o.LastModified})
		if len(infos) == limit {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return infos, nil
}

// clean aborts abandoned uploads each day, since a server may run for long and
// other nodes die.
func (d *Driver) clean() {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-d.life.Done():
			return
		case <-tick.C:
			// What fails today is done tomorrow.
			_ = d.abortAbandoned(d.life, time.Now().Add(-d.opts.StaleAfter))
		}
	}
}

// abortAbandoned aborts uploads that were begun before a time.
func (d *Driver) abortAbandoned(ctx context.Context, before time.Time) error {
	var keyMarker, idMarker string
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := d.core.ListMultipartUploads(ctx, d.at.Bucket, d.at.Prefix+segmentsName, keyMarker, idMarker, "", 1000)
		if code(err) == minio.NoSuchUpload {
			return nil // some servers' way to say that there are none
		}
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if !u.Initiated.Before(before) {
				continue
			}
			err := d.core.AbortMultipartUpload(ctx, d.at.Bucket, u.Key, u.UploadID)
			if err != nil && code(err) != minio.NoSuchUpload {
				return err
			}
		}
		if !page.IsTruncated {
			return nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// code is the server's code for an error, or empty.
func code(err error) string {
	var r minio.ErrorResponse
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}
