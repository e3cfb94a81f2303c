package signin

import (
	"net/url"
	"strings"
	"testing"

	"github.com/quire-docs/quire/identity"
)

// FuzzLocalPath: where a sign-in goes on to is a path of this server's, as every
// browser reads it.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "/files?x=1", "//evil", `/\evil`, "/\t/evil", "https://evil/", "/a//b", "/%2f%2fevil", "/oauth2/authorize?redirect_uri=https%3A%2F%2Fx"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://docs.example.org/signin")
	f.Fuzz(func(t *testing.T, next string) {
		got := localPath(next)
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t\x00") {
			t.Errorf("%q goes on to %q", next, got)
		}
		if localPath(got) != got {
			t.Errorf("%q becomes %q, which becomes %q", next, got, localPath(got))
		}
	})
}

// FuzzFormAction: no redirect URI that a client can be registered with adds a
// directive of its own to the pages' policy.
func FuzzFormAction(f *testing.F) {
	for _, s := range []string{"https://a.example/cb", "com.example.app:/cb", "http://[::1]:8080/", "https://a.example;script-src *", "x:y", "https://a.example/ 'unsafe-inline'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, redirect string) {
		if identity.CheckRedirect(redirect) != nil {
			return
		}
		text := formActionOf(redirect)
		if strings.ContainsAny(text, ";,\r\n") || len(strings.Fields(text)) > 2 {
			t.Errorf("%q gives the policy %q", redirect, text)
		}
	})
}
