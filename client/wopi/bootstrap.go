package wopi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Challenge is what a bootstrapper answers who is not signed in (WOPI §6).
type Challenge struct {
	AuthorizationURI string
	TokenIssuanceURI string
	ProviderID       string
	URLSchemes       string // JSON
}

var challengePart = regexp.MustCompile(`([A-Za-z_]+)="([^"]*)"\s*(,|$)\s*`)

// ParseChallenge reads the WWW-Authenticate headers of a 401, among which there
// must be exactly one of the scheme Bearer.
func ParseChallenge(values []string) (c Challenge, err error) {
	found := 0
	for _, v := range values {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		found++
		for rest = strings.TrimSpace(rest); rest != ""; {
			m := challengePart.FindStringSubmatch(rest)
			if m == nil || !strings.HasPrefix(rest, m[0]) || m[3] == "," && len(m[0]) == len(rest) {
				return c, fmt.Errorf("the challenge cannot be read from %.100q on", rest)
			}
			rest = rest[len(m[0]):]
			switch m[1] {
			case "authorization_uri":
				c.AuthorizationURI = m[2]
			case "tokenIssuance_uri":
				c.TokenIssuanceURI = m[2]
			case "providerId":
				c.ProviderID = m[2]
			case "UrlSchemes":
				if c.URLSchemes, err = url.PathUnescape(m[2]); err != nil {
					return c, fmt.Errorf("UrlSchemes: %w", err)
				}
			}
		}
	}
	switch {
	case found != 1:
		return c, fmt.Errorf("there are %d Bearer challenges, not one", found)
	case c.AuthorizationURI == "" || c.TokenIssuanceURI == "":
		return c, errors.New("the challenge lacks authorization_uri or tokenIssuance_uri")
	}
	return c, nil
}

// App is a native app that finds its way into a host by the bootstrapper.
type App struct {
	HTTP         *http.Client // nil is http.DefaultClient
	ClientID     string
	ClientSecret string // empty for a public client
	Redirect     string // the registered redirect URI
	Scope        string
	// SignIn lets the user sign in at a URL, and returns the URL that the browser
	// was sent back to.
	SignIn func(ctx context.Context, authorize string) (back string, err error)
	// Tell is told of each step, before what it is made of is used.
	Tell func(step, what string)
}

// Walk goes the whole way of a mobile app: the challenge, the sign-in, the token,
// Bootstrap, the root container, its children, and a file's CheckFileInfo and
// GetFile with a token of its own; and then a refresh of the token if there is
// one. It returns the first step that is not as WOPI says.
func (a App) Walk(ctx context.Context, bootstrapper string) error {
	w := walk{App: a, ctx: ctx, at: bootstrapper}
	if w.HTTP == nil {
		w.HTTP = http.DefaultClient
	}
	for _, step := range []func() error{w.challenged, w.authorized, w.issued, w.bootstrapped, w.rooted, w.listed, w.opened, w.refreshed} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// walk is the state of one Walk.
type walk struct {
	App
	ctx context.Context
	at  string

	challenge Challenge
	verifier  string
	code      string
	tokenURL  string // of the token endpoint: the challenge's, or tk
	session   string // sc
	access    string
	refresh   string
	root      Resource
	file      Resource
	name      string
}

func (w *walk) tell(step, format string, args ...any) {
	if w.Tell != nil {
		w.Tell(step, fmt.Sprintf(format, args...))
	}
}

func (w *walk) challenged() error {
	a, err := w.ask(http.MethodGet, "")
	if err != nil {
		return err
	}
	if a.Status != http.StatusUnauthorized {
		return fmt.Errorf("without a token the bootstrapper answers %d, not 401", a.Status)
	}
	if w.challenge, err = ParseChallenge(a.Header.Values("WWW-Authenticate")); err != nil {
		return err
	}
	w.tokenURL = w.challenge.TokenIssuanceURI
	w.tell("challenge", "401; sign in at %s", w.challenge.AuthorizationURI)
	return nil
}

// ask calls the bootstrapper.
func (w *walk) ask(method, operation string, headers ...string) (Answer, error) {
	r, err := http.NewRequestWithContext(w.ctx, method, w.at, nil)
	if err != nil {
		return Answer{}, err
	}
	if w.access != "" {
		r.Header.Set("Authorization", "Bearer "+w.access)
	}
	if w.session != "" {
		r.Header.Set("X-WOPI-SessionContext", w.session)
	}
	if operation != "" {
		r.Header.Set("X-WOPI-EcosystemOperation", operation)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.send(r)
}

func (w *walk) send(r *http.Request) (Answer, error) {
	once := *w.HTTP
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := once.Do(r)
	if err != nil {
		return Answer{}, redact(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return Answer{resp.StatusCode, resp.Header, b}, err
}

func (w *walk) authorized() error {
	u, err := url.Parse(w.challenge.AuthorizationURI)
	if err != nil {
		return err
	}
	w.verifier = rand.Text() + rand.Text()
	state := rand.Text()
	sum := sha256.Sum256([]byte(w.verifier))
	q := u.Query()
	for k, v := range map[string]string{
		"client_id": w.ClientID, "redirect_uri": w.Redirect, "response_type": "code", "scope": w.Scope, "state": state,
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256",
		"rs": "en-US", "Build": "16.0.1", "platform": "iOS", "app": "word",
	} {
		q.Set(k, v)
	}
	u.RawQuery = q.Encode()
	back, err := w.SignIn(w.ctx, u.String())
	if err != nil {
		return err
	}
	b, err := url.Parse(back)
	if err != nil {
		return err
	}
	got := b.Query()
	switch {
	case got.Get("error") != "":
		return fmt.Errorf("the sign-in was refused: %s: %s", got.Get("error"), got.Get("error_description"))
	case got.Get("state") != state:
		return errors.New("the sign-in came back with another state")
	case got.Get("code") == "":
		return errors.New("the sign-in came back without a code")
	}
	w.code, w.session = got.Get("code"), got.Get("sc")
	if tk := got.Get("tk"); tk != "" {
		w.tokenURL = tk
	}
	w.tell("authorize", "302; a code for %s%s", w.Redirect, map[bool]string{true: ", with a session context"}[w.session != ""])
	return nil
}

// issue makes a request to the token endpoint.
func (w *walk) issue(form url.Values) error {
	form.Set("client_id", w.ClientID)
	if w.ClientSecret != "" {
		form.Set("client_secret", w.ClientSecret)
	}
	r, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w.session != "" {
		r.Header.Set("X-WOPI-SessionContext", w.session)
	}
	a, err := w.send(r)
	if err != nil {
		return err
	}
	var t struct {
		Access  string      `json:"access_token"`
		Type    string      `json:"token_type"`
		Expires json.Number `json:"expires_in"`
		Refresh string      `json:"refresh_token"`
		Error   string      `json:"error"`
		Text    string      `json:"error_description"`
	}
	if err := a.JSON(&t); err != nil {
		return fmt.Errorf("the token endpoint: %w", err)
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("the token endpoint answers %d: %s: %s", a.Status, t.Error, t.Text)
	}
	life, err := t.Expires.Int64()
	switch {
	case t.Access == "" || !strings.EqualFold(t.Type, "bearer"):
		return errors.New("the token endpoint's answer lacks access_token, or token_type is not bearer")
	case err != nil || life < 0:
		return fmt.Errorf("expires_in is %q, no number of seconds", t.Expires)
	}
	w.access, w.refresh = t.Access, t.Refresh
	w.tell("token", "200; expires in %d s%s", life, map[bool]string{true: ", with a refresh token"}[t.Refresh != ""])
	return nil
}

func (w *walk) issued() error {
	return w.issue(url.Values{"grant_type": {"authorization_code"}, "code": {w.code}, "redirect_uri": {w.Redirect}, "code_verifier": {w.verifier}})
}

// bootstrapAnswer is what the bootstrapper tells, with any shortcut.
type bootstrapAnswer struct {
	Bootstrap struct {
		EcosystemURL     string `json:"EcosystemUrl"`
		UserID           string `json:"UserId"`
		SignInName       string
		UserFriendlyName string
	}
	RootContainerInfo struct {
		ContainerPointer pointer
	}
	AccessTokenInfo struct {
		AccessToken       string
		AccessTokenExpiry int64
	}
}

func (w *walk) bootstrap(method, operation string, headers ...string) (b bootstrapAnswer, err error) {
	a, err := w.ask(method, operation, headers...)
	if err != nil {
		return b, err
	}
	if a.Status != http.StatusOK {
		return b, fmt.Errorf("the bootstrapper answers %s %s with %d", method, operation, a.Status)
	}
	if err := a.JSON(&b); err != nil {
		return b, err
	}
	if b.Bootstrap.EcosystemURL == "" || b.Bootstrap.UserID == "" || b.Bootstrap.SignInName == "" {
		return b, errors.New("the Bootstrap property lacks EcosystemUrl, UserId or SignInName")
	}
	return b, nil
}

func (w *walk) bootstrapped() error {
	b, err := w.bootstrap(http.MethodGet, "")
	if err != nil {
		return err
	}
	w.tell("Bootstrap", "200; %s (%s)", b.Bootstrap.SignInName, b.Bootstrap.UserFriendlyName)
	eco, err := Resource{HTTP: w.HTTP}.Open(b.Bootstrap.EcosystemURL)
	if err != nil {
		return err
	}
	a, err := eco.Get(w.ctx, "")
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("CheckEcosystem answers %d", a.Status)
	}
	if err != nil {
		return err
	}
	w.tell("CheckEcosystem", "200; %s", strings.TrimSpace(string(a.Body)))
	return nil
}

func (w *walk) rooted() error {
	b, err := w.bootstrap(http.MethodPost, "GET_ROOT_CONTAINER")
	if err != nil {
		return err
	}
	if w.root, err = (Resource{HTTP: w.HTTP}).Open(b.RootContainerInfo.ContainerPointer.Url); err != nil {
		return fmt.Errorf("RootContainerInfo: %w", err)
	}
	w.tell("GET_ROOT_CONTAINER", "200; %q", b.RootContainerInfo.ContainerPointer.Name)
	return nil
}

func (w *walk) listed() error {
	a, err := w.root.Get(w.ctx, "/children")
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("EnumerateChildren answers %d", a.Status)
	}
	if err != nil {
		return err
	}
	var list struct{ ChildContainers, ChildFiles []pointer }
	if err := a.JSON(&list); err != nil {
		return err
	}
	w.tell("EnumerateChildren", "200; %d folders, %d files", len(list.ChildContainers), len(list.ChildFiles))
	if len(list.ChildFiles) == 0 {
		return nil
	}
	w.name = list.ChildFiles[0].Name
	w.file, err = w.root.Open(list.ChildFiles[0].Url)
	return err
}

func (w *walk) opened() error {
	if w.file.Src == "" {
		w.tell("CheckFileInfo", "left out: the root container has no file")
		return nil
	}
	b, err := w.bootstrap(http.MethodPost, "GET_NEW_ACCESS_TOKEN", "X-WOPI-WopiSrc", w.file.Src)
	if err != nil {
		return err
	}
	expires := time.UnixMilli(b.AccessTokenInfo.AccessTokenExpiry)
	if b.AccessTokenInfo.AccessToken == "" || !expires.After(time.Now()) {
		return errors.New("AccessTokenInfo lacks a token that has not expired")
	}
	w.file.Token = b.AccessTokenInfo.AccessToken
	w.tell("GET_NEW_ACCESS_TOKEN", "200; for %q, until %s", w.name, expires.UTC().Format(time.RFC3339))
	info, err := w.file.Info(w.ctx)
	if err != nil {
		return err
	}
	if info.Size == nil || info.Version == nil {
		return errors.New("CheckFileInfo lacks Size or Version")
	}
	w.tell("CheckFileInfo", "200; %d bytes, version %s", *info.Size, *info.Version)
	a, err := w.file.Get(w.ctx, "/contents")
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK || int64(len(a.Body)) != min(*info.Size, maxAnswer) {
		return fmt.Errorf("GetFile answers %d with %d of %d bytes", a.Status, len(a.Body), *info.Size)
	}
	w.tell("GetFile", "200; %d bytes", len(a.Body))
	return nil
}

func (w *walk) refreshed() error {
	if w.refresh == "" {
		w.tell("refresh", "left out: there is no refresh token")
		return nil
	}
	if err := w.issue(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.refresh}}); err != nil {
		return err
	}
	_, err := w.bootstrap(http.MethodGet, "")
	return err
}
