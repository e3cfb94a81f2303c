package catalogtest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

var when = time.UnixMilli(1795219645806).UTC()

// full fails the test if any field of a sample is zero: a new field without a
// column must not slip through.
func full(t *testing.T, sample any, except ...string) {
	t.Helper()
	v := reflect.ValueOf(sample).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		skip := false
		for _, e := range except {
			skip = skip || e == name
		}
		if v.Field(i).IsZero() && !skip {
			t.Errorf("%T: the sample has no %s", sample, name)
		}
	}
}

func same(t *testing.T, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%T: %v", want, err)
		return
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%T: %s", want, d)
	}
}

// records: every record comes back as it went in, with every field.
func records(t *testing.T, s *stores) {
	site := quire.Site{ID: "s", Account: "a", Instance: "i", Root: "r", Trash: "t", Quota: math.MaxInt64, Created: when,
		Viewer: quire.ViewerSecrets{Current: "c", Previous: "p", Until: when, NoMD5: true}, Epoch: 3}
	user := quire.User{ID: "u", Site: "s", Login: "Ännchen", Name: "Ann 日本 😀", Email: "a@b", Role: quire.RoleAdmin, Password: "$x", Disabled: true, Created: when, Info: "info", Epoch: 1}
	token := quire.Token{ID: "k", User: "u", Label: "l", Scope: quire.ScopeRead, Hash: []byte{0, 1, 255}, Created: when, Expires: when, Used: when}
	n := quire.Node{ID: "n", Site: "s", Parent: "p", Name: "Ä.docx", NameKey: "ä.docx", Kind: quire.File, Owner: "u", Created: when, Modified: when,
		Revision: 2, Sequence: 3, Size: math.MaxInt64, Client: when, Epoch: 5,
		Lock: quire.LockState{
			WOPI:   &quire.WOPILock{ID: `{"S":"x"}`, User: "u", Name: "Ann", Visible: true, Editor: "e", Since: when, Expires: when},
			Coauth: []quire.CoauthLock{{ID: "c", Type: quire.CoauthExclusive, Metadata: "m", User: "u", Name: "Ann", Editor: "e", Since: when, Expires: when}},
			Last:   &quire.LastLock{ID: "l", User: "u", Ended: when, Sequence: 2},
		},
		Trashed: &quire.Trashed{Parent: "q", By: "u", At: when}}
	rev := quire.Revision{Node: "n", Number: 2, Sequence: 3, Size: 9, Created: when, Authors: []quire.UserID{"u", "v"}, Door: quire.DoorWOPI,
		Kind: quire.SaveExit, Session: "se", Label: "la", From: 1, Sum: []byte{7}}
	m := quire.Manifest{Streams: []quire.Stream{
		{ID: quire.MainContent, Size: 9, Extents: []quire.Extent{{Segment: "x", Offset: 1, Length: 4}, {Segment: "y", Offset: 0, Length: 5}}, Signature: []byte{1, 2}, Updated: when},
		{ID: "alt", Extents: []quire.Extent{}, Updated: when},
	}}
	up := quire.Upload{ID: "up", Site: "s", Owner: "u", Door: quire.DoorTus, Created: when, Expires: when, Life: time.Hour, Received: 4, Declared: 8,
		Target: quire.Target{Node: "n", Parent: "p", Path: "/x", Name: "y", OnConflict: quire.Reject, Client: when},
		Meta:   map[string]string{"a": "b"}, Done: &quire.Saved{Node: "n", Revision: 1, Sequence: 2, Created: true}, Epoch: 9}
	grant := quire.Grant{Node: "n", User: "u", Access: quire.Owner, By: "v", Created: when}
	link := quire.Link{ID: "li", Node: "n", Access: quire.Editor, By: "u", Created: when, Expires: when, Password: "$p"}
	prop := quire.Property{Node: "n", Name: "p", Value: "v", Keep: true, Updated: when}
	key := catalog.Key{ID: "ke", Purpose: "pu", Secret: []byte{9}, Created: when, Retires: when}
	session := catalog.Session{ID: "se", Owner: "u", Created: when, Used: when, Expires: when, Agent: "ag", Addr: "ad", Secret: []byte{8}, Methods: "pwd otp"}
	ev := quire.Event{Seq: 1, Site: "s", Node: "n", Kind: quire.EventGrant, Path: "/x", Time: when, User: "u", Name: "Ann", Door: quire.DoorWeb, Addr: "ad", Detail: map[string]any{"a": "b"}}
	revoked := catalog.RevokedLink{Site: "s", Signature: "si", Expires: when}
	for _, sample := range []any{&revoked, &site, &user, &token, &n, &rev, &up, &grant, &link, &prop, &key, &session, &ev} {
		full(t, sample)
	}
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.InsertSite(&site), tx.InsertUser(&user), tx.InsertToken(&token), tx.InsertNode(&n), tx.InsertRevision(&rev, &m),
			tx.InsertUpload(&up), tx.PutGrant(&grant), tx.PutLink(&link), tx.PutProperty(&prop), tx.PutKey(&key), tx.PutSession(&session), tx.PutRevokedLink(&revoked), tx.AddEvent(&ev))
	})
	check := func(what string) {
		t.Helper()
		t.Log(what)
		s.view(func(tx *catalog.Tx) error {
			gotSite, err := tx.SiteNamed("a", "i")
			same(t, gotSite, site, err)
			gotUser, err := tx.UserByLogin(" äNNCHEN ")
			same(t, gotUser, user, err)
			gotToken, err := tx.Token("k")
			same(t, gotToken, token, err)
			gotNode, err := tx.Node("n")
			same(t, gotNode, n, err)
			gotRev, err := tx.Revision("n", 2)
			same(t, gotRev, rev, err)
			gotM, err := tx.Manifest("n", 2)
			same(t, gotM, m, err)
			gotUp, err := tx.Upload("up")
			same(t, gotUp, up, err)
			grants, err := tx.GrantsTo("u")
			same(t, grants, []quire.Grant{grant}, err)
			gotLink, err := tx.Link("li")
			same(t, gotLink, link, err)
			props, err := tx.Properties("n", time.Time{})
			same(t, props, []quire.Property{prop}, err)
			keys, err := tx.Keys("pu")
			same(t, keys, []catalog.Key{key}, err)
			gotSession, err := tx.Session("se")
			same(t, gotSession, session, err)
			gotRevoked, err := tx.RevokedLink("s", "si")
			same(t, gotRevoked, revoked, err)
			list, err := tx.NodeEvents("n", 0, 10)
			same(t, list, []quire.Event{ev}, err)
			return nil
		})
	}
	check("as they were inserted")

	site.Viewer, site.Quota = quire.ViewerSecrets{}, 0
	user.Disabled, user.Info, user.Login = false, "", "änNchen"
	n.Lock, n.Trashed, n.Client, n.Size = quire.LockState{}, nil, time.Time{}, math.MinInt64
	rev.Authors, rev.Label, rev.Sum = nil, "", nil
	up.Done, up.Meta, up.Target, up.Declared = nil, nil, quire.Target{}, -1
	token.Used = time.Time{}
	m.Streams[0].Signature = nil
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.UpdateSite(&site), tx.UpdateUser(&user), tx.UpdateNode(&n), tx.UpdateRevision(&rev), tx.UpdateUpload(&up), tx.UpdateToken(&token), tx.UpdateManifest("n", 2, &m))
	})
	if site.Epoch != 4 || user.Epoch != 2 || n.Epoch != 6 || up.Epoch != 10 {
		t.Error("an update did not raise the epoch")
	}
	check("with fields that are zero")

	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.DeleteToken("k"), tx.DeleteGrant("n", "u"), tx.DeleteLink("li"), tx.DeleteKey("ke"), tx.DeleteSession("se"), tx.DeleteRevokedLinksBefore(when.Add(time.Hour)), tx.DeleteUpload(&up), tx.DeleteNode(&n))
	})
	s.view(func(tx *catalog.Tx) error {
		_, e1 := tx.Token("k")
		_, e2 := tx.Node("n")
		_, e3 := tx.Revision("n", 2)
		_, e4 := tx.Upload("up")
		_, e5 := tx.Link("li")
		_, e6 := tx.Session("se")
		_, e7 := tx.Manifest("n", 2)
		_, e8 := tx.RevokedLink("s", "si")
		for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8} {
			if !errors.Is(err, quire.ErrNotFound) {
				t.Errorf("deleted %d: %v", i, err)
			}
		}
		return nil
	})
}

// children: pages of a container, in order, whole.
func children(t *testing.T, s *stores) {
	var list []*quire.Node
	for i := range 250 {
		n := node(fmt.Sprintf("n%03d", i), "p")
		n.Size, n.Modified = int64(1000-i), when.Add(time.Duration(i%7)*time.Hour)
		list = append(list, n)
	}
	list = append(list, node("other", "q"))
	s.insert(list...)
	s.view(func(tx *catalog.Tx) error {
		after, seen := "", 0
		for {
			page, err := tx.Children("p", after, 100)
			if err != nil {
				return err
			}
			for _, n := range page {
				if n.NameKey != fmt.Sprintf("n%03d", seen) {
					t.Fatalf("%s at %d", n.NameKey, seen)
				}
				seen++
				after = n.NameKey
			}
			if len(page) < 100 {
				break
			}
		}
		if n, err := tx.CountChildren("p"); seen != 250 || n != 250 || err != nil {
			t.Errorf("%d, %d %v", seen, n, err)
		}
		if has, err := tx.HasChildren("nobody"); has || err != nil {
			t.Errorf("%v %v", has, err)
		}
		page, err := tx.SortedChildren("p", catalog.BySize, false, 0, 2)
		if err != nil || page[0].ID != "n249" || page[1].ID != "n248" {
			t.Errorf("%v %v", page, err)
		}
		page, err = tx.SortedChildren("p", catalog.ByModified, true, 1, 1)
		if err != nil || !page[0].Modified.Equal(when.Add(6*time.Hour)) {
			t.Errorf("%v %v", page, err)
		}
		return nil
	})
}

// find: text is text, not a pattern.
func find(t *testing.T, s *stores) {
	s.insert(node("100%", "p"), node("100x", "p"), node("a_b", "p"), node("axb", "p"), node(`c\d`, "p"))
	for text, want := range map[string]string{"0%": "100%", "_": "a_b", `\`: `c\d`, "xb": "axb"} {
		s.view(func(tx *catalog.Tx) error {
			got, err := tx.FindNamed("s", text, "", 10)
			if len(got) != 1 || got[0].Name != want {
				t.Errorf("%q: %v", text, got)
			}
			return err
		})
	}
}

func ancestry(t *testing.T, s *stores) {
	s.insert(node("root", ""), node("a", "root"), node("b", "a"), node("c", "b"))
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.PutGrant(&quire.Grant{Node: "a", User: "u", Access: quire.Editor}), tx.PutGrant(&quire.Grant{Node: "a", User: "v", Access: quire.Owner}))
	})
	s.view(func(tx *catalog.Tx) error {
		up, err := tx.Ancestry("c", "u")
		var got []string
		for _, a := range up {
			got = append(got, string(a.ID)+"="+a.Access.String())
		}
		if strings.Join(got, " ") != "c=none b=none a=editor root=none" {
			t.Errorf("%v", got)
		}
		none, err2 := tx.Ancestry("nothing", "u")
		if len(none) != 0 {
			t.Errorf("%v", none)
		}
		return errors.Join(err, err2)
	})
}

// holds: a segment is garbage only once nobody holds it, and a site's usage is
// the sum of what is held.
func holds(t *testing.T, s *stores) {
	usage := func(want int64) {
		t.Helper()
		s.view(func(tx *catalog.Tx) error {
			got, err := tx.Usage("s")
			if got != want {
				t.Errorf("usage is %d, want %d", got, want)
			}
			return err
		})
	}
	inline := quire.CatalogSegment("i")
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(
			tx.InsertSegment(&quire.Segment{ID: "x", Size: 100, Sum: []byte{1}, Created: when}, nil, "s", "u1"),
			tx.InsertSegment(&quire.Segment{ID: inline, Size: 7}, []byte("inlined"), "s", "u1"))
	})
	usage(107)
	s.update(func(tx *catalog.Tx) error {
		return errors.Join(tx.Hold("s", "n1", "x"), tx.Hold("s", "n1", "x"))
	})
	usage(207)
	s.view(func(tx *catalog.Tx) error {
		both, err := tx.SharedHolds("u1", "n1")
		if len(both) != 1 || both[0] != "x" {
			t.Errorf("u1 and n1 share %v", both)
		}
		none, err2 := tx.SharedHolds("u1", "n2")
		if len(none) != 0 {
			t.Errorf("u1 and n2 share %v", none)
		}
		return errors.Join(err, err2)
	})
	s.update(func(tx *catalog.Tx) error { return tx.MoveHolds("u1", "n2") })
	usage(207)
	s.update(func(tx *catalog.Tx) error {
		if deleted, err := tx.DeleteSegment("x"); deleted || err != nil {
			t.Errorf("a held segment: %v %v", deleted, err)
		}
		return errors.Join(tx.Release("s", "n1", "x"), tx.Release("s", "n1", "x"))
	})
	usage(107)
	s.view(func(tx *catalog.Tx) error {
		if g, err := tx.Garbage(time.Now().Add(time.Hour), 10); len(g) != 0 || err != nil {
			t.Errorf("garbage %v %v", g, err)
		}
		data, err := tx.SegmentData(inline)
		if string(data) != "inlined" {
			t.Errorf("%q", data)
		}
		list, err2 := tx.Holds("n2")
		if len(list) != 2 {
			t.Errorf("%v", list)
		}
		return errors.Join(err, err2)
	})
	s.update(func(tx *catalog.Tx) error { return tx.ReleaseAll("s", "n2") })
	usage(0)
	s.update(func(tx *catalog.Tx) error {
		g, err := tx.Garbage(time.Now().Add(time.Hour), 10)
		if len(g) != 2 {
			t.Errorf("garbage %v", g)
		}
		deleted, err2 := tx.DeleteSegment("x")
		again, err3 := tx.DeleteSegment("x")
		if !deleted || again {
			t.Errorf("deleted %v, again %v", deleted, again)
		}
		return errors.Join(err, err2, err3)
	})
}

func uploads(t *testing.T, s *stores) {
	s.update(func(tx *catalog.Tx) error {
		for i := range 4 {
			u := quire.Upload{ID: quire.UploadID(fmt.Sprint("u", i)), Owner: "o", Expires: tx.Now().Add(time.Duration(2*i-3) * time.Hour), Declared: -1}
			if i == 3 {
				u.Done = &quire.Saved{Node: "n"}
			}
			if err := tx.InsertUpload(&u); err != nil {
				return err
			}
		}
		for _, at := range []int64{0, 10, 20} {
			if err := tx.PutUploadExtent(&catalog.UploadExtent{Upload: "u1", Position: at, Length: 10, Segment: "x", Offset: at}); err != nil {
				return err
			}
		}
		return nil
	})
	s.view(func(tx *catalog.Tx) error {
		expired, err := tx.ExpiredUploads(tx.Now(), 10)
		if len(expired) != 2 {
			t.Errorf("%d expired", len(expired))
		}
		open, err2 := tx.CountUploads("o")
		if open != 1 {
			t.Errorf("%d open", open)
		}
		over, err3 := tx.UploadExtents("u1", 9, 20)
		if len(over) != 2 || over[0].Position != 0 || over[1].Position != 10 {
			t.Errorf("%v", over)
		}
		return errors.Join(err, err2, err3)
	})
}

func properties(t *testing.T, s *stores) {
	put := func(name string, keep bool, updated time.Time) {
		s.update(func(tx *catalog.Tx) error {
			return tx.PutProperty(&quire.Property{Node: "n", Name: name, Value: name, Keep: keep, Updated: updated})
		})
	}
	left := func(want string) {
		t.Helper()
		s.view(func(tx *catalog.Tx) error {
			list, err := tx.Properties("n", time.Time{})
			var names []string
			for _, p := range list {
				names = append(names, p.Name)
			}
			if strings.Join(names, " ") != want {
				t.Errorf("%v, want %s", names, want)
			}
			return err
		})
	}
	put("keep", true, when)
	put("drop", false, when)
	put("old", true, when.Add(-time.Hour))
	s.update(func(tx *catalog.Tx) error { return tx.DropProperties("n", false, when.Add(-time.Minute)) })
	left("drop keep")
	s.update(func(tx *catalog.Tx) error { return tx.DropProperties("n", true, time.Time{}) })
	left("keep")
}

// events: in order, in pages, and forgotten in order.
func events(t *testing.T, s *stores) {
	s.update(func(tx *catalog.Tx) error {
		for i := range 10 {
			e := quire.Event{Site: "s", Node: quire.NodeID(fmt.Sprint("n", i%2)), Kind: quire.EventUpdate, Time: when.Add(time.Duration(i) * time.Minute)}
			if err := tx.AddEvent(&e); err != nil {
				return err
			}
		}
		return nil
	})
	s.view(func(tx *catalog.Tx) error {
		var last int64
		seen := 0
		for {
			page, err := tx.SiteEvents("s", last, time.Time{}, 4)
			if err != nil {
				return err
			}
			for _, e := range page {
				if e.Seq <= last {
					t.Errorf("%d after %d", e.Seq, last)
				}
				last = e.Seq
				seen++
			}
			if len(page) < 4 {
				break
			}
		}
		newest, err := tx.LastEvent("s")
		if seen != 10 || newest != last {
			t.Errorf("%d events, the last %d of %d", seen, last, newest)
		}
		since, err2 := tx.SiteEvents("s", 0, when.Add(8*time.Minute), 10)
		if len(since) != 2 {
			t.Errorf("%d since", len(since))
		}
		mine, err3 := tx.NodeEvents("n1", 0, 2)
		if len(mine) != 2 || mine[0].Seq <= mine[1].Seq {
			t.Errorf("%v", mine)
		}
		return errors.Join(err, err2, err3)
	})
	s.update(func(tx *catalog.Tx) error {
		n, err := tx.DeleteEventsBefore(when.Add(5*time.Minute), 3)
		if n != 3 {
			t.Errorf("%d forgotten", n)
		}
		return err
	})
}

func chores(t *testing.T, s *stores) {
	s.update(func(tx *catalog.Tx) error {
		past, future := tx.Now().Add(-time.Minute), tx.Now().Add(time.Hour)
		return errors.Join(
			tx.AddChore(catalog.Chore{Kind: "k", Subject: "a", Due: past}),
			tx.AddChore(catalog.Chore{Kind: "k", Subject: "a", Due: future}), // it has one
			tx.AddChore(catalog.Chore{Kind: "k", Subject: "b", Due: future}),
			tx.PutChore(catalog.Chore{Kind: "k", Subject: "c", Due: past}),
			tx.PutChore(catalog.Chore{Kind: "k", Subject: "c", Due: future}))
	})
	s.update(func(tx *catalog.Tx) error {
		due, err := tx.DueChores(10)
		if len(due) != 1 || due[0].Subject != "a" {
			t.Errorf("%v", due)
		}
		return errors.Join(err, tx.DeleteChore("k", "a"))
	})
}
