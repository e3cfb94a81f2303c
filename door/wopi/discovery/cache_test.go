package discovery

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Over a real connection: an editor that is down, then up; what it said is
// known to the next process though the editor is down again.
func TestRefreshAndRestore(t *testing.T) {
	f := &fakeEditor{capabilities: string(sample(t, "collabora.json"))}
	srv := serve(t, f)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	cfg := Config{Name: "Cool", URL: srv.URL}
	s := newSet(t, Options{Client: srv.Client(), Dir: dir}, cfg)

	if _, err := s.Refresh(t.Context(), "Cool"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Fatalf("got %v, want status 503", err)
	}
	if _, _, ok := s.Find("docx", "edit"); ok {
		t.Fatal("an action of an editor that is down")
	}
	f.set(string(sample(t, "collabora.xml")))
	s = newSet(t, Options{Client: srv.Client(), Dir: dir}, cfg)
	if fresh, err := s.Refresh(t.Context(), "Cool"); !fresh || err != nil {
		t.Fatalf("Refresh = %v, %v", fresh, err)
	}
	check := func(s *Set) {
		t.Helper()
		e, _, ok := s.Find("docx", "edit")
		if !ok || e.Profile != Collabora || e.ConvertURL != srv.URL+convertPath || e.Keys.Current == nil || e.Keys.Old == nil || e.Fetched.IsZero() {
			t.Errorf("found %+v, %v", e, ok)
		}
	}
	check(s)
	srv.Close()
	check(newSet(t, Options{Dir: dir}, cfg))

	// The names in the folder are the editors' and nothing else is left there.
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "discovery-cool.json" {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	// Another address has nothing to do with the cache.
	moved := newSet(t, Options{Dir: dir}, Config{Name: "Cool", URL: "https://elsewhere.example"})
	if _, _, ok := moved.Find("docx", "edit"); ok {
		t.Error("the cache of another address is used")
	}
}

func TestCorruptCache(t *testing.T) {
	f := &fakeEditor{discovery: inDocument("")}
	srv := serve(t, f)
	cfg := Config{Name: "e", URL: srv.URL}
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, text := range map[string]string{
		"empty":              "",
		"not JSON":           "\x00\x01",
		"truncated":          `{"url":` + quote(srv.URL) + `,"discovery":"<wopi-`,
		"other type":         `[1,2]`,
		"no document":        `{"url":` + quote(srv.URL) + `}`,
		"hostile document":   `{"url":` + quote(srv.URL) + `,"discovery":` + quote("<!DOCTYPE x>"+inDocument("")) + `}`,
		"other address":      `{"url":"https://other","discovery":` + quote(inDocument("")) + `}`,
		"broken capability":  `{"url":` + quote(srv.URL) + `,"discovery":` + quote(inDocument("")) + `,"capabilities":"{"}`,
		"huge":               `{"url":` + quote(srv.URL) + `,"x":"` + strings.Repeat("x", maxCached) + `"}`,
		"time out of a line": `{"url":` + quote(srv.URL) + `,"fetched":"yesterday","discovery":` + quote(inDocument("")) + `}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "discovery-e.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		opts := Options{Client: srv.Client(), Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}
		s := newSet(t, opts, cfg)
		if e, _ := s.Editor("e"); !e.Fetched.IsZero() || !strings.Contains(log.String(), "cached discovery ignored") {
			t.Errorf("%s: known from the cache, or not logged: %q", name, log.String())
		}
		if fresh, err := s.Refresh(t.Context(), "e"); !fresh || err != nil {
			t.Errorf("%s: Refresh = %v, %v", name, fresh, err)
		}
		if e, _ := newSet(t, opts, cfg).Editor("e"); e.Fetched.IsZero() {
			t.Errorf("%s: the cache was not made again", name)
		}
	}
}

// A folder that cannot be written costs the cache, not the editor.
func TestCacheCannotBeWritten(t *testing.T) {
	f := &fakeEditor{discovery: inDocument("")}
	srv := serve(t, f)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := newSet(t, Options{Client: srv.Client(), Dir: filepath.Join(file, "sub"), Log: slog.New(slog.NewTextHandler(&log, nil))},
		Config{Name: "e", URL: srv.URL})
	if fresh, err := s.Refresh(t.Context(), "e"); !fresh || err != nil || !strings.Contains(log.String(), "not kept on disk") {
		t.Errorf("Refresh = %v, %v; log %q", fresh, err, log.String())
	}
}
