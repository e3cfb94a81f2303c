// Package transform converts documents: it finds out what a source really is,
// and chooses the engine that makes the wanted type of it. Some engines are other
// programs or services, in packages of their own; pictures, text and archives it
// does itself.
package transform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// The types that are commonly asked for.
const (
	PDF  = "application/pdf"
	Text = "text/plain"
	HTML = "text/html"
	PNG  = "image/png"
	CSV  = "text/csv"
	DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	ODT  = "application/vnd.oasis.opendocument.text"
	ODS  = "application/vnd.oasis.opendocument.spreadsheet"
	ODP  = "application/vnd.oasis.opendocument.presentation"
)

// MaxSource is the largest file that is converted, in bytes.
const MaxSource = 1 << 30

// Source is what is to be converted.
type Source struct {
	io.ReaderAt
	Name string // the file's
	Size int64  // in bytes
}

// Target is what is wanted.
type Target struct {
	Type  string // a MIME type
	Page  int    // of a picture, from 1; 0 is the first
	Width int    // of a picture, in pixels; 0 is as it comes
}

// Engine makes documents of some types into others.
type Engine interface {
	// Name is what operators call it.
	Name() string
	// Serves says whether it converts a kind of source into a type.
	Serves(k Kind, target string) bool
	// Convert writes the result. It must end soon after ctx does, and leave
	// nothing behind. A source that cannot be converted gives a *SourceError;
	// anything else may be tried again. It may be called concurrently.
	Convert(ctx context.Context, k Kind, s Source, t Target, w io.Writer) error
	// Check says whether the engine works now.
	Check(ctx context.Context) error
}

// SourceError is a source that cannot be converted, however often it is tried.
type SourceError struct{ Reason string }

func (e *SourceError) Error() string { return e.Reason }

// UnsupportedError is a pair of types that no engine serves.
type UnsupportedError struct {
	Kind   Kind
	Target string
	Can    []string // what the kind can be made into
}

func (e *UnsupportedError) Error() string {
	if len(e.Can) == 0 {
		return fmt.Sprintf("no engine here converts %s files", e.Kind)
	}
	return fmt.Sprintf("no engine here converts %s to %.100s: ask for one of %v", e.Kind, e.Target, e.Can)
}

// Set is the engines of a server, the first choice first.
type Set []Engine

// targets are what is looked for when somebody wants to know what there is.
var targets = []string{PDF, Text, HTML, PNG, CSV, DOCX, ODT, XLSX, ODS, PPTX, ODP}

// Targets returns what a kind of source can be made into.
func (s Set) Targets(k Kind) []string {
	var out []string
	for _, t := range targets {
		if s.find(k, t) != nil {
			out = append(out, t)
		}
	}
	return out
}

// Serves says whether any engine makes a kind of source into a type, or else why
// not, as an *UnsupportedError.
func (s Set) Serves(k Kind, target string) error {
	if s.find(k, target) != nil {
		return nil
	}
	return &UnsupportedError{k, target, s.Targets(k)}
}

func (s Set) find(k Kind, target string) Engine {
	for _, e := range s {
		if e.Serves(k, target) {
			return e
		}
	}
	return nil
}

// Convert makes a source into a target by the first engine that serves the two.
func (s Set) Convert(ctx context.Context, src Source, t Target, w io.Writer) error {
	if src.Size > MaxSource {
		return &SourceError{"the file is too large to be converted"}
	}
	k, err := Sniff(src)
	if err != nil {
		return err
	}
	e := s.find(k, t.Type)
	if e == nil {
		return &SourceError{(&UnsupportedError{k, t.Type, s.Targets(k)}).Error()}
	}
	err = e.Convert(ctx, k, src, t, w)
	var final *SourceError
	if err != nil && ctx.Err() == nil && !errors.As(err, &final) {
		return fmt.Errorf("%s: %w", e.Name(), err)
	}
	return err
}

// Report is what one engine is and does.
type Report struct {
	Engine string   `json:"engine"`
	OK     bool     `json:"ok"`
	Error  string   `json:"error,omitempty"`
	Serves []string `json:"serves"` // "docx to application/pdf"
}

// Report checks every engine.
func (s Set) Report(ctx context.Context) []Report {
	out := []Report{}
	for _, e := range s {
		r := Report{Engine: e.Name(), OK: true, Serves: []string{}}
		if err := e.Check(ctx); err != nil {
			r.OK, r.Error = false, err.Error()
		}
		for _, k := range Kinds() {
			var to []string
			for _, t := range targets {
				if e.Serves(k, t) {
					to = append(to, t)
				}
			}
			for _, t := range to {
				r.Serves = append(r.Serves, string(k)+" to "+t)
			}
		}
		sort.Strings(r.Serves)
		out = append(out, r)
	}
	return out
}

// Kinds are all kinds of source that are known.
func Kinds() []Kind {
	var out []Kind
	for _, k := range byExtension {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// NeedsOffice says whether only an engine for office documents could make a kind
// of source into a type.
func NeedsOffice(k Kind, target string) bool {
	office := []Kind{"docx", "odt", "doc", "rtf", "txt", "html", "xlsx", "ods", "xls", "csv", "pptx", "odp", "ppt", "odg", "pdf"}
	return slices.Contains(office, k) && slices.Contains(targets, target) && !Native{}.Serves(k, target)
}
