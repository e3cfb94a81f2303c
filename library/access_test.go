package library_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

// need is what an operation asks for.
type need struct {
	access quire.Access
	write  bool // beside the access, a credential that may write
	folder bool // it is about the folder, not the file in it
	read   bool // but reads the file first
}

// accessOps are operations on the file /d/f, or on the folder /d. Each can be
// repeated.
var accessOps = []struct {
	name string
	need need
	run  func(f *fixture, c quire.Caller, file, folder quire.NodeID) error
}{
	{"Stat", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.Stat(f.ctx, c, file)
		return err
	}},
	{"Lookup", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, _, _ quire.NodeID) error {
		_, err := f.Lookup(f.ctx, c, "/d/f")
		return err
	}},
	{"Open", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		in, err := f.Open(f.ctx, c, file, 0)
		if err == nil {
			in.Close()
		}
		return err
	}},
	{"Open an old revision", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		in, err := f.Open(f.ctx, c, file, 1)
		if err == nil {
			in.Close()
		}
		return err
	}},
	{"Snapshot", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		in, err := f.Snapshot(f.ctx, c, file, nil)
		if err == nil {
			in.Close()
		}
		return err
	}},
	{"Revisions", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.Revisions(f.ctx, c, file, 0, 10, true)
		return err
	}},
	{"Activities", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.Activities(f.ctx, c, file, 0, 10)
		return err
	}},
	{"Sharing", need{access: quire.Viewer}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.Sharing(f.ctx, c, file)
		return err
	}},
	{"List", need{access: quire.Viewer, folder: true}, func(f *fixture, c quire.Caller, _, folder quire.NodeID) error {
		_, _, err := f.List(f.ctx, c, folder, library.Listing{Limit: 1})
		return err
	}},
	{"Search", need{access: quire.Viewer, folder: true}, func(f *fixture, c quire.Caller, _, folder quire.NodeID) error {
		_, _, err := f.Search(f.ctx, c, folder, "f", "", 1)
		return err
	}},
	{"Changes", need{access: quire.Viewer, folder: true}, func(f *fixture, c quire.Caller, _, folder quire.NodeID) error {
		_, _, _, err := f.Changes(f.ctx, c, folder, 0, time.Time{}, 1)
		return err
	}},
	{"Save", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.save(c, quire.Target{Node: file}, "content", library.Save{})
		return err
	}},
	{"Save a new file", need{access: quire.Editor, folder: true}, func(f *fixture, c quire.Caller, _, folder quire.NodeID) error {
		_, err := f.save(c, quire.Target{Parent: folder, Name: library.NewID()}, "content", library.Save{})
		return err
	}},
	{"CreateContainer", need{access: quire.Editor, folder: true}, func(f *fixture, c quire.Caller, _, folder quire.NodeID) error {
		_, _, err := f.CreateContainer(f.ctx, c, quire.Target{Parent: folder, Name: library.NewID()})
		return err
	}},
	{"Copy into the folder", need{access: quire.Editor, folder: true, read: true}, func(f *fixture, c quire.Caller, file, folder quire.NodeID) error {
		_, err := f.Copy(f.ctx, c, file, quire.Target{Parent: folder, Name: library.NewID()})
		return err
	}},
	{"Lock", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.Lock(f.ctx, c, file, lock.Request{Op: lock.Lock, ID: "L"})
		if err == nil {
			_, err = f.Lock(f.ctx, c, file, lock.Request{Op: lock.Unlock, ID: "L"})
		}
		return err
	}},
	{"ForceUnlock", need{access: quire.Owner}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.ForceUnlock(f.ctx, c, file)
		return err
	}},
	{"Rename", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.Move(f.ctx, c, file, quire.Target{Name: "F"}, quire.Precondition{}, nil)
		return err
	}},
	{"Delete", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		err := f.Delete(f.ctx, c, file, quire.Precondition{}, nil)
		if err == nil {
			_, err = f.Untrash(f.ctx, f.admin, file)
		}
		return err
	}},
	{"RestoreRevision", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, _, err := f.RestoreRevision(f.ctx, c, file, 1, quire.Precondition{})
		return err
	}},
	{"LabelRevision", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.LabelRevision(f.ctx, c, file, 1, "first")
		return err
	}},
	{"Share", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		return f.Share(f.ctx, c, file, f.admin.User, quire.Viewer)
	}},
	{"Share as owner", need{access: quire.Owner}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		err := f.Share(f.ctx, c, file, f.admin.User, quire.Owner)
		if err == nil {
			err = f.Unshare(f.ctx, c, file, f.admin.User)
		}
		return err
	}},
	{"StandingLink", need{access: quire.Editor}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		_, err := f.StandingLink(f.ctx, c, file, quire.Editor)
		return err
	}},
	{"AddActivity", need{access: quire.Viewer, write: true}, func(f *fixture, c quire.Caller, file, _ quire.NodeID) error {
		return f.AddActivity(f.ctx, c, file, quire.EventComment, nil)
	}},
	{"DeleteEmpty", need{access: quire.Editor, folder: true}, func(f *fixture, c quire.Caller, _, folder quire.NodeID) error {
		err := f.DeleteEmpty(f.ctx, c, folder)
		if errors.Is(err, quire.ErrNotEmpty) {
			return nil // it was allowed to look
		}
		return err
	}},
}

// decide says how an operation ends for a caller who was granted an access and
// has a link, on a node that is or is not within the credential's limit.
func decide(c quire.Caller, granted, linked quire.Access, within bool, n need) string {
	have := max(granted, linked)
	switch {
	case have == quire.NoAccess || !within:
		return "missing"
	case have < n.access, c.Scope == "", c.Scope == quire.ScopeRead && (n.access > quire.Viewer || n.write):
		return "forbidden"
	}
	return "ok"
}

// Every operation by every caller: role, grant, link, scope and the limit to
// one resource.
func TestAccessMatrix(t *testing.T) {
	f := open(t, library.Options{})
	file := f.put(f.admin, "/d/f", "one").ID
	f.put(f.admin, "/d/f", "two")
	folder := f.mkdir(f.admin, "/d").ID
	other := f.mkdir(f.admin, "/other").ID

	link := func(access quire.Access, life time.Duration) quire.LinkID {
		k, err := f.CreateLink(f.ctx, f.admin, folder, access, life, "")
		if err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	links := []struct {
		name   string
		id     quire.LinkID
		access quire.Access
	}{
		{"no link", "", quire.NoAccess},
		{"a viewer link", link(quire.Viewer, 0), quire.Viewer},
		{"an editor link", link(quire.Editor, 0), quire.Editor},
		{"an expired link", link(quire.Editor, time.Second), quire.NoAccess},
		{"an unknown link", quire.LinkID(library.NewID()), quire.NoAccess},
	}
	f.clock.advance(time.Minute)

	type who struct {
		name         string
		c            quire.Caller
		file, folder quire.Access
	}
	people := []who{
		{"stranger", f.user("stranger", quire.RoleMember, quire.NoAccess), quire.NoAccess, quire.NoAccess},
		{"admin", f.user("another", quire.RoleAdmin, quire.NoAccess), quire.Owner, quire.Owner},
		{"nobody", quire.Caller{Site: f.site.ID, Name: "Guest"}, quire.NoAccess, quire.NoAccess},
	}
	for _, access := range []quire.Access{quire.Viewer, quire.Editor, quire.Owner} {
		c := f.user("file-"+access.String(), quire.RoleMember, quire.NoAccess)
		f.share(c, "/d/f", access)
		people = append(people, who{access.String() + " of the file", c, access, quire.NoAccess})
		c = f.user("root-"+access.String(), quire.RoleMember, access)
		people = append(people, who{access.String() + " of the root", c, access, access})
	}
	withins := []struct {
		name         string
		id           quire.NodeID
		file, folder bool
	}{
		{"anywhere", "", true, true}, {"within the file", file, true, false}, {"within the folder", folder, true, true},
		{"within another", other, false, false},
	}
	for _, p := range people {
		t.Run(p.name, func(t *testing.T) {
			for _, k := range links {
				for _, scope := range []quire.Scope{"", quire.ScopeRead, quire.ScopeWrite, quire.ScopeAdmin} {
					for _, w := range withins {
						c := p.c
						c.Link, c.Scope, c.Within = k.id, scope, w.id
						for _, op := range accessOps {
							want := decide(c, p.file, k.access, w.file, need{access: quire.Viewer})
							if !op.need.folder {
								want = decide(c, p.file, k.access, w.file, op.need)
							} else if !op.need.read || want == "ok" {
								want = decide(c, p.folder, k.access, w.folder, op.need)
							}
							if err := op.run(f, c, file, folder); outcome(err) != want {
								t.Errorf("%s, scope %q, %s: %s: got %v, want %s", k.name, scope, w.name, op.name, err, want)
							}
						}
					}
				}
			}
		})
	}
	t.Run("another site", func(t *testing.T) {
		site, err := f.CreateSite(f.ctx, "main", "second", 0)
		if err != nil {
			t.Fatal(err)
		}
		u, err := f.CreateUser(f.ctx, library.NewUser{Site: site.ID, Login: "there", Role: quire.RoleAdmin})
		if err != nil {
			t.Fatal(err)
		}
		c := quire.Caller{User: u.ID, Site: site.ID, Name: u.Name, Role: quire.RoleAdmin, Scope: quire.ScopeAdmin, Link: links[2].id}
		for _, op := range accessOps {
			f.expect(op.name, "missing", op.run(f, c, file, folder))
		}
		f.expect("sharing with another site", "missing", f.Share(f.ctx, f.admin, file, u.ID, quire.Viewer))
	})
	f.clean()
}

// What somebody else may not see is not told by what is above it.
func TestAncestorsTellOnlyWhatMayBeSeen(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/secret/shared/x/f", "1")
	ann := f.user("ann", quire.RoleMember, quire.NoAccess)
	f.share(ann, "/secret/shared", quire.Viewer)
	list, complete, err := f.Ancestors(f.ctx, ann, e.ID)
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	if err != nil || complete || strings.Join(names, "/") != "shared/x" {
		t.Errorf("got %q, %v, %v", names, complete, err)
	}
	list, complete, err = f.Ancestors(f.ctx, f.admin, e.ID)
	if err != nil || !complete || len(list) != 4 || list[0].Path != "/" {
		t.Errorf("the administrator: got %d, %v, %v", len(list), complete, err)
	}
}

// Editors may share what they have, but not take from those who have more.
func TestSharing(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/f", "1")
	owner := f.user("owner", quire.RoleMember, quire.NoAccess)
	editor := f.user("editor", quire.RoleMember, quire.NoAccess)
	viewer := f.user("viewer", quire.RoleMember, quire.NoAccess)
	f.share(owner, "/f", quire.Owner)
	f.share(editor, "/f", quire.Editor)
	f.expect("an editor makes a viewer", "ok", f.Share(f.ctx, editor, e.ID, viewer.User, quire.Viewer))
	f.expect("an editor makes an owner", "forbidden", f.Share(f.ctx, editor, e.ID, viewer.User, quire.Owner))
	f.expect("an editor makes an owner a viewer", "forbidden", f.Share(f.ctx, editor, e.ID, owner.User, quire.Viewer))
	f.expect("an editor takes from an owner", "forbidden", f.Unshare(f.ctx, editor, e.ID, owner.User))
	f.expect("a viewer takes from an editor", "forbidden", f.Unshare(f.ctx, viewer, e.ID, editor.User))
	f.expect("no access is no access to give", "invalid", f.Share(f.ctx, owner, e.ID, viewer.User, quire.NoAccess))
	f.expect("more than owner is not either", "invalid", f.Share(f.ctx, owner, e.ID, viewer.User, quire.Owner+1))
	f.expect("with nobody", "missing", f.Share(f.ctx, owner, e.ID, "nobody", quire.Viewer))
	f.expect("a viewer gives up their own", "ok", f.Unshare(f.ctx, viewer, e.ID, viewer.User))
	_, err := f.Stat(f.ctx, viewer, e.ID)
	f.expect("which then is gone", "missing", err)
	if list, err := f.SharedWith(f.ctx, editor); err != nil || len(list) != 1 || list[0].ID != e.ID {
		t.Errorf("shared with the editor: %v, %v", list, err)
	}
}

func TestLinks(t *testing.T) {
	f := open(t, library.Options{})
	e := f.put(f.admin, "/f", "1")
	editor := f.user("editor", quire.RoleMember, quire.Editor)
	standing := func(c quire.Caller, access quire.Access) quire.LinkID {
		t.Helper()
		k, err := f.StandingLink(f.ctx, c, e.ID, access)
		if err != nil {
			t.Fatal(err)
		}
		return k.ID
	}
	if _, err := f.CreateLink(f.ctx, f.admin, e.ID, quire.Viewer, time.Hour, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateLink(f.ctx, f.admin, e.ID, quire.Viewer, 0, "hash"); err != nil {
		t.Fatal(err)
	}
	one := standing(f.admin, quire.Viewer)
	if again := standing(f.admin, quire.Viewer); again != one {
		t.Error("asking twice made two links")
	}
	if more := standing(f.admin, quire.Editor); more == one {
		t.Error("a viewer's link is an editor's")
	}
	if theirs := standing(editor, quire.Viewer); theirs == one {
		t.Error("one link of two people")
	}
	_, err := f.StandingLink(f.ctx, f.admin, e.ID, quire.Owner)
	f.expect("a link for owners", "invalid", err)
	s, err := f.Sharing(f.ctx, f.admin, e.ID)
	if err != nil || len(s.Links) != 5 {
		t.Errorf("%d links, %v", len(s.Links), err)
	}
	f.clock.advance(time.Hour)
	if s, _ = f.Sharing(f.ctx, f.admin, e.ID); len(s.Links) != 4 {
		t.Errorf("%d links after one expired", len(s.Links))
	}
	guest := quire.Caller{Site: f.site.ID, Name: "Guest", Scope: quire.ScopeWrite, Link: one}
	if k, site, err := f.Link(f.ctx, one); err != nil || k.Node != e.ID || site != f.site.ID {
		t.Errorf("got %+v, %v, %v", k, site, err)
	}
	_, err = f.Stat(f.ctx, guest, e.ID)
	f.expect("a guest", "ok", err)
	f.expect("a guest revokes", "forbidden", f.RevokeLink(f.ctx, guest, one))
	f.expect("an editor revokes another's", "ok", f.RevokeLink(f.ctx, editor, one))
	_, err = f.Stat(f.ctx, guest, e.ID)
	f.expect("a guest, after that", "missing", err)
	_, _, err = f.Link(f.ctx, one)
	f.expect("the link, after that", "missing", err)
	f.expect("revoked again", "missing", f.RevokeLink(f.ctx, editor, one))
	if again := standing(f.admin, quire.Viewer); again == one {
		t.Error("a revoked link came back")
	}
}

// A link's guests see nothing of each other's uploads, nor of anybody's.
func TestGuestsUploads(t *testing.T) {
	f := open(t, library.Options{})
	folder := f.mkdir(f.admin, "/d")
	k, err := f.CreateLink(f.ctx, f.admin, folder.ID, quire.Editor, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	guest := quire.Caller{Site: f.site.ID, Name: "Guest", Scope: quire.ScopeWrite, Link: k.ID}
	for i, c := range []quire.Caller{f.admin, guest, guest} {
		if _, err := f.CreateUpload(f.ctx, c, library.NewUpload{Target: quire.Target{Parent: folder.ID, Name: fmt.Sprint(i)}, Declared: -1, Life: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := f.Uploads(f.ctx, guest, false); err != nil || len(list) != 0 {
		t.Errorf("a guest is told of %d uploads, %v", len(list), err)
	}
	if list, err := f.OpenUploads(f.ctx, guest); err != nil || len(list) != 0 {
		t.Errorf("a guest is told of %d open uploads, %v", len(list), err)
	}
	if list, err := f.Uploads(f.ctx, f.admin, false); err != nil || len(list) != 1 {
		t.Errorf("the administrator has %d uploads, %v", len(list), err)
	}
	if list, err := f.Uploads(f.ctx, f.admin, true); err != nil || len(list) != 3 {
		t.Errorf("all in all there are %d uploads, %v", len(list), err)
	}
}
