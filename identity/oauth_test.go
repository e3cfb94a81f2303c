package identity_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/identity"
)

// ahead puts the catalog's clock forward.
func (f *fixture) ahead(by time.Duration) { f.skew.Store(int64(by)) }

// FuzzRedirect: what a client may be registered with, a browser can be sent to,
// and to nowhere else.
func FuzzRedirect(f *testing.F) {
	for _, s := range []string{"https://a.example/cb", "http://localhost:1/", "app:/x", "javascript:x", "https://a@b/", "https://a/#", "https://a/../b", "//a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if identity.CheckRedirect(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Fragment != "" || u.User != nil || u.Scheme == "" || u.Scheme == "javascript" || strings.ContainsAny(text, " \r\n\t#") {
			t.Errorf("%q is taken", text)
		}
		if u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" {
			t.Errorf("%q is taken", text)
		}
	})
}

// TestGrantLives: a code lives minutes, an access token an hour, an authorization
// without a refresh token no longer than that.
func TestGrantLives(t *testing.T) {
	f := open(t)
	c, secret, err := f.CreateClient(f.ctx, identity.NewClient{Name: "x", Redirects: []string{"https://localhost"}})
	if err != nil || secret == "" {
		t.Fatal(err)
	}
	cookie, err := f.StartSession(f.ctx, f.user.ID, "", "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Session(f.ctx, cookie)
	if err != nil {
		t.Fatal(err)
	}
	code := func(scope ...string) string {
		t.Helper()
		text, err := f.Authorize(f.ctx, s, identity.Request{Client: c, Scope: scope, Redirect: "https://localhost"}, "", "")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	old := code("read")
	f.ahead(identity.CodeLife + time.Second)
	if _, err := f.Redeem(f.ctx, c, old, "https://localhost", ""); !errors.Is(err, quire.ErrUnauthenticated) {
		t.Errorf("an old code: %v", err)
	}
	f.ahead(0)
	g, err := f.Redeem(f.ctx, c, code("read", "offline_access"), "https://localhost", "")
	if err != nil || time.Until(g.Authorization.Expires) < identity.RefreshLife-time.Hour {
		t.Fatalf("%v %v", g.Authorization.Expires, err)
	}
	f.ahead(identity.RefreshLife + time.Minute)
	if _, err := f.Refresh(f.ctx, c, g.Refresh, nil); !errors.Is(err, quire.ErrUnauthenticated) {
		t.Errorf("an old refresh token: %v", err)
	}
	f.ahead(0)
	if apps, err := f.Apps(f.ctx, f.user.ID); err != nil || len(apps) != 1 {
		t.Errorf("%v %v", apps, err)
	}
	f.ahead(identity.RefreshLife + time.Minute)
	if apps, err := f.Apps(f.ctx, f.user.ID); err != nil || len(apps) != 0 {
		t.Errorf("past its time: %v %v", apps, err)
	}
}

// TestLockOut: guesses are counted for the pair of a name and an address early,
// for either alone later, and a right password forgets those of the pair.
func TestLockOut(t *testing.T) {
	f := open(t)
	guess := func(login, password, addr string) error {
		_, err := f.SignIn(f.ctx, login, password, addr)
		return err
	}
	locked := func(err error) bool {
		var e *quire.Unavailable
		return errors.As(err, &e) && e.Excess && e.After > 0
	}
	for range 4 {
		if err := guess("ann", "wrong", "a"); !errors.Is(err, quire.ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if err := guess("ann", "correct horse", "a"); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := guess("ann", "wrong", "a"); !errors.Is(err, quire.ErrUnauthenticated) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if err := guess("ann", "correct horse", "a"); !locked(err) {
		t.Errorf("after five: %v", err)
	}
	if err := guess("ann", "correct horse", "b"); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	f.ahead(16 * time.Second)
	if err := guess("ann", "wrong", "a"); !errors.Is(err, quire.ErrUnauthenticated) {
		t.Errorf("after the pause: %v", err)
	}
	f.ahead(32 * time.Second)
	if err := guess("ann", "correct horse", "a"); !locked(err) {
		t.Errorf("the pause did not grow: %v", err)
	}
	f.ahead(47 * time.Second)
	if err := guess("ann", "correct horse", "a"); err != nil {
		t.Errorf("after the longer pause: %v", err)
	}
}

// TestIDKeysRotate: a new key signs each month; the old one is shown for as long
// as what it signed is looked at.
func TestIDKeysRotate(t *testing.T) {
	f := open(t)
	sign := func() string {
		t.Helper()
		text, err := f.SignIDToken(f.ctx, map[string]string{"sub": "x"})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	keys := func() (ids []string) {
		t.Helper()
		set, err := f.IDKeys(f.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range set.Keys {
			if !k.IsPublic() || !k.Valid() {
				t.Errorf("key %s", k.KeyID)
			}
			ids = append(ids, k.KeyID)
		}
		return ids
	}
	const day = 24 * time.Hour
	first := sign()
	if ids := keys(); len(ids) != 1 {
		t.Fatalf("%v", ids)
	}
	f.ahead(31 * day)
	second := sign()
	if ids := keys(); len(ids) != 2 {
		t.Errorf("%v", ids)
	}
	for what, text := range map[string]string{"the first": first, "the second": second} {
		if err := f.VerifyIDToken(f.ctx, text, &struct{}{}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.ahead(62 * day)
	third := sign()
	if ids := keys(); len(ids) != 2 {
		t.Errorf("%v", ids)
	}
	if err := f.VerifyIDToken(f.ctx, first, &struct{}{}); err == nil {
		t.Error("the first is verified for ever")
	}
	if err := f.VerifyIDToken(f.ctx, third, &struct{}{}); err != nil {
		t.Error(err)
	}
}
