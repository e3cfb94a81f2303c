package discovery

import (
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"
)

// MaxURL is the longest action URL in bytes (WOPI, action URLs).
const MaxURL = 2048

// ErrURLTooLong says that an action URL would be longer than MaxURL.
var ErrURLTooLong = fmt.Errorf("the action URL would have more than %d bytes", MaxURL)

// ActionParams are the values for the placeholders of an action's URL. A
// placeholder whose value is empty or false is dropped from the URL, as is one
// that is not among these.
type ActionParams struct {
	WOPISrc string // WOPI_SOURCE: the URL of the file, without a token; required

	UILanguage           string // UI_LLCC, such as de-DE
	DataLanguage         string // DC_LLCC
	SessionContext       string // SESSION_CONTEXT; comes back as X-WOPI-SessionContext
	HostSessionID        string // HOST_SESSION_ID
	ActivityNavigationID string // ACTIVITY_NAVIGATION_ID
	ThemeID              string // THEME_ID: 1 is light, 2 is dark
	BusinessUser         bool   // BUSINESS_USER
	DisableChat          bool   // DISABLE_CHAT
	Embedded             bool   // EMBEDDED
	Fullscreen           bool   // FULLSCREEN
	DisableAsync         bool   // DISABLE_ASYNC
	DisableBroadcast     bool   // DISABLE_BROADCAST
	Recording            bool   // RECORDING

	// HostPage is the query of the host page. Its parameters whose names start
	// with wd belong to the editor and are passed on; no other is.
	HostPage url.Values
}

func (p *ActionParams) value(placeholder string) string {
	flag := func(set bool, value string) string {
		if set {
			return value
		}
		return ""
	}
	switch placeholder {
	case "WOPI_SOURCE":
		return p.WOPISrc
	case "UI_LLCC":
		return p.UILanguage
	case "DC_LLCC":
		return p.DataLanguage
	case "SESSION_CONTEXT":
		return p.SessionContext
	case "HOST_SESSION_ID":
		return p.HostSessionID
	case "ACTIVITY_NAVIGATION_ID":
		return p.ActivityNavigationID
	case "THEME_ID":
		return p.ThemeID
	case "BUSINESS_USER":
		return flag(p.BusinessUser, "1")
	case "DISABLE_CHAT":
		return flag(p.DisableChat, "1")
	case "EMBEDDED":
		return flag(p.Embedded, "true")
	case "FULLSCREEN":
		return flag(p.Fullscreen, "true")
	case "DISABLE_ASYNC":
		return flag(p.DisableAsync, "true")
	case "DISABLE_BROADCAST":
		return flag(p.DisableBroadcast, "true")
	case "RECORDING":
		return flag(p.Recording, "true")
	}
	return ""
}

// URL makes the address that the host page's form posts to. The token is not
// part of it. The result is an absolute http(s) URL without angle brackets or
// spaces, or an error.
func (a *Action) URL(params ActionParams) (string, error) {
	if params.WOPISrc == "" {
		return "", errors.New("action URL: no WOPISrc")
	}
	hasSource := false
	out, err := expand(a.URLSrc, func(placeholder string) string {
		hasSource = hasSource || placeholder == "WOPI_SOURCE"
		return params.value(placeholder)
	})
	if err != nil {
		return "", fmt.Errorf("action URL: %w", err)
	}
	out, fragment, hasFragment := strings.Cut(out, "#")
	if !hasSource {
		out = appendQuery(out, "WOPISrc", params.WOPISrc)
	}
	names := make([]string, 0, len(params.HostPage))
	for name := range params.HostPage {
		if strings.HasPrefix(name, "wd") {
			names = append(names, name)
		}
	}
	sort.Strings(names) // one order, whatever the map's
	for _, name := range names {
		for _, v := range params.HostPage[name] {
			out = appendQuery(out, name, v)
			if len(out) > MaxURL {
				return "", ErrURLTooLong
			}
		}
	}
	if hasFragment {
		out += "#" + fragment
	}
	if len(out) > MaxURL {
		return "", ErrURLTooLong
	}
	if webURL(out) == "" {
		return "", errors.New("action URL: the editor's template does not make a web address")
	}
	return out, nil
}

// bareURL is the action's URL with every placeholder dropped, or nothing if the
// template is malformed.
func (a *Action) bareURL() string {
	out, err := expand(a.URLSrc, func(string) string { return "" })
	if err != nil {
		return ""
	}
	return out
}

// expand replaces each <name=PLACEHOLDER&> of a template: by name=value& if
// there is a value, else by nothing. The ampersand is optional.
func expand(template string, value func(placeholder string) string) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexAny(template, "<>")
		if i < 0 {
			b.WriteString(template)
			return b.String(), nil
		}
		b.WriteString(template[:i])
		segment, rest, closed := strings.Cut(template[i+1:], ">")
		if template[i] == '>' || !closed || strings.Contains(segment, "<") {
			return "", errors.New("the editor's template has unpaired brackets")
		}
		template = rest
		name, placeholder, ok := strings.Cut(segment, "=")
		if !ok {
			continue
		}
		placeholder, amp := strings.CutSuffix(placeholder, "&")
		if v := value(placeholder); v != "" {
			b.WriteString(name)
			b.WriteByte('=')
			b.WriteString(escape(v))
			if amp {
				b.WriteByte('&')
			}
		}
	}
}

func appendQuery(u, name, value string) string {
	switch {
	case !strings.Contains(u, "?"):
		u += "?"
	case !strings.HasSuffix(u, "?") && !strings.HasSuffix(u, "&"):
		u += "&"
	}
	return u + escape(name) + "=" + escape(value)
}

// escape writes spaces as %20: not every editor reads a plus sign as a space.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
