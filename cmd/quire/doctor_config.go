package main

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/quire-docs/quire/traces"
)

// check looks at the settings that need nothing else to be looked at.
func (s *serveCmd) check() error {
	for _, f := range []func() error{s.checkPublicURL, s.checkAudit, s.checkLimits, s.checkSignIn} {
		if err := f(); err != nil {
			return err
		}
	}
	if s.BlobCache < 0 || s.RedirectFrom < 0 || s.BlobCache > maxMiB || s.RedirectFrom > maxMiB {
		return &settingError{"blob-cache, redirect-from", "use a number of MiB, or 0"}
	}
	if s.Stall <= 0 || s.Drain <= 0 {
		return &settingError{"stall, drain", "use times above 0"}
	}
	return nil
}

// expiresSoon is when a certificate that is not renewed by itself is in danger.
const expiresSoon = 21 * 24 * time.Hour

// configuration looks at all of the server's settings, as the server does when it
// starts.
func (c *doctorCmd) configuration(x *examination) {
	well := true
	fails := func(err error) {
		if err != nil {
			well = false
			x.note("settings", "fail", "%v", err)
		}
	}
	fails(c.check())
	_, err := parseProxies(c.TrustedProxies)
	fails(err)
	certs, _, err := c.certificates(c.Data, slog.New(slog.DiscardHandler))
	fails(err)
	if _, err := c.set(c.Data, slog.New(slog.DiscardHandler)); err != nil {
		fails(err)
	}
	if c.Traces != "" {
		if u, err := url.Parse(c.Traces); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			fails(&settingError{"traces", "write the collector's URL like http://127.0.0.1:4318"})
		}
	}
	if well {
		x.note("settings", "ok", "the server would start with them")
	}
	if c.TLSCert != "" && certs != nil {
		c.certificate(x, certs)
	}
	if open, ok := beyond(c.AdminListen); ok && open {
		x.note("settings", "warn", "admin-listen %s asks for no password and can be reached from other machines: use 127.0.0.1, or keep others out by a firewall", c.AdminListen)
	}
	if info, err := os.Stat(c.Data); err == nil && info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		x.note("settings", "warn", "other users of this machine may look into %s: chmod 700 keeps them out", c.Data)
	}
	if (traces.Options{Collector: c.Traces}).On() && c.TraceShare == 1 {
		x.note("settings", "ok", "every request is traced; trace-share lessens that")
	}
}

// beyond says whether an address to listen on can be reached from other machines.
func beyond(listen string) (open, ok bool) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false, false
	}
	if host == "localhost" {
		return false, true
	}
	a, err := netip.ParseAddr(host)
	return err != nil || !a.IsLoopback(), true
}

// certificate looks at the certificate that the server itself serves.
func (c *doctorCmd) certificate(x *examination, conf *tls.Config) {
	cert, err := conf.GetCertificate(&tls.ClientHelloInfo{})
	var leaf *x509.Certificate
	if err == nil {
		if leaf = cert.Leaf; leaf == nil {
			leaf, err = x509.ParseCertificate(cert.Certificate[0])
		}
	}
	if err != nil {
		x.note("certificate", "fail", "%v: give a certificate and its key in PEM", err)
		return
	}
	x.expiry(leaf, time.Now())
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		if err := leaf.VerifyHostname(u.Hostname()); err != nil {
			x.note("certificate", "fail", "it is not for %s, which public-url names: %v", u.Hostname(), err)
		}
	}
}

func (x *examination) expiry(leaf *x509.Certificate, now time.Time) {
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		x.note("certificate", "fail", "it expired on %s: renew it", leaf.NotAfter.Format(time.DateOnly))
	case left < expiresSoon:
		x.note("certificate", "warn", "it expires on %s: renew it, and see that this happens by itself", leaf.NotAfter.Format(time.DateOnly))
	default:
		x.note("certificate", "ok", "it is good until %s", leaf.NotAfter.Format(time.DateOnly))
	}
}
