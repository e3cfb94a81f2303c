package identity_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library/librarytest"
)

type fixture struct {
	*identity.Authority
	cat  *catalog.Store
	ctx  context.Context
	user quire.User
	// skew is how far the catalog's clock is ahead, in nanoseconds.
	skew *atomic.Int64
}

func open(t testing.TB) *fixture {
	t.Helper()
	ctx := context.Background()
	skew := new(atomic.Int64)
	clock := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	_, store := librarytest.Open(t, clock)
	cat := store.Catalog
	hash, err := identity.HashPassword(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Authority: identity.New(cat), cat: cat, ctx: ctx, skew: skew}
	f.user = quire.User{ID: "u1", Site: "s", Login: "Ann", Name: "Ann", Role: quire.RoleMember, Password: hash}
	if err := cat.Update(ctx, func(tx *catalog.Tx) error { return tx.InsertUser(&f.user) }); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) change(t testing.TB, change func(*quire.User)) {
	t.Helper()
	err := f.cat.Update(f.ctx, func(tx *catalog.Tx) error {
		u, err := tx.User(f.user.ID)
		if err != nil {
			return err
		}
		change(&u)
		return tx.UpdateUser(&u)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, quire.ErrUnauthenticated) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestPasswords(t *testing.T) {
	f := open(t)
	if u, err := f.SignIn(f.ctx, "ann", "correct horse", "192.0.2.1"); err != nil || u.ID != f.user.ID {
		t.Errorf("%v %v", u, err)
	}
	for _, try := range [][2]string{{"ann", "wrong horse"}, {"ann", ""}, {"nobody", "correct horse"}, {"ann", strings.Repeat("x", 5000)}} {
		_, err := f.SignIn(f.ctx, try[0], try[1], "192.0.2.1")
		refused(t, try[0], err)
	}
	f.change(t, func(u *quire.User) { u.Disabled = true })
	_, err := f.SignIn(f.ctx, "ann", "correct horse", "192.0.2.1")
	refused(t, "disabled", err)
	if _, err := identity.HashPassword(f.ctx, "short"); err == nil {
		t.Error("a short password was taken")
	}
	a, _ := identity.HashPassword(f.ctx, "the same one")
	b, _ := identity.HashPassword(f.ctx, "the same one")
	if a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=65536,t=3,p=2$") {
		t.Errorf("%s %s", a, b)
	}
	for _, bad := range []string{"x", "$argon2id$v=19$m=0,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAA", "$argon2i$v=19$m=65536,t=3,p=2$AAAA$AAAA"} {
		if ok, err := identity.VerifyPassword(f.ctx, bad, "x"); ok || err == nil {
			t.Errorf("%q: %v %v", bad, ok, err)
		}
	}
}

func TestBearer(t *testing.T) {
	f := open(t)
	text, k, err := f.CreateToken(f.ctx, f.user.ID, "laptop", quire.ScopeWrite, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from memory
		c, err := f.Bearer(f.ctx, text)
		if err != nil || c.User != f.user.ID || c.Scope != quire.ScopeWrite || c.Name != "Ann" {
			t.Fatalf("%+v %v", c, err)
		}
	}
	for _, bad := range []string{"", "qt_", text + "x", text[:len(text)-1], strings.Replace(text, "qt_", "xx_", 1), "qt_" + string(k.ID) + "_", "qt_none_secret", strings.Repeat("q", 1000)} {
		_, err := f.Bearer(f.ctx, bad)
		refused(t, bad, err)
	}
	// Another process changes something: what is remembered counts no more.
	f.change(t, func(u *quire.User) { u.Disabled = true })
	_, err = f.Bearer(f.ctx, text)
	refused(t, "disabled", err)
	f.change(t, func(u *quire.User) { u.Disabled = false })
	if _, err := f.Bearer(f.ctx, text); err != nil {
		t.Error(err)
	}
	if err := f.RevokeToken(f.ctx, k.ID, "somebody else"); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("revoked by another: %v", err)
	}
	if err := f.RevokeToken(f.ctx, k.ID, f.user.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.Bearer(f.ctx, text)
	refused(t, "revoked", err)
	if _, _, err := f.CreateToken(f.ctx, f.user.ID, "", quire.ScopeAdmin, 0); err == nil {
		t.Error("a member got an admin token")
	}
	short, _, err := f.CreateToken(f.ctx, f.user.ID, "", quire.ScopeRead, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, err = f.Bearer(f.ctx, short); err == nil; _, err = f.Bearer(f.ctx, short) {
		continue // until its millisecond is over
	}
	refused(t, "expired", err)
}

func TestSigned(t *testing.T) {
	f := open(t)
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	text, err := f.Sign(f.ctx, "one", []byte("payload"), expires)
	if err != nil {
		t.Fatal(err)
	}
	if p, e, err := f.Open(f.ctx, "one", text); err != nil || string(p) != "payload" || !e.Equal(expires) {
		t.Errorf("%q %v %v", p, e, err)
	}
	// Another node has the same keys.
	if _, _, err := identity.New(f.cat).Open(f.ctx, "one", text); err != nil {
		t.Error(err)
	}
	_, _, err = f.Open(f.ctx, "two", text)
	refused(t, "another purpose", err)
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		if _, _, err := f.Open(f.ctx, "one", base64.RawURLEncoding.EncodeToString(changed)); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
	old, err := f.Sign(f.ctx, "one", nil, time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.Open(f.ctx, "one", old)
	refused(t, "expired", err)
	if _, e, err := f.Open(f.ctx, "one", must(f.Sign(f.ctx, "one", nil, time.Now().Add(1000*24*time.Hour)))); err != nil || time.Until(e) > 61*24*time.Hour {
		t.Errorf("a token may live until %v (%v)", e, err)
	}
	// A key that is old is replaced, and what it signed still opens.
	f.skew.Store(int64(40 * 24 * time.Hour))
	later := identity.New(f.cat)
	fresh := must(later.Sign(f.ctx, "one", []byte("later"), time.Now().Add(time.Hour)))
	if fresh[:8] == text[:8] {
		t.Error("the key was not replaced")
	}
	if _, _, err := later.Open(f.ctx, "one", text); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	if _, _, err := f.Open(f.ctx, "one", fresh); err != nil {
		t.Errorf("a node that had the old key: %v", err)
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

func FuzzOpen(f *testing.F) {
	x := open(f)
	f.Add(must(x.Sign(x.ctx, "p", []byte("payload"), time.Now().Add(time.Hour))))
	f.Add("AAAA")
	good := must(x.Sign(x.ctx, "p", []byte("payload"), time.Now().Add(time.Hour)))
	f.Fuzz(func(t *testing.T, s string) {
		if p, _, err := x.Open(x.ctx, "p", s); err == nil && s != good && string(p) != "payload" {
			t.Errorf("%q opens as %q", s, p)
		}
	})
}

func TestSessions(t *testing.T) {
	f := open(t)
	cookie, err := f.StartSession(f.ctx, f.user.ID, "Browser", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Session(f.ctx, cookie)
	if err != nil || s.Caller.User != f.user.ID || !s.ValidForm(s.FormToken()) || s.ValidForm("") || s.ValidForm("x") {
		t.Fatalf("%+v %v", s, err)
	}
	other, _ := f.StartSession(f.ctx, f.user.ID, "", "")
	o, err := f.Session(f.ctx, other)
	if err != nil || o.ValidForm(s.FormToken()) {
		t.Errorf("one session's form token is another's (%v)", err)
	}
	for _, bad := range []string{"", cookie + "x", s.ID, strings.Repeat("a", 500)} {
		_, err := f.Session(f.ctx, bad)
		refused(t, bad, err)
	}
	if err := f.EndSession(f.ctx, "somebody else", s.ID); !errors.Is(err, quire.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := f.EndSession(f.ctx, f.user.ID, s.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.Session(f.ctx, cookie)
	refused(t, "signed out", err)
	if err := f.EndSessions(f.ctx, f.user.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.Session(f.ctx, other)
	refused(t, "signed out everywhere", err)
	third, _ := f.StartSession(f.ctx, f.user.ID, "", "")
	f.skew.Store(int64(identity.SessionLife))
	_, err = f.Session(f.ctx, third)
	refused(t, "expired", err)
}
