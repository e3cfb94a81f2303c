package identity

import "net/http"

// The cookie's name. Under TLS it has the prefix that keeps other hosts and
// plain HTTP from setting it.
const (
	plainCookie  = "quire"
	secureCookie = "__Host-quire"
)

// CookieOf returns the session cookie of a request, or "".
func CookieOf(r *http.Request) string {
	for _, name := range []string{secureCookie, plainCookie} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return c.Value
		}
	}
	return ""
}

// SetCookie gives a browser its session cookie; an empty value takes it away.
// SameSite is Lax, so that links from mail and chat open signed in.
func SetCookie(w http.ResponseWriter, value string, secure bool) {
	c := &http.Cookie{Name: plainCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(SessionLife.Seconds())}
	if secure {
		c.Name, c.Secure = secureCookie, true
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
