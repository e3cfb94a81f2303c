package library

import (
	"context"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// reads remembers whose reading has been recorded of late, so that a download
// in many ranges, or an editor that asks again and again, is one event.
type reads struct {
	mu   sync.Mutex // guards seen
	seen map[readKey]time.Time
}

type readKey struct {
	user     quire.UserID
	link     quire.LinkID
	door     quire.Door
	addr     string
	node     quire.NodeID
	revision int64
}

const (
	// oneRead is how long reading the same revision in the same way counts as
	// once.
	oneRead = 10 * time.Minute
	// maxReads bounds the memory of reads; who is forgotten is recorded again.
	maxReads = 20_000
)

// fresh says whether a read is to be recorded.
func (r *reads) fresh(k readKey, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.seen[k]; ok && now.Sub(last) < oneRead {
		return false
	}
	if r.seen == nil || len(r.seen) >= maxReads {
		r.seen = make(map[readKey]time.Time)
	}
	r.seen[k] = now
	return true
}

// forget takes back what fresh noted, where it could not be recorded.
func (r *reads) forget(k readKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, k)
}

// recordRead notes who read what, if Options.RecordReads is set. What cannot be
// recorded is not read: an auditor relies on that.
func (l *Library) recordRead(ctx context.Context, c quire.Caller, in *Content) error {
	if !l.opt.RecordReads {
		return nil
	}
	k := readKey{c.User, c.Link, c.Door, c.Addr, in.Entry.ID, in.Revision}
	if !l.reads.fresh(k, time.Now()) {
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
		l.reads.forget(k)
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
