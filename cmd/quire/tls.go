package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// tlsSettings say how this server speaks HTTPS itself.
type tlsSettings struct {
	TLSCert        string        `help:"A certificate file (PEM) to serve HTTPS with. It is read again when it changes." name:"tls-cert" env:"QUIRE_TLS_CERT" type:"path"`
	TLSKey         string        `help:"The certificate's key file (PEM)." name:"tls-key" env:"QUIRE_TLS_KEY" type:"path"`
	ACMEHosts      []string      `help:"Host names to get a certificate for by ACME (Let's Encrypt), instead of files. By this you accept the authority's terms. It must reach this server at port 443, or at port 80 by redirect-listen." name:"acme-host" env:"QUIRE_ACME_HOSTS" sep:","`
	ACMEEmail      string        `help:"Where the authority may write to." name:"acme-email" env:"QUIRE_ACME_EMAIL"`
	ACMEDirectory  string        `help:"The authority's directory." name:"acme-directory" env:"QUIRE_ACME_DIRECTORY" default:"https://acme-v02.api.letsencrypt.org/directory"`
	RedirectListen string        `help:"An address where plain HTTP is sent on to HTTPS. Empty is none." name:"redirect-listen" env:"QUIRE_REDIRECT_LISTEN"`
	HSTS           time.Duration `help:"For how long browsers are to use nothing but HTTPS, told with every answer over HTTPS; 0 is not to tell." name:"hsts" env:"QUIRE_HSTS" default:"4320h"`
}

// https says whether this server speaks HTTPS itself.
func (s *tlsSettings) https() bool { return s.TLSCert != "" || len(s.ACMEHosts) > 0 }

// certificates returns how connections are secured: nil is not at all. challenge
// wraps a handler for plain HTTP so that it answers what the authority asks.
func (s *tlsSettings) certificates(data string, log *slog.Logger) (c *tls.Config, challenge func(http.Handler) http.Handler, err error) {
	challenge = func(h http.Handler) http.Handler { return h }
	switch {
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return nil, nil, &settingError{"tls-cert, tls-key", "give both or none"}
	case s.TLSCert != "" && len(s.ACMEHosts) > 0:
		return nil, nil, &settingError{"tls-cert, acme-host", "give certificate files or host names, not both"}
	case s.HSTS < 0:
		return nil, nil, &settingError{"hsts", "it is negative"}
	case s.RedirectListen != "" && !s.https():
		return nil, nil, &settingError{"redirect-listen", "there is no HTTPS to send anybody to: give tls-cert and tls-key, or acme-host"}
	case s.TLSCert != "":
		files := &certFiles{cert: s.TLSCert, key: s.TLSKey, log: log}
		if err := files.load(); err != nil {
			return nil, nil, &settingError{"tls-cert, tls-key", err.Error()}
		}
		c = &tls.Config{GetCertificate: files.get}
	case len(s.ACMEHosts) > 0:
		for _, h := range s.ACMEHosts {
			if !strings.Contains(strings.Trim(h, "."), ".") || strings.ContainsAny(h, "/:* ") {
				return nil, nil, &settingError{"acme-host", fmt.Sprintf("%q is no host name that an authority vouches for: write it like docs.example.org", h)}
			}
		}
		if u, err := url.Parse(s.ACMEDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, nil, &settingError{"acme-directory", "it must begin with https://"}
		}
		m := &autocert.Manager{
			Prompt: autocert.AcceptTOS, Email: s.ACMEEmail, HostPolicy: autocert.HostWhitelist(s.ACMEHosts...),
			Cache: autocert.DirCache(filepath.Join(data, "acme")), Client: &acme.Client{DirectoryURL: s.ACMEDirectory, UserAgent: "quire/" + version},
		}
		c, challenge = m.TLSConfig(), m.HTTPHandler
		get := c.GetCertificate
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := get(hello)
			if err != nil {
				log.Warn("there is no certificate for a connection", "host", hello.ServerName, "error", err)
			}
			return cert, err
		}
	default:
		return nil, challenge, nil
	}
	c.MinVersion = tls.VersionTLS12
	return c, challenge, nil
}

// certFiles is a certificate in files, which are read again when they change.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex // guards the rest
	seen    [2]stamp
	current *tls.Certificate
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(name string) (stamp, error) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// load reads the files if they are not those that were read last. What it has
// stays in force if they are not a certificate and its key.
func (f *certFiles) load() error {
	cert, err := stampOf(f.cert)
	key, kerr := stampOf(f.key)
	if err := errors.Join(err, kerr); err != nil {
		return err
	}
	now := [2]stamp{cert, key}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now == f.seen {
		return nil
	}
	f.seen = now // so that it is told once
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	if f.current != nil {
		f.log.Info("the certificate was read again", "until", pair.Leaf.NotAfter)
	}
	f.current = &pair
	return nil
}

// get implements tls.Config.GetCertificate. Two looks at the file system are
// little beside a handshake.
func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if err := f.load(); err != nil {
		f.log.Error("the certificate cannot be read again: the last one stays in force", "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, nil
}

// redirect serves plain HTTP until ctx ends, by sending everybody on.
func (s *tlsSettings) redirect(ctx context.Context, public *url.URL, challenge func(http.Handler) http.Handler, log *slog.Logger) error {
	if s.RedirectListen == "" {
		return nil
	}
	if public.Scheme != "https" {
		return &settingError{"redirect-listen", "public-url is not https://, so there is nowhere to send anybody to"}
	}
	l, err := net.Listen("tcp", s.RedirectListen)
	if err != nil {
		return &settingError{"redirect-listen", err.Error()}
	}
	srv := &http.Server{Handler: challenge(sendOn(public)), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the listener for plain HTTP ended", "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = srv.Close() }) // its answers are short
	return nil
}

// sendOn answers with the same address over HTTPS. What is more than a look is
// refused: it has been sent in the clear, and its sender should be told.
func sendOn(public *url.URL) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "use "+public.String(), http.StatusForbidden)
			return
		}
		to := *public
		to.Path, to.RawPath, to.RawQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
		http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
	})
}
