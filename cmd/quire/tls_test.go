package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// writeCert makes a certificate of its own for a host name and writes it to
// cert.pem and key.pem, as a tool that renews does: beside, then renamed.
func writeCert(t testing.TB, folder, host string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, b := range map[string][]byte{"key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), "cert.pem": cert} {
		if err := os.WriteFile(filepath.Join(folder, "new"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "new"), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// freePort is a port that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// at is a client that finds every host at one address, and trusts a pool.
func at(t testing.TB, addr string, pool *x509.CertPool) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func body(t *testing.T, resp *http.Response, err error) (*http.Response, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestCertificateFiles: HTTPS with HTTP/2 and HSTS; a new certificate is taken
// up without a restart, and a broken one is not; plain HTTP is sent on.
func TestCertificateFiles(t *testing.T) {
	folder := t.TempDir()
	first := writeCert(t, folder, "docs.example.test", 1)
	plain := "127.0.0.1:" + freePort(t)
	s, err := launch(t.TempDir(), "--tls-cert", filepath.Join(folder, "cert.pem"), "--tls-key", filepath.Join(folder, "key.pem"),
		"--public-url", "https://docs.example.test", "--redirect-listen", plain, "--hsts", "1h")
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	serial := func(pool *x509.CertPool) int64 {
		t.Helper()
		resp, err := at(t, s.listen, pool).Get("https://docs.example.test/healthz")
		resp, text := body(t, resp, err)
		if resp.ProtoMajor != 2 || text != "ok\n" {
			t.Errorf("%s: %q", resp.Proto, text)
		}
		if got := resp.Header.Get("Strict-Transport-Security"); got != "max-age=3600" {
			t.Errorf("Strict-Transport-Security %q", got)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(first); got != 1 {
		t.Errorf("certificate %d", got)
	}
	second := writeCert(t, folder, "docs.example.test", 2)
	if got := serial(second); got != 2 {
		t.Errorf("a renewed certificate is not taken up: %d", got)
	}
	if err := os.WriteFile(filepath.Join(folder, "cert.pem"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(second); got != 2 {
		t.Errorf("after a broken certificate: %d", got)
	}
	third := writeCert(t, folder, "docs.example.test", 3)
	if got := serial(third); got != 3 {
		t.Errorf("after a broken certificate and a right one: %d", got)
	}
	if _, err := tls.Dial("tcp", s.listen, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}

	client := at(t, plain, nil)
	for _, test := range []struct {
		method, path, to string
		status           int
	}{
		{"GET", "/files/a%2fb?x=1", "https://docs.example.test/files/a%2fb?x=1", 308},
		{"HEAD", "/", "https://docs.example.test/", 308},
		{"GET", "//evil.example/", "https://docs.example.test//evil.example/", 308},
		{"POST", "/api/v1/file/put", "", 403},
	} {
		r, err := http.NewRequest(test.method, "http://other.example"+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		resp, _ = body(t, resp, err)
		if resp.StatusCode != test.status || resp.Header.Get("Location") != test.to {
			t.Errorf("%s %s: %d to %q", test.method, test.path, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

// authority is a real ACME server that finds every host on this machine.
func authority(t *testing.T, httpPort, tlsPort string) (directory, trust string, pool *x509.CertPool) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)})
		}
		_ = w.WriteMsg(m) // the authority asks again
	})}
	go func() { _ = names.ActivateAndServe() }() // ends with the test
	t.Cleanup(func() { _ = names.Shutdown() })

	port := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	silent := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	certs := ca.New(silent, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 7776000}})
	checks := va.New(silent, port(httpPort), port(tlsPort), false, l.Addr().String(), store)
	front := wfe.New(silent, store, checks, certs, nil, false, false, 1, 1)
	srv := httptest.NewTLSServer(front.Handler())
	t.Cleanup(srv.Close)
	trust = filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(certs.GetRootCert(0).Cert)
	return srv.URL + wfe.DirectoryPath, trust, pool
}

// TestACME: the server gets a certificate from a real authority at the first
// connection, uses the same one after a restart, and gets none for other names.
func TestACME(t *testing.T) {
	tlsPort, httpPort := freePort(t), freePort(t)
	directory, trust, pool := authority(t, httpPort, tlsPort)
	t.Setenv("SSL_CERT_FILE", trust)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	data := t.TempDir()
	var last *x509.Certificate
	for range 2 {
		s, err := launch(data, "--listen", "127.0.0.1:"+tlsPort, "--redirect-listen", "127.0.0.1:"+httpPort,
			"--acme-host", "docs.example.test", "--acme-directory", directory)
		if err != nil {
			t.Fatal(err)
		}
		if want := "https://docs.example.test:" + tlsPort; s.url != want {
			t.Errorf("the public URL is %s, not %s", s.url, want)
		}
		resp, err := at(t, s.listen, pool).Get("https://docs.example.test/healthz")
		if err != nil {
			s.kill()
			t.Fatalf("%v\n%s", err, s.log)
		}
		resp, _ = body(t, resp, err)
		cert := resp.TLS.PeerCertificates[0]
		if last != nil && !bytes.Equal(last.Raw, cert.Raw) {
			t.Error("a restart forgot the certificate")
		}
		last = cert
		if resp, err := at(t, s.listen, pool).Get("https://other.example.test/healthz"); err == nil {
			resp.Body.Close()
			t.Error("a certificate for another name")
		} else if x := new(x509.UnknownAuthorityError); errors.As(err, x) {
			t.Error(err)
		}
		s.kill()
	}
}

// TestTLSSettings: what cannot be right stops the start, with a sentence.
func TestTLSSettings(t *testing.T) {
	folder := t.TempDir()
	writeCert(t, folder, "docs.example.test", 1)
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--tls-cert", cert}, "give both or none"},
		{[]string{"--tls-cert", key, "--tls-key", cert}, "setting tls-cert, tls-key"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--acme-host", "a.example.org"}, "not both"},
		{[]string{"--redirect-listen", "127.0.0.1:0"}, "there is no HTTPS"},
		{[]string{"--acme-host", "localhost"}, "is no host name"},
		{[]string{"--acme-host", "https://a.example.org"}, "is no host name"},
		{[]string{"--acme-host", "a.example.org", "--acme-directory", "http://a.example.org"}, "must begin with https://"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--redirect-listen", "127.0.0.1:0", "--public-url", "http://a.example.org"}, "is not https://"},
		{[]string{"--hsts=-1h"}, "negative"},
	} {
		s, err := launch(t.TempDir(), test.args...)
		if err == nil {
			s.kill()
			t.Errorf("%q: the server started", test.args)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v", test.args, err)
		}
	}
}
