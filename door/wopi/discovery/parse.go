// Package discovery knows the configured editors: it reads what each publishes
// about itself (WOPI discovery and capabilities), keeps that fresh and on disk,
// and answers which editor opens a file, at which URL, and with which keys it
// signs.
package discovery

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/quire-docs/quire/door/wopi/proof"
)

// ErrInvalid is wrapped by every error of Parse that is not the reader's own.
var ErrInvalid = errors.New("not a usable WOPI discovery")

// Limits of a discovery document. The largest known one (Microsoft's cloud) has
// some 2,000 actions in 1 MiB.
const (
	MaxDocument = 8 << 20 // bytes

	maxToken      = 64 << 10 // bytes of one tag, comment or text
	maxDepth      = 16
	maxElements   = 50_000
	maxAttributes = 64      // of one element
	maxValue      = 8 << 10 // bytes of one attribute
)

// Document is a parsed discovery.
type Document struct {
	Apps    []App
	Actions []Action // of all zones; see InZone
	Keys    proof.Keys
}

// App is one of the applications of an editor.
type App struct {
	Name       string
	Zone       string
	FavIconURL string // empty if there is none that is an http(s) URL
}

// Action is something that an app can do with files of one kind.
type Action struct {
	App        string
	FavIconURL string // the app's
	Zone       string // the net-zone it stands in; empty if the document has none
	Name       string // view, edit, editnew, convert, collab ...
	Ext        string // lower-case, without the dot; may be empty
	Progid     string
	URLSrc     string // the template of its URL; see URL
	Requires   []string
	Default    bool
	NewExt     string // what convert makes; as Ext
	TargetExt  string // as Ext
}

// The order in which zones are tried if the configured one is not there. What
// users' browsers reach comes before what only machines beside the editor do.
var zones = []string{"external-https", "external-http", "internal-https", "internal-http"}

// InZone gives the actions of the preferred zone if the document has it, else
// those of the first of external-https, external-http, internal-https and
// internal-http that it has. Actions outside any zone always belong to the
// result, and so do all actions of a document with none of those zones.
func (d *Document) InZone(preferred string) []Action {
	has := make(map[string]bool)
	for i := range d.Actions {
		has[d.Actions[i].Zone] = true
	}
	for _, zone := range append([]string{preferred}, zones...) {
		if zone == "" || !has[zone] {
			continue
		}
		var out []Action
		for _, a := range d.Actions {
			if a.Zone == zone || a.Zone == "" {
				out = append(out, a)
			}
		}
		return out
	}
	return d.Actions
}

// Parse reads a discovery document. Its limits hold for whatever it is fed, and
// it refuses directives, so that there are no entities to expand. Attributes and
// elements that it does not know are ignored, and so are actions whose URL is
// not http or https; a document without any action is refused.
func Parse(r io.Reader) (*Document, error) {
	in := &limitedReader{r: bufio.NewReader(r)}
	dec := xml.NewDecoder(in)
	p := parser{doc: new(Document)}
	for {
		in.token = 0
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = p.token(tok)
		}
		if err != nil {
			if in.err != nil {
				return nil, fmt.Errorf("read discovery: %w", in.err)
			}
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if len(p.doc.Actions) == 0 {
		return nil, fmt.Errorf("%w: it has no actions", ErrInvalid)
	}
	return p.doc, nil
}

// limitedReader hands the XML decoder single bytes (so that the decoder does not
// read ahead) and stops it in the middle of a token that is too long, before the
// decoder has collected it.
type limitedReader struct {
	r            *bufio.Reader
	total, token int
	err          error // what the reader below failed with, or a limit
}

func (l *limitedReader) ReadByte() (byte, error) {
	c, err := l.r.ReadByte()
	if err != nil {
		if err != io.EOF {
			l.err = err
		}
		return 0, err
	}
	l.total++
	l.token++
	switch {
	case l.total > MaxDocument:
		l.err = fmt.Errorf("%w: more than %d bytes", ErrInvalid, MaxDocument)
	case l.token > maxToken:
		l.err = fmt.Errorf("%w: a tag or text of more than %d bytes", ErrInvalid, maxToken)
	default:
		return c, nil
	}
	return 0, l.err
}

// Read makes it the io.Reader that the decoder asks for; the decoder uses
// ReadByte.
func (l *limitedReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := l.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}

type parser struct {
	doc      *Document
	depth    int
	elements int
	zone     string
	zoneAt   int // the depth of the current net-zone; 0 is none
	app      App
	appAt    int
	keys     bool // proof-key has been seen
}

func (p *parser) token(tok xml.Token) error {
	switch tok := tok.(type) {
	case xml.Directive:
		return errors.New("it has a document type declaration")
	case xml.StartElement:
		return p.start(tok)
	case xml.EndElement:
		if p.depth == p.appAt {
			p.app, p.appAt = App{}, 0
		}
		if p.depth == p.zoneAt {
			p.zone, p.zoneAt = "", 0
		}
		p.depth--
	}
	return nil
}

func (p *parser) start(el xml.StartElement) error {
	p.depth++
	p.elements++
	switch {
	case p.depth > maxDepth:
		return fmt.Errorf("elements are nested more than %d deep", maxDepth)
	case p.elements > maxElements:
		return fmt.Errorf("more than %d elements", maxElements)
	case len(el.Attr) > maxAttributes:
		return fmt.Errorf("an element with more than %d attributes", maxAttributes)
	case p.depth == 1 && p.elements > 1:
		return errors.New("a second root element")
	case p.depth == 1 && el.Name.Local != "wopi-discovery":
		return fmt.Errorf("the root element is %.40q", el.Name.Local)
	}
	attrs := make(map[string]string, len(el.Attr))
	for _, a := range el.Attr {
		if len(a.Value) > maxValue {
			return fmt.Errorf("an attribute of more than %d bytes", maxValue)
		}
		if a.Name.Space == "" {
			attrs[a.Name.Local] = strings.TrimSpace(a.Value)
		}
	}
	switch el.Name.Local {
	case "net-zone":
		p.zone, p.zoneAt = attrs["name"], p.depth
	case "app":
		p.app = App{Name: attrs["name"], Zone: p.zone, FavIconURL: webURL(attrs["favIconUrl"])}
		p.appAt = p.depth
		p.doc.Apps = append(p.doc.Apps, p.app)
	case "action":
		p.action(attrs)
	case "proof-key":
		return p.proofKey(attrs)
	}
	return nil
}

func (p *parser) action(attrs map[string]string) {
	a := Action{
		App:        p.app.Name,
		FavIconURL: p.app.FavIconURL,
		Zone:       p.zone,
		Name:       attrs["name"],
		Ext:        normalExt(attrs["ext"]),
		Progid:     attrs["progid"],
		URLSrc:     attrs["urlsrc"],
		Default:    strings.EqualFold(attrs["default"], "true"),
		NewExt:     normalExt(attrs["newext"]),
		TargetExt:  normalExt(attrs["targetext"]),
	}
	for _, r := range strings.Split(attrs["requires"], ",") {
		if r = strings.TrimSpace(r); r != "" {
			a.Requires = append(a.Requires, r)
		}
	}
	if a.Name == "" || webURL(a.bareURL()) == "" {
		return
	}
	p.doc.Actions = append(p.doc.Actions, a)
}

// proofKey reads the keys. A current key that cannot be read makes the document
// unusable: without it, an editor that signs would look like one that does not.
func (p *parser) proofKey(attrs map[string]string) error {
	if p.keys {
		return errors.New("a second proof-key")
	}
	p.keys = true
	var err error
	p.doc.Keys.Current, err = proof.ParseKey(attrs["modulus"], attrs["exponent"], attrs["value"])
	if err != nil {
		return err
	}
	// An old key is only a convenience during rotation.
	p.doc.Keys.Old, _ = proof.ParseKey(attrs["oldmodulus"], attrs["oldexponent"], attrs["oldvalue"])
	return nil
}

func normalExt(ext string) string {
	return strings.ToLower(strings.TrimPrefix(strings.TrimSpace(ext), "."))
}

// webURL gives back an absolute http(s) URL that can stand in a page or a header
// as it is, and nothing for any other text.
func webURL(s string) string {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("<>\"'`\\", c) >= 0 {
			return ""
		}
	}
	u, err := url.Parse(s)
	if err != nil || origin(u) == "" {
		return ""
	}
	return s
}

// origin gives the scheme, host and port of a URL as a browser writes an origin,
// or nothing if it is no plain http(s) URL. Its characters are safe in a
// Content-Security-Policy.
func origin(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	if scheme != "http" && scheme != "https" || u.Host == "" || u.User != nil || u.Opaque != "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	for i := range len(host) {
		c := host[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte(".-_:[]", c) >= 0) {
			return ""
		}
	}
	if u.Hostname() == "" {
		return ""
	}
	switch port := u.Port(); {
	case port == "", scheme == "https" && port == "443", scheme == "http" && port == "80":
		host = strings.TrimSuffix(host, ":"+port)
	}
	return scheme + "://" + host
}
