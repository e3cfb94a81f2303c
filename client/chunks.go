package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
)

// Transferred says what an incremental transfer moved.
type Transferred struct {
	Path     string `json:"path"`
	Sequence int64  `json:"sequence"` // the file's sequence number after it
	Bytes    int64  `json:"bytes"`    // the content's
	Moved    int64  `json:"moved"`    // bytes of bodies on the wire, both ways
}

// document is a file that is open for incremental transfer: its WopiSrc and a
// token for it (CSPP Plus).
type document struct {
	c     *Client
	src   string
	token string
	moved int64
}

// access asks the server for a file's WopiSrc and a token.
func (c *Client) access(ctx context.Context, path string) (*document, error) {
	resp, err := c.request(ctx, http.MethodPost, "/api/v1/wopi/url", url.Values{"path": {path}}, nil, 0, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var a struct {
		Src   string `json:"wopisrc"`
		Token string `json:"access_token"`
	}
	if err := decode(resp.Body, &a); err != nil {
		return nil, err
	}
	// The server is reached by the URL that was given, whatever it calls itself.
	src, err := url.Parse(a.Src)
	if err != nil {
		return nil, err
	}
	own := *c.base
	own.Path += src.Path
	return &document{c: c, src: own.String(), token: a.Token}, nil
}

// post makes an operation of a body whose length is known.
func (d *document) post(ctx context.Context, sub, override string, body io.Reader, length int64, head ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.src+sub, body)
	if err != nil {
		return nil, err
	}
	if r.ContentLength = length; length == 0 {
		r.Body = http.NoBody
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	r.Header.Set("X-WOPI-Override", override)
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	d.moved += length
	resp, err := d.c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(override, resp)
	}
	return resp, nil
}

// refusal makes an error of a WOPI answer, whose reason is in headers.
func refusal(override string, resp *http.Response) error {
	e := &Error{Status: resp.StatusCode}
	why := resp.Header.Get("X-WOPI-ServerError")
	if reason := resp.Header.Get("X-WOPI-LockFailureReason"); reason != "" {
		why = reason
	}
	switch {
	case resp.StatusCode == http.StatusConflict:
		e.Msg = strings.TrimSuffix("an editor has the file locked: try again when it is closed: "+why, ": ")
	case resp.StatusCode == http.StatusPreconditionFailed:
		e.Msg = "somebody else saved the file meanwhile: get it and try again"
	case why != "":
		e.Msg = why
	default:
		e.Msg = fmt.Sprintf("%s: the server answered %d", override, resp.StatusCode)
	}
	return e
}

// done makes an operation whose answer has no body.
func (d *document) done(ctx context.Context, override string, head ...string) error {
	resp, err := d.post(ctx, "", override, nil, 0, head...)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// askFor makes a GetChunkedFile of the main content and returns its signature
// and the frames that follow.
func (d *document) askFor(ctx context.Context, filter chunk.ContentFilter) (sig chunk.Signature, sequence int64, frames *chunk.Reader, body io.Closer, err error) {
	filter.StreamID, filter.Scheme = quire.MainContent, chunk.Zip
	ask, err := json.Marshal(chunk.GetChunkedFileRequest{ContentFilters: []chunk.ContentFilter{filter}})
	if err != nil {
		return sig, 0, nil, nil, err
	}
	var framed bytes.Buffer
	w := chunk.NewWriter(&framed)
	if err := errors.Join(w.Message(ask), w.End()); err != nil {
		return sig, 0, nil, nil, err
	}
	resp, err := d.post(ctx, "", "GET_CHUNKED_FILE", &framed, int64(framed.Len()))
	if err != nil {
		return sig, 0, nil, nil, err
	}
	fail := func(err error) (chunk.Signature, int64, *chunk.Reader, io.Closer, error) {
		resp.Body.Close()
		return sig, 0, nil, nil, err
	}
	if sequence, err = strconv.ParseInt(resp.Header.Get("X-WOPI-SequenceNumber"), 10, 64); err != nil {
		return fail(fmt.Errorf("the server sent no sequence number: %w", err))
	}
	frames = chunk.NewReader(&counting{resp.Body, &d.moved}, chunk.DefaultLimits())
	text, err := frames.ReadMessage()
	if err != nil {
		return fail(err)
	}
	var answer chunk.GetChunkedFileResponse
	if err := json.Unmarshal(text, &answer); err != nil {
		return fail(err)
	}
	for _, s := range answer.Signatures {
		if s.StreamID == quire.MainContent {
			return s.Signature(), sequence, frames, resp.Body, nil
		}
	}
	return fail(errors.New("the server's answer lacks the main content"))
}

// counting adds up what is read.
type counting struct {
	r io.Reader
	n *int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}

// part is where the bytes of a chunk can be read.
type part struct {
	r      io.ReaderAt
	offset int64
}

// localChunks cuts a file as the protocol does and says where its chunks are.
func localChunks(ctx context.Context, r io.ReaderAt, size int64) (chunk.Signature, map[chunk.ID]part, error) {
	sig, err := chunk.Sign(ctx, r, size)
	if err != nil {
		return sig, nil, err
	}
	where := make(map[chunk.ID]part, len(sig.Chunks))
	var at int64
	for _, k := range sig.Chunks {
		where[k.ID] = part{r, at}
		at += k.Length
	}
	return sig, where, nil
}

// maxKnown is how many known chunks a request names at the most; of what a
// file has beyond that, some comes again.
const maxKnown = 50_000

// GetChunks writes a file's content to w, fetching only the chunks that an
// older copy does not have. known may be nil. What arrives is kept in a
// temporary file until it is whole, so w gets nothing of a transfer that
// fails on the way.
func (c *Client) GetChunks(ctx context.Context, path string, known io.ReaderAt, size int64, w io.Writer) (t Transferred, err error) {
	t.Path = path
	d, err := c.access(ctx, path)
	if err != nil {
		return t, err
	}
	have := make(map[chunk.ID]part)
	if known != nil {
		if _, have, err = localChunks(ctx, known, size); err != nil {
			return t, err
		}
	}
	var filter chunk.ContentFilter
	for id := range have {
		if len(filter.AlreadyKnownChunks) == maxKnown {
			break
		}
		filter.AlreadyKnownChunks = append(filter.AlreadyKnownChunks, id)
	}
	sig, sequence, frames, body, err := d.askFor(ctx, filter)
	if err != nil {
		return t, err
	}
	defer body.Close()
	spool, err := os.CreateTemp("", "quire-get-")
	if err != nil {
		return t, err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	var at int64
	for {
		h, err := frames.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return t, err
		}
		n, err := io.Copy(spool, frames.Verified())
		if err != nil {
			return t, err
		}
		have[h.ChunkID] = part{spool, at}
		at += n
	}
	for _, k := range sig.Chunks {
		p, ok := have[k.ID]
		if !ok && k.Length > 0 {
			return t, fmt.Errorf("the server left out a chunk of %d bytes: get the file without --chunked", k.Length)
		}
		if k.Length == 0 {
			continue
		}
		if _, err := io.Copy(w, io.NewSectionReader(p.r, p.offset, k.Length)); err != nil {
			return t, err
		}
		t.Bytes += k.Length
	}
	t.Sequence, t.Moved = sequence, d.moved
	return t, nil
}

// coauthLife is for how long, in seconds, a save's lock is asked for.
const coauthLife = "3600"

// PutChunks makes size bytes of r the content of a file, sending only the
// chunks that the server does not have. A file that is not there is made. It
// takes a coauthoring lock for the while, so a file that an editor has locked
// for itself is refused. If somebody else saves first it compares again.
func (c *Client) PutChunks(ctx context.Context, path string, r io.ReaderAt, size int64) (t Transferred, err error) {
	t.Path, t.Bytes = path, size
	d, err := c.access(ctx, path)
	var missing *Error
	if errors.As(err, &missing) && missing.Status == http.StatusNotFound {
		if _, err = c.Put(ctx, bytes.NewReader(nil), 0, Upload{Path: path, Overwrite: true}); err == nil {
			d, err = c.access(ctx, path)
		}
	}
	if err != nil {
		return t, err
	}
	sig, have, err := localChunks(ctx, r, size)
	if err != nil {
		return t, err
	}
	id := rand.Text()
	if err := d.done(ctx, "GET_COAUTH_LOCK", "X-WOPI-CoauthLockId", id, "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", coauthLife); err != nil {
		return t, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, d.done(ctx, "UNLOCK_COAUTH_LOCK", "X-WOPI-CoauthLockId", id))
	}()
	const tries = 5
	for try := 1; ; try++ {
		t.Sequence, err = d.save(ctx, id, sig, have)
		var moved *Error
		if err == nil || try == tries || !errors.As(err, &moved) || moved.Status != http.StatusPreconditionFailed {
			t.Moved = d.moved
			return t, err
		}
	}
}

// save sends the chunks of a signature that the file does not have.
func (d *document) save(ctx context.Context, lock string, sig chunk.Signature, have map[chunk.ID]part) (sequence int64, err error) {
	theirs, sequence, _, body, err := d.askFor(ctx, chunk.ContentFilter{ChunksToReturn: chunk.NoChunks})
	if err != nil {
		return 0, err
	}
	body.Close()
	known := make(map[chunk.Chunk]bool, len(theirs.Chunks))
	for _, k := range theirs.Chunks {
		known[k] = true
	}
	message, err := json.Marshal(chunk.PutChunkedFileRequest{
		Signatures: []chunk.StreamSignature{{StreamID: quire.MainContent, Scheme: sig.Scheme, Chunks: sig.Chunks}},
	})
	if err != nil {
		return 0, err
	}
	length := chunk.MessageSize(int64(len(message))) + chunk.EndSize
	var fresh []chunk.Chunk
	for _, k := range sig.Chunks {
		if !known[k] {
			known[k] = true
			fresh = append(fresh, k)
			length += chunk.ChunkSize(k.Length)
		}
	}
	out, in := io.Pipe()
	defer out.Close()
	go func() {
		w := chunk.NewWriter(in)
		err := w.Message(message)
		for i := 0; err == nil && i < len(fresh); i++ {
			k := fresh[i]
			err = w.Chunk(k.ID, k.Length, io.NewSectionReader(have[k.ID].r, have[k.ID].offset, k.Length))
		}
		if err == nil {
			err = w.End()
		}
		in.CloseWithError(err)
	}()
	resp, err := d.post(ctx, "/contents", "PUT_CHUNKED_FILE", out, length,
		"X-WOPI-SequenceNumber", strconv.FormatInt(sequence, 10), "X-WOPI-CoauthLockId", lock)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return strconv.ParseInt(resp.Header.Get("X-WOPI-SequenceNumber"), 10, 64)
}
