package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

type contextKey int

const (
	infoKey   contextKey = iota // of a request: info
	directKey                   // of a connection: there if it is TCP and nothing more
)

// info is what the server knows of a request.
type info struct {
	id        string
	addr      string
	admission *admission
	// operation is what the door found that the request asks for. It is written
	// and read on the request's goroutine.
	operation *string
	span      Span // nil is none
}

// SetOperation tells what a request asks for, for the log, metrics and traces: a
// name out of a short list of the door's own, never a path or anything else that a
// client makes up.
func SetOperation(ctx context.Context, name string) {
	if i, ok := ctx.Value(infoKey).(info); ok {
		*i.operation = name
	}
}

// Operation returns what SetOperation told, or nothing.
func Operation(ctx context.Context) string {
	if i, ok := ctx.Value(infoKey).(info); ok {
		return *i.operation
	}
	return ""
}

// RequestID returns the id of the request that a context belongs to, which is
// in the log line and in the answer's X-Request-Id.
func RequestID(ctx context.Context) string {
	i, _ := ctx.Value(infoKey).(info)
	return i.id
}

// ClientAddr returns the network address that the request of a context came
// from, behind trusted proxies.
func ClientAddr(ctx context.Context) string {
	i, _ := ctx.Value(infoKey).(info)
	return i.addr
}

// wrap gives every request an id, deadlines that move with its progress, and
// one line in the log.
func (s *Server) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		i := info{id: requestID(r), addr: s.clientAddr(r), operation: new(string)}
		i.admission = &admission{limits: s.limits, addr: i.addr}
		defer i.admission.release()
		w.Header().Set("X-Request-Id", i.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if r.TLS != nil && s.opt.HSTS > 0 {
			w.Header().Set("Strict-Transport-Security", "max-age="+strconv.Itoa(int(s.opt.HSTS.Seconds())))
		}

		control := http.NewResponseController(w)
		body := &movingBody{rc: r.Body, control: control, stall: s.opt.Stall}
		answer := &movingWriter{ResponseWriter: w, control: control, stall: s.opt.Stall, direct: r.Context().Value(directKey) != nil}
		// A copy: net/http looks at its own request's body to decide whether to
		// wait for the rest of it, which a client that expects "100 Continue"
		// would never send.
		ctx := r.Context()
		if s.opt.Trace != nil && !probe(r) {
			ctx, i.span = s.opt.Trace(r, s.fromProxy(r))
		}
		r = r.WithContext(context.WithValue(ctx, infoKey, i))
		if r.Body != nil && r.Body != http.NoBody {
			body.move()
			r.Body = body
		} else {
			body.stop()
		}
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					s.logRequest(r, i, answer, body, began, slog.LevelInfo)
					panic(p)
				}
				s.log.Error("a request panicked", "request", i.id, "panic", p, "stack", string(debug.Stack()))
				if answer.status == 0 {
					http.Error(answer, "internal error: tell the operator the request id "+i.id, http.StatusInternalServerError)
				}
			}
			s.logRequest(r, i, answer, body, began, slog.LevelInfo)
		}()
		h.ServeHTTP(answer, r)
	})
}

func (s *Server) logRequest(r *http.Request, i info, w *movingWriter, body *movingBody, began time.Time, level slog.Level) {
	if i.span != nil {
		i.span.End(*i.operation, i.id, w.status, body.read(), w.written)
	}
	if probe(r) {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("request", i.id),
		slog.String("method", r.Method),
		slog.String("url", redact(r.URL)),
		slog.Int("status", w.status),
		slog.Int64("in", body.read()),
		slog.Int64("out", w.written),
		slog.Duration("took", time.Since(began).Round(10*time.Microsecond)),
		slog.String("addr", i.addr),
	}
	if i.span != nil {
		attrs = append(attrs, slog.String("trace", i.span.ID()))
	}
	if *i.operation != "" {
		attrs = append(attrs, slog.String("operation", *i.operation))
	}
	for header, name := range map[string]string{"X-WOPI-CorrelationId": "correlation", "X-WOPI-SessionId": "session"} {
		if v := r.Header.Get(header); v != "" {
			attrs = append(attrs, slog.String(name, printable(v, 100)))
		}
	}
	if v := w.Header().Get("X-WOPI-ServerError"); v != "" {
		attrs = append(attrs, slog.String("error", v))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// probe says whether a request is a health probe.
func probe(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// requestID takes the id that the client or a proxy gave, if it is a sane one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 || id != printable(id, 64) {
		return strings.ToLower(rand.Text()[:16])
	}
	return id
}

// printable keeps the printable ASCII of a text, up to a length.
func printable(s string, n int) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s[:min(n, len(s))])
}

// movingBody is a request's body whose read deadline moves on with every byte,
// so that a sender who stalls is cut, and a slow one is not.
type movingBody struct {
	rc      io.ReadCloser
	control *http.ResponseController
	stall   time.Duration

	mu    sync.Mutex // guards the two
	n     int64
	moved time.Time // when the deadline was last set
}

func (b *movingBody) move() {
	b.mu.Lock()
	defer b.mu.Unlock()
	// Setting a deadline is a system call's worth of work; a tenth of the
	// stall time is exact enough.
	if now := time.Now(); now.Sub(b.moved) > b.stall/10 {
		b.moved = now
		_ = b.control.SetReadDeadline(now.Add(b.stall)) // a test's recorder has none
	}
}

// stop takes the deadline away: there is nothing to wait for, and a deadline
// that passed would look as if the client had gone.
func (b *movingBody) stop() { _ = b.control.SetReadDeadline(time.Time{}) }

func (b *movingBody) read() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// Read implements io.Reader.
func (b *movingBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	if n > 0 {
		b.mu.Lock()
		b.n += int64(n)
		b.mu.Unlock()
		b.move()
	}
	if err == io.EOF {
		b.stop()
	}
	return n, err
}

// Close implements io.Closer.
func (b *movingBody) Close() error { return b.rc.Close() }

// movingWriter is an answer whose write deadline moves on with every piece
// that the client has taken.
type movingWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	direct  bool // to a connection that the kernel can send files to
	moved   time.Time
	status  int
	written int64
}

func (w *movingWriter) move() {
	if now := time.Now(); now.Sub(w.moved) > w.stall/10 {
		w.moved = now
		_ = w.control.SetWriteDeadline(now.Add(w.stall))
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *movingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *movingWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *movingWriter) Write(p []byte) (int, error) {
	w.begin()
	w.move()
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

func (w *movingWriter) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
}

// rangeWriter is a source that writes itself, such as library.Section: it hands
// over the files that it is made of, one after the other.
type rangeWriter interface {
	WriteNTo(w io.Writer, n int64) (int64, error)
}

// ReadFrom implements io.ReaderFrom, so that a file goes to the connection
// without passing through this process.
func (w *movingWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	if limited, ok := r.(*io.LimitedReader); ok {
		switch src := limited.R.(type) {
		case rangeWriter:
			n, err := src.WriteNTo(w, limited.N)
			limited.N -= n
			return n, err
		case *os.File:
			// The kernel sends it if the answer goes to the connection as it is.
			to, ok := w.ResponseWriter.(io.ReaderFrom)
			if ok && w.direct && w.Header().Get("Content-Length") != "" {
				n, err := w.sendFile(to, src, limited.N)
				limited.N -= n
				return n, err
			}
		}
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}

// looks is how often in the stall time it is looked whether a client takes
// anything of a file that the kernel sends.
const looks = 4

// sendFile sends the next n bytes of a file, or what it has. It gives the file to
// the kernel in one go, since that is the fastest, and looks from time to time
// whether anything has moved.
func (w *movingWriter) sendFile(to io.ReaderFrom, f *os.File, n int64) (sent int64, err error) {
	// What was written before must be gone: to does not tell when that fails.
	w.move()
	if err := w.control.Flush(); err != nil {
		return 0, err
	}
	moved := time.Now()
	defer func() { w.moved = time.Time{} }() // the deadline is nearer than move believes
	for sent < n {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.stall / looks))
		m, err := to.ReadFrom(&io.LimitedReader{R: f, N: n - sent})
		sent += m
		w.written += m
		if m > 0 {
			moved = time.Now()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(moved) < w.stall {
			continue
		}
		if err != nil || m == 0 {
			return sent, err
		}
	}
	return sent, nil
}

// SameOrigin says whether a browser sent a request from one of our own pages,
// by its own word: Sec-Fetch-Site, or else Origin. What is no browser sends
// neither, and passes. It is for requests that a cookie vouches for.
func SameOrigin(r *http.Request, public *url.URL) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == public.Scheme+"://"+public.Host
}
