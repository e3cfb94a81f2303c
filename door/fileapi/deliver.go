package fileapi

import (
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// contentWriter is the answer that a file is written to. It tells refusals as this
// API does.
type contentWriter struct {
	http.ResponseWriter
	c       *call
	refused bool
}

// WriteHeader implements http.ResponseWriter.
func (w *contentWriter) WriteHeader(status int) {
	var msg, code string
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		code, msg = "bad_range", "the file has no such range: Content-Range tells how long it is"
	case http.StatusPreconditionFailed:
		code, msg = "precondition_failed", "the file has another content than the one that was asked for"
	default:
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.refused = true
	w.Header().Del("Content-Security-Policy")
	w.c.shape.fail(w.c, &statusError{status: status, code: code, msg: msg})
}

// Write implements io.Writer.
func (w *contentWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil // the text that ServeContent would say it with
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *contentWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ReadFrom implements io.ReaderFrom.
func (w *contentWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.refused {
		return io.Copy(io.Discard, r)
	}
	return io.Copy(w.ResponseWriter, r)
}

// send sends content, or the ranges of it that are asked for.
func (c *call) send(in *library.Content) error {
	begun, err := server.ServeContent(&contentWriter{ResponseWriter: c.w, c: c}, c.r, in.Entry.Modified, in.Reader(0, in.Size))
	if !begun {
		return err
	}
	var network net.Error
	if err != nil && c.ctx.Err() == nil && !errors.As(err, &network) {
		// The client sees a body that is too short. The reason is here.
		c.log.Error("a file could not be sent whole", "request", server.RequestID(c.ctx), "error", err)
	}
	return nil
}
