package fileapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/transform"
)

// Waiting for a conversion: how long a request does unless it says so, and at
// most.
const (
	usualWait   = 20 * time.Second
	longestWait = 60 * time.Second
)

// convertible says whether a file can be made into a type by its name: else the
// answer has the status for why not.
func (c *call) convertible(name, target string) error {
	k := transform.Claimed(name)
	if k == "" && !strings.Contains(name, ".") {
		k = "txt"
	}
	err := c.opt.Engines.Serves(k, target)
	var no *transform.UnsupportedError
	if !errors.As(err, &no) {
		return err
	}
	switch {
	case !c.opt.Office && transform.NeedsOffice(k, target):
		return &statusError{status: http.StatusServiceUnavailable, code: "conversion_unavailable", msg: "this server has no engine for office documents: its operator can install LibreOffice, or name a service"}
	case len(no.Can) == 0:
		return &statusError{status: http.StatusUnsupportedMediaType, code: "unsupported_source", msg: no.Error()}
	}
	return &statusError{status: http.StatusUnprocessableEntity, code: "conversion_unavailable", msg: no.Error()}
}

// shape reads what a rendition is to be like.
func (c *call) shapeOf(target string) (library.Shape, error) {
	s := library.Shape{Target: target}
	if !strings.HasPrefix(target, "image/") {
		return s, nil
	}
	page, err := c.number(0, "page")
	if err != nil {
		return s, err
	}
	width, err := c.number(0, "width")
	if err != nil {
		return s, err
	}
	s.Page, s.Width = int(min(page, 1<<20)), int(min(width, 1<<20))
	return s, nil
}

// rendition answers get with a rendition: it waits a while for one that is being
// made.
func (c *call) rendition(e library.Entry, revision int64, target string, inline bool) error {
	if err := c.convertible(e.Name, target); err != nil {
		if c.link != nil {
			return &statusError{status: http.StatusNotAcceptable, code: "conversion_failed", msg: err.Error()}
		}
		return err
	}
	s, err := c.shapeOf(target)
	if err != nil {
		return err
	}
	wait, err := c.number(int64(usualWait/time.Second), "wait")
	if err != nil || wait < 0 {
		return badParam("wait", "it is no number of seconds")
	}
	r, err := c.await(e.ID, revision, s, min(longestWait, time.Duration(wait)*time.Second))
	if err != nil {
		return err
	}
	switch r.State {
	case library.RenditionReady:
		return c.sendRendition(r, inline)
	case library.RenditionFailed, library.RenditionCancelled:
		status := http.StatusUnprocessableEntity
		if c.link != nil {
			status = http.StatusNotAcceptable
		}
		return &statusError{status: status, code: "conversion_failed", msg: "the conversion failed: " + r.Reason}
	}
	status := http.StatusServiceUnavailable
	if c.link != nil {
		status = http.StatusMethodNotAllowed
	}
	c.w.Header().Set("Retry-After", "5")
	return &statusError{status: status, code: "converting", msg: "it is still being converted: ask again"}
}

// await asks for a rendition until it is over or the time is.
func (c *call) await(id quire.NodeID, revision int64, s library.Shape, limit time.Duration) (library.Rendition, error) {
	end := time.Now().Add(limit)
	pause := 30 * time.Millisecond
	for {
		r, err := c.lib.AskRendition(c.ctx, c.caller, id, revision, s)
		if err != nil || r.State.Over() || !time.Now().Add(pause).Before(end) {
			return r, err
		}
		select {
		case <-c.ctx.Done():
			return r, c.ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 500*time.Millisecond)
	}
}

// renditionName is a file's name with the extension of another type.
func renditionName(name, target string) string {
	base := strings.TrimSuffix(name, path.Ext(name))
	for _, ext := range []string{".pdf", ".txt", ".html", ".png", ".csv", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp"} {
		if bareType(contentType("x"+ext)) == target {
			return base + ext
		}
	}
	return base
}

// sendRendition sends a rendition's bytes.
func (c *call) sendRendition(r library.Rendition, inline bool) error {
	in, r, err := c.lib.OpenRendition(c.ctx, c.caller, r.ID)
	if err != nil {
		return err
	}
	defer in.Close()
	in.Entry.Name = renditionName(in.Entry.Name, r.Target)
	d := describe(in.Entry)
	d.Revision, d.Bytes, d.ContentType = r.Revision, r.Size, r.Target
	meta, err := ascii(d)
	if err != nil {
		return err
	}
	c.w.Header().Set("x-edo-metadata", meta)
	return c.contentAs(in, inline, `"`+string(in.Entry.ID)+"-"+strconv.FormatInt(r.Revision, 10)+"-"+string(r.ID[:8])+`"`)
}

// transformFile is file/transform: it asks for renditions as a job.
func transformFile(c *call) error {
	uid, location := c.q.Get("uid"), c.q.Get("location")
	if c.q.Get("source_url") != "" {
		return badParam("source_url", "this server fetches no files from elsewhere: put the file first, and name it by location or uid")
	}
	if (uid == "") == (location == "") {
		return badParam("uid, location", "give exactly one of them")
	}
	revision, err := c.revisionNumber()
	if err != nil {
		return err
	}
	var e library.Entry
	if uid != "" {
		e, err = c.lib.Stat(c.ctx, c.caller, quire.NodeID(uid))
	} else {
		e, err = c.lib.Lookup(c.ctx, c.caller, location)
	}
	if err != nil {
		return err
	}
	if e.IsContainer() {
		return quire.ErrNotAFile
	}
	var targets []string
	for t := range strings.SplitSeq(c.q.Get("targets"), ",") {
		if t = bareType(strings.TrimSpace(t)); t != "" && !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	if len(targets) == 0 {
		return badParam("targets", "name the MIME types that you want")
	}
	var shapes []library.Shape
	for _, t := range targets {
		if c.link != nil && !c.link.Permission.gives(t) {
			return quire.ErrForbidden
		}
		if err := c.convertible(e.Name, t); err != nil {
			return err
		}
		s, err := c.shapeOf(t)
		if err != nil {
			return err
		}
		shapes = append(shapes, s)
	}
	callbacks, err := c.callbacks(targets)
	if err != nil {
		return err
	}
	j, list, err := c.lib.Transform(c.ctx, c.caller, e.ID, revision, e.Path, shapes, callbacks)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if over(list) {
		status = http.StatusOK
	}
	return c.answer(status, c.jobView(j, list))
}

// callbacks reads where to tell that a job is over: a URL, or a JSON object of
// URLs by target. Addresses that are not open to everybody are refused now, and
// again when they are dialled.
func (c *call) callbacks(targets []string) ([]library.Callback, error) {
	text := strings.TrimSpace(c.q.Get("callback"))
	if text == "" {
		return nil, nil
	}
	if c.opt.Hooks == nil {
		return nil, badParam("callback", "this server makes no callbacks")
	}
	var out []library.Callback
	if strings.HasPrefix(text, "{") {
		var byTarget map[string]string
		if err := json.Unmarshal([]byte(text), &byTarget); err != nil {
			return nil, badParam("callback", `it is no JSON object like {"application/pdf":"https://..."}`)
		}
		for t, u := range byTarget {
			if !slices.Contains(targets, bareType(t)) {
				return nil, badParam("callback", "it names a target that was not asked for")
			}
			out = append(out, library.Callback{URL: u, Targets: []string{bareType(t)}})
		}
	} else {
		out = append(out, library.Callback{URL: text})
	}
	for _, cb := range out {
		if err := c.opt.Hooks.Check(cb.URL); err != nil {
			return nil, &statusError{status: http.StatusBadRequest, code: "bad_callback", msg: err.Error()}
		}
	}
	return out, nil
}

func over(list []library.Rendition) bool {
	return !slices.ContainsFunc(list, func(r library.Rendition) bool { return !r.State.Over() })
}

// renditionView is a rendition as callers see one.
type renditionView struct {
	Target string `json:"target"`
	Status string `json:"status"`
	Bytes  int64  `json:"bytes,omitempty"`
	Error  string `json:"error,omitempty"`
	URL    string `json:"url,omitempty"`
}

// jobView is a job as callers see one.
type jobView struct {
	Job        library.JobID   `json:"job"`
	Status     string          `json:"status"`
	UID        quire.NodeID    `json:"uid"`
	Revision   int64           `json:"revision"`
	Location   string          `json:"location"`
	Created    float64         `json:"created"`
	Renditions []renditionView `json:"renditions"`
}

func (c *call) jobView(j library.Job, list []library.Rendition) jobView {
	v := jobView{Job: j.ID, Status: statusOf(list), UID: j.Node, Revision: j.Revision, Location: j.Location, Created: unix(j.Created), Renditions: []renditionView{}}
	for i, r := range list {
		one := viewRendition(r)
		if r.State == library.RenditionReady {
			one.URL = c.base() + "/api/v1/file/transform/" + string(j.ID) + "/" + strconv.Itoa(i)
		}
		v.Renditions = append(v.Renditions, one)
	}
	return v
}

func viewRendition(r library.Rendition) renditionView {
	v := renditionView{Target: r.Target, Status: string(r.State), Error: r.Reason}
	if r.State == library.RenditionReady {
		v.Status, v.Bytes, v.Error = "done", r.Size, ""
	}
	return v
}

// statusOf sums a job up.
func statusOf(list []library.Rendition) string {
	has := func(s library.RenditionState) bool {
		return slices.ContainsFunc(list, func(r library.Rendition) bool { return r.State == s })
	}
	switch {
	case has(library.RenditionRunning):
		return "running"
	case has(library.RenditionWaiting):
		return "waiting"
	case has(library.RenditionFailed):
		return "failed"
	case has(library.RenditionCancelled):
		return "cancelled"
	}
	return "done"
}

func (d *Door) base() string { return strings.TrimSuffix(d.opt.PublicURL.String(), "/") }

// job is file/transform/{job}: a job's state; DELETE cancels it.
func job(c *call, id string) error {
	if c.r.Method == http.MethodDelete {
		if err := c.lib.CancelJob(c.ctx, c.caller, library.JobID(id)); err != nil {
			return err
		}
	}
	j, list, err := c.lib.JobOf(c.ctx, c.caller, library.JobID(id))
	if err != nil {
		return err
	}
	if c.link != nil && c.link.Path != j.Location {
		return quire.ErrNotFound
	}
	return c.answer(http.StatusOK, c.jobView(j, list))
}

// jobResult is file/transform/{job}/{n}: a result's content.
func jobResult(c *call, id, n string) error {
	j, list, err := c.lib.JobOf(c.ctx, c.caller, library.JobID(id))
	if err != nil {
		return err
	}
	if c.link != nil && c.link.Path != j.Location {
		return quire.ErrNotFound
	}
	i, err := strconv.Atoi(n)
	if err != nil || i < 0 || i >= len(list) {
		return quire.ErrNotFound
	}
	if c.link != nil && !c.link.Permission.gives(list[i].Target) {
		return quire.ErrForbidden
	}
	inline, err := c.inline()
	if err != nil {
		return err
	}
	switch r := list[i]; r.State {
	case library.RenditionReady:
		return c.sendRendition(r, inline)
	case library.RenditionFailed, library.RenditionCancelled:
		return &statusError{status: http.StatusUnprocessableEntity, code: "conversion_failed", msg: "the conversion failed: " + r.Reason}
	}
	c.w.Header().Set("Retry-After", "5")
	return &statusError{status: http.StatusServiceUnavailable, code: "converting", msg: "it is still being converted: ask again"}
}

// A result link is what a callback has: it gives the results of one job, without
// another credential, for a time.
const (
	resultPrefix  = "qn_"
	resultPurpose = "fileapi.result"
	resultLife    = 24 * time.Hour
)

// resultBearer returns whom a result link stands for: a reader of the one file.
func (c *call) resultBearer(token string) (quire.Caller, error) {
	payload, _, err := c.ids.Open(c.ctx, resultPurpose, token)
	if err != nil {
		return quire.Caller{}, err
	}
	var p struct {
		Job  library.JobID
		Site quire.SiteID
		Node quire.NodeID
	}
	if json.Unmarshal(payload, &p) != nil || !strings.HasPrefix(strings.TrimPrefix(c.r.URL.Path, "/api/v1/file/transform/"), string(p.Job)) {
		return quire.Caller{}, quire.ErrUnauthenticated
	}
	return library.Viewers(quire.Site{ID: p.Site}, "", p.Node), nil
}

// Deliver makes one try of a callback (file API, "Callback").
func (d *Door) Deliver(ctx context.Context, l library.Delivery) library.Verdict {
	token, err := json.Marshal(map[string]any{"Job": l.Job.ID, "Site": l.Job.Site, "Node": l.Job.Node})
	if err != nil {
		return library.Verdict{Reason: err.Error()}
	}
	signed, err := d.ids.Sign(ctx, resultPurpose, token, time.Now().Add(resultLife))
	if err != nil {
		return library.Verdict{Reason: err.Error()}
	}
	type result struct {
		Target string `json:"target"`
		Bytes  int64  `json:"bytes"`
		URL    string `json:"url"`
	}
	body := struct {
		Job        library.JobID `json:"job"`
		Account    string        `json:"account"`
		Instance   string        `json:"instance"`
		UID        quire.NodeID  `json:"uid"`
		Revision   int64         `json:"revision"`
		Location   string        `json:"location"`
		Status     string        `json:"status"`
		Error      string        `json:"error"`
		Renditions []result      `json:"renditions"`
	}{
		Job: l.Job.ID, Account: l.Site.Account, Instance: l.Site.Instance, UID: l.Job.Node, Revision: l.Job.Revision, Location: l.Job.Location, Status: "done", Renditions: []result{},
	}
	for _, r := range l.Renditions {
		if r.State != library.RenditionReady {
			body.Status = "failed"
			if body.Error == "" {
				body.Error = r.Target + ": " + r.Reason
			}
			continue
		}
		n := slices.Index(l.Job.Renditions, r.ID)
		at := d.base() + "/api/v1/file/transform/" + string(l.Job.ID) + "/" + strconv.Itoa(n) + "?" + url.Values{"access_token": {resultPrefix + signed}}.Encode()
		body.Renditions = append(body.Renditions, result{r.Target, r.Size, at})
	}
	b, err := json.Marshal(body)
	if err != nil {
		return library.Verdict{Reason: err.Error()}
	}
	a, err := d.opt.Hooks.Post(ctx, l.URL, l.ID, b, l.Keys)
	switch {
	case err != nil:
		return library.Verdict{Reason: err.Error()}
	case a.OK():
		return library.Verdict{Done: true}
	}
	return library.Verdict{Stop: a.Status == http.StatusGone, After: a.After, Reason: "it answers " + strconv.Itoa(a.Status)}
}

// Convert is a library.Converter over engines.
func Convert(engines transform.Set) library.Converter {
	return func(ctx context.Context, c library.Conversion, w io.Writer) error {
		err := engines.Convert(ctx, transform.Source{ReaderAt: c.Source, Name: c.Name, Size: c.Size}, transform.Target{Type: c.Shape.Target, Page: c.Shape.Page, Width: c.Shape.Width}, w)
		var final *transform.SourceError
		if errors.As(err, &final) {
			return &library.Unconvertible{Reason: final.Reason}
		}
		return err
	}
}

// adminEngines is GET admin/engines: which engine serves what, and whether it
// works.
func adminEngines(c *call) error {
	if err := c.operator(); err != nil {
		return err
	}
	return c.answer(http.StatusOK, map[string]any{"engines": c.opt.Engines.Report(c.ctx)})
}

// adminJobs is GET admin/jobs: the newest conversions of the site.
func adminJobs(c *call) error {
	limit, err := c.limit(100)
	if err != nil {
		return err
	}
	list, all, err := c.lib.Jobs(c.ctx, c.caller, limit)
	if err != nil {
		return err
	}
	out := []jobView{}
	for i := range list {
		out = append(out, c.jobView(list[i], all[i]))
	}
	return c.answer(http.StatusOK, map[string]any{"jobs": out})
}

// transformPath splits what follows file/transform/ into a job and a result.
func transformPath(rest string) (id, n string, ok bool) {
	id, n, more := strings.Cut(rest, "/")
	return id, n, id != "" && (!more || n != "" && !strings.Contains(n, "/"))
}
