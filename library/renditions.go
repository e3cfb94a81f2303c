package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Rendition is a revision of a file in another type: there, on its way, or why
// not.
type Rendition = catalog.Rendition

// RenditionID names a rendition.
type RenditionID = catalog.RenditionID

// RenditionState is how far a conversion is.
type RenditionState = catalog.RenditionState

// The states of a rendition.
const (
	RenditionWaiting   = catalog.RenditionWaiting
	RenditionRunning   = catalog.RenditionRunning
	RenditionReady     = catalog.RenditionReady
	RenditionFailed    = catalog.RenditionFailed
	RenditionCancelled = catalog.RenditionCancelled
)

// Job is a request for renditions of one revision.
type Job = catalog.Job

// JobID names a job.
type JobID = catalog.JobID

// Shape is what a rendition is to be like.
type Shape struct {
	Target string // a MIME type
	Page   int    // of a picture, from 1; 0 is the first
	Width  int    // of a picture, in pixels; 0 is as it comes
}

// MaxWidth is the widest picture, in pixels, and lastPage the last page, that can
// be asked for.
const (
	MaxWidth = 4096
	lastPage = 9999
)

// options is the shape without its target, in one form.
func (s Shape) options() string {
	var out []string
	if s.Page > 1 {
		out = append(out, "page="+strconv.Itoa(s.Page))
	}
	if s.Width > 0 {
		out = append(out, "width="+strconv.Itoa(s.Width))
	}
	return strings.Join(out, ",")
}

// shapeOf is the inverse of options.
func shapeOf(r Rendition) Shape {
	s := Shape{Target: r.Target}
	for part := range strings.SplitSeq(r.Options, ",") {
		k, v, _ := strings.Cut(part, "=")
		n, _ := strconv.Atoi(v) // our own text
		switch k {
		case "page":
			s.Page = n
		case "width":
			s.Width = n
		}
	}
	return s
}

func (s Shape) check() error {
	picture := strings.HasPrefix(s.Target, "image/")
	switch {
	case s.Target == "" || len(s.Target) > 200:
		return &quire.Invalid{What: "target", Reason: "name a MIME type"}
	case s.Page < 0 || s.Page > lastPage, s.Page > 0 && !picture:
		return &quire.Invalid{What: "page", Reason: "use 1 to 9999, for pictures"}
	case s.Width < 0 || s.Width > MaxWidth, s.Width > 0 && !picture:
		return &quire.Invalid{What: "width", Reason: "use 1 to 4096, for pictures"}
	}
	return nil
}

// Conversion is one piece of work for a Converter.
type Conversion struct {
	Name   string        // the file's
	Source io.ReaderAt   // its content
	Size   int64         // in bytes
	Shape  Shape         // what is wanted
	Limit  time.Duration // how long it may take
}

// A Converter writes a conversion's result. It must leave nothing behind when
// ctx ends. An error that is a *Unconvertible is final; any other is worth
// another try.
type Converter func(ctx context.Context, c Conversion, w io.Writer) error

// Unconvertible is a source that cannot be converted, however often it is tried.
type Unconvertible struct{ Reason string }

func (e *Unconvertible) Error() string { return e.Reason }

// How conversions are run.
const (
	conversionTries = 3
	conversionLease = 30 * time.Second // a worker that is silent for that long is dead
	jobLife         = 7 * 24 * time.Hour
	maxTargets      = 20
	maxQueue        = 10_000 // conversions that wait on the whole server
)

// AskRendition returns a file's rendition as it is now, and has it made if nobody
// has asked for it before. Number is a revision, 0 the current one. One that was
// cancelled is begun again; one that failed stays so, since the same bytes would
// fail again.
func (l *Library) AskRendition(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, s Shape) (Rendition, error) {
	if err := s.check(); err != nil {
		return Rendition{}, err
	}
	// Most are there already, and asking for those needs no write.
	var e Entry
	var r Rendition
	err := l.view(ctx, func(tx *catalog.Tx) (err error) {
		if e, number, err = l.revisionToConvert(tx, c, id, number); err != nil {
			return err
		}
		r, err = tx.RenditionOf(id, number, s.Target, s.options())
		return err
	})
	if err == nil && r.State != catalog.RenditionCancelled {
		return r, nil
	}
	if err != nil && (!errors.Is(err, quire.ErrNotFound) || e.ID == "") {
		return Rendition{}, err
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		r, err = l.askIn(tx, c, id, number, s)
		return err
	})
	if err == nil && !r.State.Over() {
		l.converting.ring()
	}
	return r, err
}

// revisionToConvert finds the file and which revision is meant.
func (l *Library) revisionToConvert(tx *catalog.Tx, c quire.Caller, id quire.NodeID, number int64) (Entry, int64, error) {
	e, err := l.find(tx, c, id, quire.Viewer)
	if err != nil {
		return Entry{}, 0, err
	}
	if e.IsContainer() {
		return Entry{}, 0, quire.ErrNotAFile
	}
	if number == 0 {
		number = e.Revision
	}
	if _, err := tx.Revision(id, number); err != nil {
		return Entry{}, 0, err
	}
	return e, number, nil
}

// askIn finds a rendition or puts it into the queue.
func (l *Library) askIn(tx *catalog.Tx, c quire.Caller, id quire.NodeID, number int64, s Shape) (Rendition, error) {
	e, number, err := l.revisionToConvert(tx, c, id, number)
	if err != nil {
		return Rendition{}, err
	}
	r, err := tx.RenditionOf(id, number, s.Target, s.options())
	switch {
	case err == nil && r.State == catalog.RenditionCancelled:
		r.State, r.Reason, r.Attempts, r.Due, r.Updated = catalog.RenditionWaiting, "", 0, tx.Now(), tx.Now()
		return r, tx.UpdateRendition(&r)
	case !errors.Is(err, quire.ErrNotFound):
		return r, err
	}
	waiting, err := tx.CountRenditions(catalog.RenditionWaiting)
	if err != nil {
		return r, err
	}
	if waiting >= maxQueue {
		return r, &quire.Unavailable{Reason: "too many conversions are waiting: try again later", After: time.Minute}
	}
	r = Rendition{
		ID: RenditionID(NewID()), Site: e.Site, Node: id, Revision: number, Target: s.Target, Options: s.options(),
		State: catalog.RenditionWaiting, Due: tx.Now(), Created: tx.Now(), Updated: tx.Now(),
	}
	return r, tx.InsertRendition(&r)
}

// Callback is where to tell that a job is over.
type Callback struct {
	URL     string
	Targets []string // which of the job's targets it is told of; nil is all
}

// Transform asks for several renditions of a file as one job, and for callbacks
// when all of them are over.
func (l *Library) Transform(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, location string, shapes []Shape, callbacks []Callback) (j Job, list []Rendition, err error) {
	if len(shapes) == 0 || len(shapes) > maxTargets {
		return j, nil, &quire.Invalid{What: "targets", Reason: fmt.Sprintf("name 1 to %d of them", maxTargets)}
	}
	for _, s := range shapes {
		if err := s.check(); err != nil {
			return j, nil, err
		}
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		list = nil
		j = Job{ID: JobID(NewID()), Owner: c.User, Location: location, Created: tx.Now(), Expires: tx.Now().Add(jobLife)}
		over := true
		for _, s := range shapes {
			r, err := l.askIn(tx, c, id, number, s)
			if err != nil {
				return err
			}
			j.Site, j.Node, j.Revision = r.Site, r.Node, r.Revision
			j.Renditions = append(j.Renditions, r.ID)
			list = append(list, r)
			over = over && r.State.Over()
		}
		if err := tx.InsertJob(&j); err != nil {
			return err
		}
		for _, cb := range callbacks {
			d := catalog.Delivery{ID: "msg_" + NewID(), Job: j.ID, URL: cb.URL, Targets: cb.Targets, State: catalog.DeliveryHeld}
			if over {
				release(&d, tx.Now())
			}
			if err := tx.InsertDelivery(&d); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		l.converting.ring()
		l.delivering.ring()
	}
	return j, list, err
}

// deliveryLife is how long a callback is tried.
const deliveryLife = 24 * time.Hour

// release makes a delivery due.
func release(d *catalog.Delivery, now time.Time) {
	d.State, d.Due, d.Until = catalog.DeliveryDue, now, now.Add(deliveryLife)
}

// JobOf returns a job with its renditions, for who may read the file now.
func (l *Library) JobOf(ctx context.Context, c quire.Caller, id JobID) (j Job, list []Rendition, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		if j, err = tx.Job(id); err != nil {
			return err
		}
		if _, err := l.find(tx, c, j.Node, quire.Viewer); err != nil {
			return err
		}
		list, err = renditionsOf(tx, j)
		return err
	})
	return j, list, err
}

func renditionsOf(tx *catalog.Tx, j Job) (list []Rendition, err error) {
	for _, id := range j.Renditions {
		r, err := tx.Rendition(id)
		if errors.Is(err, quire.ErrNotFound) {
			r = Rendition{ID: id, State: catalog.RenditionFailed, Reason: "the revision was deleted"}
		} else if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// CancelJob ends the conversions of a job that are not over and that no other job
// waits for. It is for the job's owner and for administrators; a caller that may
// only read, as who has a viewer link, is refused.
func (l *Library) CancelJob(ctx context.Context, c quire.Caller, id JobID) error {
	if !c.Scope.Allows(quire.ScopeWrite) {
		return quire.ErrForbidden
	}
	err := l.update(ctx, func(tx *catalog.Tx) error {
		j, err := tx.Job(id)
		if err != nil {
			return err
		}
		if _, err := l.find(tx, c, j.Node, quire.Viewer); err != nil {
			return err
		}
		if j.Owner != c.User && c.Role != quire.RoleAdmin {
			return quire.ErrForbidden
		}
		others, err := tx.JobsOf(j.Node, j.Revision)
		if err != nil {
			return err
		}
		list, err := renditionsOf(tx, j)
		if err != nil {
			return err
		}
		for _, r := range list {
			wanted := slices.ContainsFunc(others, func(o Job) bool { return o.ID != j.ID && slices.Contains(o.Renditions, r.ID) })
			if r.State.Over() || wanted {
				continue
			}
			r.State, r.Reason, r.Worker, r.Updated = catalog.RenditionCancelled, "it was cancelled", "", tx.Now()
			if err := tx.UpdateRendition(&r); err != nil {
				return err
			}
			if err := jobsOver(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	l.delivering.ring()
	return err
}

// Jobs returns the newest jobs of the caller's site, for its administrators.
func (l *Library) Jobs(ctx context.Context, c quire.Caller, limit int) (list []Job, all [][]Rendition, err error) {
	if c.Role != quire.RoleAdmin || !c.Scope.Allows(quire.ScopeAdmin) {
		return nil, nil, quire.ErrForbidden
	}
	err = l.view(ctx, func(tx *catalog.Tx) error {
		all = nil
		if list, err = tx.Jobs(c.Site, limit); err != nil {
			return err
		}
		for _, j := range list {
			r, err := renditionsOf(tx, j)
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	})
	return list, all, err
}

// OpenRendition opens the content of a rendition that is ready, for who may read
// its file. The entry is the file's. The caller closes it.
func (l *Library) OpenRendition(ctx context.Context, c quire.Caller, id RenditionID) (*Content, Rendition, error) {
	var out *Content
	var r Rendition
	err := l.view(ctx, func(tx *catalog.Tx) (err error) {
		if r, err = tx.Rendition(id); err != nil {
			return err
		}
		e, err := l.find(tx, c, r.Node, quire.Viewer)
		if err != nil {
			return err
		}
		if r.State != catalog.RenditionReady {
			return quire.ErrNotFound
		}
		out = &Content{Entry: e, Revision: r.Revision, ctx: ctx, l: l}
		out.Entry.Modified, out.Entry.Size = r.Updated, r.Size
		stream := quire.Stream{ID: quire.MainContent, Size: r.Size}
		if r.Size > 0 {
			stream.Extents = []quire.Extent{{Segment: r.Segment, Length: r.Size}}
		}
		out.setExtents(&stream)
		if r.Size > 0 && r.Segment.InCatalog() {
			data, err := tx.SegmentData(r.Segment)
			if err != nil {
				return damaged(r.Segment, err)
			}
			out.remember(r.Segment, data)
		}
		return nil
	})
	return out, r, err
}

// RunConversions runs workers that make renditions until ctx ends. Limit is how
// long one may take, counted from when it begins. What a worker has begun when it
// dies is taken over by another one, of any node, after conversionLease.
func (l *Library) RunConversions(ctx context.Context, convert Converter, workers int, limit time.Duration) {
	worker := NewID()
	drain(ctx, &l.converting, workers,
		func(ctx context.Context) (Rendition, bool, error) { return l.takeConversion(ctx, worker) },
		func(r Rendition) { l.convert(ctx, convert, r, limit) },
		func(err error) { l.log.Error("a conversion was not begun; it will be tried again", "error", err) })
}

// takeConversion marks a conversion that is due as this process's.
func (l *Library) takeConversion(ctx context.Context, worker string) (r Rendition, ok bool, err error) {
	// A look first: most of the time nothing is due.
	err = l.view(ctx, func(tx *catalog.Tx) error {
		due, err := tx.DueRenditions(1)
		ok = len(due) > 0
		return err
	})
	if err != nil || !ok {
		return r, false, err
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		ok = false
		due, err := tx.DueRenditions(1)
		if err != nil || len(due) == 0 {
			return err
		}
		r, ok = due[0], true
		if r.Attempts >= conversionTries {
			// Its workers died each time: the source kills them.
			r.State, r.Reason, r.Updated, ok = catalog.RenditionFailed, "the converter broke down on it", tx.Now(), false
			if err := tx.UpdateRendition(&r); err != nil {
				return err
			}
			return jobsOver(tx, r)
		}
		r.State, r.Worker, r.Attempts, r.Due, r.Updated = catalog.RenditionRunning, worker, r.Attempts+1, tx.Now().Add(conversionLease), tx.Now()
		return tx.UpdateRendition(&r)
	})
	return r, ok, err
}

// giveBack lets another worker begin what this one took and did not begin.
func (l *Library) giveBack(r Rendition) {
	err := l.updateRendition(r, func(tx *catalog.Tx, r *Rendition) error {
		r.State, r.Due, r.Attempts = catalog.RenditionWaiting, tx.Now(), r.Attempts-1
		return nil
	})
	if err != nil && !errors.Is(err, errNotOurs) {
		l.log.Warn("a conversion was not given back; it is taken over when its time is up", "rendition", r.ID, "error", err)
	}
}

// errNotOurs is a conversion that was cancelled, lost, or taken over.
var errNotOurs = errors.New("the conversion is no longer this worker's")

// updateRendition changes a rendition that its worker still has.
func (l *Library) updateRendition(r Rendition, change func(*catalog.Tx, *Rendition) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return l.update(ctx, func(tx *catalog.Tx) error {
		now, err := tx.Rendition(r.ID)
		if errors.Is(err, quire.ErrNotFound) || err == nil && (now.State != catalog.RenditionRunning || now.Worker != r.Worker || now.Attempts != r.Attempts) {
			return errNotOurs
		}
		if err != nil {
			return err
		}
		if err := change(tx, &now); err != nil {
			return err
		}
		now.Updated = tx.Now()
		if err := tx.UpdateRendition(&now); err != nil {
			return err
		}
		if now.State.Over() {
			return jobsOver(tx, now)
		}
		return nil
	})
}

// jobsOver makes the callbacks of jobs due that a rendition was the last of.
func jobsOver(tx *catalog.Tx, last Rendition) error {
	jobs, err := tx.JobsOf(last.Node, last.Revision)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if !slices.Contains(j.Renditions, last.ID) {
			continue
		}
		list, err := renditionsOf(tx, j)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(r Rendition) bool { return !r.State.Over() }) {
			continue
		}
		held, err := tx.Deliveries(j.ID)
		if err != nil {
			return err
		}
		for _, d := range held {
			if d.State != catalog.DeliveryHeld {
				continue
			}
			release(&d, tx.Now())
			if err := tx.UpdateDelivery(&d); err != nil {
				return err
			}
		}
	}
	return nil
}

// convert makes one rendition and records what came of it.
func (l *Library) convert(ctx context.Context, convert Converter, r Rendition, limit time.Duration) {
	work, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var beat sync.WaitGroup
	stop := make(chan struct{})
	beat.Go(func() {
		tick := time.NewTicker(conversionLease / 3)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				err := l.updateRendition(r, func(tx *catalog.Tx, r *Rendition) error {
					r.Due = tx.Now().Add(conversionLease)
					return nil
				})
				if errors.Is(err, errNotOurs) {
					cancel() // nobody wants the result
				}
			}
		}
	})
	made, err := l.make(work, convert, r, limit)
	late := work.Err() != nil && ctx.Err() == nil && err != nil
	close(stop)
	beat.Wait()

	var final *Unconvertible
	switch {
	case err == nil:
		err = l.updateRendition(r, func(tx *catalog.Tx, r *Rendition) error {
			r.State, r.Size, r.Segment, r.Reason = catalog.RenditionReady, made.size, "", ""
			for _, f := range made.fresh {
				f.Created = tx.Now()
				r.Segment = f.ID
				if err := tx.InsertSegment(&f.Segment, f.data, r.Site, catalog.RenditionHolder(r.ID)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			l.drop(context.WithoutCancel(ctx), made, err)
		}
	case ctx.Err() != nil: // the server stops
		l.giveBack(r)
		return
	default:
		reason := err.Error()
		if late {
			reason = "it took longer than " + limit.String()
		}
		l.log.Warn("a conversion failed", "node", r.Node, "revision", r.Revision, "target", r.Target, "attempt", r.Attempts, "error", reason)
		hopeless := errors.As(err, &final) || r.Attempts >= conversionTries
		err = l.updateRendition(r, func(tx *catalog.Tx, r *Rendition) error {
			r.Reason = clipText(reason, 500)
			if hopeless {
				r.State = catalog.RenditionFailed
				return nil
			}
			r.State, r.Due = catalog.RenditionWaiting, tx.Now().Add(time.Duration(r.Attempts*r.Attempts)*5*time.Second)
			return nil
		})
	}
	l.delivering.ring()
	if err != nil && !errors.Is(err, errNotOurs) {
		l.log.Error("a conversion's result was not recorded; it will be made again", "rendition", r.ID, "error", err)
	}
}

func clipText(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// make runs the converter into a segment.
func (l *Library) make(ctx context.Context, convert Converter, r Rendition, limit time.Duration) (*incoming, error) {
	var in *Content
	err := l.view(ctx, func(tx *catalog.Tx) error {
		n, err := tx.Node(r.Node)
		if err != nil {
			return err
		}
		in, err = l.openIn(ctx, tx, Entry{Node: n}, r.Revision, quire.MainContent)
		return err
	})
	if errors.Is(err, quire.ErrNotFound) {
		return nil, &Unconvertible{"the file is gone"}
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := convert(ctx, Conversion{Name: in.Entry.Name, Source: in, Size: in.Size, Shape: shapeOf(r), Limit: limit}, w)
		w.CloseWithError(err)
		done <- err
	}()
	f, err := l.take(ctx, out)
	out.CloseWithError(err) // so that the converter does not wait
	if cause := <-done; cause != nil {
		if err == nil {
			l.drop(context.WithoutCancel(ctx), whole(f), cause)
		}
		return nil, cause
	}
	if err != nil {
		return nil, err
	}
	return whole(f), nil
}

// dropLost gives up the renditions of revisions that are gone.
func (l *Library) dropLost(ctx context.Context) error {
	for {
		n := 0
		err := l.update(ctx, func(tx *catalog.Tx) (err error) {
			n, err = tx.DropLost(100)
			return err
		})
		if err != nil || n < 100 {
			return err
		}
	}
}

const choreThumbnails = "thumbnails"

// thumbnailPause is how long a file must have rested before pictures of it are
// made, from its first new revision on: editors save every few seconds.
const thumbnailPause = 30 * time.Second

// Thumbnails are the widths of the pictures that are made in the background, in
// pixels.
func Thumbnails() []int { return []int{64, 320, 1024} }

// thumbnails asks for the pictures of a file's current revision.
func (l *Library) thumbnails(ctx context.Context, id quire.NodeID) error {
	err := l.update(ctx, func(tx *catalog.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		if n.Trashed != nil || n.IsContainer() || n.Size == 0 {
			return nil
		}
		reader := Viewers(quire.Site{ID: n.Site}, "", id)
		for _, width := range Thumbnails() {
			if _, err := l.askIn(tx, reader, id, 0, Shape{Target: "image/png", Width: width}); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, quire.ErrNotFound) {
		return nil // it is gone
	}
	l.converting.ring()
	return err
}
