package library

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

const choreThin = "thin"

// Retention says which old revisions are kept. Beside what it says, these
// always are: the current one, named and restored ones, conflict copies, and
// the last one of each editing session.
type Retention struct {
	All    time.Duration // every revision is kept this long; 0 is a day
	Hourly time.Duration // then one an hour, until this age; 0 is eight days
	// Daily is how long one a day is kept after that; 0 is for ever.
	Daily time.Duration
}

func (r Retention) withDefaults() Retention {
	setDefault(&r.All, 24*time.Hour)
	setDefault(&r.Hourly, r.All+7*24*time.Hour)
	return r
}

// Keep decides which revisions of a file stay at a time. The list may be in
// any order; current is the number of the current one. It returns the numbers
// of those that go, and when the decision may next be different: the zero time
// if it will not.
func (r Retention) Keep(list []quire.Revision, current int64, now time.Time) (drop []int64, next time.Time) {
	r = r.withDefaults()
	revs := slices.Clone(list)
	slices.SortFunc(revs, func(a, b quire.Revision) int { return cmp.Compare(b.Number, a.Number) })
	type slot struct {
		step time.Duration
		n    int64
	}
	taken := make(map[slot]bool)
	sessions := make(map[string]bool)
	soonest := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, v := range revs {
		lastOfSession := v.Session != "" && !sessions[v.Session]
		sessions[v.Session] = true
		if v.Number == current || v.Label != "" || v.Kind == quire.SaveRestore || v.Kind == quire.SaveConflict || lastOfSession {
			continue
		}
		age := now.Sub(v.Created)
		var step time.Duration
		switch {
		case age < r.All:
			soonest(v.Created.Add(r.All))
			continue
		case age < r.Hourly:
			step = time.Hour
			soonest(v.Created.Add(r.Hourly))
		case r.Daily == 0 || age < r.Daily:
			step = 24 * time.Hour
			if r.Daily > 0 {
				soonest(v.Created.Add(r.Daily))
			}
		default:
			drop = append(drop, v.Number)
			continue
		}
		// The newest of each hour or day stays.
		s := slot{step, v.Created.UnixMilli() / step.Milliseconds()}
		if taken[s] {
			drop = append(drop, v.Number)
			continue
		}
		taken[s] = true
	}
	return drop, next
}

// thinBatch is how many revisions are dropped in one transaction.
const thinBatch = 200

// thin applies the retention to one file and plans when to look again.
func (l *Library) thin(ctx context.Context, id quire.NodeID) error {
	for {
		more := false
		err := l.update(ctx, func(tx *catalog.Tx) error {
			more = false
			n, err := tx.Node(id)
			if errors.Is(err, quire.ErrNotFound) {
				return tx.DeleteChore(choreThin, string(id))
			}
			if err != nil {
				return err
			}
			all, err := allRevisions(tx, id)
			if err != nil {
				return err
			}
			drop, next := l.opt.Retention.Keep(all, n.Revision, tx.Now())
			if len(drop) > thinBatch {
				drop, more = drop[:thinBatch], true
			}
			for _, number := range drop {
				if err := tx.DeleteRevision(id, number); err != nil {
					return err
				}
			}
			if len(drop) > 0 && !more {
				if err := l.releaseUnused(tx, n); err != nil {
					return err
				}
			}
			switch {
			case more:
				return nil
			case next.IsZero():
				return tx.DeleteChore(choreThin, string(id))
			}
			return tx.PutChore(catalog.Chore{Kind: choreThin, Subject: string(id), Due: next})
		})
		if err != nil || !more {
			return err
		}
	}
}

func allRevisions(tx *catalog.Tx, id quire.NodeID) ([]quire.Revision, error) {
	var all []quire.Revision
	before := int64(0)
	for {
		page, err := tx.Revisions(id, before, 1000)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < 1000 {
			return all, nil
		}
		before = page[len(page)-1].Number
	}
}

// releaseUnused gives up the segments that none of a file's revisions needs
// any more.
func (l *Library) releaseUnused(tx *catalog.Tx, n quire.Node) error {
	needed, err := segmentsOf(tx, n.ID)
	if err != nil {
		return err
	}
	holder := catalog.NodeHolder(n.ID)
	held, err := tx.Holds(holder)
	if err != nil {
		return err
	}
	for _, id := range held {
		if !needed[id] {
			if err := tx.Release(n.Site, holder, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// segmentsOf returns the segments that a file's revisions name.
func segmentsOf(tx *catalog.Tx, id quire.NodeID) (map[quire.SegmentID]bool, error) {
	all, err := allRevisions(tx, id)
	if err != nil {
		return nil, err
	}
	needed := make(map[quire.SegmentID]bool)
	for _, r := range all {
		m, err := tx.Manifest(id, r.Number)
		if err != nil {
			return nil, err
		}
		for _, s := range m.Streams {
			for _, x := range s.Extents {
				needed[x.Segment] = true
			}
		}
	}
	return needed, nil
}
