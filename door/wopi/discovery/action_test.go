package discovery

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestActionURL(t *testing.T) {
	const src, escaped = "https://h.example/wopi/files/a b", "https%3A%2F%2Fh.example%2Fwopi%2Ffiles%2Fa%20b"
	all := ActionParams{
		WOPISrc: src, UILanguage: "de-DE", DataLanguage: "en-US", SessionContext: "a&b=c", HostSessionID: "h/1",
		ActivityNavigationID: "n", ThemeID: "2", BusinessUser: true, DisableChat: true, Embedded: true, Fullscreen: true,
		DisableAsync: true, DisableBroadcast: true, Recording: true,
	}
	some := ActionParams{WOPISrc: src, UILanguage: "de-DE"}
	none := ActionParams{WOPISrc: src}
	wd := none
	wd.HostPage = url.Values{"wdPrev": {"x y", "<z>"}, "wdA&b": {"="}, "access_token": {"secret"}, "WDx": {"1"}, "sc": {"1"}}
	for _, c := range []struct {
		name, template string
		params         ActionParams
		want           string
	}{
		{"no query", "https://e/p", none, "https://e/p?WOPISrc=" + escaped},
		{"question mark", "https://e/p?", none, "https://e/p?WOPISrc=" + escaped},
		{"query", "https://e/p?a=1", none, "https://e/p?a=1&WOPISrc=" + escaped},
		{"query and ampersand", "https://e/p?a=1&", none, "https://e/p?a=1&WOPISrc=" + escaped},
		{"question mark and ampersand", "https://e/p?&", none, "https://e/p?&WOPISrc=" + escaped},
		{"fragment", "https://e/p#f", none, "https://e/p?WOPISrc=" + escaped + "#f"},
		{"all dropped", "https://e/p?<ui=UI_LLCC&><rs=DC_LLCC&><x=WHAT&>", none, "https://e/p?WOPISrc=" + escaped},
		{"one used", "https://e/p?<ui=UI_LLCC&><rs=DC_LLCC&>", some, "https://e/p?ui=de-DE&WOPISrc=" + escaped},
		{"without ampersand", "https://e/p?<ui=UI_LLCC>", some, "https://e/p?ui=de-DE&WOPISrc=" + escaped},
		{"source in template", "https://e/p?<ui=UI_LLCC&><wopisrc=WOPI_SOURCE&>", some, "https://e/p?ui=de-DE&wopisrc=" + escaped + "&"},
		{"source twice", "https://e/p?<a=WOPI_SOURCE&><b=WOPI_SOURCE>", none, "https://e/p?a=" + escaped + "&b=" + escaped},
		{"unknown", "https://e/p?<x=SOMETHING_NEW&>y=1&<z>", some, "https://e/p?y=1&WOPISrc=" + escaped},
		{"placeholder as text", "https://e/UI_LLCC?<ui=UI_LLCC&>", some, "https://e/UI_LLCC?ui=de-DE&WOPISrc=" + escaped},
		{"case matters", "https://e/p?<ui=ui_llcc&>", some, "https://e/p?WOPISrc=" + escaped},
		{
			"everything",
			"https://e/p?<ui=UI_LLCC&><rs=DC_LLCC&><sc=SESSION_CONTEXT&><hid=HOST_SESSION_ID&><dchat=DISABLE_CHAT&><IsLicensedUser=BUSINESS_USER&>" +
				"<showpagestats=PERFSTATS&><actnavid=ACTIVITY_NAVIGATION_ID&><e=EMBEDDED&><fs=FULLSCREEN&><na=DISABLE_ASYNC&><rec=RECORDING&>" +
				"<thm=THEME_ID&><vp=DISABLE_BROADCAST&><wopisrc=WOPI_SOURCE&>",
			all,
			"https://e/p?ui=de-DE&rs=en-US&sc=a%26b%3Dc&hid=h%2F1&dchat=1&IsLicensedUser=1&actnavid=n&e=true&fs=true&na=true&rec=true&thm=2&vp=true&wopisrc=" + escaped + "&",
		},
		{"wd parameters", "https://e/p", wd, "https://e/p?WOPISrc=" + escaped + "&wdA%26b=%3D&wdPrev=x%20y&wdPrev=%3Cz%3E"},
	} {
		a := Action{URLSrc: c.template}
		got, err := a.URL(c.params)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		template string
		params   ActionParams
	}{
		"no source":      {"https://e/p", ActionParams{}},
		"open bracket":   {"https://e/p?<ui=UI_LLCC&", none},
		"close bracket":  {"https://e/p?ui=UI_LLCC&>", none},
		"nested":         {"https://e/p?<a<b=UI_LLCC>", none},
		"no web address": {"javascript:alert(1)//", none},
		"space":          {"https://e/p q", none},
		"line":           {"https://e/p\r\nq", none},
		"host":           {"https://<x=UI_LLCC>", some},
	} {
		a := Action{URLSrc: c.template}
		if got, err := a.URL(c.params); err == nil {
			t.Errorf("%s: %q, want an error", name, got)
		}
	}
}

func TestActionURLLength(t *testing.T) {
	a := Action{URLSrc: "https://e/p?"}
	long := func(n int) ActionParams {
		return ActionParams{WOPISrc: "h" + strings.Repeat("x", n-len("https://e/p?WOPISrc=h"))}
	}
	if u, err := a.URL(long(MaxURL)); err != nil || len(u) != MaxURL {
		t.Errorf("%d bytes, %v", len(u), err)
	}
	if _, err := a.URL(long(MaxURL + 1)); !errors.Is(err, ErrURLTooLong) {
		t.Errorf("got %v, want ErrURLTooLong", err)
	}
	many := ActionParams{WOPISrc: "h", HostPage: url.Values{"wd": make([]string, 1_000_000)}}
	if _, err := a.URL(many); !errors.Is(err, ErrURLTooLong) {
		t.Errorf("got %v, want ErrURLTooLong", err)
	}
}

// Every action of the samples makes a URL that carries the source once.
func TestActionURLSamples(t *testing.T) {
	const src = "https://docs.example.org/wopi/files/kd6w2"
	for _, file := range []string{"microsoft.xml", "collabora.xml", "onlyoffice.xml"} {
		doc, err := Parse(bytes.NewReader(sample(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range doc.Actions {
			got, err := a.URL(ActionParams{WOPISrc: src, UILanguage: "fr-FR", BusinessUser: true, HostPage: url.Values{"wdX": {"1"}}})
			if err != nil {
				t.Fatalf("%s: %v", a.URLSrc, err)
			}
			u, err := url.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			if n := strings.Count(strings.ToLower(got), "wopisrc="); n != 1 || q.Get("WOPISrc")+q.Get("wopisrc") != src || q.Get("wdX") != "1" {
				t.Errorf("%s makes %s", a.URLSrc, got)
			}
		}
	}
}

func FuzzActionURL(f *testing.F) {
	f.Add("https://e/p?<ui=UI_LLCC&><wopisrc=WOPI_SOURCE&>", "https://h/1", "de-DE", "wdX", "1")
	f.Add("https://e/p#f", "x", "<>", "wd<", ">")
	f.Add("https://e/p?a&<b=UI_LLCC>", "x&y", "", "", "")
	f.Fuzz(func(t *testing.T, template, src, lang, wdName, wdValue string) {
		a := Action{URLSrc: template}
		p := ActionParams{WOPISrc: src, UILanguage: lang, HostPage: url.Values{wdName: {wdValue}}}
		got, err := a.URL(p)
		if err != nil {
			if got != "" {
				t.Fatalf("%q beside %v", got, err)
			}
			return
		}
		if len(got) > MaxURL || strings.ContainsAny(got, "<> \"'\r\n\t") {
			t.Fatalf("%q makes %q", template, got)
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			t.Fatalf("%q makes %q: %v", template, got, err)
		}
		// Whatever a user can put into the parameters, the page is another
		// origin's only if the template says so.
		p.UILanguage, p.HostPage = "", nil
		if plain, err := a.URL(p); err == nil {
			v, err := url.Parse(plain)
			if err != nil || !strings.Contains(template, "UI_LLCC") && origin(u) != origin(v) {
				t.Fatalf("%q goes to %q, without parameters to %q", template, got, plain)
			}
		}
	})
}
