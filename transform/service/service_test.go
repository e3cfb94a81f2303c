package service

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/quire-docs/quire/transform"
)

// TestServices: the requests are as the services want them, and their answers
// are taken for what they say.
func TestServices(t *testing.T) {
	status, body := 200, "%PDF-1.7 result"
	var path, field, name, sent, slide string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(status)
			return
		}
		path, field, slide = r.URL.Path, "", ""
		m, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		for {
			p, err := m.NextPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			b, _ := io.ReadAll(p)
			if p.FileName() != "" {
				field, name, sent = p.FormName(), p.FileName(), string(b)
			} else if p.FormName() == "PNGSlide" {
				slide = string(b)
			}
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer s.Close()
	base, _ := url.Parse(s.URL + "/")
	collabora, gotenberg := NewCollabora(base, s.Client()), NewGotenberg(base, s.Client())
	content := strings.Repeat("x", 100_000)
	src := transform.Source{ReaderAt: strings.NewReader(content), Name: "a.docx", Size: int64(len(content))}
	convert := func(e transform.Engine, target transform.Target) (string, error) {
		var b bytes.Buffer
		err := e.Convert(t.Context(), "docx", src, target, &b)
		return b.String(), err
	}
	got, err := convert(collabora, transform.Target{Type: transform.PDF})
	if err != nil || got != body || path != "/cool/convert-to/pdf" || field != "data" || name != "source.docx" || sent != content {
		t.Errorf("%q %v: %s %s %s, %d bytes", got, err, path, field, name, len(sent))
	}
	if _, err := convert(collabora, transform.Target{Type: transform.PNG, Page: 3}); err != nil || path != "/cool/convert-to/png" || slide != "3" {
		t.Errorf("%v: %s, slide %q", err, path, slide)
	}
	got, err = convert(gotenberg, transform.Target{Type: transform.PDF})
	if err != nil || got != body || path != "/forms/libreoffice/convert" || field != "files" {
		t.Errorf("%q %v: %s %s", got, err, path, field)
	}
	if !gotenberg.Serves("docx", transform.PDF) || gotenberg.Serves("docx", transform.PNG) || !collabora.Serves("xlsx", transform.ODS) || collabora.Serves("docx", transform.XLSX) || collabora.Serves("png", transform.PDF) {
		t.Error("what they serve")
	}
	for status = range map[int]bool{429: true, 500: true, 503: true, 504: true} {
		if _, err := convert(gotenberg, transform.Target{Type: transform.PDF}); err == nil || errors.As(err, new(*transform.SourceError)) {
			t.Errorf("%d is final: %v", status, err)
		}
		if collabora.Check(t.Context()) == nil || gotenberg.Check(t.Context()) == nil {
			t.Errorf("%d is well", status)
		}
	}
	for _, status = range []int{400, 415, 422} {
		if _, err := convert(gotenberg, transform.Target{Type: transform.PDF}); !errors.As(err, new(*transform.SourceError)) {
			t.Errorf("%d is tried again: %v", status, err)
		}
	}
	status, body = 200, ""
	if _, err := convert(collabora, transform.Target{Type: transform.PDF}); err == nil {
		t.Error("nothing is a result")
	}
	if err := collabora.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	if _, err := convert(collabora, transform.Target{Type: transform.PDF}); err == nil || errors.As(err, new(*transform.SourceError)) {
		t.Errorf("a service that is away: %v", err)
	}
}
