package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rs/cors"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// tokenServer returns the endpoints that clients call themselves. The library
// reads and answers the requests; what they do is identity's.
func (d *Door) tokenServer() http.Handler {
	at := func(path string) *op.Endpoint { return op.NewEndpoint(path) }
	h := op.RegisterServer(&tokenServer{Door: d}, op.Endpoints{
		Token: at(tokenPath), Introspection: at(introspectPath), Revocation: at(revokePath), Userinfo: at(userInfoPath), JwksURI: at(keysPath),
	}, op.WithServerCORSOptions(&cors.Options{
		// Apps in browsers call these from anywhere. No cookie counts here.
		AllowedOrigins: []string{"*"}, AllowedMethods: []string{http.MethodGet, http.MethodPost}, AllowedHeaders: []string{"Authorization", "Content-Type", "X-WOPI-SessionContext"},
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
		if err := proper(r); err != nil {
			op.WriteError(w, r, err, nil)
			return
		}
		if c := r.Header.Get("X-WOPI-SessionContext"); c != "" && r.URL.Path == tokenPath {
			d.log.Info("session context", "request", server.RequestID(r.Context()), "context", printable(c))
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		h.ServeHTTP(&challenger{ResponseWriter: w, r: r}, r)
	})
}

// proper refuses what must not be: a secret in a query, where logs keep it (RFC
// 6749 §2.3.1), and a body that is no form.
func proper(r *http.Request) error {
	switch r.URL.Path {
	case tokenPath, introspectPath, revokePath:
	default:
		return nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method == http.MethodOptions:
		return nil
	case r.Method != http.MethodPost:
		return op.NewStatusError(oidc.ErrInvalidRequest().WithDescription("use POST"), http.StatusMethodNotAllowed)
	case r.URL.RawQuery != "":
		return oidc.ErrInvalidRequest().WithDescription("send the parameters in the body")
	case kind != "application/x-www-form-urlencoded":
		return oidc.ErrInvalidRequest().WithDescription("send a form: application/x-www-form-urlencoded")
	}
	return nil
}

// challenger adds to a 401 what it must have (RFC 6749 §5.2, RFC 6750 §3).
type challenger struct {
	http.ResponseWriter
	r *http.Request
}

func (c *challenger) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		text := `Basic realm="quire"`
		if c.r.URL.Path == userInfoPath {
			text = `Bearer error="invalid_token"`
		}
		c.Header().Set("WWW-Authenticate", text)
	}
	c.ResponseWriter.WriteHeader(status)
}

// tokenServer implements op.Server over identity.
type tokenServer struct {
	op.UnimplementedServer
	*Door
}

// client is an identity.Client as the library wants to see it.
type client struct{ identity.Client }

var _ op.Client = client{}

func (c client) GetID() string                    { return string(c.ID) }
func (c client) RedirectURIs() []string           { return c.Redirects }
func (c client) PostLogoutRedirectURIs() []string { return nil }
func (c client) AuthMethod() oidc.AuthMethod {
	if len(c.Hash) == 0 {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodBasic
}
func (c client) ApplicationType() op.ApplicationType {
	if len(c.Hash) == 0 {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (c client) LoginURL(string) string               { return authorizePath }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration       { return identity.AccessLife }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(string) bool           { return true } // identity says
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

func (s *tokenServer) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	return op.NewResponse(s.description()), nil
}

func (s *tokenServer) Keys(ctx context.Context, _ *op.Request[struct{}]) (*op.Response, error) {
	set, err := s.ids.IDKeys(ctx)
	if err != nil {
		return nil, s.internal(ctx, err)
	}
	return op.NewResponse(set), nil
}

// VerifyClient finds out which client calls (RFC 6749 §2.3).
func (s *tokenServer) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	for name, values := range r.Form {
		if len(values) > 1 {
			return nil, oidc.ErrInvalidRequest().WithDescription("the parameter %s is there twice", printable(name))
		}
	}
	if r.Data.ClientAssertion != "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("client_assertion is not supported: use the client's secret")
	}
	c, err := s.ids.VerifyClient(ctx, identity.ClientID(r.Data.ClientID), r.Data.ClientSecret)
	if errors.Is(err, quire.ErrUnauthenticated) {
		return nil, op.NewStatusError(oidc.ErrInvalidClient().WithDescription("no such client, or its secret is wrong"), http.StatusUnauthorized)
	}
	if err != nil {
		return nil, s.internal(ctx, err)
	}
	return client{c}, nil
}

func (s *tokenServer) internal(ctx context.Context, err error) error {
	s.log.Error("a request failed", "request", server.RequestID(ctx), "error", err)
	return op.NewStatusError(oidc.ErrServerError().WithDescription("tell the operator the request id %s", server.RequestID(ctx)), http.StatusInternalServerError)
}

// tokens is the answer of the token endpoint (RFC 6749 §5.1; WOPI §6). Its
// expires_in is there even if it is 0.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
}

// CodeExchange exchanges a code for tokens.
func (s *tokenServer) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	g, err := s.ids.Redeem(ctx, r.Client.(client).Client, r.Data.Code, r.Data.RedirectURI, r.Data.CodeVerifier)
	if errors.Is(err, quire.ErrUnauthenticated) {
		return nil, oidc.ErrInvalidGrant().WithDescription("the code is not good: it was used, is too old, or is another client's; or redirect_uri or code_verifier is wrong")
	}
	return s.tokens(ctx, g, err)
}

// RefreshToken exchanges a refresh token for new tokens.
func (s *tokenServer) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	g, err := s.ids.Refresh(ctx, r.Client.(client).Client, r.Data.RefreshToken, r.Data.Scopes)
	var invalid *quire.Invalid
	switch {
	case errors.Is(err, quire.ErrUnauthenticated):
		return nil, oidc.ErrInvalidGrant().WithDescription("the refresh token is not good: it was used, revoked, is too old, or is another client's")
	case errors.As(err, &invalid):
		return nil, oidc.ErrInvalidScope().WithDescription("the user did not agree to that scope")
	}
	return s.tokens(ctx, g, err)
}

func (s *tokenServer) tokens(ctx context.Context, g identity.Grant, err error) (*op.Response, error) {
	if err != nil {
		return nil, s.internal(ctx, err)
	}
	t := tokens{AccessToken: g.Access, TokenType: "bearer", ExpiresIn: int64(g.AccessLife.Seconds()), RefreshToken: g.Refresh, Scope: strings.Join(g.Scope, " ")}
	access := identity.Access{Authorization: g.Authorization, User: g.User, Scope: g.Scope}
	if access.Has(identity.ScopeOpenID) {
		if t.IDToken, err = s.idToken(ctx, access, g.Access); err != nil {
			return nil, s.internal(ctx, err)
		}
	}
	return op.NewResponse(t), nil
}

// idToken makes an id token (OpenID Connect Core §2).
func (s *tokenServer) idToken(ctx context.Context, a identity.Access, access string) (string, error) {
	now := time.Now()
	sum := sha256.Sum256([]byte(access))
	claims := userClaims(a)
	claims["iss"] = s.issuer()
	claims["aud"] = a.Authorization.Client
	claims["azp"] = a.Authorization.Client
	claims["iat"] = now.Unix()
	claims["exp"] = now.Add(identity.AccessLife).Unix()
	claims["auth_time"] = a.Authorization.SignedIn.Unix()
	claims["amr"] = strings.Fields(a.Authorization.Methods)
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	if a.Authorization.Nonce != "" {
		claims["nonce"] = a.Authorization.Nonce
	}
	return s.ids.SignIDToken(ctx, claims)
}

// userClaims are what a scope tells of its user (OpenID Connect Core §5.4). An
// address that users write themselves is verified by nobody.
func userClaims(a identity.Access) map[string]any {
	claims := map[string]any{"sub": a.User.ID}
	if a.Has(identity.ScopeProfile) {
		claims["name"], claims["preferred_username"] = a.User.Name, a.User.Login
	}
	if a.Has(identity.ScopeEmail) && a.User.Email != "" {
		claims["email"], claims["email_verified"] = a.User.Email, false
	}
	return claims
}

// UserInfo tells who an access token is of (OpenID Connect Core §5.3).
func (s *tokenServer) UserInfo(ctx context.Context, r *op.Request[oidc.UserInfoRequest]) (*op.Response, error) {
	a, err := s.ids.OAuth(ctx, r.Data.AccessToken)
	if errors.Is(err, quire.ErrUnauthenticated) {
		return nil, op.NewStatusError(oidc.ErrInvalidRequest().WithDescription("the access token is not good"), http.StatusUnauthorized)
	}
	if err != nil {
		return nil, s.internal(ctx, err)
	}
	if !a.Has(identity.ScopeOpenID) {
		return nil, op.NewStatusError(oidc.ErrInvalidScope().WithDescription("the token's scope lacks openid"), http.StatusForbidden)
	}
	return op.NewResponse(userClaims(a)), nil
}

// Introspect tells what a token stands for (RFC 7662). A client learns of its own
// tokens only.
func (s *tokenServer) Introspect(ctx context.Context, r *op.Request[op.IntrospectionRequest]) (*op.Response, error) {
	caller, err := s.VerifyClient(ctx, &op.Request[op.ClientCredentials]{Form: r.Form, Data: r.Data.ClientCredentials})
	if err != nil {
		return nil, err
	}
	a, err := s.ids.Introspect(ctx, r.Data.Token)
	if errors.Is(err, quire.ErrUnauthenticated) || err == nil && a.Authorization.Client != identity.ClientID(caller.GetID()) {
		return op.NewResponse(map[string]any{"active": false}), nil
	}
	if err != nil {
		return nil, s.internal(ctx, err)
	}
	kind := "bearer"
	if a.Refresh {
		kind = "refresh_token"
	}
	return op.NewResponse(map[string]any{
		"active": true, "scope": strings.Join(a.Scope, " "), "client_id": a.Authorization.Client, "username": a.User.Login, "token_type": kind,
		"exp": a.Expires.Unix(), "iat": a.Authorization.Used.Unix(), "sub": a.User.ID, "aud": a.Authorization.Client, "iss": s.issuer(),
	}), nil
}

// Revocation ends what a token is of (RFC 7009).
func (s *tokenServer) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if err := s.ids.Revoke(ctx, r.Client.(client).Client, r.Data.Token); err != nil {
		return nil, s.internal(ctx, err)
	}
	return op.NewResponse(struct{}{}), nil
}

var _ op.Server = (*tokenServer)(nil)

// algorithms are what outside providers may sign their id tokens with: none of
// them is a shared secret, and "none" is none of them.
func algorithms() []string {
	return []string{string(jose.RS256), string(jose.RS384), string(jose.RS512), string(jose.PS256), string(jose.ES256), string(jose.ES384), string(jose.EdDSA)}
}
