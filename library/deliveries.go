package library

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// Delivery is a callback that is due, with all that it tells.
type Delivery struct {
	catalog.Delivery
	Job        Job
	Renditions []Rendition // those that it tells of
	Site       quire.Site
	// Keys sign it, the newest first: the site's viewer secret, and the one
	// before it for a while after a refresh.
	Keys []string
}

// Verdict is what came of one try of a delivery.
type Verdict struct {
	Done   bool          // it was taken
	Stop   bool          // it is never to be tried again
	After  time.Duration // when the other side wants the next try; 0 is no matter
	Reason string        // why it was not taken
}

// pauses are between the tries of a delivery.
var pauses = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour}

// RunDeliveries tries callbacks that are due until ctx ends, at least once each,
// several at a time. A try that takes longer than limit may be made by another
// node as well.
func (l *Library) RunDeliveries(ctx context.Context, try func(context.Context, Delivery) Verdict, limit time.Duration) {
	const atOnce = 16
	drain(ctx, &l.delivering, atOnce,
		func(ctx context.Context) (Delivery, bool, error) { return l.takeDelivery(ctx, 2*limit) },
		func(d Delivery) {
			work, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			v := try(work, d)
			if ctx.Err() != nil && !v.Done {
				v = Verdict{After: time.Second, Reason: "the server stopped"}
			}
			if err := l.delivered(d, v); err != nil {
				l.log.Error("what came of a callback was not recorded; it will be made again", "delivery", d.ID, "error", err)
			}
		},
		func(err error) { l.log.Error("a callback was not begun; it will be tried again", "error", err) })
}

// takeDelivery puts a delivery's next try off while this one runs.
func (l *Library) takeDelivery(ctx context.Context, lease time.Duration) (d Delivery, ok bool, err error) {
	err = l.view(ctx, func(tx *catalog.Tx) error {
		due, err := tx.DueDeliveries(1)
		ok = len(due) > 0
		return err
	})
	if err != nil || !ok {
		return d, false, err
	}
	err = l.update(ctx, func(tx *catalog.Tx) error {
		ok = false
		due, err := tx.DueDeliveries(1)
		if err != nil || len(due) == 0 {
			return err
		}
		d = Delivery{Delivery: due[0]}
		if d.Job, err = tx.Job(d.Delivery.Job); err != nil {
			return err
		}
		all, err := renditionsOf(tx, d.Job)
		if err != nil {
			return err
		}
		for _, r := range all {
			if d.Targets == nil || slices.Contains(d.Targets, r.Target) {
				d.Renditions = append(d.Renditions, r)
			}
		}
		if d.Site, err = tx.Site(d.Job.Site); err != nil {
			return err
		}
		d.Keys = []string{d.Site.Viewer.Current}
		if d.Site.Viewer.Previous != "" && tx.Now().Before(d.Site.Viewer.Until) {
			d.Keys = append(d.Keys, d.Site.Viewer.Previous)
		}
		d.Site.Viewer = quire.ViewerSecrets{}
		d.Attempts++
		d.Due = tx.Now().Add(lease)
		ok = true
		return tx.UpdateDelivery(&d.Delivery)
	})
	return d, ok, err
}

// delivered records what came of a try.
func (l *Library) delivered(d Delivery, v Verdict) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := l.update(ctx, func(tx *catalog.Tx) error {
		now, err := tx.Delivery(d.ID)
		if err != nil {
			return err
		}
		if now.Attempts != d.Attempts {
			return nil // another node has tried it since
		}
		now.Reason = clipText(v.Reason, 500)
		pause := pauses[min(int(d.Attempts)-1, len(pauses)-1)]
		now.Due = tx.Now().Add(max(pause, min(v.After, 6*time.Hour)))
		switch {
		case v.Done:
			now.State, now.Reason = catalog.DeliveryDone, ""
		case v.Stop || now.Due.After(now.Until):
			now.State = catalog.DeliveryGivenUp
		}
		return tx.UpdateDelivery(&now)
	})
	if errors.Is(err, quire.ErrNotFound) {
		return nil
	}
	if err == nil && !v.Done {
		l.log.Warn("a callback was not taken", "delivery", d.ID, "attempt", d.Attempts, "reason", v.Reason, "stop", v.Stop)
	}
	return err
}
