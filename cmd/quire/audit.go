package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
)

// auditSettings say what is recorded of what people do.
type auditSettings struct {
	EventLife   time.Duration `help:"How long the record of who did what is kept; the change feed reaches back as far." name:"event-life" env:"QUIRE_EVENT_LIFE" default:"9600h"`
	RecordReads bool          `help:"Record also who read what. Each download then costs a durable write." name:"record-reads" env:"QUIRE_RECORD_READS"`
}

// minEventLife is what clients of the change feed need: they may be away for
// some days.
const minEventLife = 7 * 24 * time.Hour

func (s *auditSettings) checkAudit() error {
	if s.EventLife < minEventLife {
		return &settingError{"event-life", "use 168h or more: programs that follow changes need them that long"}
	}
	return nil
}

type auditCmd struct {
	Export auditExportCmd `cmd:"" help:"Write events of a site after another, the oldest first: one JSON object a line, or CSV."`
}

type auditExportCmd struct {
	storage
	Since    string `help:"Leave out what is older: a time such as 2026-01-31 or 2026-01-31T08:00:00Z, or a duration such as 24h."`
	After    int64  `help:"Leave out events up to this number, the last one of an earlier export of the site."`
	Account  string `help:"Only this account's site; all sites if empty."`
	Instance string `help:"The site's instance." default:"default"`
	Format   string `help:"jsonl: one JSON object a line; csv: with a first line of names." enum:"jsonl,csv" default:"jsonl"`
}

// auditLine is an event as it is exported.
type auditLine struct {
	Seq     int64           `json:"seq"`
	Time    time.Time       `json:"time"`
	Site    string          `json:"site"`
	Kind    quire.EventKind `json:"kind"`
	Outcome string          `json:"outcome"` // done or refused
	User    quire.UserID    `json:"user,omitempty"`
	Name    string          `json:"name"`
	Door    quire.Door      `json:"door"`
	Addr    string          `json:"addr,omitempty"`
	Node    quire.NodeID    `json:"uid,omitempty"`
	Path    string          `json:"path,omitempty"`
	Detail  map[string]any  `json:"detail,omitempty"`
}

var auditColumns = []string{"seq", "time", "site", "kind", "outcome", "user", "name", "door", "addr", "uid", "path", "detail"}

func (e auditLine) row() ([]string, error) {
	detail := ""
	if len(e.Detail) > 0 {
		b, err := json.Marshal(e.Detail)
		if err != nil {
			return nil, err
		}
		detail = string(b)
	}
	return []string{
		strconv.FormatInt(e.Seq, 10), e.Time.Format("2006-01-02T15:04:05.000Z"), plain(e.Site), string(e.Kind), e.Outcome, string(e.User), plain(e.Name),
		string(e.Door), plain(e.Addr), string(e.Node), plain(e.Path), detail,
	}, nil
}

// plain keeps a spreadsheet from taking a name for a formula.
func plain(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func outcome(e quire.Event) string {
	if e.Refused() {
		return "refused"
	}
	return "done"
}

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &settingError{"since", fmt.Sprintf("%q is no time: write it like 2026-01-31, 2026-01-31T08:00:00Z or 24h", text)}
}

// auditPage is how many events are read at a time.
const auditPage = 1000

func (c *auditExportCmd) Run(a *app) error {
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	if c.After < 0 {
		return &settingError{"after", "it is negative"}
	}
	if c.After > 0 && c.Account == "" {
		return &settingError{"after", "give --account too: only the events of one site come in the order of their numbers"}
	}
	return c.with(a, func(o *opened) error {
		sites, err := o.library.Sites(a.ctx)
		if err != nil {
			return err
		}
		if c.Account != "" {
			s, err := o.library.Site(a.ctx, c.Account, c.Instance)
			if err != nil {
				return fmt.Errorf("site %s/%s: %w", c.Account, c.Instance, err)
			}
			sites = []quire.Site{s}
		}
		put, end := c.writer(a)
		for _, s := range sites {
			if err := c.site(a, o, s, since, put); err != nil {
				return err
			}
		}
		return end()
	})
}

// writer returns what writes a line, and what ends the writing.
func (c *auditExportCmd) writer(a *app) (put func(auditLine) error, end func() error) {
	if c.Format == "jsonl" {
		enc := json.NewEncoder(a.out)
		return func(e auditLine) error { return enc.Encode(e) }, func() error { return nil }
	}
	w := csv.NewWriter(a.out)
	_ = w.Write(auditColumns) // Flush tells
	put = func(e auditLine) error {
		row, err := e.row()
		if err != nil {
			return err
		}
		return w.Write(row)
	}
	return put, func() error { w.Flush(); return w.Error() }
}

func (c *auditExportCmd) site(a *app, o *opened, s quire.Site, since time.Time, put func(auditLine) error) error {
	who := quire.Caller{Site: s.ID, Name: "quire audit", Role: quire.RoleAdmin, Scope: quire.ScopeAdmin, Door: quire.DoorCommand}
	for after := c.After; ; {
		list, err := o.library.Audit(a.ctx, who, after, since, auditPage)
		if err != nil {
			return err
		}
		for _, e := range list {
			after = e.Seq
			if err := put(auditLine{e.Seq, e.Time.UTC(), s.Account + "/" + s.Instance, e.Kind, outcome(e), e.User, e.Name, e.Door, e.Addr, e.Node, e.Path, e.Detail}); err != nil {
				return err
			}
		}
		if len(list) < auditPage {
			return nil
		}
	}
}
