package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/quire-docs/quire/blob"
)

// probe finds out whether the settings are right: the bucket is there, and
// objects can be written, on a condition, read and deleted.
func (d *Driver) probe(ctx context.Context) error {
	cred, err := d.opts.Credentials.GetWithContext(nil)
	if err != nil || cred.AccessKeyID == "" {
		return &SettingError{Reason: "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them to ~/.aws/credentials", Err: err}
	}
	// A HEAD has no error text, so the listing asks whether the bucket is there.
	for o := range d.core.ListObjectsIter(ctx, d.at.Bucket, minio.ListObjectsOptions{Prefix: d.at.Prefix + probeName, MaxKeys: 1, Recursive: true}) {
		if o.Err != nil {
			return d.diagnose(ctx, "list", o.Err)
		}
		break
	}
	const text = "quire writes, reads and deletes this object when it starts\n"
	var name string
	err = d.repeat(ctx, func(ctx context.Context) error {
		name = d.at.Prefix + probeName + string(blob.NewKey()) // the last may have been stored after all
		return d.putSmall(ctx, name, text)
	})
	if err != nil {
		return d.diagnose(ctx, "write", err)
	}
	err = d.putSmall(ctx, name, text)
	got, rerr := d.readSmall(ctx, name)
	if derr := d.core.RemoveObject(ctx, d.at.Bucket, name, minio.RemoveObjectOptions{}); derr != nil {
		return d.diagnose(ctx, "delete", derr)
	}
	switch {
	case rerr != nil:
		return d.diagnose(ctx, "read", rerr)
	case got != text:
		return &SettingError{Reason: fmt.Sprintf("the server at %s returned other bytes than were stored: do not use it", d.at.Endpoint.Host)}
	case err == nil:
		return &SettingError{Reason: fmt.Sprintf("the server at %s ignores If-None-Match: use a version that knows conditional writes", d.at.Endpoint.Host)}
	case code(err) != "PreconditionFailed":
		return d.diagnose(ctx, "write", err)
	}
	return nil
}

// putSmall makes an object with a text, unless there is one of that name.
func (d *Driver) putSmall(ctx context.Context, name, text string) error {
	o := minio.PutObjectOptions{
		ServerSideEncryption: d.sse, DisableContentSha256: true, ContentType: "text/plain",
		UserMetadata: map[string]string{"x-amz-checksum-crc32c": checksum([]byte(text))},
	}
	o.SetMatchETagExcept("*")
	_, err := d.core.PutObject(ctx, d.at.Bucket, name, strings.NewReader(text), int64(len(text)), "", "", o)
	return err
}

func (d *Driver) readSmall(ctx context.Context, name string) (string, error) {
	body, _, _, err := d.core.GetObject(ctx, d.at.Bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, 1<<10))
	return string(b), err
}

// diagnose says what to do about a failure of the probe.
func (d *Driver) diagnose(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	say := func(format string, args ...any) error {
		return &SettingError{Reason: fmt.Sprintf(format, args...), Err: err}
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return say("there is no S3 server at %s that answers: correct the endpoint, or start the server", d.at.Endpoint.String())
	}
	switch r.Code {
	case "NoSuchBucket":
		return say("there is no bucket %q at %s: create it, or correct the name", d.at.Bucket, d.at.Endpoint.Host)
	case "InvalidAccessKeyId", "InvalidAccessKeyID", "XAdminUserNotFound", "XAdminNoSuchUser", "NoSuchUser":
		return say("the server at %s does not know the access key: correct AWS_ACCESS_KEY_ID", d.at.Endpoint.Host)
	case "SignatureDoesNotMatch":
		return say("the server at %s refuses the signature: correct AWS_SECRET_ACCESS_KEY", d.at.Endpoint.Host)
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "InvalidRegion":
		hint := ""
		if r.Region != "" && r.Region != d.at.Region {
			hint = fmt.Sprintf("; the server says %s", r.Region)
		}
		return say("the region %q is not the bucket's: correct region=%s", d.at.Region, hint)
	case "RequestTimeTooSkewed":
		return say("this machine's clock and the server's are too far apart: set the clock")
	case "AccessDenied", "Forbidden", "AllAccessDisabled":
		return say("the credentials do not allow to %s objects in the bucket %q: grant them list, read, write and delete", doing, d.at.Bucket)
	}
	return say("the server at %s does not let us %s objects", d.at.Endpoint.Host, doing)
}

// Claim implements blob.Claimer.
func (d *Driver) Claim(ctx context.Context, id string) (err error) {
	if err := d.calls.Enter(ctx); err != nil {
		return err
	}
	defer d.calls.Leave()
	name := d.at.Prefix + markerName
	for range 2 {
		got, err := d.readSmall(ctx, name)
		switch {
		case err == nil:
			return blob.CheckClaim(d.at.String(), got, id)
		case code(err) != minio.NoSuchKey:
			return fmt.Errorf("blob: claim: %w", d.explain(ctx, err))
		}
		text := blob.ClaimText(id)
		err = d.repeat(ctx, func(ctx context.Context) error { return d.putSmall(ctx, name, text) })
		if err != nil && code(err) != "PreconditionFailed" {
			return fmt.Errorf("blob: claim: %w", d.explain(ctx, err))
		}
		// Read it back: of several that claim at once one has won.
	}
	got, err := d.readSmall(ctx, name)
	if err != nil {
		return fmt.Errorf("blob: claim: %w", d.explain(ctx, err))
	}
	return blob.CheckClaim(d.at.String(), got, id)
}

var _ blob.Marked = (*Driver)(nil)

// Owner implements blob.Marked.
func (d *Driver) Owner(ctx context.Context) (string, error) {
	if err := d.calls.Enter(ctx); err != nil {
		return "", err
	}
	defer d.calls.Leave()
	text, err := d.readSmall(ctx, d.at.Prefix+markerName)
	switch {
	case err == nil:
		return blob.ClaimedBy(d.at.String(), text)
	case code(err) == minio.NoSuchKey:
		return "", nil
	}
	return "", fmt.Errorf("blob: owner: %w", d.explain(ctx, err))
}
