package catalogtest

import (
	"errors"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// renditions writes, finds and deletes what conversions are made of.
func renditions(t *testing.T, s *stores) {
	r := catalog.Rendition{ID: "r", Site: "s", Node: "n", Revision: 2, Target: "a/b", Options: "width=3", State: catalog.RenditionReady, Segment: "x", Size: 4, Reason: "why",
		Attempts: 1, Due: when, Worker: "w", Created: when, Updated: when, Epoch: 5}
	job := catalog.Job{ID: "j", Site: "s", Node: "n", Revision: 2, Owner: "u", Location: "/x", Renditions: []catalog.RenditionID{"r", "q"}, Created: when, Expires: when}
	d := catalog.Delivery{ID: "d", Job: "j", URL: "https://x/", Targets: []string{"a/b"}, State: catalog.DeliveryDue, Attempts: 1, Due: when, Until: when, Reason: "why", Epoch: 6}
	for _, sample := range []any{&r, &job, &d} {
		full(t, sample)
	}
	other := r
	other.ID, other.Revision, other.State = "q", 3, catalog.RenditionWaiting
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.InsertRendition(&r), tx.InsertRendition(&other), tx.InsertJob(&job), tx.InsertDelivery(&d))
	})
	check := func() {
		t.Helper()
		s.view(func(tx *catalog.Tx) error {
			got, err := tx.Rendition("r")
			same(t, got, r, err)
			got, err = tx.RenditionOf("n", 2, "a/b", "width=3")
			same(t, got, r, err)
			gotJob, err := tx.Job("j")
			same(t, gotJob, job, err)
			jobs, err := tx.JobsOf("n", 2)
			same(t, jobs, []catalog.Job{job}, err)
			jobs, err = tx.Jobs("s", 10)
			same(t, jobs, []catalog.Job{job}, err)
			gotD, err := tx.Delivery("d")
			same(t, gotD, d, err)
			list, err := tx.Deliveries("j")
			same(t, list, []catalog.Delivery{d}, err)
			return nil
		})
	}
	check()
	// One rendition of a kind, whoever asks.
	if err := s.a.Update(t.Context(), func(tx *catalog.Tx) error {
		again := r
		again.ID = "again"
		return tx.InsertRendition(&again)
	}); err == nil {
		t.Error("there are two of a kind")
	}
	r.State, r.Segment, r.Reason = catalog.RenditionRunning, "", ""
	d.State, d.Targets = catalog.DeliveryHeld, nil
	s.update(func(tx *catalog.Tx) error { return errors.Join(tx.UpdateRendition(&r), tx.UpdateDelivery(&d)) })
	if r.Epoch != 6 || d.Epoch != 7 {
		t.Errorf("epochs %d and %d", r.Epoch, d.Epoch)
	}
	check()
	s.view(func(tx *catalog.Tx) error {
		due, err := tx.DueRenditions(10)
		if len(due) != 2 { // one waits, one runs and has not been heard of
			t.Errorf("due: %v", due)
		}
		one, err2 := tx.DueRenditions(1)
		if len(one) != 1 {
			t.Errorf("due: %v", one)
		}
		none, err3 := tx.DueDeliveries(10)
		if len(none) != 0 {
			t.Errorf("a held delivery is due: %v", none)
		}
		n, err4 := tx.CountRenditions(catalog.RenditionWaiting)
		if n != 1 {
			t.Errorf("%d wait", n)
		}
		return errors.Join(err, err2, err3, err4)
	})
	s.update(func(tx *catalog.Tx) error {
		r.Due, d.State = tx.Now().Add(time.Hour), catalog.DeliveryDue
		return errors.Join(tx.UpdateRendition(&r), tx.UpdateDelivery(&d))
	})
	s.view(func(tx *catalog.Tx) error {
		due, err := tx.DueRenditions(10)
		if len(due) != 1 || due[0].ID != "q" {
			t.Errorf("due: %v", due)
		}
		list, err2 := tx.DueDeliveries(10)
		if len(list) != 1 {
			t.Errorf("due: %v", list)
		}
		return errors.Join(err, err2)
	})

	// With its revision a rendition goes, and then what it holds.
	seg := quire.Segment{ID: "held", Size: 7, Sum: []byte{1}, Created: when}
	rev := quire.Revision{Node: "n", Number: 2, Created: when}
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.InsertSegment(&seg, nil, "s", catalog.RenditionHolder("r")), tx.InsertRevision(&rev, &quire.Manifest{}))
	})
	s.update(func(tx *catalog.Tx) error { return tx.DeleteRevision("n", 2) })
	s.view(func(tx *catalog.Tx) error {
		if _, err := tx.Rendition("r"); !errors.Is(err, quire.ErrNotFound) {
			t.Errorf("%v", err)
		}
		_, err := tx.Rendition("q")
		return err // of another revision
	})
	s.update(func(tx *catalog.Tx) error {
		n, err := tx.DropLost(10)
		if n != 1 {
			t.Errorf("%d were dropped", n)
		}
		return err
	})
	s.view(func(tx *catalog.Tx) error {
		held, err := tx.Holds(catalog.RenditionHolder("r"))
		if len(held) != 0 {
			t.Errorf("it holds %v", held)
		}
		return err
	})
	s.update(func(tx *catalog.Tx) error { return tx.DeleteJobsBefore(when) })
	s.update(func(tx *catalog.Tx) error { return tx.DeleteJobsBefore(when.Add(time.Millisecond)) })
	s.view(func(tx *catalog.Tx) error {
		_, e1 := tx.Job("j")
		_, e2 := tx.Delivery("d")
		if !errors.Is(e1, quire.ErrNotFound) || !errors.Is(e2, quire.ErrNotFound) {
			t.Errorf("%v %v", e1, e2)
		}
		return nil
	})
}
