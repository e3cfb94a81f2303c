package library_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

// The model of the library: what there is, who may reach it and what is decided
// over it, in plain maps and with none of the library's code but the lock's
// decisions, which have tests of their own.
type model struct {
	root    quire.NodeID
	nodes   map[quire.NodeID]*modelNode
	grants  map[quire.NodeID]map[quire.UserID]quire.Access
	links   map[quire.LinkID]modelLink
	uploads map[quire.UploadID]*modelUpload
	feed    []string
}

type modelNode struct {
	id       quire.NodeID
	parent   quire.NodeID // "" for the root and the tops of deleted trees
	name     string
	folder   bool
	owner    quire.UserID
	sequence int64
	current  int64
	revs     map[int64]*modelRevision
	lock     quire.LockState
	trashed  *quire.Trashed
}

type modelRevision struct {
	content string
	summed  bool // its checksum is known, so that equal content is noticed
	label   string
	kind    quire.SaveKind
	created time.Time
	session string
}

type modelLink struct {
	node   quire.NodeID
	access quire.Access
}

type modelUpload struct {
	owner    quire.UserID
	content  string
	declared int64
	done     *quire.Saved
}

func newModel(root quire.NodeID) *model {
	return &model{
		root:    root,
		nodes:   map[quire.NodeID]*modelNode{root: {id: root, folder: true}},
		grants:  make(map[quire.NodeID]map[quire.UserID]quire.Access),
		links:   make(map[quire.LinkID]modelLink),
		uploads: make(map[quire.UploadID]*modelUpload),
	}
}

// up returns the way from a node to the top of its tree, itself first.
func (m *model) up(id quire.NodeID) []*modelNode {
	var way []*modelNode
	for n := m.nodes[id]; n != nil; n = m.nodes[n.parent] {
		way = append(way, n)
	}
	return way
}

func (m *model) inTree(id quire.NodeID) bool {
	way := m.up(id)
	return len(way) > 0 && way[len(way)-1].id == m.root
}

func (m *model) path(id quire.NodeID) string {
	var names []string
	for _, n := range m.up(id) {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	if path := strings.Join(names, "/"); path != "" {
		return path
	}
	return "/"
}

// access is what a caller may do to a node of the tree.
func (m *model) access(c quire.Caller, id quire.NodeID) quire.Access {
	if !m.inTree(id) {
		return quire.NoAccess
	}
	if c.Role == quire.RoleAdmin {
		return quire.Owner
	}
	have := quire.NoAccess
	link := m.links[c.Link]
	for _, n := range m.up(id) {
		if c.User != "" {
			have = max(have, m.grants[n.id][c.User])
		}
		if link.node == n.id {
			have = max(have, link.access)
		}
	}
	return have
}

// may says how a call ends that needs an access: "" goes on.
func (m *model) may(c quire.Caller, id quire.NodeID, needs quire.Access) string {
	switch have := m.access(c, id); {
	case have == quire.NoAccess:
		return "missing"
	case have < needs:
		return "forbidden"
	}
	return ""
}

func (m *model) children(id quire.NodeID) []*modelNode {
	var list []*modelNode
	for _, n := range m.nodes {
		if n.parent == id && n.id != m.root && n.trashed == nil {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *modelNode) int { return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) })
	return list
}

func (m *model) child(id quire.NodeID, name string) *modelNode {
	for _, n := range m.children(id) {
		if strings.EqualFold(n.name, name) {
			return n
		}
	}
	return nil
}

// below returns a node and all below it.
func (m *model) below(id quire.NodeID) []*modelNode {
	list := []*modelNode{m.nodes[id]}
	for _, n := range m.children(id) {
		list = append(list, m.below(n.id)...)
	}
	return list
}

func (m *model) free(parent quire.NodeID, name string) string {
	stem, ext := name, ""
	if i := strings.LastIndex(name, "."); i > 0 {
		stem, ext = name[:i], name[i:]
	}
	try := func(n int) (string, bool) {
		s := fmt.Sprintf("%s (%d)%s", stem, n, ext)
		return s, m.child(parent, s) == nil
	}
	// The library looks at 1, 2, 4 ... and then between the last two.
	high := 1
	for ; ; high *= 2 {
		if _, ok := try(high); ok {
			break
		}
	}
	low := high / 2
	for high-low > 1 {
		if _, ok := try((low + high) / 2); ok {
			high = (low + high) / 2
		} else {
			low = (low + high) / 2
		}
	}
	s, _ := try(high)
	return s
}

// spot is what a target comes down to.
type spot struct {
	there   *modelNode
	parent  quire.NodeID
	missing []string
	name    string
}

// resolve finds out where a target points, as the library must.
func (m *model) resolve(c quire.Caller, t quire.Target) (spot, string) {
	if t.Node != "" {
		return spot{there: m.nodes[t.Node]}, m.may(c, t.Node, quire.Viewer)
	}
	s := spot{parent: t.Parent, name: t.Name}
	if s.parent == "" {
		parts := strings.Split(strings.Trim(t.Path, "/"), "/")
		s.parent, s.name = m.root, parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		for len(parts) > 0 {
			next := m.child(s.parent, parts[0])
			if next == nil {
				break
			}
			s.parent, parts = next.id, parts[1:]
		}
		s.missing = parts
	}
	if bad := m.may(c, s.parent, quire.Viewer); bad != "" {
		return s, bad
	}
	if !m.nodes[s.parent].folder {
		return s, "kind"
	}
	if len(s.missing) > 0 {
		return s, m.may(c, s.parent, quire.Editor)
	}
	there := m.child(s.parent, s.name)
	if there == nil {
		return s, m.may(c, s.parent, quire.Editor)
	}
	if t.OnConflict == quire.Rename {
		bad := m.may(c, s.parent, quire.Editor)
		s.name = m.free(s.parent, s.name)
		return s, bad
	}
	s.there = there
	return s, ""
}

// full returns the path that a spot's new node will have.
func (m *model) full(s spot) string {
	return strings.TrimSuffix(m.path(s.parent), "/") + "/" + strings.Join(append(slices.Clone(s.missing), s.name), "/")
}

// maySave decides a save at a spot: "" goes on.
func (m *model) maySave(c quire.Caller, t quire.Target, s spot, pre quire.Precondition, now time.Time) string {
	switch e := s.there; {
	case e == nil && (pre.Present || pre.Revision != nil):
		return "missing"
	case e == nil && pre.Key != quire.LockKey{}:
		return "locked"
	case e == nil:
		return m.may(c, s.parent, quire.Editor)
	case e.folder && t.Node != "":
		return "kind"
	case e.folder, t.Node == "" && t.OnConflict != quire.Replace, pre.Absent:
		return "exists"
	default:
		if bad := m.may(c, e.id, quire.Editor); bad != "" {
			return bad
		}
		if bad := e.mayChange(lock.Content, pre, now); bad != "" {
			return bad
		}
		if pre.Revision != nil && *pre.Revision != e.current {
			return "conflict"
		}
	}
	return ""
}

func (n *modelNode) mayChange(c lock.Change, pre quire.Precondition, now time.Time) string {
	size := int64(len(n.revs[n.current].content))
	a := lock.Attempt{Change: c, Key: pre.Key, Size: size, Sequence: n.sequence, Rule: pre.Unlocked}
	if err := lock.MayChange(n.lock, a, now); err != nil {
		return outcome(err)
	}
	return ""
}

// lockedBelow says whether anybody holds a lock in a tree.
func (m *model) lockedBelow(id quire.NodeID, now time.Time) bool {
	for _, n := range m.below(id) {
		if lock.What(lock.At(n.lock, now, n.sequence)) != lock.None {
			return true
		}
	}
	return false
}

// The rest changes the model, once it is known that the library did.

func (m *model) owner(c quire.Caller, parent quire.NodeID) quire.UserID {
	if c.User != "" {
		return c.User
	}
	return m.nodes[parent].owner
}

// make adds what is missing of a path from a spot on, with the ids that the
// library gave, and returns the last.
func (m *model) make(f *fixture, c quire.Caller, s spot, folder bool) *modelNode {
	var n *modelNode
	parent := s.parent
	for i, name := range append(slices.Clone(s.missing), s.name) {
		n = &modelNode{parent: parent, name: name, folder: folder || i < len(s.missing), owner: m.owner(c, parent), revs: make(map[int64]*modelRevision)}
		path := strings.TrimSuffix(m.path(parent), "/") + "/" + name
		n.id = f.lookup(path).ID
		m.nodes[n.id] = n
		m.event(quire.EventNew, n)
		parent = n.id
	}
	return n
}

func (m *model) event(kind quire.EventKind, n *modelNode) {
	m.feed = append(m.feed, string(kind)+" "+m.path(n.id))
}

// revise makes content current. got is the revision that the library says: it
// may have noticed that nothing is new.
func (m *model) revise(n *modelNode, r modelRevision, got int64, now time.Time) error {
	n.lock = lock.At(n.lock, now, n.sequence)
	n.sequence++
	r.created = now
	cur := n.revs[n.current]
	same := cur != nil && cur.content == r.content && r.kind != quire.SaveRestore
	switch {
	case got == n.current && same:
		return nil
	case got != n.current+1:
		return fmt.Errorf("revision %d follows %d", got, n.current)
	case same && cur.summed && r.summed:
		return fmt.Errorf("the same content again made revision %d", got)
	}
	n.current = got
	n.revs[got] = &r
	if len(n.revs) > 1 || got > 1 {
		m.event(quire.EventUpdate, n)
	}
	return nil
}

func (m *model) move(n *modelNode, parent quire.NodeID, name string) {
	from := n.parent
	if from == parent && n.name == name {
		return
	}
	if from != parent {
		m.event(quire.EventMoveOut, n)
	}
	n.parent, n.name = parent, name
	if from != parent {
		m.event(quire.EventMoveIn, n)
	} else {
		m.event(quire.EventRename, n)
	}
}

func (m *model) discard(c quire.Caller, n *modelNode) {
	m.event(quire.EventRemove, n)
	n.trashed = &quire.Trashed{Parent: n.parent, By: c.User}
	n.parent, n.lock = "", quire.LockState{}
}

func (m *model) purge(id quire.NodeID) {
	top := m.nodes[id]
	top.trashed = nil
	for _, n := range m.below(id) {
		delete(m.nodes, n.id)
		delete(m.grants, n.id)
		maps.DeleteFunc(m.links, func(_ quire.LinkID, k modelLink) bool { return k.node == n.id })
	}
}

// copyTree copies what is below one folder into another that is new.
func (m *model) copyTree(f *fixture, c quire.Caller, from, to quire.NodeID, now time.Time) {
	for _, n := range m.children(from) {
		e := f.lookup(strings.TrimSuffix(m.path(to), "/") + "/" + n.name)
		dup := &modelNode{id: e.ID, parent: to, name: n.name, folder: n.folder, owner: c.User, revs: make(map[int64]*modelRevision)}
		if c.User == "" {
			dup.owner = n.owner
		}
		m.nodes[dup.id] = dup
		if n.folder {
			m.copyTree(f, c, n.id, dup.id, now)
			continue
		}
		cur := n.revs[n.current]
		dup.sequence, dup.current = 1, 1
		dup.revs[1] = &modelRevision{content: cur.content, summed: cur.summed, created: now}
	}
}

// trash lists the deleted trees.
func (m *model) trash() []*modelNode {
	var list []*modelNode
	for _, n := range m.nodes {
		if n.trashed != nil {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *modelNode) int { return strings.Compare(string(a.id), string(b.id)) })
	return list
}

// thinned takes over which revisions of a file are left, if what went was
// allowed to.
func (n *modelNode) thinned(left []int64, rule library.Retention, now time.Time) error {
	var all []quire.Revision
	for number, r := range n.revs {
		all = append(all, quire.Revision{Number: number, Created: r.created, Label: r.label, Kind: r.kind, Session: r.session})
	}
	drop, _ := rule.Keep(all, n.current, now)
	for number := range n.revs {
		if !slices.Contains(left, number) && !slices.Contains(drop, number) {
			return fmt.Errorf("revision %d went too early", number)
		}
	}
	for _, number := range left {
		if n.revs[number] == nil {
			return fmt.Errorf("revision %d is there, but was never made", number)
		}
	}
	maps.DeleteFunc(n.revs, func(number int64, _ *modelRevision) bool { return !slices.Contains(left, number) })
	return nil
}

func lockAt(n *modelNode, now time.Time) quire.LockState { return lock.At(n.lock, now, n.sequence) }
