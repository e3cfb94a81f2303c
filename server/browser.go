package server

import (
	"net/http"
	"strings"
)

// The cookies that hold what somebody chose for their browser. They are no
// secret, and the application's script sets them.
const (
	languageCookie = "quire-language"
	themeCookie    = "quire-theme"
)

// Language is the language of a page: the one that was chosen, or the first of
// those that were asked for, and then of those that the browser prefers, that is
// known; else English. It is a lower-case language tag without a region.
func Language(r *http.Request, known func(string) bool, asked ...string) string {
	if c, err := r.Cookie(languageCookie); err == nil && known(c.Value) {
		return c.Value
	}
	asked = append(asked, strings.Split(r.Header.Get("Accept-Language"), ",")...)
	for _, part := range asked {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if known(base) {
			return base
		}
	}
	return "en"
}

// Theme is light or dark if one was chosen, else nothing: the system decides.
func Theme(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err != nil || c.Value != "light" && c.Value != "dark" {
		return ""
	}
	return c.Value
}
