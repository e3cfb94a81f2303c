package wopi

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/door/wopi/proof"
	"github.com/quire-docs/quire/server"
)

// checkProof verifies the editor's signature on the request (WOPI §1). It is
// demanded where the token was made for an editor of which the operator wants
// it; otherwise a signature that is there and right is noted, since some
// headers are believed only with one.
func (c *call) checkProof() error {
	if c.opt.Editors == nil {
		return nil
	}
	carried := c.header("X-WOPI-Proof") != "" || c.header("X-WOPI-ProofOld") != ""
	editors := c.opt.Editors.Editors()
	if e, ok := c.opt.Editors.Editor(c.tok.Editor); ok {
		if !carried && !e.ProofRequired {
			return nil
		}
		err := c.verify(e)
		c.signed = err == nil
		if err != nil && e.ProofRequired {
			c.log.Warn("a request's proof was refused", "request", server.RequestID(c.ctx), "editor", e.Name, "error", err)
			return errProof
		}
		return nil
	}
	if !carried {
		return nil
	}
	for _, e := range editors {
		if c.signed = c.verify(e) == nil; c.signed {
			break
		}
	}
	return nil
}

// verify checks the signature with an editor's keys. When it fails, or
// succeeds only because keys were rotated, the discovery is read again.
func (c *call) verify(e discovery.Editor) error {
	match, err := proof.Verify(e.Keys, c.proofRequest(), time.Now())
	if err == nil && !match.Rotated() || errors.Is(err, proof.ErrMissing) || errors.Is(err, proof.ErrStale) {
		return err
	}
	if _, rerr := c.opt.Editors.Refresh(c.ctx, e.Name); rerr != nil || err == nil {
		return err
	}
	_, err = proof.Verify(c.opt.Editors.Keys(e.Name), c.proofRequest(), time.Now())
	return err
}

// proofRequest is what the editor signed: the URL as it called it, which
// behind a proxy only the configured public URL tells.
func (c *call) proofRequest() proof.Request {
	raw := ""
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		if v, ok := strings.CutPrefix(pair, "access_token="); ok {
			raw = v
			break
		}
	}
	token, err := url.QueryUnescape(raw)
	if err != nil {
		token = raw
	}
	return proof.Request{
		Token: token, RawToken: raw, URL: c.base() + c.r.RequestURI,
		Timestamp: c.header("X-WOPI-TimeStamp"), Proof: c.header("X-WOPI-Proof"), ProofOld: c.header("X-WOPI-ProofOld"),
	}
}
