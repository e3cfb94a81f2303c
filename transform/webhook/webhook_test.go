package webhook

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func forbidden(err error) bool { return errors.As(err, new(*ForbiddenError)) }

// TestForbidden: addresses that are not open to everybody, however they are
// written, are refused before a call and not dialled.
func TestForbidden(t *testing.T) {
	c := New(nil)
	for what, u := range map[string]string{
		"loopback": "http://127.0.0.1/", "loopback elsewhere": "http://127.9.9.9:80/", "localhost": "http://localhost/", "its subdomain": "http://a.localhost./", "private 10": "https://10.1.2.3/", "private 172": "http://172.31.0.1/",
		"private 192": "http://192.168.0.1/", "shared": "http://100.64.0.1/", "link-local": "http://169.254.169.254/latest/meta-data", "unspecified": "http://0.0.0.0/", "multicast": "http://224.0.0.1/", "broadcast": "http://255.255.255.255/",
		"IPv6 loopback": "http://[::1]/", "IPv6 unspecified": "http://[::]/", "ULA": "http://[fd00::1]/", "IPv6 link-local": "http://[fe80::1]/", "IPv6 with a zone": "http://[fe80::1%25eth0]/", "v4-mapped": "http://[::ffff:127.0.0.1]/", "v4-mapped in hex": "http://[::ffff:7f00:1]/",
		"v4-compatible": "http://[::127.0.0.1]/", "6to4": "http://[2002:7f00:1::]/", "Teredo": "http://[2001:0:7f00:1::1]/", "NAT64": "http://[64:ff9b::7f00:1]/", "IPv6 multicast": "http://[ff02::1]/", "documentation": "http://192.0.2.1/",
		"a number": "http://2130706433/", "hex": "http://0x7f.0.0.1/", "octal": "http://0177.0.0.1/", "short": "http://127.1/",
		"another scheme": "ftp://example.org/", "a file": "file:///etc/passwd", "gopher": "gopher://example.org/", "no host": "http:///x", "a user": "http://u:p@example.org/", "opaque": "http:example.org", "nothing": "", "endless": "https://example.org/" + strings.Repeat("x", 3000),
	} {
		if err := c.Check(u); !forbidden(err) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := c.Post(t.Context(), u, "id", nil, nil); !forbidden(err) {
			t.Errorf("%s is called: %v", what, err)
		}
	}
	for _, u := range []string{"https://example.org/x?y", "http://93.184.216.34:8080/", "https://[2606:2800:220:1:248:1893:25c8:1946]/"} {
		if err := c.Check(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	if err := New([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}).Check("http://10.1.2.3/"); err != nil {
		t.Errorf("what the operator allows: %v", err)
	}
}

// names is a name server that answers each question about IPv4 with the next of
// its addresses.
func names(t *testing.T, addresses ...string) *net.Resolver {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var asked atomic.Int64
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				i := min(int(asked.Add(1))-1, len(addresses)-1)
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: &dnsmessage.AResource{A: netip.MustParseAddr(addresses[i]).As4()}}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = l.WriteTo(out, from) // the resolver asks again
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", l.LocalAddr().String())
	}}
}

// TestRebinding: a name that resolves to an open address when it is looked at and
// to a forbidden one when it is dialled is not dialled there.
func TestRebinding(t *testing.T) {
	called := make(chan struct{}, 10)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer s.Close()
	port := s.URL[strings.LastIndexByte(s.URL, ':')+1:]
	c := New(nil)
	c.dialer.Resolver = names(t, "127.0.0.1")
	if err := c.Check("http://rebind.example.org:" + port + "/"); err != nil {
		t.Fatalf("a name: %v", err)
	}
	if _, err := c.Post(t.Context(), "http://rebind.example.org:"+port+"/", "id", nil, nil); !forbidden(err) {
		t.Errorf("it is called: %v", err)
	}
	select {
	case <-called:
		t.Error("it was called")
	default:
	}
}

// verify asks a public library, with the key in each of the forms that people give
// it in.
func verify(t *testing.T, key string, h http.Header, body []byte) (right bool) {
	t.Helper()
	for n, form := range []string{key, "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))} {
		v, err := standardwebhooks.NewWebhook(form)
		if err != nil {
			t.Fatal(err)
		}
		took := v.Verify(body, h) == nil
		if n > 0 && took != right {
			t.Errorf("key %q: as it is %v, in base64 %v", key, right, took)
		}
		right = took
	}
	return right
}

func TestPost(t *testing.T) {
	newKey, oldKey := strings.Repeat("newa", 13), strings.Repeat("old2", 13)
	type got struct {
		h    http.Header
		body []byte
	}
	calls := make(chan got, 10)
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		calls <- got{r.Header, b}
		w.Header().Set("Retry-After", "7")
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = w.Write(make([]byte, 1<<20)) // more than is read
		}
	}))
	defer s.Close()
	c := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	a, err := c.Post(t.Context(), s.URL+"/hook?x=1", "msg_1", []byte(`{"a":1}`), []string{newKey, oldKey, ""})
	if err != nil || !a.OK() {
		t.Fatal(a, err)
	}
	g := <-calls
	if string(g.body) != `{"a":1}` || g.h.Get("webhook-id") != "msg_1" || g.h.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", g.h, g.body)
	}
	if !verify(t, newKey, g.h, g.body) || !verify(t, oldKey, g.h, g.body) || verify(t, "none", g.h, g.body) || verify(t, newKey, g.h, []byte("x")) {
		t.Errorf("signature %s", g.h.Get("webhook-signature"))
	}
	for _, status = range []int{200, 301, 307, 410, 429, 500} {
		a, err := c.Post(t.Context(), s.URL, "msg_2", nil, nil)
		if err != nil || a.Status != status || a.OK() != (status == 200) || a.After != 7*time.Second {
			t.Errorf("%d: %+v %v", status, a, err)
		}
		if g := <-calls; g.h.Get("webhook-signature") != "" {
			t.Error("no key signs")
		}
	}
	if len(calls) != 0 {
		t.Error("a redirect was followed")
	}
}

// TestPerHost: only so many calls to one host are under way.
func TestPerHost(t *testing.T) {
	var now, most atomic.Int64
	arrived, leave := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		arrived <- struct{}{}
		<-leave
		now.Add(-1)
	}))
	defer s.Close()
	c := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	done := make(chan error, 3*perHost)
	for range 3 * perHost {
		go func() {
			_, err := c.Post(context.Background(), s.URL, "id", nil, nil)
			done <- err
		}()
	}
	for range perHost {
		<-arrived
	}
	close(leave)
	for range 3 * perHost {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > perHost {
		t.Errorf("%d at once", most.Load())
	}
}

// FuzzCheck: what is allowed has an open address, or a name.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1/", "http://example.org", "http://[::1]", "http://0x7f.1/", "//x", "http://a@b", "http://１２７.0.0.1/"} {
		f.Add(s)
	}
	c := New(nil)
	f.Fuzz(func(t *testing.T, text string) {
		if c.Check(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Host == "" {
			t.Errorf("%q is allowed", text)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (a.Unmap().IsPrivate() || a.Unmap().IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified()) {
			t.Errorf("%q is allowed", text)
		}
	})
}
