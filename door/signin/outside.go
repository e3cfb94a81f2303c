package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/server"
)

// Outside is a provider of OpenID Connect that people may sign in at.
type Outside struct {
	Name         string // on the button
	Issuer       string
	ClientID     string
	ClientSecret string // empty for a public client
	Scopes       []string
	// LoginClaim is the claim that is a new user's login, and that existing users
	// are found by; empty is email.
	LoginClaim string
	// Domains are those of e-mail addresses whose owners get an account when they
	// first sign in; empty is nobody.
	Domains []string
	// TrustEmail takes an address for verified even if the provider does not say
	// so, as some never do.
	TrustEmail bool
	// Link lets a user who exists be found by the login claim, once.
	Link bool
	// Site is where new users are made, and Access what they may do there.
	Site   func(context.Context) (quire.SiteID, error)
	Access quire.Access
}

const (
	outsideCallback = "/signin/outside/callback"
	outsidePurpose  = "outside-sign-in"
	outsideLife     = 10 * time.Minute
)

// provider is an Outside with what was learnt from it.
type provider struct {
	Outside
	redirect string

	mu    sync.Mutex // guards party
	party rp.RelyingParty
}

// nonceKey carries the nonce to the verifier of an id token.
type nonceKey struct{}

// learn returns the provider's endpoints and keys. They are asked for when first
// needed, so a provider that is down does not keep this server from starting.
func (p *provider) learn(ctx context.Context) (rp.RelyingParty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.party != nil {
		return p.party, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	party, err := rp.NewRelyingPartyOIDC(ctx, p.Issuer, p.ClientID, p.ClientSecret, p.redirect, p.Scopes,
		rp.WithHTTPClient(&http.Client{Timeout: 10 * time.Second}),
		rp.WithVerifierOpts(
			rp.WithIssuedAtOffset(time.Minute),
			rp.WithSupportedSigningAlgorithms(algorithms()...),
			rp.WithNonce(func(ctx context.Context) string { s, _ := ctx.Value(nonceKey{}).(string); return s }),
		))
	if err != nil {
		return nil, err
	}
	p.party = party
	return party, nil
}

// journey is what the browser carries to the provider and back, in a cookie.
type journey struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"x"`
}

func (d *Door) journeyCookie(value string) *http.Cookie {
	c := &http.Cookie{Name: "quire-outside", Value: value, Path: "/signin", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(outsideLife.Seconds()), Secure: d.secure()}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// beginOutside sends the browser to the provider.
func (d *Door) beginOutside(w http.ResponseWriter, r *http.Request) {
	party, err := d.outside.learn(r.Context())
	if err != nil {
		d.log.Warn("the outside provider cannot be reached", "issuer", d.outside.Issuer, "error", err)
		v := d.view(r, "signin").because("outsidedown")
		v.Next = localPath(r.URL.Query().Get("next"))
		d.signInForm(w, r, http.StatusBadGateway, v)
		return
	}
	j := journey{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), localPath(r.URL.Query().Get("next"))}
	b, err := json.Marshal(j)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	text, err := d.ids.Sign(r.Context(), outsidePurpose, b, time.Now().Add(outsideLife))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	http.SetCookie(w, d.journeyCookie(text))
	sum := sha256.Sum256([]byte(j.Verifier))
	to := rp.AuthURL(j.State, party, rp.WithCodeChallenge(base64.RawURLEncoding.EncodeToString(sum[:])), rp.AuthURLOpt(rp.WithURLParam("nonce", j.Nonce)))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// endOutside takes the provider's answer. The cookie ties it to the browser that
// asked, so nobody can be signed in as somebody else by a link.
func (d *Door) endOutside(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, d.journeyCookie(""))
	v := d.view(r, "signin")
	q := r.URL.Query()
	var j journey
	if c, err := r.Cookie("quire-outside"); err == nil {
		if b, _, err := d.ids.Open(r.Context(), outsidePurpose, c.Value); err == nil {
			_ = json.Unmarshal(b, &j) // an empty one is refused below
		}
	}
	if j.State == "" || subtle.ConstantTimeCompare([]byte(j.State), []byte(q.Get("state"))) != 1 {
		d.signInForm(w, r, http.StatusBadRequest, v.because("outdated"))
		return
	}
	v.Next = localPath(j.Next)
	if q.Get("error") != "" || q.Get("code") == "" {
		d.log.Info("the outside provider refused", "error", printable(q.Get("error")), "description", printable(q.Get("error_description")))
		d.signInForm(w, r, http.StatusUnauthorized, v.because("outsiderefused"))
		return
	}
	if iss := q.Get("iss"); iss != "" && iss != d.outside.Issuer { // RFC 9207
		d.signInForm(w, r, http.StatusBadRequest, v.because("outsiderefused"))
		return
	}
	party, err := d.outside.learn(r.Context())
	if err != nil {
		d.signInForm(w, r, http.StatusBadGateway, v.because("outsidedown"))
		return
	}
	ctx := context.WithValue(r.Context(), nonceKey{}, j.Nonce)
	got, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, q.Get("code"), party, rp.WithCodeVerifier(j.Verifier))
	if err != nil {
		d.log.Warn("an outside sign-in failed", "issuer", d.outside.Issuer, "error", err)
		d.signInForm(w, r, http.StatusUnauthorized, v.because("outsiderefused"))
		return
	}
	claims, err := d.claims(ctx, party, got)
	if err != nil {
		d.log.Warn("an outside sign-in failed", "issuer", d.outside.Issuer, "error", err)
		d.signInForm(w, r, http.StatusBadGateway, v.because("outsidedown"))
		return
	}
	u, err := d.known(r.Context(), claims)
	switch {
	case errors.Is(err, errStranger), errors.Is(err, quire.ErrUnauthenticated):
		d.log.Info("somebody without an account signed in outside", "request", server.RequestID(ctx), "subject", printable(claims.subject), "error", err)
		d.signInForm(w, r, http.StatusForbidden, v.because("stranger"))
	case err != nil:
		d.fail(w, r, err)
	default:
		d.welcome(w, r, u, identity.MethodOutside, v.Next)
	}
}

// person is what a provider says of somebody.
type person struct {
	issuer, subject string
	login           string
	name            string
	email           string
	verified        bool // the provider has seen that the address is theirs
}

// claims maps the provider's claims. What the id token lacks, the userinfo
// endpoint may have.
func (d *Door) claims(ctx context.Context, party rp.RelyingParty, got *oidc.Tokens[*oidc.IDTokenClaims]) (person, error) {
	t := got.IDTokenClaims
	p := person{issuer: t.Issuer, subject: t.Subject, name: t.Name, email: t.Email, verified: bool(t.EmailVerified)}
	claim := d.outside.LoginClaim
	pick := func(claims map[string]any, username, email string) string {
		switch claim {
		case "", "email":
			return email
		case "preferred_username":
			return username
		}
		s, _ := claims[claim].(string)
		return s
	}
	p.login = pick(t.Claims, t.PreferredUsername, t.Email)
	if (p.login == "" || p.email == "") && party.UserinfoEndpoint() != "" {
		info, err := rp.Userinfo[*oidc.UserInfo](ctx, got.AccessToken, got.TokenType, t.Subject, party)
		if err != nil {
			return p, err
		}
		if p.email == "" {
			p.email, p.verified = info.Email, bool(info.EmailVerified)
		}
		if p.name == "" {
			p.name = info.Name
		}
		if p.login == "" {
			p.login = pick(info.Claims, info.PreferredUsername, info.Email)
		}
	}
	p.verified = p.email != "" && (p.verified || d.outside.TrustEmail)
	return p, nil
}

// errStranger is somebody who has no account here and gets none.
var errStranger = errors.New("no account")

// known returns the user that somebody at the provider is. Who has been here is
// known by iss and sub alone, whatever else has changed; who has not is found by
// login where the operator says so, or gets an account where their address is of
// a domain that the operator names. Nothing is decided by an address that the
// provider has not verified.
func (d *Door) known(ctx context.Context, p person) (quire.User, error) {
	u, err := d.ids.OutsideUser(ctx, p.issuer, p.subject)
	if !errors.Is(err, quire.ErrNotFound) {
		return u, err
	}
	if p.login == "" || !p.verified {
		return quire.User{}, fmt.Errorf("%w: no login, or no verified e-mail address", errStranger)
	}
	u, err = d.lib.User(ctx, p.login)
	switch {
	case err == nil && (!d.outside.Link || u.Disabled):
		return quire.User{}, fmt.Errorf("%w: the login %q is taken", errStranger, p.login)
	case errors.Is(err, quire.ErrNotFound):
		if u, err = d.newcomer(ctx, p); err != nil {
			return u, err
		}
	case err != nil:
		return u, err
	}
	return u, d.ids.LinkOutside(ctx, u.ID, p.issuer, p.subject)
}

func (d *Door) newcomer(ctx context.Context, p person) (quire.User, error) {
	_, domain, ok := strings.Cut(p.email, "@")
	if !ok || !slices.ContainsFunc(d.outside.Domains, func(s string) bool { return strings.EqualFold(strings.TrimPrefix(s, "@"), domain) }) {
		return quire.User{}, fmt.Errorf("%w: addresses at %s get none", errStranger, printable(domain))
	}
	site, err := d.outside.Site(ctx)
	if err != nil {
		return quire.User{}, err
	}
	u, err := d.lib.CreateUser(ctx, library.NewUser{Site: site, Login: p.login, Name: p.name, Email: p.email, Role: quire.RoleMember, Access: d.outside.Access})
	var invalid *quire.Invalid
	if errors.As(err, &invalid) {
		return u, fmt.Errorf("%w: %w", errStranger, err)
	}
	return u, err
}

// CheckOutside says whether the settings of an outside provider make sense.
func CheckOutside(o Outside) error {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("the issuer %q is no URL: write it as the provider does, for example https://accounts.example.org", o.Issuer)
	}
	if host := u.Hostname(); u.Scheme != "https" && (u.Scheme != "http" || host != "localhost" && host != "127.0.0.1" && host != "::1") {
		return fmt.Errorf("the issuer %q must be https", o.Issuer)
	}
	if o.ClientID == "" {
		return errors.New("the client id that the provider gave is missing")
	}
	if !slices.Contains(o.Scopes, "openid") {
		return errors.New("the scopes must have openid among them")
	}
	return nil
}
