// Package client is a client of the file API: it moves files to and from a
// server and goes on where it was when a connection breaks.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client talks to one server as one user. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	// Patience is how long a transfer keeps trying while the server does not
	// answer.
	Patience time.Duration
}

// New returns a client for a server's URL and a personal access token.
func New(server, token string) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(server, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no server: write it like https://docs.example.org", server)
	}
	if token == "" {
		return nil, errors.New("a token is needed: make one with 'quire token create'")
	}
	return &Client{base: u, token: token, http: &http.Client{}, Patience: 5 * time.Minute}, nil
}

// Metadata is what the server tells of a file or folder.
type Metadata struct {
	UID      string  `json:"uid"`
	Revision int64   `json:"revision"`
	Filename string  `json:"filename"`
	Bytes    int64   `json:"bytes"`
	Modified float64 `json:"modified"` // seconds since 1970
	// ClientModified is when the file was changed at the place it came from, in
	// seconds since 1970; 0 if nobody has told.
	ClientModified float64 `json:"client_modified,omitempty"`
	ContentType    string  `json:"content_type"`
	Path           string  `json:"path"`
	IsDir          bool    `json:"is_dir"`
}

// Time returns when the content was last changed.
func (m Metadata) Time() time.Time { return time.UnixMilli(int64(m.Modified * 1000)) }

// ClientTime returns when the file was changed at the place it came from; the zero
// time if nobody has told.
func (m Metadata) ClientTime() time.Time {
	if m.ClientModified == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Round(m.ClientModified * 1000)))
}

// Error is an answer of the server that says no.
type Error struct {
	Status int
	Code   string `json:"error"`
	Msg    string `json:"msg"`

	offset  int64 // of an upload whose chunk did not fit
	aligned bool  // offset is known
}

func (e *Error) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	if e.Code != "" {
		return e.Code
	}
	return "the server answered " + strconv.Itoa(e.Status)
}

// request makes one request. The body, if any, has a known length.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader, length int64, head http.Header) (*http.Response, error) {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.ContentLength = length
		if length == 0 {
			r.Body = http.NoBody
		}
	}
	for k, v := range head {
		r.Header[k] = v
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	var in struct {
		Error
		Offset *int64 `json:"offset"`
	}
	if json.Unmarshal(b, &in) == nil {
		e.Code, e.Msg = in.Code, in.Msg
		if in.Offset != nil {
			e.offset, e.aligned = *in.Offset, true
		}
	}
	return e
}

// call makes a request without a body and reads a JSON answer.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, out any) error {
	resp, err := c.request(ctx, method, path, query, nil, 0, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// passing says whether a failure may go away by itself.
func passing(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// retry repeats f while it fails for a passing reason, with growing pauses,
// until nothing has moved for as long as Patience. f says whether anything has.
func (c *Client) retry(ctx context.Context, f func() (moved bool, err error)) error {
	pause, since := 200*time.Millisecond, time.Now()
	for {
		moved, err := f()
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		if moved {
			pause, since = 200*time.Millisecond, time.Now()
		}
		if time.Since(since) > c.Patience {
			return fmt.Errorf("the server has not answered for %v: %w", c.Patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// Stat returns what the server knows of a path.
func (c *Client) Stat(ctx context.Context, path string) (m Metadata, err error) {
	err = c.call(ctx, http.MethodGet, "/api/v1/content/metadata", url.Values{"path": {path}}, &m)
	return m, err
}

// List calls f for each child of the folder at a path, in order of the names.
func (c *Client) List(ctx context.Context, path string, f func(Metadata) error) error {
	q := url.Values{"path": {path}, "limit": {"1000"}}
	for {
		var page struct {
			Contents []Metadata `json:"contents"`
			Cursor   string     `json:"cursor"`
			HasMore  bool       `json:"has_more"`
		}
		if err := c.call(ctx, http.MethodGet, "/api/v1/content/list", q, &page); err != nil {
			return err
		}
		for _, m := range page.Contents {
			if err := f(m); err != nil {
				return err
			}
		}
		if !page.HasMore {
			return nil
		}
		q.Set("cursor", page.Cursor)
	}
}

// CreateFolder makes a folder, in one that is there. If there is something of that
// name, the error is an *Error of the code "exists".
func (c *Client) CreateFolder(ctx context.Context, path string) (m Metadata, err error) {
	err = c.call(ctx, http.MethodPost, "/api/v1/file/fileops/create_folder", url.Values{"path": {path}}, &m)
	return m, err
}

// Remove moves what is at a path to the trash.
func (c *Client) Remove(ctx context.Context, path string) (m Metadata, err error) {
	err = c.call(ctx, http.MethodPost, "/api/v1/file/fileops/delete", url.Values{"path": {path}}, &m)
	return m, err
}

// Session is an upload that is under way, of whatever protocol.
type Session struct {
	UploadID string `json:"upload_id"`
	Offset   int64  `json:"offset"` // bytes that are safe
	Expires  string `json:"expires"`
	Door     string `json:"door"`
	Size     int64  `json:"size"` // 0 if it is not known
	Complete bool   `json:"complete"`
}

// Uploads returns the caller's uploads.
func (c *Client) Uploads(ctx context.Context) ([]Session, error) {
	var out struct {
		Uploads []Session `json:"uploads"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/file/uploads", nil, &out)
	return out.Uploads, err
}

// CancelUpload ends an upload and gives up what it received.
func (c *Client) CancelUpload(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/api/v1/file/cancel_upload", url.Values{"upload_id": {id}}, nil)
}

// Revision is one entry of a file's history.
type Revision struct {
	Metadata
	Authors []string `json:"authors"`
	Door    string   `json:"door"`
	Kind    string   `json:"kind"`
	Label   string   `json:"label"`
}

// History returns a file's revisions, the newest first.
func (c *Client) History(ctx context.Context, path string, limit int) ([]Revision, error) {
	var out struct {
		Revisions []Revision `json:"revisions"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/file/revisions", url.Values{"path": {path}, "limit": {strconv.Itoa(limit)}}, &out)
	return out.Revisions, err
}

// Restore makes an old revision of a file current again.
func (c *Client) Restore(ctx context.Context, path string, revision int64) (m Metadata, err error) {
	err = c.call(ctx, http.MethodPost, "/api/v1/file/restore", url.Values{"path": {path}, "revision": {strconv.FormatInt(revision, 10)}}, &m)
	return m, err
}

func decode(r io.Reader, out any) error { return json.NewDecoder(r).Decode(out) }
