package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quire-docs/quire/door/wopi/proof"
)

// Profile is a family of editors that behave alike where WOPI leaves room.
type Profile string

// The profiles. An empty one in a Config is guessed from what the editor
// publishes.
const (
	Microsoft  Profile = "microsoft"
	Collabora  Profile = "collabora"
	OnlyOffice Profile = "onlyoffice"
)

// ProofMode says whether requests of an editor have to be signed.
type ProofMode string

// The modes.
const (
	ProofAuto     ProofMode = ""         // signed if the editor's discovery publishes a key
	ProofRequired ProofMode = "required" // always; while no key is known, every request is refused
	ProofOff      ProofMode = "off"      // not checked
)

// Config is an editor as it is configured.
type Config struct {
	Name    string // short and unique: letters, digits, dots, dashes and underscores
	URL     string // where it is, such as https://office.example.org
	Profile Profile
	Proof   ProofMode
	Zone    string // the net-zone to prefer; usually empty
}

// Options are what a Set works with.
type Options struct {
	Client *http.Client // nil is a client with Go's default transport
	Dir    string       // where discoveries are kept across restarts; empty keeps none
	Log    *slog.Logger // nil logs nothing
}

// Editor is what is known about an editor at a moment.
type Editor struct {
	Name          string
	URL           string // the configured address, without a trailing slash
	Profile       Profile
	Keys          proof.Keys
	ProofRequired bool
	ConvertURL    string    // converts a file when /{format} is appended; empty if it does not convert
	Fetched       time.Time // when its discovery was read; zero: not yet
}

// Endpoints are the services that coauthoring clients are told of. Either may be
// empty.
type Endpoints struct {
	Collaboration   string // OfficeCollaborationServiceEndpointUrl: the collab action
	RealTimeChannel string // RealTimeChannelEndpointUrl: the rtc action
}

// Set is the configured editors, in the order of their preference. It may be
// used by many goroutines; what it answers is a consistent picture of each
// editor at some moment. Only Run and Refresh use the network.
type Set struct {
	editors []*editor
	client  *http.Client
	dir     string
	log     *slog.Logger
}

// editor is one of them.
type editor struct {
	cfg     Config
	origin  string
	current atomic.Pointer[snapshot] // nil until a discovery was read

	// turn is held while the editor is being asked, and guards tried. It is a
	// channel so that waiting for it ends with the context.
	turn  chan struct{}
	tried time.Time // when it was last asked, whatever the outcome
}

// snapshot is what one reading of an editor gave. It does not change.
type snapshot struct {
	actions []Action
	index   map[indexKey]int // the first of actions for an action and extension
	origins []string
	caps    capabilities
	public  Editor
}

type indexKey struct{ action, ext string }

var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// New makes the set of the configured editors, with what is known of them from
// before if Options.Dir holds it. It neither uses the network nor starts a
// goroutine: call Run. It fails only when the configuration is wrong.
func New(opts Options, editors ...Config) (*Set, error) {
	s := &Set{client: limitRedirects(opts.Client), dir: opts.Dir, log: opts.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	seen := make(map[string]bool)
	for _, cfg := range editors {
		e, err := newEditor(cfg)
		if err != nil {
			return nil, fmt.Errorf("editor %q: %w", cfg.Name, err)
		}
		if seen[strings.ToLower(cfg.Name)] {
			return nil, fmt.Errorf("editor %q: the name is taken", cfg.Name)
		}
		seen[strings.ToLower(cfg.Name)] = true
		s.restore(e)
		s.editors = append(s.editors, e)
	}
	return s, nil
}

func newEditor(cfg Config) (*editor, error) {
	if !validName.MatchString(cfg.Name) {
		return nil, errors.New("a name is made of letters, digits, dots, dashes and underscores")
	}
	// People paste the address of the discovery itself.
	cfg.URL = strings.TrimRight(strings.TrimSuffix(strings.TrimRight(cfg.URL, "/"), discoveryPath), "/")
	u, err := url.Parse(cfg.URL)
	if err != nil || webURL(cfg.URL) == "" {
		return nil, errors.New("the URL must look like https://office.example.org")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(cfg.URL, "#") {
		return nil, errors.New("the URL must have neither query nor fragment")
	}
	switch cfg.Profile {
	case "", Microsoft, Collabora, OnlyOffice:
	default:
		return nil, fmt.Errorf("unknown profile %q: use %s, %s or %s", cfg.Profile, Microsoft, Collabora, OnlyOffice)
	}
	switch cfg.Proof {
	case ProofAuto, ProofRequired, ProofOff:
	default:
		return nil, fmt.Errorf("unknown proof mode %q: use %s or %s, or leave it out", cfg.Proof, ProofRequired, ProofOff)
	}
	return &editor{cfg: cfg, origin: origin(u), turn: make(chan struct{}, 1)}, nil
}

func newSnapshot(cfg Config, doc *Document, caps capabilities, fetched time.Time) *snapshot {
	sn := &snapshot{
		actions: doc.InZone(cfg.Zone),
		index:   make(map[indexKey]int),
		caps:    caps,
		public: Editor{
			Name:          cfg.Name,
			URL:           cfg.URL,
			Keys:          doc.Keys,
			ProofRequired: cfg.Proof == ProofRequired || cfg.Proof == ProofAuto && doc.Keys.Current != nil,
			ConvertURL:    caps.convertURL(cfg.URL),
			Fetched:       fetched,
		},
	}
	sn.public.Profile = cmp.Or(cfg.Profile, guess(sn.actions, caps))
	origins := make(map[string]bool)
	for i := range sn.actions {
		a := &sn.actions[i]
		if u, err := url.Parse(a.bareURL()); err == nil {
			origins[origin(u)] = true
		}
		if a.Ext == "" {
			continue
		}
		k := indexKey{strings.ToLower(a.Name), a.Ext}
		if _, taken := sn.index[k]; !taken {
			sn.index[k] = i
		}
	}
	delete(origins, "")
	for o := range origins {
		sn.origins = append(sn.origins, o)
	}
	return sn
}

// guess tells the open editors from Microsoft's by the paths that their frames
// live at, else by what they call themselves.
func guess(actions []Action, caps capabilities) Profile {
	for i := range actions {
		path, _, _ := strings.Cut(actions[i].URLSrc, "?")
		switch {
		case strings.HasSuffix(path, "/cool.html"), strings.HasSuffix(path, "/loleaflet.html"):
			return Collabora
		case strings.Contains(path, "/hosting/wopi/"):
			return OnlyOffice
		}
	}
	product := strings.ToLower(caps.ProductName)
	switch {
	case strings.Contains(product, "collabora"), strings.Contains(product, "libreoffice"):
		return Collabora
	case strings.Contains(product, "onlyoffice"):
		return OnlyOffice
	}
	return Microsoft
}

// public is what is known of an editor, also before its discovery was read.
func (e *editor) public() Editor {
	if sn := e.current.Load(); sn != nil {
		return sn.public
	}
	return Editor{
		Name:          e.cfg.Name,
		URL:           e.cfg.URL,
		Profile:       cmp.Or(e.cfg.Profile, Microsoft),
		ProofRequired: e.cfg.Proof == ProofRequired,
	}
}

func (s *Set) find(name string) *editor {
	for _, e := range s.editors {
		if e.cfg.Name == name {
			return e
		}
	}
	return nil
}

// Editors gives all editors in their order, also those that were never reached.
func (s *Set) Editors() []Editor {
	out := make([]Editor, 0, len(s.editors))
	for _, e := range s.editors {
		out = append(out, e.public())
	}
	return out
}

// Editor gives the editor of a name.
func (s *Set) Editor(name string) (Editor, bool) {
	e := s.find(name)
	if e == nil {
		return Editor{}, false
	}
	return e.public(), true
}

// Keys gives the proof keys of an editor; none for an editor that does not sign,
// was never reached or does not exist.
func (s *Set) Keys(name string) proof.Keys {
	e, _ := s.Editor(name)
	return e.Keys
}

// Find gives the editor for files with an extension. The actions are tried in
// order, each with all editors in theirs: Find("docx", "edit", "view") takes the
// first editor that edits, and the first that shows only if none edits. Case and
// a leading dot of the extension do not matter.
func (s *Set) Find(ext string, actions ...string) (Editor, Action, bool) {
	for _, action := range actions {
		for _, e := range s.editors {
			if sn := e.current.Load(); sn != nil {
				if a, ok := sn.find(ext, action); ok {
					return sn.public, a, true
				}
			}
		}
	}
	return Editor{}, Action{}, false
}

// FindIn is Find within one editor.
func (s *Set) FindIn(editor, ext string, actions ...string) (Action, bool) {
	e := s.find(editor)
	if e == nil {
		return Action{}, false
	}
	sn := e.current.Load()
	if sn == nil {
		return Action{}, false
	}
	for _, action := range actions {
		if a, ok := sn.find(ext, action); ok {
			return a, true
		}
	}
	return Action{}, false
}

func (sn *snapshot) find(ext, action string) (Action, bool) {
	i, ok := sn.index[indexKey{strings.ToLower(action), normalExt(ext)}]
	if !ok {
		return Action{}, false
	}
	return sn.actions[i], true
}

// Endpoints gives the services of the first editor that has any: one for files
// with the extension if there is, else one for any file. Placeholders are
// dropped.
func (s *Set) Endpoints(ext string) Endpoints {
	for _, exact := range []bool{true, false} {
		for _, e := range s.editors {
			sn := e.current.Load()
			if sn == nil {
				continue
			}
			out := Endpoints{sn.service(ext, "collab", exact), sn.service(ext, "rtc", exact)}
			if out != (Endpoints{}) {
				// The other of the two may be there for other files only.
				out.Collaboration = cmp.Or(out.Collaboration, sn.service(ext, "collab", false))
				out.RealTimeChannel = cmp.Or(out.RealTimeChannel, sn.service(ext, "rtc", false))
				return out
			}
		}
	}
	return Endpoints{}
}

func (sn *snapshot) service(ext, action string, exact bool) string {
	if a, ok := sn.find(ext, action); ok {
		return a.bareURL()
	}
	if exact {
		return ""
	}
	for i := range sn.actions {
		if strings.EqualFold(sn.actions[i].Name, action) {
			return sn.actions[i].bareURL()
		}
	}
	return ""
}

// FrameOrigins lists the origins that editors are framed from, sorted, for a
// Content-Security-Policy's frame-src and form-action: where the editors'
// actions point, and the configured addresses.
func (s *Set) FrameOrigins() []string {
	var out []string
	for _, e := range s.editors {
		out = append(out, e.origin)
		if sn := e.current.Load(); sn != nil {
			out = append(out, sn.origins...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ConvertTo gives the first editor that converts files; see Editor.ConvertURL.
func (s *Set) ConvertTo() (Editor, bool) {
	for _, e := range s.editors {
		if sn := e.current.Load(); sn != nil && sn.public.ConvertURL != "" {
			return sn.public, true
		}
	}
	return Editor{}, false
}
