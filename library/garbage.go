package library

import (
	"context"
	"errors"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
)

// Collected is what a garbage collection did.
type Collected struct {
	Uploads  int   `json:"uploads"`  // expired sessions
	Segments int   `json:"segments"` // that nothing named any more
	Orphans  int   `json:"orphans"`  // objects in the blob store that were never recorded
	Bytes    int64 `json:"bytes"`
	// Held says that no segments were looked for, because somebody copies the
	// store; see Library.Hold.
	Held bool `json:"held,omitempty"`
}

const garbageBatch = 500

// Collect deletes expired uploads and the segments that nothing has named for
// the grace period. It is safe beside writers and readers on any node: a
// segment goes only in a transaction that sees that nobody holds it, and its
// bytes only after that transaction. While somebody copies the store (Hold) no
// segment goes.
func (l *Library) Collect(ctx context.Context, grace time.Duration) (sum Collected, err error) {
	if sum.Uploads, err = l.expireUploads(ctx); err != nil {
		return sum, err
	}
	if err := l.dropLost(ctx); err != nil {
		return sum, err
	}
	for {
		var gone []quire.Segment
		found := 0
		err := l.update(ctx, func(tx *catalog.Tx) error {
			gone, found = nil, 0
			holds, err := tx.LiveLeases(holdPrefix)
			if sum.Held = len(holds) > 0; err != nil || sum.Held {
				return err
			}
			list, err := tx.Garbage(tx.Now().Add(-grace), garbageBatch)
			if err != nil {
				return err
			}
			found = len(list)
			for _, s := range list {
				deleted, err := tx.DeleteSegment(s.ID)
				if err != nil {
					return err
				}
				if deleted {
					gone = append(gone, s)
				}
			}
			return nil
		})
		if err != nil {
			return sum, err
		}
		for _, s := range gone {
			if !s.ID.InCatalog() {
				if err := l.blobs.Delete(ctx, blobKey(s.ID)); err != nil {
					return sum, storage(err)
				}
			}
			sum.Segments++
			sum.Bytes += s.Size
		}
		if found < garbageBatch || len(gone) == 0 {
			break
		}
	}
	if sum.Held {
		return sum, nil
	}
	err = l.orphans(ctx, grace, func(o blob.Info) error {
		sum.Orphans++
		sum.Bytes += o.Size
		return l.blobs.Delete(ctx, o.Key)
	})
	return sum, err
}

func (l *Library) expireUploads(ctx context.Context) (int, error) {
	n := 0
	for {
		var expired []quire.Upload
		err := l.view(ctx, func(tx *catalog.Tx) (err error) {
			expired, err = tx.ExpiredUploads(tx.Now(), garbageBatch)
			return err
		})
		if err != nil {
			return n, err
		}
		for _, u := range expired {
			err := l.update(ctx, func(tx *catalog.Tx) error {
				now, err := tx.Upload(u.ID)
				if errors.Is(err, quire.ErrNotFound) || err == nil && tx.Now().Before(now.Expires) {
					return nil
				}
				if err != nil {
					return err
				}
				return tx.DeleteUpload(&now)
			})
			if err != nil {
				return n, err
			}
			n++
		}
		if len(expired) < garbageBatch {
			return n, nil
		}
	}
}

// orphans calls f for each object of the blob store that is older than the
// grace period and has no record. A writer makes the object first and its
// record a moment later, so a young one may still get one.
func (l *Library) orphans(ctx context.Context, grace time.Duration, f func(blob.Info) error) error {
	var after blob.Key
	for {
		page, err := l.blobs.List(ctx, after, garbageBatch)
		if err != nil {
			return storage(err)
		}
		if len(page) == 0 {
			return nil
		}
		var lost []blob.Info
		err = l.view(ctx, func(tx *catalog.Tx) error {
			lost = nil
			for _, o := range page {
				if tx.Now().Sub(o.Modified) < max(grace, time.Minute) {
					continue
				}
				_, err := tx.Segment(quire.SegmentID(o.Key))
				if errors.Is(err, quire.ErrNotFound) {
					lost = append(lost, o)
				} else if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, o := range lost {
			if err := f(o); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Key
	}
}

// Run does the background work until ctx ends: thinning histories, purging the
// trash, collecting garbage, forgetting old events. Each piece is safe to run
// on several nodes at once.
func (l *Library) Run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	node := NewID()
	defer l.endLease(ctx, node)
	var lastGarbage time.Time
	for {
		if l.takeLease(ctx, node) {
			l.holdLease(ctx, node, backgroundTime/3, func(ctx context.Context) { l.runOnce(ctx, &lastGarbage) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// The lease on background work: one node at a time does it. It outlives a tick,
// and is renewed while there is work, so that it changes hands only when its
// holder is gone; what is done twice all the same does no harm, since each step is
// a transaction that looks again.
const (
	backgroundLease = "background"
	backgroundTime  = 3 * time.Minute
)

func (l *Library) takeLease(ctx context.Context, node string) (mine bool) {
	err := l.update(ctx, func(tx *catalog.Tx) (err error) {
		mine, err = tx.TakeLease(backgroundLease, node, backgroundTime)
		return err
	})
	if err != nil && ctx.Err() == nil {
		l.log.Error("who does the background work is not known; it will be asked again", "error", err)
	}
	return err == nil && mine
}

// holdLease renews the lease, each time that an interval is over, while f runs. f's
// context ends when somebody else has the lease, or when it may have been over
// without being renewed.
func (l *Library) holdLease(ctx context.Context, node string, every time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		renewed := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			asked := time.Now()
			var mine bool
			err := l.update(ctx, func(tx *catalog.Tx) (err error) {
				mine, err = tx.TakeLease(backgroundLease, node, backgroundTime)
				return err
			})
			switch {
			case err == nil && mine:
				renewed = asked
			case err == nil || time.Since(renewed) > backgroundTime-every:
				cancel()
				return
			}
		}
	}()
	f(ctx)
	cancel()
	<-done
}

func (l *Library) endLease(ctx context.Context, node string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := l.update(ctx, func(tx *catalog.Tx) error { return tx.EndLease(backgroundLease, node) }); err != nil {
		l.log.Warn("the lease on background work was not given back; it ends by itself", "error", err)
	}
}

func (l *Library) runOnce(ctx context.Context, lastGarbage *time.Time) {
	if err := l.Chores(ctx); err != nil && ctx.Err() == nil {
		l.log.Error("background work failed; it will be tried again", "error", err)
	}
	if time.Since(*lastGarbage) <= time.Hour {
		return
	}
	*lastGarbage = time.Now()
	sum, err := l.Collect(ctx, l.opt.Grace)
	switch {
	case err != nil && ctx.Err() == nil:
		l.log.Error("the garbage collection failed; it will be tried again", "error", err)
	case sum != Collected{}:
		l.log.Info("garbage collected", "uploads", sum.Uploads, "segments", sum.Segments, "orphans", sum.Orphans, "bytes", sum.Bytes)
	}
}

// Chores does the background work that is due now.
func (l *Library) Chores(ctx context.Context) error {
	var errs []error
	for ctx.Err() == nil {
		var due []catalog.Chore
		err := l.view(ctx, func(tx *catalog.Tx) (err error) {
			due, err = tx.DueChores(100)
			return err
		})
		if err != nil {
			return err
		}
		failed := 0
		for _, c := range due {
			if err := l.chore(ctx, c); err != nil {
				failed++
				errs = append(errs, err)
			}
		}
		if len(due) < 100 || failed == len(due) {
			break
		}
	}
	errs = append(errs, l.forget(ctx), l.dropLost(ctx))
	return errors.Join(errs...)
}

func (l *Library) chore(ctx context.Context, c catalog.Chore) error {
	switch c.Kind {
	case choreThin:
		return l.thin(ctx, quire.NodeID(c.Subject))
	case choreCompact:
		if err := l.compact(ctx, quire.NodeID(c.Subject)); err != nil {
			return err
		}
	case choreThumbnails:
		if err := l.thumbnails(ctx, quire.NodeID(c.Subject)); err != nil {
			return err
		}
	case chorePublish:
		return l.publishQuiet(ctx, quire.UploadID(c.Subject))
	case chorePurge:
		if err := l.purge(ctx, quire.NodeID(c.Subject)); err != nil {
			return err
		}
	}
	return l.update(ctx, func(tx *catalog.Tx) error { return tx.DeleteChore(c.Kind, c.Subject) })
}

// forget deletes events, sessions, authorizations and counts of wrong passwords
// that are past their time.
func (l *Library) forget(ctx context.Context) error {
	for {
		var n int64
		err := l.update(ctx, func(tx *catalog.Tx) (err error) {
			if err := tx.DeleteSessionsBefore(tx.Now()); err != nil {
				return err
			}
			if err := tx.DeleteAuthorizationsBefore(tx.Now()); err != nil {
				return err
			}
			if err := tx.DeleteJobsBefore(tx.Now()); err != nil {
				return err
			}
			if err := tx.DeleteRevokedLinksBefore(tx.Now()); err != nil {
				return err
			}
			if err := tx.DeleteFailuresBefore(tx.Now().Add(-24 * time.Hour)); err != nil {
				return err
			}
			n, err = tx.DeleteEventsBefore(tx.Now().Add(-l.opt.EventLife), 1000)
			return err
		})
		if err != nil || n < 1000 {
			return err
		}
	}
}
