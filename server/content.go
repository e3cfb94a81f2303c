package server

import (
	"io"
	"net/http"
	"time"
)

// Content is what ServeContent sends, such as a library.Section.
type Content interface {
	io.ReadSeeker
	// Prepare finds out whether the next bytes can be had at present, n of them at
	// most, and makes them ready.
	Prepare(n int64) error
}

// ServeContent is http.ServeContent for content that may not be to be had at
// present: the answer begins when the first bytes are there. If they are not,
// begun is false and nothing has been written, so that the caller can still say
// what is wrong. If the content fails later, begun is true and the client gets a
// body that is too short. The caller has set Content-Type.
func ServeContent(w http.ResponseWriter, r *http.Request, modified time.Time, in Content) (begun bool, err error) {
	p := &preparing{ResponseWriter: w}
	http.ServeContent(p, r, "", modified, in)
	if p.err != nil && !p.begun {
		for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "Content-Security-Policy", "Content-Type", "ETag", "Last-Modified"} {
			w.Header().Del(name)
		}
		return false, p.err
	}
	p.begin()
	return true, p.err
}

// preparing keeps a status until the content is there.
type preparing struct {
	http.ResponseWriter
	status int  // to be written; 0 if there is none yet
	begun  bool // it was written
	err    error
}

// WriteHeader implements http.ResponseWriter.
func (p *preparing) WriteHeader(status int) {
	p.status = status
	if status != http.StatusOK && status != http.StatusPartialContent {
		p.begin()
	}
}

func (p *preparing) begin() {
	if p.begun || p.status == 0 {
		return
	}
	p.begun = true
	p.ResponseWriter.WriteHeader(p.status)
}

// Write implements io.Writer.
func (p *preparing) Write(b []byte) (int, error) {
	p.begin()
	return p.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (p *preparing) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// ReadFrom implements io.ReaderFrom. http.ServeContent copies one range, or all,
// in one go: it comes as a limited reader of the content.
func (p *preparing) ReadFrom(r io.Reader) (n int64, err error) {
	if l, ok := r.(*io.LimitedReader); ok && !p.begun {
		if in, ok := l.R.(Content); ok {
			if p.err = in.Prepare(l.N); p.err != nil {
				return 0, p.err
			}
		}
	}
	p.begin()
	n, p.err = io.Copy(p.ResponseWriter, r)
	return n, p.err
}
