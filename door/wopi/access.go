package wopi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// AccessPath is where AccessAPI is served.
const AccessPath = "/api/v1/wopi/url"

// AccessAPI returns the handler that gives whoever has a personal access token
// what a WOPI client needs for a file or folder: its WopiSrc, an access token
// and when that expires. It is how programs without a browser come by WOPI
// tokens, and is no part of WOPI itself: POST with uid or path in the query or a
// form, and revision for an old one; errors are those of the file API. A token
// that may only read gives one that may only read.
func (d *Door) AccessAPI() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Door: d, ctx: r.Context(), w: w, r: r}
		w.Header().Set("Cache-Control", "no-store")
		access, err := c.giveAccess()
		if err == nil {
			err = c.answer(access)
		}
		if err != nil {
			c.explain(err)
		}
	})
}

func (c *call) giveAccess() (Access, error) {
	if c.r.Method != http.MethodPost {
		c.w.Header().Set("Allow", http.MethodPost)
		return Access{}, &statusError{http.StatusMethodNotAllowed, "use POST"}
	}
	scheme, text, ok := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Access{}, quire.ErrUnauthenticated
	}
	if err := server.Admit(c.r); err != nil {
		return Access{}, err
	}
	caller, err := c.ids.Bearer(c.ctx, strings.TrimSpace(text))
	if err != nil {
		return Access{}, err
	}
	if err := server.AdmitUser(c.ctx, caller.User); err != nil {
		return Access{}, err
	}
	caller.Door, caller.Addr = quire.DoorFileAPI, server.ClientAddr(c.ctx)
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, 64<<10)
	if err := c.r.ParseForm(); err != nil {
		return Access{}, &quire.Invalid{What: "form", Reason: "it cannot be read"}
	}
	uid, path := c.r.Form.Get("uid"), c.r.Form.Get("path")
	if (uid == "") == (path == "") {
		return Access{}, &quire.Invalid{What: "parameter", Reason: "name the file by uid or by path"}
	}
	var revision int64
	if text := c.r.Form.Get("revision"); text != "" {
		if revision, err = strconv.ParseInt(text, 10, 64); err != nil || revision < 1 {
			return Access{}, &quire.Invalid{What: "parameter revision", Reason: "it is no revision's number"}
		}
	}
	var e library.Entry
	if path != "" {
		e, err = c.lib.Lookup(c.ctx, caller, path)
	} else {
		e, err = c.lib.Stat(c.ctx, caller, quire.NodeID(uid))
	}
	if err != nil {
		return Access{}, err
	}
	return c.Grant(c.ctx, caller, e.ID, revision, "", caller.Scope == quire.ScopeRead)
}

// explain answers an error in the file API's shape.
func (c *call) explain(err error) {
	status := c.status(err)
	msg := err.Error()
	if status == http.StatusInternalServerError {
		c.log.Error("a request failed", "request", server.RequestID(c.ctx), "error", err)
		msg = "internal error: tell the operator the request id " + server.RequestID(c.ctx)
	}
	code := map[int]string{
		http.StatusBadRequest: "bad_parameter", http.StatusUnauthorized: "unauthorized", http.StatusNotFound: "not_found",
		http.StatusMethodNotAllowed: "method_not_allowed", http.StatusServiceUnavailable: "unavailable",
		http.StatusTooManyRequests: "too_many",
	}[status]
	if code == "" {
		code = "internal"
	}
	if errors.Is(err, quire.ErrUnauthenticated) {
		c.w.Header().Set("WWW-Authenticate", "Bearer")
	}
	b, err := json.Marshal(map[string]string{"error": code, "msg": msg})
	if err != nil {
		c.log.Error("an answer could not be made", "error", err)
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b) // the client's loss
}
