package fileapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
)

// description is a file's or folder's metadata.
type description struct {
	UID         quire.NodeID `json:"uid"`
	Revision    int64        `json:"revision"`
	Filename    string       `json:"filename"`
	Bytes       int64        `json:"bytes"`
	Modified    float64      `json:"modified"`                  // seconds since 1970
	Client      float64      `json:"client_modified,omitempty"` // when the sender's file was changed, if it told so
	ContentType string       `json:"content_type,omitempty"`
	Path        string       `json:"path"`
	IsDir       bool         `json:"is_dir"`
	Access      string       `json:"access"`
	Locked      bool         `json:"locked,omitempty"`
	Editing     []string     `json:"editing,omitempty"` // who has it locked, where that may be told
}

func describe(e library.Entry) description {
	d := description{
		UID: e.ID, Revision: e.Revision, Filename: e.Name, Bytes: e.Size, Modified: unix(e.Modified),
		Path: e.Path, IsDir: e.IsContainer(), Access: e.Access.String(),
		Locked: e.Lock.WOPI != nil || len(e.Lock.Coauth) > 0,
	}
	if d.Locked {
		d.Editing = editing(e.Lock)
	}
	if !e.Client.IsZero() {
		d.Client = unix(e.Client)
	}
	if !d.IsDir {
		d.ContentType = contentType(e.Name)
	}
	return d
}

// editing returns the names of those who have a file open in an editor, as far
// as others may know them.
func editing(s quire.LockState) (names []string) {
	if s.WOPI != nil && s.WOPI.Visible && s.WOPI.Name != "" {
		return []string{s.WOPI.Name}
	}
	for _, l := range s.Coauth {
		if !slices.Contains(names, l.Name) && len(names) < 10 {
			names = append(names, l.Name)
		}
	}
	return names
}

// unix returns seconds since 1970, with a fraction.
func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// stamp writes a time as both APIs do.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }

// asOf returns an entry as it was at an earlier revision.
func asOf(e library.Entry, r quire.Revision) library.Entry {
	if r.Number != e.Revision {
		e.Client = time.Time{} // it is of the current content
	}
	e.Revision, e.Size, e.Modified = r.Number, r.Size, r.Created
	return e
}

// ascii writes a value as one line of ASCII JSON, for a header.
func ascii(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case r < 0x7f:
			out.WriteRune(r)
		case r > 0xffff:
			a, b := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, a, b)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String(), nil
}
