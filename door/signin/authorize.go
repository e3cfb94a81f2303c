package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/server"
)

// The endpoints of the authorization server.
const (
	authorizePath  = "/oauth2/authorize"
	consentPath    = "/oauth2/consent"
	tokenPath      = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	userInfoPath   = "/oauth2/userinfo"
	keysPath       = "/oauth2/keys"
)

// AuthorizePath and TokenPath are what the WOPI bootstrapper names in its
// challenge.
const (
	AuthorizePath = authorizePath
	TokenPath     = tokenPath
)

// since is our own parameter of the authorize page: the time, in Unix
// milliseconds, that the session must not be older than. It stands for
// prompt=login while the user signs in.
const since = "since"

// The bounds of what a client may send, in bytes.
const (
	maxState = 4096
	maxQuery = 16 << 10
)

// authorization is what the query of the authorize page asks for.
type authorization struct {
	identity.Request
	state   string
	prompt  []string
	maxAge  time.Duration // below 0: any
	notOld  time.Time     // the session must not have begun before
	hint    string        // who is meant (login_hint)
	idToken string        // who is meant (id_token_hint)
}

// wrong is an error that the client is told by a redirect (RFC 6749 §4.1.2.1).
type wrong struct{ code, text string }

func (e *wrong) Error() string { return e.code + ": " + e.text }

// errNoWay is a request whose client or redirect URI is not known: nobody can be
// sent anywhere (RFC 6749 §3.1.2.4).
var errNoWay = errors.New("the client or its redirect URI is not known")

// parse checks a request of the authorize page. With a *wrong the rest is good
// enough to send the browser back with.
func (d *Door) parse(ctx context.Context, q url.Values) (a authorization, err error) {
	a.maxAge = -1
	for _, name := range []string{"client_id", "redirect_uri"} {
		if len(q[name]) != 1 {
			return a, errNoWay
		}
	}
	a.Client, err = d.ids.Client(ctx, identity.ClientID(q.Get("client_id")))
	if errors.Is(err, quire.ErrNotFound) {
		return a, errNoWay
	}
	if err != nil {
		return a, err
	}
	a.Redirect = q.Get("redirect_uri")
	if !slices.Contains(a.Client.Redirects, a.Redirect) {
		return a, errNoWay
	}
	if len(q.Get("state")) > maxState {
		return a, &wrong{"invalid_request", "the state is too long"}
	}
	a.state = q.Get("state")
	for name, values := range q {
		if len(values) > 1 {
			return a, &wrong{"invalid_request", "the parameter " + printable(name) + " is there twice"}
		}
	}
	switch {
	case q.Get("request") != "":
		return a, &wrong{"request_not_supported", "send the parameters in the query"}
	case q.Get("request_uri") != "":
		return a, &wrong{"request_uri_not_supported", "send the parameters in the query"}
	case q.Get("response_type") == "":
		return a, &wrong{"invalid_request", "response_type is missing"}
	case q.Get("response_type") != "code":
		return a, &wrong{"unsupported_response_type", "use code"}
	case q.Get("response_mode") != "" && q.Get("response_mode") != "query":
		return a, &wrong{"invalid_request", "response_mode must be query"}
	}
	if a.Scope, err = identity.GrantedScope(a.Client, strings.Fields(q.Get("scope"))); err != nil {
		return a, &wrong{"invalid_scope", "the client may ask for " + a.Client.Scope}
	}
	a.Challenge = q.Get("code_challenge")
	switch method := q.Get("code_challenge_method"); {
	case a.Challenge == "" && (method != "" || len(a.Client.Hash) == 0):
		return a, &wrong{"invalid_request", "code_challenge is missing: a public client must use PKCE"}
	case a.Challenge != "" && method != "S256":
		return a, &wrong{"invalid_request", "code_challenge_method must be S256"}
	case a.Challenge != "" && (len(a.Challenge) != 43 || strings.ContainsFunc(a.Challenge, notBase64)):
		return a, &wrong{"invalid_request", "code_challenge is no SHA-256 in base64url"}
	}
	if a.Nonce = q.Get("nonce"); len(a.Nonce) > 512 {
		return a, &wrong{"invalid_request", "the nonce is too long"}
	}
	a.prompt = strings.Fields(q.Get("prompt"))
	for _, p := range a.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) || p == "none" && len(a.prompt) > 1 {
			return a, &wrong{"invalid_request", "prompt must be none, or login, consent and select_account"}
		}
	}
	if text := q.Get("max_age"); text != "" {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return a, &wrong{"invalid_request", "max_age is no number of seconds"}
		}
		a.maxAge = time.Duration(n) * time.Second
	}
	if text := q.Get(since); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > time.Now().Add(time.Minute).UnixMilli() {
			return a, &wrong{"invalid_request", "since is no time"}
		}
		a.notOld = time.UnixMilli(ms)
	}
	a.hint, a.idToken = q.Get("login_hint"), q.Get("id_token_hint")
	return a, nil
}

func notBase64(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 50)]
}

// asks says whether the user must see a page of one kind.
func (a authorization) asks(prompt string) bool { return slices.Contains(a.prompt, prompt) }

// fresh says whether a session is new enough for what was asked.
func (a authorization) fresh(s identity.Session) bool {
	return (a.maxAge < 0 || time.Since(s.Created) <= a.maxAge) && !s.Created.Before(a.notOld.Truncate(time.Second))
}

// authorize is the authorization endpoint (RFC 6749 §3.1; OpenID Connect Core
// §3.1.2). It is the sign-in page for who is not signed in.
func (d *Door) authorize(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.RawQuery) > maxQuery {
		d.page(w, http.StatusRequestURITooLong, "problem", d.view(r, "problem").because("unreadable"))
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		d.page(w, http.StatusBadRequest, "problem", d.view(r, "problem").because("unreadable"))
		return
	}
	a, err := d.parse(r.Context(), q)
	if err != nil {
		d.refuse(w, r, a, err)
		return
	}
	s, in, err := d.session(r.Context(), r)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	if a.asks("none") {
		d.authorizeSilently(w, r, a, s, in)
		return
	}
	switch {
	case a.asks("login") || a.asks("select_account"):
		// What the page after this one must know is that the session is newer
		// than now.
		q.Set(since, strconv.FormatInt(time.Now().UnixMilli(), 10))
		rest := slices.DeleteFunc(a.prompt, func(p string) bool { return p == "login" || p == "select_account" })
		q.Set("prompt", strings.Join(rest, " "))
		if len(rest) == 0 {
			q.Del("prompt")
		}
		fallthrough
	case !in || !a.fresh(s):
		v := d.view(r, "signin")
		v.Next, v.Login, v.Client = authorizePath+"?"+q.Encode(), a.hint, a.Client.Name
		d.signInForm(w, r, http.StatusOK, v)
		return
	}
	if err := d.meant(r.Context(), a, s); err != nil {
		d.refuse(w, r, a, err)
		return
	}
	needs, err := d.ids.NeedsConsent(r.Context(), s.Owner, a.Request)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	if needs || a.asks("consent") {
		d.consentForm(w, r, http.StatusOK, a, s, d.view(r, "consent"))
		return
	}
	d.grant(w, r, a, s)
}

// authorizeSilently serves prompt=none: an answer without any page.
func (d *Door) authorizeSilently(w http.ResponseWriter, r *http.Request, a authorization, s identity.Session, in bool) {
	if !in || !a.fresh(s) {
		d.refuse(w, r, a, &wrong{"login_required", "nobody is signed in"})
		return
	}
	if err := d.meant(r.Context(), a, s); err != nil {
		d.refuse(w, r, a, err)
		return
	}
	needs, err := d.ids.NeedsConsent(r.Context(), s.Owner, a.Request)
	switch {
	case err != nil:
		d.fail(w, r, err)
	case needs:
		d.refuse(w, r, a, &wrong{"consent_required", "the user has not agreed yet"})
	default:
		d.grant(w, r, a, s)
	}
}

// meant refuses a session that is not that of the user in an id_token_hint.
func (d *Door) meant(ctx context.Context, a authorization, s identity.Session) error {
	if a.idToken == "" {
		return nil
	}
	var claims struct {
		Issuer  string       `json:"iss"`
		Subject quire.UserID `json:"sub"`
	}
	if err := d.ids.VerifyIDToken(ctx, a.idToken, &claims); err != nil || claims.Issuer != d.issuer() {
		return &wrong{"invalid_request", "id_token_hint is no token of this server"}
	}
	if claims.Subject != s.Owner {
		return &wrong{"login_required", "somebody else is signed in"}
	}
	return nil
}

// authorizeByPost turns a request that was posted into one that was not: a
// browser sends no cookie with a form of another site.
func (d *Door) authorizeByPost(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		d.page(w, http.StatusBadRequest, "problem", d.view(r, "problem").because("unreadable"))
		return
	}
	http.Redirect(w, r, authorizePath+"?"+r.Form.Encode(), http.StatusSeeOther)
}

func (d *Door) consentForm(w http.ResponseWriter, r *http.Request, status int, a authorization, s identity.Session, v view) {
	v.Client, v.Name, v.Form = a.Client.Name, s.Caller.Name, s.FormToken()
	v.Action = consentPath + "?" + r.URL.RawQuery
	v.Host = a.Redirect
	if u, err := url.Parse(a.Redirect); err == nil && u.Host != "" {
		v.Host = u.Host
	}
	for _, s := range a.Scope {
		if s == identity.ScopeRead && slices.Contains(a.Scope, identity.ScopeWrite) {
			continue // the other one says it all
		}
		v.Wants = append(v.Wants, v.Text["scope_"+s])
	}
	w.Header().Set("Content-Security-Policy", policy(formActionOf(a.Redirect)))
	d.page(w, status, "consent", v)
}

// consent takes the answer to the consent page, which only the user can have
// seen: it carries the session's form token.
func (d *Door) consent(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || len(r.URL.RawQuery) > maxQuery {
		d.page(w, http.StatusBadRequest, "problem", d.view(r, "problem").because("unreadable"))
		return
	}
	a, err := d.parse(r.Context(), r.URL.Query())
	if err != nil {
		d.refuse(w, r, a, err)
		return
	}
	s, in, err := d.session(r.Context(), r)
	switch {
	case err != nil:
		d.fail(w, r, err)
		return
	case !in:
		v := d.view(r, "signin")
		v.Next, v.Client = authorizePath+"?"+r.URL.RawQuery, a.Client.Name
		d.signInForm(w, r, http.StatusUnauthorized, v)
		return
	case !server.SameOrigin(r, d.opt.PublicURL) || !s.ValidForm(r.PostForm.Get("form")):
		d.consentForm(w, r, http.StatusForbidden, a, s, d.view(r, "consent").because("outdated"))
		return
	}
	if err := d.meant(r.Context(), a, s); err != nil {
		d.refuse(w, r, a, err)
		return
	}
	if r.PostForm.Get("answer") != "allow" {
		d.refuse(w, r, a, &wrong{"access_denied", "the user did not agree"})
		return
	}
	d.grant(w, r, a, s)
}

// grant sends the browser back to the client with a code.
func (d *Door) grant(w http.ResponseWriter, r *http.Request, a authorization, s identity.Session) {
	code, err := d.ids.Authorize(r.Context(), s, a.Request, r.UserAgent(), server.ClientAddr(r.Context()))
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := url.Values{"code": {code}, "iss": {d.issuer()}} // iss: RFC 9207
	if a.Client.Office {
		site, _, err := d.lib.SiteOf(r.Context(), s.Caller)
		if err != nil {
			d.fail(w, r, err)
			return
		}
		v.Set("sc", site.Account+"/"+site.Instance)
		v.Set("tk", d.issuer()+tokenPath)
	}
	d.back(w, r, a, v)
}

// refuse tells the client, or where there is none to tell the user, why not.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, a authorization, err error) {
	var e *wrong
	switch {
	case errors.As(err, &e):
		d.back(w, r, a, url.Values{"error": {e.code}, "error_description": {e.text}, "iss": {d.issuer()}})
	case errors.Is(err, errNoWay):
		d.page(w, http.StatusBadRequest, "problem", d.view(r, "problem").because("unknownclient"))
	default:
		d.fail(w, r, err)
	}
}

// back redirects to the client's redirect URI, which parse has found among those
// that it may use.
func (d *Door) back(w http.ResponseWriter, r *http.Request, a authorization, v url.Values) {
	u, err := url.Parse(a.Redirect)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	if a.state != "" {
		v.Set("state", a.state)
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += v.Encode()
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusFound)
}

// formAction is the policy for the forms of a page that goes on to a place of
// ours: where that is the authorize page, the client that it ends at is allowed.
func (d *Door) formAction(ctx context.Context, next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Path != authorizePath {
		return formActionOf("")
	}
	a, err := d.parse(ctx, u.Query())
	var e *wrong
	if err != nil && !errors.As(err, &e) {
		return formActionOf("")
	}
	return formActionOf(a.Redirect)
}

func formActionOf(redirect string) string {
	u, err := url.Parse(redirect)
	switch {
	case err != nil || redirect == "":
		return "'self'"
	case u.Scheme == "http" || u.Scheme == "https":
		return "'self' " + u.Scheme + "://" + u.Host
	}
	return "'self' " + u.Scheme + ":"
}

// metadata is the authorization server's description (RFC 8414).
func (d *Door) metadata(w http.ResponseWriter, _ *http.Request) {
	b, err := json.Marshal(d.description())
	if err != nil {
		d.log.Error("an answer could not be made", "error", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = w.Write(b) // the client's loss
}

// description is what clients may know of this server (OpenID Connect Discovery
// §3, RFC 8414 §2).
func (d *Door) description() map[string]any {
	at := func(path string) string { return d.issuer() + path }
	return map[string]any{
		"issuer":                                         d.issuer(),
		"authorization_endpoint":                         at(authorizePath),
		"token_endpoint":                                 at(tokenPath),
		"introspection_endpoint":                         at(introspectPath),
		"revocation_endpoint":                            at(revokePath),
		"userinfo_endpoint":                              at(userInfoPath),
		"jwks_uri":                                       at(keysPath),
		"scopes_supported":                               identity.Scopes(),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
		"revocation_endpoint_auth_methods_supported":     []string{"client_secret_basic", "client_secret_post", "none"},
		"introspection_endpoint_auth_methods_supported":  []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"claims_supported":                               []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "azp", "at_hash", "name", "preferred_username", "email", "email_verified"},
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		"ui_locales_supported":                           []string{"en", "de"},
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"claims_parameter_supported":                     false,
		"authorization_response_iss_parameter_supported": true,
	}
}
