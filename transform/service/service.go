// Package service converts documents with services: Collabora Online's convert-to,
// and Gotenberg.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quire-docs/quire/transform"
)

// maxResult is the largest result that is taken, in bytes.
const maxResult = 1 << 30

// maxError is how much of an error's text is read, in bytes.
const maxError = 500

// extensions are how Collabora names the types that it makes.
var extensions = map[string]string{
	transform.PDF: "pdf", transform.PNG: "png", transform.Text: "txt", transform.HTML: "html", transform.CSV: "csv",
	transform.DOCX: "docx", transform.ODT: "odt", transform.XLSX: "xlsx", transform.ODS: "ods", transform.PPTX: "pptx", transform.ODP: "odp",
}

var (
	texts  = []transform.Kind{"docx", "odt", "doc", "rtf", "txt", "html"}
	sheets = []transform.Kind{"xlsx", "ods", "xls", "csv"}
	decks  = []transform.Kind{"pptx", "odp", "ppt"}
)

// Collabora is the convert-to service of Collabora Online.
type Collabora struct{ client }

// NewCollabora returns the engine at a base URL.
func NewCollabora(base *url.URL, c *http.Client) *Collabora { return &Collabora{client{base, c}} }

// Name implements transform.Engine.
func (*Collabora) Name() string { return "Collabora" }

// Serves implements transform.Engine.
func (*Collabora) Serves(k transform.Kind, target string) bool {
	switch target {
	case transform.PDF, transform.PNG:
		return slices.Contains(texts, k) || slices.Contains(sheets, k) || slices.Contains(decks, k)
	case transform.Text, transform.HTML, transform.DOCX, transform.ODT:
		return slices.Contains(texts, k)
	case transform.CSV, transform.XLSX, transform.ODS:
		return slices.Contains(sheets, k)
	case transform.PPTX, transform.ODP:
		return slices.Contains(decks, k)
	}
	return false
}

// Check implements transform.Engine.
func (c *Collabora) Check(ctx context.Context) error { return c.reach(ctx, "/hosting/capabilities") }

// Convert implements transform.Engine.
func (c *Collabora) Convert(ctx context.Context, k transform.Kind, s transform.Source, t transform.Target, w io.Writer) error {
	form := url.Values{}
	if t.Page > 1 {
		form.Set("PNGSlide", fmt.Sprint(t.Page))
	}
	return c.convert(ctx, "/cool/convert-to/"+extensions[t.Type], "data", k, s, t, form, w)
}

// Gotenberg is a Gotenberg service.
type Gotenberg struct{ client }

// NewGotenberg returns the engine at a base URL.
func NewGotenberg(base *url.URL, c *http.Client) *Gotenberg { return &Gotenberg{client{base, c}} }

// Name implements transform.Engine.
func (*Gotenberg) Name() string { return "Gotenberg" }

// Serves implements transform.Engine.
func (*Gotenberg) Serves(k transform.Kind, target string) bool {
	return target == transform.PDF && (slices.Contains(texts, k) || slices.Contains(sheets, k) || slices.Contains(decks, k))
}

// Check implements transform.Engine.
func (g *Gotenberg) Check(ctx context.Context) error { return g.reach(ctx, "/health") }

// Convert implements transform.Engine.
func (g *Gotenberg) Convert(ctx context.Context, k transform.Kind, s transform.Source, t transform.Target, w io.Writer) error {
	return g.convert(ctx, "/forms/libreoffice/convert", "files", k, s, t, url.Values{}, w)
}

// client calls a service.
type client struct {
	base *url.URL
	http *http.Client
}

func (c client) at(path string) string { return strings.TrimSuffix(c.base.String(), "/") + path }

func (c client) reach(ctx context.Context, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.at(path), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d", resp.StatusCode)
	}
	return nil
}

// convert posts the source as a file of a form, streaming, and copies the answer.
func (c client) convert(ctx context.Context, path, field string, k transform.Kind, s transform.Source, t transform.Target, form url.Values, w io.Writer) error {
	body, to := io.Pipe()
	defer body.Close()
	m := multipart.NewWriter(to)
	go func() {
		f, err := m.CreateFormFile(field, "source."+string(k))
		if err == nil {
			_, err = io.Copy(f, io.NewSectionReader(s, 0, s.Size))
		}
		for name := range form {
			if err == nil {
				err = m.WriteField(name, form.Get(name))
			}
		}
		if err == nil {
			err = m.Close()
		}
		to.CloseWithError(err)
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.at(path), body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", m.FormDataContentType())
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("it answers %d: %s", resp.StatusCode, some(resp.Body))
	default:
		return &transform.SourceError{Reason: fmt.Sprintf("the converter refuses the document (%d): %s", resp.StatusCode, some(resp.Body))}
	}
	in := io.LimitReader(resp.Body, maxResult+1)
	if t.Type == transform.PNG && t.Width > 0 {
		b, err := io.ReadAll(io.LimitReader(in, 256<<20))
		if err != nil {
			return err
		}
		return transform.Thumbnail(strings.NewReader(string(b)), t.Width, w)
	}
	n, err := io.Copy(w, in)
	switch {
	case err != nil:
		return err
	case n > maxResult:
		return &transform.SourceError{Reason: "the result is larger than is allowed"}
	case n == 0:
		return errors.New("its answer is empty")
	}
	return nil
}

func some(r io.Reader) string {
	b, err := io.ReadAll(io.LimitReader(r, maxError))
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(b)), "?")
}
