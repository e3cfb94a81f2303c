package fileapi

import (
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// contentWriter is the answer that http.ServeContent writes a file to. It hands
// the files that the content is made of to the connection, so that a local
// disk's bytes need not pass through this process, and tells refusals as this
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

// ReadFrom implements io.ReaderFrom. ServeContent copies one range, or all, in
// one go: it comes as a limited reader of the content's section.
func (w *contentWriter) ReadFrom(r io.Reader) (n int64, err error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	s, ok := l.R.(*library.Section)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	n, err = s.WriteNTo(w.ResponseWriter, l.N)
	l.N -= n
	var network net.Error
	if err != nil && w.c.ctx.Err() == nil && !errors.As(err, &network) {
		// The client sees a body that is too short. The reason is here.
		w.c.log.Error("a file could not be sent whole", "request", server.RequestID(w.c.ctx), "sent", n, "error", err)
	}
	return n, err
}
