package discovery

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// a webFunc is an editor without a network, so that time can be fake.
type webFunc func(*http.Request) (int, string, error)

func (f webFunc) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	status, body, err := f(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// loaded makes a set whose editors have read the given samples.
func loaded(t testing.TB, editors map[string]string, cfgs ...Config) *Set {
	t.Helper()
	s, err := New(Options{}, cfgs...)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.editors {
		file, ok := editors[e.cfg.Name]
		if !ok {
			continue
		}
		doc, err := Parse(bytes.NewReader(sample(t, file)))
		if err != nil {
			t.Fatal(err)
		}
		var caps capabilities
		if file == "collabora.xml" {
			if caps, err = parseCapabilities(sample(t, "collabora.json")); err != nil {
				t.Fatal(err)
			}
		}
		e.current.Store(newSnapshot(e.cfg, doc, caps, testTime))
	}
	return s
}

func TestFind(t *testing.T) {
	s := loaded(t, map[string]string{"ms": "microsoft.xml", "cool": "collabora.xml", "oo": "onlyoffice.xml"},
		Config{Name: "down", URL: "https://down.example"},
		Config{Name: "cool", URL: "https://collabora.example.org:9980"},
		Config{Name: "ms", URL: "https://office.example.com"},
		Config{Name: "oo", URL: "http://docs.example.org"},
	)
	for _, c := range []struct {
		ext     string
		actions []string
		editor  string // empty: none
		action  string
	}{
		{"docx", []string{"edit"}, "cool", "edit"},
		{".DOCX", []string{"EDIT"}, "cool", "edit"},
		{"docx", []string{"view"}, "ms", "view"}, // this Collabora has no view action for docx
		{"docx", []string{"edit", "view"}, "cool", "edit"},
		{"docx", []string{"nothing", "view"}, "ms", "view"},
		{"pdf", []string{"edit", "view"}, "ms", "view"},
		{"sxw", []string{"edit", "view"}, "cool", "view"},
		{"docm", []string{"view", "edit"}, "ms", "view"},
		{"odp", []string{"view"}, "oo", "view"},
		{"xlsx", []string{"editnew"}, "ms", "editnew"},
		{"png", []string{"edit", "view"}, "", ""},
		{"", []string{"getinfo", "edit"}, "", ""},
		{"docx", nil, "", ""},
	} {
		e, a, ok := s.Find(c.ext, c.actions...)
		if e.Name != c.editor || ok != (c.editor != "") || a.Name != c.action {
			t.Errorf("Find(%q, %q) = %q, %q, %v, want %q, %q", c.ext, c.actions, e.Name, a.Name, ok, c.editor, c.action)
		}
		if ok && !strings.EqualFold(a.Ext, strings.TrimPrefix(c.ext, ".")) {
			t.Errorf("Find(%q, %q) gives an action for %q", c.ext, c.actions, a.Ext)
		}
	}
	if a, ok := s.FindIn("oo", "docx", "edit"); !ok || a.App != "Word" || !slices.Equal(a.Requires, []string{"locks", "update"}) {
		t.Errorf("FindIn = %+v, %v", a, ok)
	}
	for _, name := range []string{"down", "stranger"} {
		if _, ok := s.FindIn(name, "docx", "edit"); ok {
			t.Errorf("FindIn(%q) found something", name)
		}
	}

	wantOrigins := []string{
		"http://docs.example.org", "https://collabora.example.org:9980", "https://down.example", "https://excel.example.com",
		"https://ocs.example.com", "https://office.example.com", "https://onenote.example.com", "https://ppt.example.com",
		"https://rtc.example.com", "https://word-edit.example.com", "https://word-view.example.com",
	}
	if got := s.FrameOrigins(); !slices.Equal(got, wantOrigins) {
		t.Errorf("FrameOrigins() = %q, want %q", got, wantOrigins)
	}

	var names []string
	for _, e := range s.Editors() {
		names = append(names, e.Name)
		wantProfile := map[string]Profile{"down": Microsoft, "cool": Collabora, "ms": Microsoft, "oo": OnlyOffice}[e.Name]
		signs := e.Name == "ms" || e.Name == "cool"
		if e.Profile != wantProfile || e.ProofRequired != signs || (s.Keys(e.Name).Current != nil) != signs ||
			e.Fetched.IsZero() != (e.Name == "down") {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(names, []string{"down", "cool", "ms", "oo"}) {
		t.Errorf("Editors() = %q", names)
	}
	if e, ok := s.ConvertTo(); !ok || e.Name != "cool" || e.ConvertURL != "https://collabora.example.org:9980/cool/convert-to" {
		t.Errorf("ConvertTo() = %+v, %v", e, ok)
	}
	if _, ok := s.Editor("stranger"); ok || s.Keys("stranger").Current != nil {
		t.Error("a stranger is known")
	}
}

func TestEndpoints(t *testing.T) {
	ms := loaded(t, map[string]string{"ms": "microsoft.xml"},
		Config{Name: "down", URL: "https://down.example"}, Config{Name: "ms", URL: "https://office.example.com"})
	for ext, want := range map[string]Endpoints{
		"docx": {"https://ocs.example.com/collab/docx?", "https://rtc.example.com/rtc2/docx?"},
		"xlsx": {"https://ocs.example.com/collab/xlsx?", "https://rtc.example.com/rtc2/docx?"},
		"pptx": {"https://ocs.example.com/collab/docx?", "https://rtc.example.com/rtc2/docx?"},
		"":     {"https://ocs.example.com/collab/docx?", "https://rtc.example.com/rtc2/docx?"},
	} {
		if got := ms.Endpoints(ext); got != want {
			t.Errorf("Endpoints(%q) = %+v, want %+v", ext, got, want)
		}
	}
	none := loaded(t, map[string]string{"cool": "collabora.xml"}, Config{Name: "cool", URL: "https://e"})
	if got := none.Endpoints("docx"); got != (Endpoints{}) {
		t.Errorf("Endpoints = %+v, want none", got)
	}
	if _, ok := ms.ConvertTo(); ok {
		t.Error("an editor without capabilities converts")
	}
}

func TestZoneIsConfigured(t *testing.T) {
	s := loaded(t, map[string]string{"ms": "microsoft.xml"}, Config{Name: "ms", URL: "https://o", Zone: "internal-https"})
	_, a, ok := s.Find("docx", "edit")
	if !ok || !strings.Contains(a.URLSrc, "inside.example.net") {
		t.Errorf("got %+v, %v", a, ok)
	}
}

func TestProfileAndProof(t *testing.T) {
	for _, c := range []struct {
		file     string
		cfg      Config
		profile  Profile
		required bool
	}{
		{"collabora.xml", Config{}, Collabora, true},
		{"collabora.xml", Config{Profile: Microsoft, Proof: ProofOff}, Microsoft, false},
		{"onlyoffice.xml", Config{Proof: ProofRequired}, OnlyOffice, true},
		{"onlyoffice.xml", Config{Profile: Collabora, Proof: ProofOff}, Collabora, false},
		{"", Config{Proof: ProofRequired, Profile: OnlyOffice}, OnlyOffice, true},
		{"", Config{}, Microsoft, false},
	} {
		c.cfg.Name, c.cfg.URL = "e", "https://e"
		files := map[string]string{}
		if c.file != "" {
			files["e"] = c.file
		}
		e, _ := loaded(t, files, c.cfg).Editor("e")
		if e.Profile != c.profile || e.ProofRequired != c.required {
			t.Errorf("%q %+v: %q, %v", c.file, c.cfg, e.Profile, e.ProofRequired)
		}
	}
	plain := []Action{{URLSrc: "https://e/p?x=/cool.html"}}
	for product, want := range map[string]Profile{
		"": Microsoft, "Collabora Office": Collabora, "LibreOffice Online": Collabora, "ONLYOFFICE Docs": OnlyOffice, "Other": Microsoft,
	} {
		if got := guess(plain, capabilities{ProductName: product}); got != want {
			t.Errorf("product %q: %q, want %q", product, got, want)
		}
	}
}

func TestConvertURL(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"convert-to":{"available":false,"endpoint":"/cool/convert-to"}}`:     "",
		`{"convert-to":{"available":true}}`:                                    "https://e/base/cool/convert-to",
		`{"convert-to":{"available":true,"endpoint":"/lool/convert-to/"}}`:     "https://e/base/lool/convert-to",
		`{"convert-to":{"available":true,"endpoint":"@evil.example/x"}}`:       "https://e/base/cool/convert-to",
		`{"convert-to":{"available":true,"endpoint":"https://evil.example/"}}`: "https://e/base/cool/convert-to",
		`{"convert-to":{"available":true,"endpoint":"/../x"}}`:                 "https://e/base/cool/convert-to",
		`{"convert-to":{"available":true,"endpoint":"/x?y"}}`:                  "https://e/base/cool/convert-to",
		`{"convert-to":{"available":true,"endpoint":"/x y"}}`:                  "https://e/base/cool/convert-to",
	} {
		c, err := parseCapabilities([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.convertURL("https://e/base"); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, cfgs := range map[string][]Config{
		"no name":         {{URL: "https://e"}},
		"path as name":    {{Name: "../x", URL: "https://e"}},
		"hidden name":     {{Name: ".x", URL: "https://e"}},
		"long name":       {{Name: strings.Repeat("x", 65), URL: "https://e"}},
		"same name":       {{Name: "a", URL: "https://e"}, {Name: "A", URL: "https://f"}},
		"no URL":          {{Name: "a"}},
		"no scheme":       {{Name: "a", URL: "office.example.org"}},
		"other scheme":    {{Name: "a", URL: "ftp://e"}},
		"password":        {{Name: "a", URL: "https://u:p@e"}},
		"query":           {{Name: "a", URL: "https://e/?x"}},
		"fragment":        {{Name: "a", URL: "https://e/#x"}},
		"unknown profile": {{Name: "a", URL: "https://e", Profile: "other"}},
		"unknown proof":   {{Name: "a", URL: "https://e", Proof: "maybe"}},
	} {
		if s, err := New(Options{}, cfgs...); err == nil || s != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for in, want := range map[string]string{
		"https://e":                         "https://e",
		"https://e/":                        "https://e",
		"https://e/base//":                  "https://e/base",
		"https://e:9980/hosting/discovery":  "https://e:9980",
		"https://e/base/hosting/discovery/": "https://e/base",
		"http://[::1]:80":                   "http://[::1]:80",
	} {
		s, err := New(Options{}, Config{Name: "a", URL: in})
		if err != nil || s.Editors()[0].URL != want {
			t.Errorf("%q: %v, %v, want %q", in, s, err, want)
		}
	}
	if s, err := New(Options{}); err != nil || len(s.Editors()) != 0 || len(s.FrameOrigins()) != 0 {
		t.Errorf("no editors: %v", err)
	}
}

func TestUnknownEditor(t *testing.T) {
	s := loaded(t, nil)
	if _, err := s.Refresh(t.Context(), "x"); !errors.Is(err, ErrUnknownEditor) {
		t.Errorf("got %v, want ErrUnknownEditor", err)
	}
}
