// Package server is the one listener of the program: limits, deadlines, the
// request log and health. Doors are http.Handlers that it is given.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Options are what an operator may set.
type Options struct {
	Logger *slog.Logger
	// Proxies are the networks whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// TLS serves HTTPS if it is not nil.
	TLS *tls.Config
	// HSTS is for how long browsers are to use nothing but HTTPS; it is told with
	// answers over HTTPS. 0 is not to tell.
	HSTS time.Duration
	// Stall is how long a request may go without a byte moving before it is
	// cut; 0 is a minute. A slow sender or reader that keeps moving is not cut.
	Stall time.Duration
	// Drain is how long running requests may take to finish when the server
	// stops; 0 is 30 seconds.
	Drain time.Duration
	// Hijacked ends the connections that handlers have taken over, such as
	// WebSockets, when the server stops: it returns when they have ended, and
	// cuts those that are left when its context does. nil is that there are none.
	Hijacked func(context.Context)
	// Trace, if it is set, begins the span of each request but the health probes',
	// in the context that it returns. Trusted says that a trusted proxy sent it. nil
	// is not to trace.
	Trace func(r *http.Request, trusted bool) (context.Context, Span)
	// Limits bound what users, addresses and uploads may take.
	Limits Limits
	// Ready says whether requests can be served: what they need answers.
	Ready func(context.Context) error
}

// Span is the trace of one request.
type Span interface {
	// ID is the trace's id, for the log.
	ID() string
	// End is told how the request was answered: what it asked for, its id, the
	// status, and the bytes of both bodies.
	End(operation, request string, status int, in, out int64)
}

// maxHeader bounds a request's line and headers, in bytes.
const maxHeader = 64 << 10

// Server serves HTTP on one address.
type Server struct {
	opt    Options
	http   *http.Server
	log    *slog.Logger
	limits *limits
}

// New returns a server for a handler.
func New(h http.Handler, opt Options) *Server {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Stall == 0 {
		opt.Stall = time.Minute
	}
	if opt.Drain == 0 {
		opt.Drain = 30 * time.Second
	}
	s := &Server{opt: opt, log: opt.Logger, limits: newLimits(opt.Limits)}
	s.http = &http.Server{
		Handler:           s.wrap(s.withHealth(h)),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: min(opt.Stall, 30*time.Second),
		IdleTimeout:       2 * time.Minute,
		TLSConfig:         opt.TLS,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if _, ok := c.(*net.TCPConn); ok {
				ctx = context.WithValue(ctx, directKey, true)
			}
			return ctx
		},
		ErrorLog: slog.NewLogLogger(opt.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve serves requests from a listener until ctx ends, then lets running
// requests finish, for as long as Options.Drain. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	done := make(chan error, 1)
	go func() {
		if s.opt.TLS != nil {
			done <- s.http.ServeTLS(l, "", "")
			return
		}
		done <- s.http.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opt.Drain)
	defer cancel()
	var taken sync.WaitGroup
	if s.opt.Hijacked != nil {
		taken.Go(func() { s.opt.Hijacked(drain) })
	}
	err := s.http.Shutdown(drain)
	if err != nil {
		err = s.http.Close() // what is still running is cut; uploads stay resumable
	}
	taken.Wait()
	if serr := <-done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// withHealth answers the questions of load balancers and supervisors.
func (s *Server) withHealth(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.opt.Ready != nil {
			ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
			defer cancel()
			if err := s.opt.Ready(ctx); err != nil {
				s.log.Warn("not ready", "error", err)
				http.Error(w, "not ready", http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("/", h)
	return mux
}

// fromProxy says whether a trusted proxy sent a request.
func (s *Server) fromProxy(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && s.trusted(peer.Addr().Unmap())
}

// clientAddr returns who a request comes from: the nearest address in
// X-Forwarded-For that is not a trusted proxy's own, if a trusted proxy sent
// it.
func (s *Server) clientAddr(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := peer.Addr().Unmap()
	if !s.trusted(addr) {
		return addr.String()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
		if !s.trusted(addr) {
			break
		}
	}
	return addr.String()
}

func (s *Server) trusted(a netip.Addr) bool {
	for _, p := range s.opt.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// secretParams are the query parameters that must not be written to a log.
var secretParams = []string{"access_token", "token", "code", "signcode", "signature", "password", "state", "refresh_token", "client_secret", "id_token_hint"}

// secretPaths are what comes in a path before something that must not be
// written to a log.
var secretPaths = []string{"/websocket/upload/"}

// redact returns a URL for the log: what gives access is left out.
func redact(u *url.URL) string {
	path := u.Path
	for _, before := range secretPaths {
		if i := strings.Index(path, before); i >= 0 {
			path = path[:i+len(before)] + "-"
		}
	}
	if u.RawQuery == "" {
		return path
	}
	q := u.Query()
	for k := range q {
		for _, secret := range secretParams {
			if strings.EqualFold(k, secret) {
				q[k] = []string{"-"}
			}
		}
	}
	return path + "?" + q.Encode()
}
