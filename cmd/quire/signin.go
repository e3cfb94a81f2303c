package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/signin"
	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/library"
)

// signInSettings are what an operator may say about how people and apps sign in.
type signInSettings struct {
	OIDCIssuer     string   `help:"An outside OpenID Connect provider that people may sign in at, by its issuer URL." name:"oidc-issuer" env:"QUIRE_OIDC_ISSUER"`
	OIDCClientID   string   `help:"This server's client id there. Its redirect URI is the public URL with /signin/outside/callback." name:"oidc-client-id" env:"QUIRE_OIDC_CLIENT_ID"`
	OIDCSecret     string   `help:"This server's client secret there." name:"oidc-client-secret" env:"QUIRE_OIDC_CLIENT_SECRET"`
	OIDCName       string   `help:"What the button says: 'Sign in with NAME'." name:"oidc-name" env:"QUIRE_OIDC_NAME" default:"single sign-on"`
	OIDCScopes     []string `help:"The scopes to ask for." name:"oidc-scopes" env:"QUIRE_OIDC_SCOPES" default:"openid,profile,email" sep:","`
	OIDCLogin      string   `help:"The claim that is a new user's login." name:"oidc-login-claim" env:"QUIRE_OIDC_LOGIN_CLAIM" default:"email"`
	OIDCDomains    []string `help:"Domains whose owners of verified e-mail addresses get an account when they first sign in. Empty is nobody." name:"oidc-domains" env:"QUIRE_OIDC_DOMAINS" sep:","`
	OIDCTrustEmail bool     `help:"Take the provider's e-mail addresses for verified even where it does not say so." name:"oidc-trust-email" env:"QUIRE_OIDC_TRUST_EMAIL"`
	OIDCLink       bool     `help:"Find existing users by the login claim when they first come from the provider." name:"oidc-link" env:"QUIRE_OIDC_LINK"`
	OIDCAccess     access   `help:"What new users may do with the site's files: none, viewer, editor or owner." name:"oidc-access" env:"QUIRE_OIDC_ACCESS" default:"editor"`
	ProviderID     string   `help:"The provider id that Microsoft has given, for Office on mobile and desktop." name:"wopi-provider-id" env:"QUIRE_WOPI_PROVIDER_ID"`
	URLSchemes     string   `help:"The URL schemes of your own apps for Office's app-to-app sign-in, as JSON: {\"iOS\":[...],\"Android\":[...]}." name:"wopi-url-schemes" env:"QUIRE_WOPI_URL_SCHEMES"`
}

var providerID = regexp.MustCompile(`^[A-Za-z0-9_]*$`)

func (s *signInSettings) checkSignIn() error {
	if !providerID.MatchString(s.ProviderID) {
		return &settingError{"wopi-provider-id", "use letters, digits and underscores"}
	}
	if s.URLSchemes != "" {
		var schemes map[string][]string
		if err := json.Unmarshal([]byte(s.URLSchemes), &schemes); err != nil {
			return &settingError{"wopi-url-schemes", `it must be JSON like {"iOS":["myapp"]}: ` + err.Error()}
		}
	}
	if s.OIDCIssuer == "" {
		if s.OIDCClientID != "" || s.OIDCSecret != "" || len(s.OIDCDomains) > 0 {
			return &settingError{"oidc-issuer", "the other settings of the provider are there, but not its issuer URL"}
		}
		return nil
	}
	if err := signin.CheckOutside(*s.outside(nil)); err != nil {
		return &settingError{"oidc", err.Error()}
	}
	return nil
}

// outside is the outside provider, or nil if there is none.
func (s *signInSettings) outside(o *opened) *signin.Outside {
	if s.OIDCIssuer == "" {
		return nil
	}
	return &signin.Outside{
		Name: s.OIDCName, Issuer: s.OIDCIssuer, ClientID: s.OIDCClientID, ClientSecret: s.OIDCSecret, Scopes: s.OIDCScopes,
		LoginClaim: s.OIDCLogin, Domains: s.OIDCDomains, TrustEmail: s.OIDCTrustEmail, Link: s.OIDCLink, Access: quire.Access(s.OIDCAccess),
		Site: func(ctx context.Context) (quire.SiteID, error) {
			site, err := o.library.Site(ctx, library.DefaultAccount, library.DefaultInstance)
			return site.ID, err
		},
	}
}

func (s *signInSettings) signIn() wopi.SignIn {
	return wopi.SignIn{AuthorizePath: signin.AuthorizePath, TokenPath: signin.TokenPath, ProviderID: s.ProviderID, URLSchemes: s.URLSchemes}
}

// fromWarnings lets warnings and errors through.
type fromWarnings struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h fromWarnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}
