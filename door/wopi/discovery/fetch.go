package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	discoveryPath    = "/hosting/discovery"
	capabilitiesPath = "/hosting/capabilities"
	convertPath      = "/cool/convert-to"

	maxCapabilities = 256 << 10 // bytes
	maxRedirects    = 3
)

// When editors are asked.
const (
	// RefreshInterval is how long a discovery is used before it is read again,
	// give or take a tenth.
	RefreshInterval = 12 * time.Hour
	// MinRefresh is the shortest time between two readings on demand. A request
	// with a forged signature asks for one, so this is what keeps strangers from
	// making this server pester an editor.
	MinRefresh = 3 * time.Minute

	fetchTimeout = 30 * time.Second // for one page
	firstRetry   = 5 * time.Second
	lastRetry    = 10 * time.Minute
)

// ErrUnknownEditor says that no editor of that name is configured.
var ErrUnknownEditor = errors.New("no such editor")

// Run keeps every editor's discovery fresh until the context ends: it reads each
// at once, then every RefreshInterval, and sooner, with growing pauses, while an
// editor does not answer. It returns when all of its work has ended. What was
// known of an editor stays in use while the editor is down.
func (s *Set) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, e := range s.editors {
		wg.Go(func() { s.keep(ctx, e) })
	}
	wg.Wait()
}

func (s *Set) keep(ctx context.Context, e *editor) {
	failures := 0
	for {
		err := s.ask(ctx, ctx, e, func() bool { return true })
		if ctx.Err() != nil {
			return
		}
		wait := RefreshInterval
		if err != nil {
			wait = min(firstRetry<<min(failures, 10), lastRetry)
			failures++
			s.log.WarnContext(ctx, "editor does not answer", "editor", e.cfg.Name, "error", err,
				"known", e.current.Load() != nil, "attempt", failures)
		} else {
			if failures > 0 {
				s.log.InfoContext(ctx, "editor answers again", "editor", e.cfg.Name)
			}
			failures = 0
		}
		// Servers that were started together should not ask together.
		wait += time.Duration((rand.Float64() - 0.5) / 5 * float64(wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Refresh reads an editor's discovery again, because a proof did not verify or
// verified only with a key that is not the current one. It says whether there is
// a newer discovery than before the call, so that checking again is worthwhile:
// read by this call, or by another while this one waited. An editor that was
// asked less than MinRefresh ago is not asked again, and the answer is no.
func (s *Set) Refresh(ctx context.Context, name string) (bool, error) {
	e := s.find(name)
	if e == nil {
		return false, fmt.Errorf("refresh editor %q: %w", name, ErrUnknownEditor)
	}
	before := e.current.Load()
	// A client that goes away ends its waiting but not the reading: by asking
	// and leaving, a stranger could otherwise use up every turn and keep a
	// rotation of the keys from being seen. The reading has its own time limit.
	err := s.ask(ctx, context.WithoutCancel(ctx), e, func() bool {
		return e.current.Load() == before && (e.tried.IsZero() || time.Since(e.tried) >= MinRefresh)
	})
	if err != nil {
		return false, fmt.Errorf("refresh editor %q: %w", name, err)
	}
	return e.current.Load() != before, nil
}

// ask waits under wait for its turn with the editor and then, if need still says
// so, reads under ctx what the editor publishes and keeps it.
func (s *Set) ask(wait, ctx context.Context, e *editor, need func() bool) error {
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-wait.Done():
		return wait.Err()
	}
	if err := wait.Err(); err != nil {
		return err
	}
	if !need() {
		return nil
	}
	e.tried = time.Now()
	sn, kept, err := s.fetch(ctx, e)
	if err != nil {
		return err
	}
	e.current.Store(sn)
	if err := s.store(e, kept); err != nil {
		// Only the next start would miss it.
		s.log.WarnContext(ctx, "discovery not kept on disk", "editor", e.cfg.Name, "error", err)
	}
	return nil
}

func (s *Set) fetch(ctx context.Context, e *editor) (*snapshot, cached, error) {
	page, err := s.get(ctx, e.cfg.URL+discoveryPath, "application/xml, text/xml", MaxDocument)
	if err != nil {
		return nil, cached{}, err
	}
	doc, err := Parse(bytes.NewReader(page))
	if err != nil {
		return nil, cached{}, fmt.Errorf("%s: %w", e.cfg.URL+discoveryPath, err)
	}
	kept := cached{URL: e.cfg.URL, Fetched: time.Now().UTC(), Discovery: string(page)}
	caps := s.fetchCapabilities(ctx, e)
	if kept.Capabilities, err = caps.text(); err != nil {
		return nil, cached{}, err
	}
	return newSnapshot(e.cfg, doc, caps, kept.Fetched), kept, nil
}

// fetchCapabilities never fails: most editors have no capabilities, and one that
// has does most of its work without them. If the editor's answer leaves open
// whether it has any, the last ones stay.
func (s *Set) fetchCapabilities(ctx context.Context, e *editor) capabilities {
	text, err := s.get(ctx, e.cfg.URL+capabilitiesPath, "application/json", maxCapabilities)
	if err == nil {
		var caps capabilities
		if caps, err = parseCapabilities(text); err == nil {
			return caps
		}
	}
	if status := statusError(0); errors.As(err, &status) && status/100 == 4 {
		return capabilities{}
	}
	s.log.DebugContext(ctx, "editor tells no capabilities", "editor", e.cfg.Name, "error", err)
	if last := e.current.Load(); last != nil {
		return last.caps
	}
	return capabilities{}
}

// statusError is an HTTP status other than 200.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// get reads one page of at most limit bytes.
func (s *Set) get(ctx context.Context, url, accept string, limit int64) (body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := resp.Body.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("%s: %w", url, closeErr)
		}
	}()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %w", url, statusError(resp.StatusCode))
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", url, limit)
	}
	return body, nil
}

// limitRedirects copies a client so that it follows few redirects, and none that
// leaves TLS: a discovery holds the keys that requests are checked with.
func limitRedirects(c *http.Client) *http.Client {
	out := new(http.Client)
	if c != nil {
		*out = *c
	}
	out.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return errors.New("a redirect away from https")
		}
		return nil
	}
	return out
}

// capabilities is what /hosting/capabilities says, as far as it matters here.
type capabilities struct {
	ProductName string `json:"productName"`
	ConvertTo   struct {
		Available bool   `json:"available"`
		Endpoint  string `json:"endpoint"`
	} `json:"convert-to"`
}

func parseCapabilities(text []byte) (capabilities, error) {
	var c capabilities
	if err := json.Unmarshal(text, &c); err != nil {
		return capabilities{}, fmt.Errorf("capabilities: %w", err)
	}
	return c, nil
}

// text is the form that parseCapabilities reads.
func (c capabilities) text() (string, error) {
	b, err := json.Marshal(c)
	return string(b), err
}

// convertURL is where files are posted to be converted. An editor may name
// another path than the usual one, but not another server.
func (c capabilities) convertURL(base string) string {
	if !c.ConvertTo.Available {
		return ""
	}
	path := c.ConvertTo.Endpoint
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") || strings.Contains(path, "..") || webURL(base+path) == "" {
		path = convertPath
	}
	return base + strings.TrimRight(path, "/")
}
