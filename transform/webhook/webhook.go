// Package webhook makes callbacks: signed as Standard Webhooks, and only to
// addresses that are open to everybody, whatever a name resolves to at the moment
// of the call.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// TryLimit is how long one try may take.
const TryLimit = 20 * time.Second

// perHost is how many calls to one host may be under way.
const perHost = 4

// maxAnswer is how much of an answer is read, in bytes. It says nothing.
const maxAnswer = 4 << 10

// ForbiddenError is an address that callbacks may not go to.
type ForbiddenError struct{ Reason string }

func (e *ForbiddenError) Error() string {
	return "callbacks may not go there: " + e.Reason + "; the operator can allow the network"
}

// special are the networks that are not open to everybody, or that lead to such
// by another way of writing an address.
var special = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "::1/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

// Client makes callbacks. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	dialer  *net.Dialer
	allowed []netip.Prefix

	mu    sync.Mutex // guards hosts
	hosts map[string]chan struct{}
}

// New returns a client. Allowed are networks that callbacks may go to although
// they are not open to everybody.
func New(allowed []netip.Prefix) *Client {
	c := &Client{allowed: allowed, hosts: make(map[string]chan struct{})}
	c.dialer = &net.Dialer{
		Timeout: 10 * time.Second,
		// The address that is dialled is the one that is looked at: a name that
		// resolves to another one a moment later gains nothing.
		Control: func(network, address string, _ syscall.RawConn) error {
			if network != "tcp4" && network != "tcp6" {
				return &ForbiddenError{"it is no TCP"}
			}
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return c.check(a.Addr())
		},
	}
	c.http = &http.Client{
		Timeout:       TryLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: c.dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
		},
	}
	return c
}

func (c *Client) check(a netip.Addr) error {
	a = a.WithZone("")
	for _, p := range c.allowed {
		if p.Contains(a) || p.Contains(a.Unmap()) {
			return nil
		}
	}
	// An IPv4 address in IPv6 clothes is what it is inside.
	for _, p := range special {
		if p.Contains(a.Unmap()) || p.Contains(a) && !a.Is4In6() {
			return &ForbiddenError{a.String() + " is in " + p.String()}
		}
	}
	return nil
}

// Check says whether callbacks may go to a URL, as far as that can be told
// without a call: its form, and the address if it has one instead of a name.
func (c *Client) Check(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return &ForbiddenError{"it is no URL"}
	case u.Scheme != "http" && u.Scheme != "https":
		return &ForbiddenError{"use http or https"}
	case u.User != nil:
		return &ForbiddenError{"leave the user name out"}
	case len(text) > 2000:
		return &ForbiddenError{"it is too long"}
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return c.check(netip.MustParseAddr("127.0.0.1"))
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return c.check(a)
	}
	// Numbers that some resolvers take for an address, such as 2130706433 or
	// 0x7f.1.
	if last := host[strings.LastIndexByte(host, '.')+1:]; last != "" && (last[0] >= '0' && last[0] <= '9') {
		return &ForbiddenError{"write the address as usual"}
	}
	return nil
}

// Answer is what came of a call.
type Answer struct {
	Status int
	After  time.Duration // Retry-After, if the answer has one
}

// OK says whether the call was taken.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Post makes one call: a POST of JSON with the message's id, the time, and a
// signature by each key (Standard Webhooks 1.0).
func (c *Client) Post(ctx context.Context, to, id string, body []byte, keys []string) (Answer, error) {
	if err := c.Check(to); err != nil {
		return Answer{}, err
	}
	u, err := url.Parse(to)
	if err != nil {
		return Answer{}, err
	}
	slot := c.slot(strings.ToLower(u.Host))
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Quire")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", stamp)
	if s := Signature(id, stamp, body, keys); s != "" {
		r.Header.Set("webhook-signature", s)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a secret
		}
		return Answer{}, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // it says nothing
	a := Answer{Status: resp.StatusCode}
	if text := resp.Header.Get("Retry-After"); text != "" {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			a.After = time.Duration(min(n, 24*3600)) * time.Second
		} else if t, err := http.ParseTime(text); err == nil {
			a.After = max(0, min(time.Until(t), 24*time.Hour))
		}
	}
	return a, nil
}

// slot is what limits the calls to one host.
func (c *Client) slot(host string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.hosts[host]
	if s == nil {
		if len(c.hosts) > 10_000 {
			clear(c.hosts) // a call or two more at once do no harm
		}
		s = make(chan struct{}, perHost)
		c.hosts[host] = s
	}
	return s
}

// Signature is the header webhook-signature: of each key "v1," and the HMAC-SHA256
// of "id.timestamp.body" in base64, separated by spaces. Empty keys sign nothing.
//
// The key's text signs, and what it is in base64: verifiers take a key as base64
// (Standard Webhooks 1.0, "Signature scheme"), so they are given either the key as
// it is, or its text in base64 behind whsec_.
func Signature(id, stamp string, body []byte, keys []string) string {
	var out []string
	sign := func(key []byte) {
		m := hmac.New(sha256.New, key)
		fmt.Fprintf(m, "%s.%s.", id, stamp)
		m.Write(body)
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	for _, k := range keys {
		if k == "" {
			continue
		}
		sign([]byte(k))
		if b, err := base64.StdEncoding.DecodeString(k); err == nil && len(b) > 0 {
			sign(b)
		}
	}
	return strings.Join(out, " ")
}
