package main

import (
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/quire-docs/quire/door/wopi"
	"github.com/quire-docs/quire/door/wopi/discovery"
)

// wopiSettings are what an operator may say about editors.
type wopiSettings struct {
	Editors     []string `help:"An editor: 'NAME URL', and then profile=microsoft|collabora|onlyoffice, proof=required|off and zone=NAME as needed. May be given several times; in the environment, separate editors with semicolons." name:"editor" env:"QUIRE_EDITORS" sep:";" placeholder:"'NAME URL [OPTION...]'"`
	CollabURL   string   `help:"The coauthoring service for Office, instead of the one in the editor's discovery." name:"wopi-collab-url" env:"QUIRE_WOPI_COLLAB_URL"`
	RTCURL      string   `help:"The real-time channel for Office, instead of the one in the editor's discovery." name:"wopi-rtc-url" env:"QUIRE_WOPI_RTC_URL"`
	Geo         string   `help:"Where the files are (FileGeoLocationCode). Coauthoring needs it." name:"wopi-geo" env:"QUIRE_WOPI_GEO"`
	Compliance  string   `help:"The compliance domain prefix, where a region asks for one." name:"wopi-compliance-domain" env:"QUIRE_WOPI_COMPLIANCE_DOMAIN"`
	Business    bool     `help:"Users edit under a business licence, which Office checks." name:"wopi-business" env:"QUIRE_WOPI_BUSINESS"`
	Education   bool     `help:"Users are students." name:"wopi-education" env:"QUIRE_WOPI_EDUCATION"`
	MaxDocument int64    `help:"The largest file that an editor may save, in bytes; 0 is no limit." name:"wopi-max-size" env:"QUIRE_WOPI_MAX_SIZE" default:"0"`
}

// parseEditor reads 'NAME URL option=value ...'.
func parseEditor(text string) (discovery.Config, error) {
	var c discovery.Config
	words := strings.Fields(text)
	if len(words) < 2 {
		return c, &settingError{"editor", fmt.Sprintf("%q: write it as 'NAME URL', for example 'office https://office.example.org'", text)}
	}
	c.Name, c.URL = words[0], words[1]
	for _, w := range words[2:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "profile":
			c.Profile = discovery.Profile(v)
		case "proof":
			c.Proof = discovery.ProofMode(v)
		case "zone":
			c.Zone = v
		default:
			return c, &settingError{"editor", fmt.Sprintf("%q has no option %q: use profile, proof and zone", c.Name, k)}
		}
	}
	return c, nil
}

func (s *wopiSettings) set(data string, log *slog.Logger) (*discovery.Set, error) {
	var list []discovery.Config
	for _, text := range s.Editors {
		if strings.TrimSpace(text) == "" {
			continue
		}
		c, err := parseEditor(text)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	set, err := discovery.New(discovery.Options{Dir: filepath.Join(data, "discovery"), Log: log}, list...)
	if err != nil {
		return nil, &settingError{"editor", err.Error()}
	}
	for name, text := range map[string]string{"wopi-collab-url": s.CollabURL, "wopi-rtc-url": s.RTCURL} {
		if text == "" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Scheme == "" || u.Host == "" {
			return nil, &settingError{name, "it is not an absolute URL"}
		}
	}
	if s.MaxDocument < 0 {
		return nil, &settingError{"wopi-max-size", "it is negative"}
	}
	return set, nil
}

func (s *wopiSettings) options(o wopi.Options) wopi.Options {
	o.MaxSize, o.Business, o.Education = s.MaxDocument, s.Business, s.Education
	o.Coauth = wopi.Coauth{CollaborationURL: s.CollabURL, RealTimeURL: s.RTCURL, FileGeoLocationCode: s.Geo, ComplianceDomainPrefix: s.Compliance}
	o.Version = "quire/" + version
	return o
}
