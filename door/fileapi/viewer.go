package fileapi

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
	"github.com/quire-docs/quire/transform"
)

// permission is what a signed link allows.
type permission string

// The permissions: pictures, text and pages of a file; also its PDF; and the file
// itself.
const (
	mayPreview  permission = "preview"
	mayPrint    permission = "print"
	mayDownload permission = "download"
)

// gives says whether a permission gives a rendition of a type, or the file itself
// for the empty type.
func (p permission) gives(target string) bool {
	switch p {
	case mayDownload:
		return true
	case mayPrint:
		return target != ""
	}
	return target != "" && target != transform.PDF
}

// viewerLink is what a signed link says (file API, "Signatures").
type viewerLink struct {
	Account, Instance, Path, Timestamp, AppID, Username string
	Permission                                          permission
}

// text is what is signed. MD5 signs it with the secret at its end.
func (v viewerLink) text() string {
	return strings.Join([]string{v.Account, v.Instance, v.Path, v.Timestamp, v.AppID, v.Username, string(v.Permission)}, ":")
}

// signature is the HMAC-SHA256 of a link, in hex.
func (v viewerLink) signature(secret string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(v.text()))
	return hex.EncodeToString(m.Sum(nil))
}

// signcode is the MD5 that older callers work out, in hex.
func (v viewerLink) signcode(secret string) string {
	sum := md5.Sum([]byte(v.text() + ":" + secret))
	return hex.EncodeToString(sum[:])
}

// parseLink reads a link from a query. What a caller leaves out is signed as it
// takes effect: the site's usual name.
func parseLink(q url.Values, path string) (v viewerLink, signature, signcode string) {
	v = viewerLink{
		Account: q.Get("account"), Instance: q.Get("instance"), Path: path, Timestamp: q.Get("timestamp"), AppID: q.Get("app_id"), Username: q.Get("username"),
		Permission: permission(q.Get("permission")),
	}
	if v.Account == "" {
		v.Account = library.DefaultAccount
	}
	if v.Instance == "" {
		v.Instance = library.DefaultInstance
	}
	return v, strings.ToLower(q.Get("signature")), strings.ToLower(q.Get("signcode"))
}

// verify checks a link against its site.
func (v viewerLink) verify(s quire.Site, signature, signcode string, now time.Time) error {
	secret := s.Viewer.Current
	switch {
	case secret == "":
		return nil // cleared by an administrator: no signature is needed
	case signature == "" && signcode == "":
		return quire.ErrUnauthenticated
	case signature != "":
		if subtle.ConstantTimeCompare([]byte(signature), []byte(v.signature(secret))) != 1 {
			return badSignature("the signature is wrong")
		}
	case s.Viewer.NoMD5:
		return badSignature("this site takes no signcode: sign with HMAC-SHA256, as signature")
	case subtle.ConstantTimeCompare([]byte(signcode), []byte(v.signcode(secret))) != 1:
		return badSignature("the signcode is wrong")
	}
	end, err := v.end()
	if err == nil && !end.IsZero() && !now.Before(end) {
		err = &statusError{status: http.StatusUnauthorized, code: "link_expired", msg: "the link has expired: ask for a new one"}
	}
	return err
}

// end is when a link ends; the zero time if it does not.
func (v viewerLink) end() (time.Time, error) {
	if v.Timestamp == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, badParam("timestamp", "it is no number of seconds since 1970")
	}
	return time.Unix(n, 0), nil
}

func badSignature(why string) error {
	return &statusError{status: http.StatusBadRequest, code: "bad_signature", msg: why}
}

// viaLink makes the call one of a signed link's, which names a file by its path.
func (c *call) viaLink(q url.Values, path string) error {
	v, signature, signcode := parseLink(q, path)
	s, err := c.lib.Site(c.ctx, v.Account, v.Instance)
	if errors.Is(err, quire.ErrNotFound) {
		if signature == "" && signcode == "" {
			return quire.ErrUnauthenticated
		}
		return &statusError{status: http.StatusConflict, code: "no_such_account", msg: "there is no such account and instance"}
	}
	if err != nil {
		return err
	}
	if err := v.verify(s, signature, signcode, time.Now()); err != nil {
		return err
	}
	if s.Viewer.Current != "" {
		revoked, err := c.lib.ViewerLinkRevoked(c.ctx, s.ID, v.signature(s.Viewer.Current))
		if err != nil {
			return err
		}
		if revoked {
			return &statusError{status: http.StatusUnauthorized, code: "link_revoked", msg: "the link was revoked: ask for a new one"}
		}
	}
	switch v.Permission {
	case mayPreview, mayPrint, mayDownload:
	case "":
		if s.Viewer.Current != "" {
			return badParam("permission", "use preview, print or download")
		}
		v.Permission = mayDownload // the site is open
	default:
		return badParam("permission", "use preview, print or download")
	}
	name := ""
	if v.Username != "" {
		name = clip(v.Username)
	}
	c.caller = library.Viewers(s, name, "")
	c.caller.Door, c.caller.Addr = quire.DoorFileAPI, server.ClientAddr(c.ctx)
	c.link = &v
	c.log.Info("a signed link", "request", server.RequestID(c.ctx), "permission", v.Permission, "app", clip(v.AppID), "user", clip(v.Username))
	return nil
}

// notByGET refuses what changes something for a browser's session that follows a
// link.
func (c *call) notByGET() error {
	if c.session != nil && c.r.Method != http.MethodPost {
		c.w.Header().Set("Allow", http.MethodPost)
		return &statusError{status: http.StatusMethodNotAllowed, code: "method_not_allowed", msg: "use POST"}
	}
	return nil
}

func (c *call) secret(s string, err error) error {
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]string{"secret": s})
}

// getViewerSecret is get_viewer_secret.
func getViewerSecret(c *call) error { return c.secret(c.lib.ViewerSecret(c.ctx, c.caller)) }

// refreshViewerSecret is refresh_viewer_secret.
func refreshViewerSecret(c *call) error {
	if err := c.notByGET(); err != nil {
		return err
	}
	return c.secret(c.lib.RefreshViewerSecret(c.ctx, c.caller))
}

// clearViewerSecret is clear_viewer_secret.
func clearViewerSecret(c *call) error {
	if err := c.notByGET(); err != nil {
		return err
	}
	return c.secret("", c.lib.ClearViewerSecret(c.ctx, c.caller))
}

// makeLink is POST file/viewer_link: a signed link to a file, which its maker may
// read: path, permission, expires_in in seconds (none is for ever), mime,
// username and app_id. Administrators only, since the site's secret signs it.
func makeLink(c *call) error {
	secret, err := c.lib.ViewerSecret(c.ctx, c.caller)
	if err != nil {
		return err
	}
	path := c.q.Get("path")
	if path == "" {
		return badParam("path", "name the file")
	}
	if _, err := c.lib.Lookup(c.ctx, c.caller, path); err != nil {
		return err
	}
	life, err := c.number(0, "expires_in")
	if err != nil || life < 0 {
		return badParam("expires_in", "it is no number of seconds")
	}
	s, _, err := c.lib.SiteOf(c.ctx, c.caller)
	if err != nil {
		return err
	}
	u, err := ViewerURL(c.opt.PublicURL, s, secret, path, c.q.Get("permission"), c.q.Get("mime"), c.q.Get("app_id"), c.q.Get("username"), time.Duration(life)*time.Second)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]string{"url": u})
}

// revokeLink is POST file/revoke_viewer_link: it ends a signed link, which url
// gives, before its time. Administrators only.
func revokeLink(c *call) error {
	secret, err := c.lib.ViewerSecret(c.ctx, c.caller)
	if err != nil {
		return err
	}
	s, _, err := c.lib.SiteOf(c.ctx, c.caller)
	if err != nil {
		return err
	}
	signature, end, err := ReadViewerURL(c.q.Get("url"), s, secret)
	if err != nil {
		return err
	}
	if err := c.lib.RevokeViewerLink(c.ctx, c.caller, signature, end); err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]bool{"revoked": true})
}

// ReadViewerURL returns the signature and the end of a link that ViewerURL made, or
// anybody else who has the site's secret; the zero time is that of a link that does
// not end.
func ReadViewerURL(text string, s quire.Site, secret string) (signature string, end time.Time, err error) {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return "", time.Time{}, badParam("url", "give the whole link")
	}
	path := u.Query().Get("path")
	if path == "" {
		path = u.Query().Get("location") // a transform's
	}
	v, given, code := parseLink(u.Query(), path)
	signature = v.signature(secret)
	right := subtle.ConstantTimeCompare([]byte(given), []byte(signature)) == 1 || subtle.ConstantTimeCompare([]byte(code), []byte(v.signcode(secret))) == 1
	if secret == "" || v.Account != s.Account || v.Instance != s.Instance || !right {
		return "", time.Time{}, badParam("url", "it is no link that this site's secret signed, so it opens nothing")
	}
	end, err = v.end()
	return signature, end, err
}

// ViewerURL makes a signed link to the file at a path of a site. A life of 0 does
// not end.
func ViewerURL(public *url.URL, s quire.Site, secret, path, perm, mime, app, username string, life time.Duration) (string, error) {
	v := viewerLink{Account: s.Account, Instance: s.Instance, Path: path, AppID: app, Username: username, Permission: permission(perm)}
	switch v.Permission {
	case mayPreview, mayPrint, mayDownload:
	default:
		return "", badParam("permission", "use preview, print or download")
	}
	if life > 0 {
		v.Timestamp = strconv.FormatInt(time.Now().Add(life).Unix(), 10)
	}
	q := url.Values{
		"account": {v.Account}, "instance": {v.Instance}, "path": {v.Path}, "timestamp": {v.Timestamp}, "app_id": {v.AppID}, "username": {v.Username},
		"permission": {string(v.Permission)}, "signature": {v.signature(secret)},
	}
	if mime != "" {
		q.Set("mime", mime)
	}
	return strings.TrimSuffix(public.String(), "/") + "/api/v1/file/get?" + q.Encode(), nil
}
