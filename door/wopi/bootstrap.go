package wopi

import (
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// BootstrapperPath is where Bootstrapper is served.
const BootstrapperPath = "/wopibootstrapper"

// SignIn is what the bootstrapper's challenge says of how to sign in (WOPI §6).
type SignIn struct {
	AuthorizePath string // of the OAuth 2.0 authorization endpoint
	TokenPath     string // of the token endpoint
	ProviderID    string // that Microsoft has given, [A-Za-z0-9_]; may be empty
	URLSchemes    string // JSON with the apps' schemes by platform; may be empty
}

// challenge is the WWW-Authenticate of every 401.
func (d *Door) challenge() string {
	s := d.opt.SignIn
	text := `Bearer authorization_uri="` + d.base() + s.AuthorizePath + `",tokenIssuance_uri="` + d.base() + s.TokenPath + `"`
	if s.ProviderID != "" {
		text += `,providerId="` + s.ProviderID + `"`
	}
	if s.URLSchemes != "" {
		text += `,UrlSchemes="` + strings.ReplaceAll(url.QueryEscape(s.URLSchemes), "+", "%20") + `"`
	}
	return text
}

// bootstrap is the first member of every answer.
type bootstrap struct {
	EcosystemURL     string       `json:"EcosystemUrl"`
	UserID           quire.UserID `json:"UserId"`
	SignInName       string
	UserFriendlyName string
}

// accessTokenInfo is the answer to GET_NEW_ACCESS_TOKEN.
type accessTokenInfo struct {
	AccessToken       string
	AccessTokenExpiry int64 // ms since 1970 UTC
}

// bootstrapAnswer is an answer with the member of one shortcut.
type bootstrapAnswer struct {
	Bootstrap         bootstrap
	RootContainerInfo *containerAnswer  `json:",omitempty"`
	AccessTokenInfo   *accessTokenInfo  `json:",omitempty"`
	EndPoints         *endPoints        `json:",omitempty"`
	WopiSrcInfo       map[string]string `json:",omitempty"`
}

// Bootstrapper returns the handler that native Office apps begin at: with an
// OAuth 2.0 token, and never a WOPI token, they get a token for the ecosystem,
// and by a shortcut what they would ask for next (WOPI §6).
func (d *Door) Bootstrapper() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Door: d, ctx: r.Context(), w: w, r: r}
		w.Header().Set("X-WOPI-MachineName", d.machine)
		w.Header().Set("X-WOPI-ServerVersion", asciiLine(d.opt.Version))
		w.Header().Set("Cache-Control", "no-store")
		err := c.bootstrapper()
		if errors.Is(err, quire.ErrUnauthenticated) {
			w.Header().Set("WWW-Authenticate", d.challenge())
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err != nil {
			c.fail(err)
		}
	})
}

// oauthToken reads the token. Some clients write a colon after the scheme.
func oauthToken(r *http.Request) string {
	scheme, text, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !strings.EqualFold(strings.TrimSuffix(scheme, ":"), "Bearer") {
		return ""
	}
	return strings.TrimSpace(text)
}

func (c *call) bootstrapper() error {
	access, err := c.ids.OAuth(c.ctx, oauthToken(c.r))
	if err != nil {
		return err
	}
	if c.caller, err = access.Caller(); err != nil {
		return quire.ErrUnauthenticated // its scope is not for files: sign in again
	}
	c.caller.Door, c.caller.Addr = quire.DoorWOPI, server.ClientAddr(c.ctx)
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodPost {
		c.w.Header().Set("Allow", "GET, POST")
		return &statusError{http.StatusMethodNotAllowed, "use GET or POST"}
	}
	if err := c.sessionContext(); err != nil {
		return err
	}
	// This starts a lifetime; all that the answer hands out shares it.
	c.tok = token{User: c.caller.User, ReadOnly: !access.Has(identity.ScopeWrite), expires: time.Now().Add(c.opt.TokenLife).Truncate(time.Millisecond)}
	ecosystem, err := c.pointer(theEcosystem, "")
	if err != nil {
		return err
	}
	out := bootstrapAnswer{Bootstrap: bootstrap{EcosystemURL: ecosystem, UserID: access.User.ID, SignInName: access.User.Login, UserFriendlyName: access.User.Name}}
	if c.r.Method == http.MethodPost {
		if err := c.shortcut(&out); err != nil {
			return err
		}
	}
	return c.answer(out)
}

// shortcut adds what X-WOPI-EcosystemOperation asks for. What is not known is
// left out, and the app asks the ecosystem.
func (c *call) shortcut(out *bootstrapAnswer) error {
	switch c.header("X-WOPI-EcosystemOperation") {
	case "GET_ROOT_CONTAINER":
		root, err := c.rootContainer()
		if err != nil {
			return err
		}
		out.RootContainerInfo = &root
	case "GET_NEW_ACCESS_TOKEN":
		return c.newAccessToken(out)
	case "GET_WOPI_SRC_WITH_ACCESS_TOKEN":
		u, err := c.wopiSrcOf(c.header("X-WOPI-HostNativeFileName"))
		if err != nil {
			return err
		}
		out.WopiSrcInfo = map[string]string{"Url": u}
	}
	return nil
}

// newAccessToken makes a token for a WopiSrc, which must be one of ours, there,
// and open to the user.
func (c *call) newAccessToken(out *bootstrapAnswer) error {
	rest, ok := strings.CutPrefix(c.header("X-WOPI-WopiSrc"), c.base()+"/wopi/")
	if !ok {
		return quire.ErrNotFound
	}
	rest, _, _ = strings.Cut(rest, "?")
	kind, sub, err := c.target(rest)
	if err != nil || sub != "" || kind == theEcosystem {
		return quire.ErrNotFound
	}
	e, err := c.lib.Stat(c.ctx, c.caller, c.id)
	if err != nil {
		return err
	}
	if e.IsContainer() != (kind == aContainer) || e.IsContainer() && c.rev != 0 {
		return quire.ErrNotFound
	}
	if c.rev != 0 {
		if _, _, err := c.lib.Revision(c.ctx, c.caller, c.id, c.rev); err != nil {
			return err
		}
	}
	t := c.tok
	t.Kind, t.Node, t.Revision = kind, e.ID, c.rev
	text, err := c.mint(c.ctx, t, t.expires)
	if err != nil {
		return err
	}
	out.AccessTokenInfo = &accessTokenInfo{text, t.expires.UnixMilli()}
	if kind == aFile && c.rev == 0 {
		out.EndPoints = c.endPoints(path.Ext(e.Name))
	}
	return nil
}

// sessionContext takes note of what the sign-in gave the app to hand back: the
// site, as account/instance. Users are in one site, so another one's name here is
// worth a line in the log and nothing else.
func (c *call) sessionContext() error {
	text := c.header("X-WOPI-SessionContext")
	if text == "" {
		return nil
	}
	s, _, err := c.lib.SiteOf(c.ctx, c.caller)
	if err != nil {
		return err
	}
	c.log.Info("session context", "request", server.RequestID(c.ctx), "context", asciiLine(text), "site", s.Account+"/"+s.Instance,
		"matches", text == s.Account+"/"+s.Instance)
	return nil
}
