package catalogtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// counts: what operators are told of counts what is there now, and not what is
// over.
func counts(t *testing.T, s *stores) {
	s.update(func(tx *catalog.Tx) error {
		soon, past := tx.Now().Add(time.Hour), tx.Now().Add(-time.Hour)
		for id, until := range map[string]time.Time{"held": soon, "ended": past} {
			n := quire.Node{ID: quire.NodeID(id), Site: "s", Parent: "p", Name: id, NameKey: id}
			n.Lock.WOPI = &quire.WOPILock{ID: "k", Expires: until}
			if err := tx.InsertNode(&n); err != nil {
				return err
			}
		}
		for _, u := range []quire.Upload{
			{ID: "open", Owner: "u", Expires: soon},
			{ID: "done", Owner: "u", Expires: soon, Done: &quire.Saved{Node: "held"}},
			{ID: "old", Owner: "u", Expires: past},
		} {
			if err := tx.InsertUpload(&u); err != nil {
				return err
			}
		}
		for _, d := range []catalog.Delivery{
			{ID: "1", Job: "j", State: catalog.DeliveryDue, Due: past},
			{ID: "2", Job: "j", State: catalog.DeliveryDue, Due: soon},
			{ID: "3", Job: "j", State: catalog.DeliveryDone, Due: past},
		} {
			if err := tx.InsertDelivery(&d); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.PutChore(catalog.Chore{Kind: "a", Subject: "1", Due: past}),
			tx.PutChore(catalog.Chore{Kind: "a", Subject: "2", Due: soon}))
	})
	s.view(func(tx *catalog.Tx) error {
		for what, count := range map[string]struct {
			ask  func() (int64, error)
			want int64
		}{
			"open uploads":   {tx.CountOpenUploads, 1},
			"locked files":   {tx.CountLocked, 1},
			"due deliveries": {func() (int64, error) { return tx.CountDeliveries(catalog.DeliveryDue) }, 2},
			"due chores":     {tx.CountChores, 1},
		} {
			if got, err := count.ask(); err != nil || got != count.want {
				t.Errorf("%s: %d, %v, want %d", what, got, err, count.want)
			}
		}
		return nil
	})
}

// observe: each transaction is told once, with its context, how often it ran and
// how it ended.
func observe(t *testing.T, s *stores) {
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, "mine")
	var got []catalog.Event
	s.a.Observe(func(ctx context.Context, e catalog.Event) {
		if ctx.Value(key{}) != "mine" || e.Duration <= 0 {
			t.Errorf("%+v with %v", e, ctx)
		}
		e.Duration = 0
		got = append(got, e)
	})
	failure := errors.New("refused")
	nothing := func(*catalog.Tx) error { return nil }
	again := false
	err := errors.Join(
		s.a.View(ctx, nothing),
		s.a.Update(ctx, nothing),
		s.a.Update(ctx, func(*catalog.Tx) error {
			if again {
				return nil
			}
			again = true
			return catalog.ErrRetry
		}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.a.View(ctx, func(*catalog.Tx) error { return failure }); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	want := []catalog.Event{{Runs: 1}, {Write: true, Runs: 1}, {Write: true, Runs: 2}, {Runs: 1, Err: failure}}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i].Write != want[i].Write || got[i].Runs != want[i].Runs || !errors.Is(got[i].Err, want[i].Err) {
			t.Errorf("%d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}
