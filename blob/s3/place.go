package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Place is where objects are: a server, a bucket and a prefix in it.
type Place struct {
	Endpoint url.URL // scheme and host only
	Region   string
	// Public is what clients reach the server by, for presigned URLs; the zero
	// value means Endpoint.
	Public url.URL
	Bucket string
	Prefix string // empty, or ends in a slash
	// Lookup is how the bucket is named in requests: "path", "host", or empty
	// to choose by the endpoint.
	Lookup string
	// SSE is the encryption that the server is asked for: empty, "s3" or "kms".
	SSE    string
	KMSKey string // the key's id, with "kms"
}

// ParsePlace reads s3://bucket/prefix?endpoint=https://host:port&region=name.
// Without endpoint it is Amazon's of the region; region is us-east-1 unless
// given. Further parameters are lookup (path or host), sse (s3 or kms), kms-key,
// and public, the endpoint in presigned URLs. Anything else gives a *SettingError.
func ParsePlace(text string) (p Place, err error) {
	fail := func(format string, args ...any) (Place, error) {
		return Place{}, &SettingError{Reason: fmt.Sprintf(format, args...)}
	}
	u, err := url.Parse(text)
	if err != nil {
		return fail("the URL cannot be read: write it like s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-central-1")
	}
	if u.Scheme != "s3" || u.Host == "" || u.Opaque != "" || u.Fragment != "" {
		return fail("the URL must begin with s3:// and a bucket, like s3://bucket/prefix?endpoint=https://s3.example.org")
	}
	if u.User != nil {
		return fail("the URL must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	}
	if err := s3utils.CheckValidBucketNameStrict(u.Host); err != nil {
		return fail("%q cannot be a bucket's name: %v", u.Host, err)
	}
	p.Bucket = u.Host
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		for part := range strings.SplitSeq(prefix, "/") {
			if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
				return fail("the prefix %q has a part that cannot be a name", prefix)
			}
		}
		p.Prefix = prefix + "/"
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("the URL's parameters cannot be read: %v", err)
	}
	endpoint, public := "", ""
	for name, v := range values {
		if len(v) != 1 || v[0] == "" {
			return fail("the parameter %s must be given once and not be empty", name)
		}
		switch name {
		case "endpoint":
			endpoint = v[0]
		case "public":
			public = v[0]
		case "region":
			p.Region = v[0]
		case "lookup":
			p.Lookup = v[0]
		case "sse":
			p.SSE = v[0]
		case "kms-key":
			p.KMSKey = v[0]
		default:
			return fail("there is no parameter %q: use endpoint, public, region, lookup, sse or kms-key", name)
		}
	}
	if p.Region == "" {
		p.Region = "us-east-1"
	}
	if endpoint == "" {
		endpoint = "https://s3." + p.Region + ".amazonaws.com"
	}
	e, err := parseEndpoint(endpoint)
	if err != nil {
		return fail("the endpoint %q: %v", endpoint, err)
	}
	p.Endpoint = *e
	if public != "" {
		if e, err = parseEndpoint(public); err != nil {
			return fail("the public endpoint %q: %v", public, err)
		}
		p.Public = *e
	}
	if p.Lookup != "" && p.Lookup != "path" && p.Lookup != "host" {
		return fail("lookup must be path or host")
	}
	_, err = p.encryption()
	if err != nil {
		return Place{}, err
	}
	return p, nil
}

func parseEndpoint(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	e, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("write it like https://s3.example.org:9000")
	}
	if e.Scheme != "http" && e.Scheme != "https" || e.Hostname() == "" || strings.Trim(e.Path, "/") != "" || e.RawQuery != "" || e.Fragment != "" || e.User != nil {
		return nil, errors.New("it must be http:// or https:// and a host, and nothing else")
	}
	return &url.URL{Scheme: e.Scheme, Host: e.Host}, nil
}

// String is the place as a URL. It has no secrets.
func (p Place) String() string {
	v := url.Values{"endpoint": {p.Endpoint.String()}, "region": {p.Region}}
	for name, text := range map[string]string{"public": p.Public.String(), "lookup": p.Lookup, "sse": p.SSE, "kms-key": p.KMSKey} {
		if text != "" {
			v.Set(name, text)
		}
	}
	u := url.URL{Scheme: "s3", Host: p.Bucket, Path: "/" + p.Prefix, RawQuery: v.Encode()}
	return u.String()
}

func (p Place) amazon() bool { return s3utils.IsAmazonEndpoint(p.Endpoint) }

func (p Place) lookup() minio.BucketLookupType {
	switch p.Lookup {
	case "path":
		return minio.BucketLookupPath
	case "host":
		return minio.BucketLookupDNS
	}
	return minio.BucketLookupAuto
}

func (p Place) encryption() (encrypt.ServerSide, error) {
	switch {
	case p.SSE == "" && p.KMSKey == "":
		return nil, nil
	case p.SSE == "s3" && p.KMSKey == "":
		return encrypt.NewSSE(), nil
	case p.SSE == "kms" && p.KMSKey != "":
		return encrypt.NewSSEKMS(p.KMSKey, nil)
	}
	return nil, &SettingError{Reason: "encryption: give sse=s3, or sse=kms with kms-key=<id>"}
}
