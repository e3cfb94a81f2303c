package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxCached is the largest cache file that is read, in bytes: a document and its
// capabilities as JSON strings, which may take six bytes for one.
const maxCached = 6*(MaxDocument+maxCapabilities) + 4096

// cached is an editor's file in the cache folder: what was read, as it was read,
// so that a newer program makes the most of it.
type cached struct {
	URL          string    `json:"url"` // what it was read from; another address makes it worthless
	Fetched      time.Time `json:"fetched"`
	Discovery    string    `json:"discovery"`
	Capabilities string    `json:"capabilities,omitempty"`
}

func (s *Set) cacheFile(e *editor) string {
	return filepath.Join(s.dir, "discovery-"+strings.ToLower(e.cfg.Name)+".json")
}

// restore takes what the cache holds about an editor. A cache that cannot be
// used is as good as none.
func (s *Set) restore(e *editor) {
	if s.dir == "" {
		return
	}
	sn, err := readCache(s.cacheFile(e), e.cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.log.Warn("cached discovery ignored", "editor", e.cfg.Name, "error", err)
	default:
		e.current.Store(sn)
	}
}

func readCache(path string, cfg Config) (*snapshot, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCached+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxCached {
		return nil, fmt.Errorf("more than %d bytes", maxCached)
	}
	var c cached
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if c.URL != cfg.URL {
		return nil, errors.New("it is of another address")
	}
	doc, err := Parse(strings.NewReader(c.Discovery))
	if err != nil {
		return nil, err
	}
	var caps capabilities
	if c.Capabilities != "" {
		if caps, err = parseCapabilities([]byte(c.Capabilities)); err != nil {
			return nil, err
		}
	}
	return newSnapshot(cfg, doc, caps, c.Fetched), nil
}

// store writes an editor's cache file, whole or not at all.
func (s *Set) store(e *editor, c cached) (err error) {
	if s.dir == "" {
		return nil
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".discovery-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()           // it may be closed already
			os.Remove(f.Name()) // it may be gone already
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.cacheFile(e))
}
