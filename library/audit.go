package library

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// recent remembers what has been recorded of late of readers and of those who
// were refused, so that a download in many ranges, or an editor that asks again
// and again, is one event.
type recent struct {
	mu   sync.Mutex // guards seen
	seen map[recentKey]time.Time
}

type recentKey struct {
	user quire.UserID
	link quire.LinkID
	door quire.Door
	addr string
	node quire.NodeID
	what string // the kind of event, and what else tells two of them apart
}

const (
	// oneEvent is how long doing the same in the same way counts as once.
	oneEvent = 10 * time.Minute
	// maxRecent bounds the memory; who is forgotten is recorded again.
	maxRecent = 20_000
)

// fresh says whether an event is to be recorded.
func (r *recent) fresh(k recentKey, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.seen[k]; ok && now.Sub(last) < oneEvent {
		return false
	}
	if r.seen == nil || len(r.seen) >= maxRecent {
		r.seen = make(map[recentKey]time.Time)
	}
	r.seen[k] = now
	return true
}

// forget takes back what fresh noted, where it could not be recorded.
func (r *recent) forget(k recentKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, k)
}

func recentOf(c quire.Caller, id quire.NodeID, what string) recentKey {
	return recentKey{c.User, c.Link, c.Door, c.Addr, id, what}
}

// recordRead notes who read what, if Options.RecordReads is set. What cannot be
// recorded is not read: an auditor relies on that.
func (l *Library) recordRead(ctx context.Context, c quire.Caller, in *Content) error {
	if !l.opt.RecordReads {
		return nil
	}
	k := recentOf(c, in.Entry.ID, fmt.Sprint("read ", in.Revision))
	if !l.recent.fresh(k, time.Now()) {
		return nil
	}
	detail := map[string]any{"revision": in.Revision}
	if c.Editor != "" {
		detail["editor"] = c.Editor
	}
	err := l.update(ctx, func(tx *catalog.Tx) error {
		return l.record(tx, c, quire.EventRead, in.Entry, detail)
	})
	if err != nil {
		l.recent.forget(k)
	}
	return err
}

// recorded is content once its reading is recorded.
func (l *Library) recorded(ctx context.Context, c quire.Caller, in *Content, err error) (*Content, error) {
	if err != nil {
		return nil, err
	}
	if err := l.recordRead(ctx, c, in); err != nil {
		_ = in.Close() // nothing was read
		return nil, err
	}
	return in, nil
}

// denial is the error of a caller who asked for more than they have, with what
// is recorded of it. It is the error that it wraps to everybody else.
type denial struct {
	error
	caller quire.Caller
	entry  Entry
	needs  quire.Access
}

func (r *denial) Unwrap() error { return r.error }

// refuse makes an error of access one that is recorded if it ends the call.
func refuse(c quire.Caller, e Entry, needs quire.Access, err error) error {
	return &denial{err, c, e, needs}
}

// noted records a refusal that ended a call. The call fails with it either way:
// a record that cannot be written must not turn a refusal into anything else.
func (l *Library) noted(ctx context.Context, err error) error {
	var r *denial
	if err == nil || !errors.As(err, &r) {
		return err
	}
	if err == error(r) {
		err = r.error
	}
	k := recentOf(r.caller, r.entry.ID, "refused "+r.needs.String())
	if !l.recent.fresh(k, time.Now()) {
		return err
	}
	detail := map[string]any{quire.RefusedDetail: "access", "needs": r.needs.String(), "has": r.entry.Access.String()}
	if r.entry.Access >= r.needs {
		detail[quire.RefusedDetail], detail["scope"] = "scope", string(r.caller.Scope)
	}
	if r.caller.Editor != "" {
		detail["editor"] = r.caller.Editor
	}
	rerr := l.cat.Update(ctx, func(tx *catalog.Tx) error {
		return l.record(tx, r.caller, quire.EventRefused, r.entry, detail)
	})
	if rerr != nil {
		l.recent.forget(k)
		l.log.Warn("a refusal was not recorded", "node", r.entry.ID, "error", rerr)
	}
	return err
}

// operatorEvent is the event of a call that is the operator's, or that a door
// makes on somebody's behalf: by whom says quire.ActorOf.
func operatorEvent(ctx context.Context, tx *catalog.Tx, site quire.SiteID, detail map[string]any) *quire.Event {
	by, _ := quire.ActorOf(ctx)
	by.Site = site
	return adminEvent(tx, by, detail)
}
