package ucloud

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// uploadChunk takes one chunk of a file. It answers when the chunk is durable;
// the chunk that reaches the total size, when the file is complete.
func uploadChunk(c *call) error {
	err := c.chunk()
	if err != nil {
		// The rest of a body that is refused is not wanted.
		c.w.Header().Set("Connection", "close")
		return err
	}
	return c.answer(http.StatusOK, struct{}{})
}

func (c *call) chunk() error {
	length := c.r.ContentLength
	switch {
	case len(c.r.TransferEncoding) > 0:
		return bad("chunked transfer encoding is not taken: send Content-Length")
	case length < 0 || length == 0 && c.r.Header.Get("Content-Length") == "":
		return bad("send Content-Length")
	case length > MaxChunk:
		return bad("a chunk has at most 32000000 bytes: send less at a time")
	}
	at, ok := number(c.r.Header.Get("chunked-upload-offset"))
	if !ok || at < library.AtEnd {
		return bad("chunked-upload-offset must be a number of bytes, or -1 for the end")
	}
	total := int64(-1)
	if text := c.r.Header.Get("chunked-upload-total-size"); text != "" {
		if total, ok = number(text); !ok || total < 0 {
			return bad("chunked-upload-total-size must be a number of bytes")
		}
	}
	s, err := c.session(c.r.Header.Get("chunked-upload-token"))
	if err != nil {
		return err
	}
	if s.folder() {
		return bad("this session is for a folder: use its WebSocket")
	}
	if s.upload.Done != nil {
		return c.repeated(s, at, length, total)
	}
	if at == library.AtEnd {
		at = s.upload.Received
	}
	if total >= 0 && length > total-at {
		return bad("the chunk reaches beyond the total size")
	}
	// One chunk that is the whole file needs no note of how long that is.
	if whole := at == 0 && length == total && s.upload.Declared < 0 && s.upload.Received <= total; !whole {
		if err := s.align(c.ctx, at, total); err != nil {
			return err
		}
	}
	o := library.Append{Length: length, Sized: true, Max: MaxChunk, Rewrite: true, Refuse: true}
	if total < 0 {
		o.Quiet = c.opt.Quiet
	}
	body := &watched{Reader: c.r.Body}
	u, _, err := c.lib.Append(c.ctx, s.caller, s.upload.ID, at, body, o)
	if err != nil {
		if body.broke() {
			// What came is kept. The sender has gone or stands still: there is
			// nobody to answer.
			panic(http.ErrAbortHandler)
		}
		return err
	}
	s.upload = u
	if total < 0 || at+length != total {
		return nil
	}
	return s.finish(context.WithoutCancel(c.ctx), time.Time{})
}

// watched remembers whether a body broke off.
type watched struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

func (w *watched) broke() bool { return w.err != nil && !errors.Is(w.err, io.EOF) }

// repeated answers a chunk of an upload that is complete: its sender may have
// missed the answer. It is a success if the bytes are those that are stored.
func (c *call) repeated(s *session, at, length, total int64) error {
	finished := &statusError{http.StatusConflict, "the upload is complete: create another one"}
	in, err := c.lib.Open(c.ctx, s.caller, s.upload.Done.Node, s.upload.Done.Revision)
	if err != nil {
		return err
	}
	defer in.Close()
	if at == library.AtEnd {
		at = in.Size - length
	}
	if total >= 0 && total != in.Size || at < 0 || length > in.Size-at {
		return finished
	}
	same, err := equal(c.r.Body, in.Reader(at, length), length)
	if err == nil && !same {
		err = finished
	}
	return err
}

// equal says whether two streams have the same n bytes.
func equal(a, b io.Reader, n int64) (bool, error) {
	x, y := make([]byte, 32<<10), make([]byte, 32<<10)
	for n > 0 {
		k := int(min(n, int64(len(x))))
		if _, err := io.ReadFull(a, x[:k]); err != nil {
			return false, &quire.Incomplete{Got: 0, Expected: n}
		}
		if _, err := io.ReadFull(b, y[:k]); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:k], y[:k]) {
			return false, nil
		}
		n -= int64(k)
	}
	return true, nil
}
