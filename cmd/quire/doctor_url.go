package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// How doctor asks a running server what it sees of a request that came by its
// public URL. The request carries a token that only who can read the catalog can
// make.
const (
	mirrorPath    = "/.quire/doctor"
	mirrorPurpose = "doctor"
	// mirrorBody, in bytes, is more than proxies take that have not been told to.
	mirrorBody = 2 << 20
	// claimed is an address that nobody has (RFC 5737).
	claimed = "203.0.113.77"
)

// seen is what a server saw of a request.
type seen struct {
	Version   string `json:"version"`
	Addr      string `json:"addr"` // that it took for the client's
	Peer      string `json:"peer"` // that the connection came from
	Forwarded string `json:"forwarded"`
	Host      string `json:"host"`
	TLS       bool   `json:"tls"`
	Body      int64  `json:"body"` // bytes that arrived
}

// mirror tells doctor what the server sees, and others nothing.
func mirror(ids *identity.Authority) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, _, err := ids.Open(r.Context(), mirrorPurpose, token); err != nil || r.Method != http.MethodPost {
			http.NotFound(w, r)
			return
		}
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 2*mirrorBody))
		if err != nil {
			http.Error(w, "the body did not arrive", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(seen{ // who went away needs no answer
			Version: version, Addr: server.ClientAddr(r.Context()), Peer: r.RemoteAddr,
			Forwarded: strings.Join(r.Header.Values("X-Forwarded-For"), ", "), Host: r.Host, TLS: r.TLS != nil, Body: n,
		})
	})
}

// reachable asks the server by its public URL what it sees.
func (c *doctorCmd) reachable(ctx context.Context, x *examination, o *opened) {
	const what = "public URL"
	if c.PublicURL == "" {
		x.note(what, "warn", "none is set: editors and links need the URL that others reach the server by")
		return
	}
	base, err := url.Parse(c.PublicURL)
	if err != nil || c.checkPublicURL() != nil {
		return // the finding about settings tells
	}
	if h := base.Hostname(); base.Scheme == "http" && h != "localhost" && !loopback(h) {
		x.note(what, "warn", "it is plain http: passwords and documents can be read on the way")
	}
	at := base.Scheme + "://" + base.Host
	resp, err := get(ctx, at+"/healthz", nil)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d", at+"/healthz", resp.StatusCode)
	}
	if !x.result(what, err, at+" answers from here", "see that the server runs, and that the name, the proxy and the certificate are right") {
		return
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		x.expiry(resp.TLS.PeerCertificates[0], time.Now())
	}
	token, err := o.ids.Sign(ctx, mirrorPurpose, nil, time.Now().Add(time.Minute))
	if err != nil {
		x.note(what, "fail", "%v", err)
		return
	}
	ask := func(size int) (seen, int, error) {
		resp, err := get(ctx, at+mirrorPath, make([]byte, size), "Authorization", "Bearer "+token, "X-Forwarded-For", claimed)
		if err != nil {
			return seen{}, 0, err
		}
		var got seen
		if resp.StatusCode == http.StatusOK {
			if err := json.Unmarshal(resp.body, &got); err != nil || got.Body != int64(size) {
				return got, resp.StatusCode, fmt.Errorf("%s does not answer as Quire does", at)
			}
		}
		return got, resp.StatusCode, nil
	}
	got, status, err := ask(1)
	switch {
	case err != nil:
		x.note(what, "fail", "%v: see what else answers there", err)
	case status != http.StatusOK:
		x.note(what, "fail", "%s is not the server of this catalog, or it is another version, or a proxy holds back requests (%d): see where the name and the proxy lead", at, status)
	default:
		proxies(x, base, got)
		x.body(ask(mirrorBody))
	}
}

// body tells whether large requests get through.
func (x *examination) body(_ seen, status int, err error) {
	switch {
	case err == nil && status == http.StatusOK:
		x.note("proxy", "ok", "large requests arrive")
	case status == http.StatusRequestEntityTooLarge:
		x.note("proxy", "fail", "the proxy refuses large requests (413): lift its limit, with nginx by client_max_body_size 0")
	default:
		x.note("proxy", "fail", "a request of %d MB does not arrive (%d, %v): see the proxy's limits and time-outs", mirrorBody>>20, status, err)
	}
}

// proxies says what the headers that arrived tell of the way.
func proxies(x *examination, base *url.URL, got seen) {
	const what = "proxy"
	peer := got.Peer
	if a, err := netip.ParseAddrPort(got.Peer); err == nil {
		peer = a.Addr().Unmap().String()
	}
	hops := strings.Split(got.Forwarded, ",")
	last := strings.TrimSpace(hops[len(hops)-1])
	direct := got.Forwarded == claimed // exactly what was sent: nothing in between, or nothing that adds to it
	switch {
	case got.Addr == claimed:
		x.note(what, "warn", "from here, a request may claim to come from any address: that is right only if this machine is a proxy that adds X-Forwarded-For; else narrow trusted-proxies")
	case direct && base.Scheme == "https" && !got.TLS:
		x.note(what, "warn", "the proxy at %s does not add X-Forwarded-For, so all requests seem to come from it: let it, with nginx by proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for", peer)
	case !direct && got.Addr == peer:
		x.note(what, "fail", "requests come by a proxy at %s, which is not trusted, so all seem to come from there: add it to trusted-proxies", peer)
	case !direct:
		x.note(what, "ok", "requests come by a proxy at %s, which says that this one is from %s", peer, last)
	default:
		x.note(what, "ok", "there is none on the way from here; this machine is seen as %s", got.Addr)
	}
	if !strings.EqualFold(got.Host, base.Host) {
		x.note(what, "warn", "it passes requests on for the host %q instead of %q: let it keep the name, with nginx by proxy_set_header Host $http_host", got.Host, base.Host)
	}
	if got.Version != version {
		x.note("version", "warn", "the server that runs is version %s, this program is %s: restart the server after an upgrade", got.Version, version)
	}
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// answer is a response with the beginning of its body.
type answer struct {
	*http.Response
	body []byte
}

// get sends a request: a GET, or a POST if there is a body.
func get(ctx context.Context, at string, body []byte, head ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	// A client of its own: where it is sent must be what the URL says.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = fmt.Errorf("%s: %w", at, u.Err)
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{resp, text}, err
}

// answers says whether a page is there.
func answers(ctx context.Context, at string) error {
	resp, err := get(ctx, at, nil)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d", at, resp.StatusCode)
	}
	return err
}
