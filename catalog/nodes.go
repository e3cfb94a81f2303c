package catalog

import (
	"strings"

	"github.com/quire-docs/quire"
)

var nodes = newRecord("nodes", "id site parent name name_key kind owner created modified revision sequence size client lock locked locked_until trashed epoch", 1,
	func(n *quire.Node) []any {
		return []any{&n.ID, &n.Site, &n.Parent, &n.Name, &n.NameKey, &n.Kind, &n.Owner, &n.Created, &n.Modified,
			&n.Revision, &n.Sequence, &n.Size, &n.Client, asJSON{&n.Lock}, derived(func() int64 { return min(1, lockedUntil(&n.Lock)) }), derived(func() int64 { return lockedUntil(&n.Lock) }), asJSON{&n.Trashed}, &n.Epoch}
	})

// Node returns the node of that id, wherever it is, the trash included.
func (t *Tx) Node(id quire.NodeID) (quire.Node, error) { return nodes.one(t, "WHERE id = $1", id) }

// Child returns the node with that folded name in a container.
func (t *Tx) Child(parent quire.NodeID, key string) (quire.Node, error) {
	return nodes.one(t, "WHERE parent = $1 AND name_key = $2", parent, key)
}

// Children returns a page of a container's nodes in order of their folded
// names, after the name of that key.
func (t *Tx) Children(parent quire.NodeID, after string, limit int) ([]quire.Node, error) {
	return nodes.all(t, "WHERE parent = $1 AND name_key > $2 ORDER BY name_key LIMIT $3", parent, after, int64(limit))
}

// CountChildren returns how many nodes a container holds.
func (t *Tx) CountChildren(parent quire.NodeID) (int64, error) {
	return t.number("SELECT COUNT(*) FROM nodes WHERE parent = $1", parent)
}

// HasChildren says whether a container holds anything.
func (t *Tx) HasChildren(parent quire.NodeID) (bool, error) {
	n, err := t.number("SELECT COUNT(*) FROM (SELECT 1 FROM nodes WHERE parent = $1 LIMIT 1) AS one", parent)
	return n > 0, err
}

// SortKey is an order of a listing.
type SortKey string

// The orders; names break ties.
const (
	ByName     SortKey = "name"
	BySize     SortKey = "size"
	ByModified SortKey = "modified"
)

// SortedChildren returns a page of a container's nodes in another order than
// by name, from that position on. It reads the whole container.
func (t *Tx) SortedChildren(parent quire.NodeID, by SortKey, descending bool, offset, limit int) ([]quire.Node, error) {
	col, dir := "name_key", "ASC"
	switch by {
	case BySize:
		col = "size"
	case ByModified:
		col = "modified"
	}
	if descending {
		dir = "DESC"
	}
	return nodes.all(t, "WHERE parent = $1 ORDER BY "+col+" "+dir+", name_key "+dir+" LIMIT $2 OFFSET $3", parent, int64(limit), int64(offset))
}

// FindNamed returns a page of a site's nodes whose folded name contains the
// text, in order of their ids, after that id.
func (t *Tx) FindNamed(site quire.SiteID, text string, after quire.NodeID, limit int) ([]quire.Node, error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text) + "%"
	return nodes.all(t, `WHERE site = $1 AND id > $2 AND parent <> '' AND name_key LIKE $3 ESCAPE '\' ORDER BY id LIMIT $4`,
		site, after, pattern, int64(limit))
}

// NodesAfter returns a page of all nodes in order of their ids.
func (t *Tx) NodesAfter(after quire.NodeID, limit int) ([]quire.Node, error) {
	return nodes.all(t, "WHERE id > $1 ORDER BY id LIMIT $2", after, int64(limit))
}

// InsertNode adds a node. Its place (parent and folded name) must be free.
func (t *Tx) InsertNode(n *quire.Node) error { return nodes.insert(t, n) }

// UpdateNode writes a node that was read in this transaction.
func (t *Tx) UpdateNode(n *quire.Node) error { return nodes.update(t, n) }

// DeleteNode removes a node's row, its revisions, properties, grants and
// links, and gives up what it holds. Its children must be gone.
func (t *Tx) DeleteNode(n *quire.Node) error {
	for _, q := range []string{
		"DELETE FROM revisions WHERE node = $1",
		"DELETE FROM properties WHERE node = $1",
		"DELETE FROM grants WHERE node = $1",
		"DELETE FROM links WHERE node = $1",
		"DELETE FROM chores WHERE subject = $1",
	} {
		if _, err := t.c.Exec(q, string(n.ID)); err != nil {
			return err
		}
	}
	if err := t.loseRenditions(n.ID, 0); err != nil {
		return err
	}
	if err := t.ReleaseAll(n.Site, NodeHolder(n.ID)); err != nil {
		return err
	}
	return nodes.remove(t, n.ID)
}

// Ancestor is one step of the way from a node up to the top of its tree.
type Ancestor struct {
	ID     quire.NodeID
	Parent quire.NodeID
	Name   string
	Kind   quire.Kind
	Access quire.Access // what the user of the look-up was granted on it
	Linked quire.Access // what the link of the look-up gives on it
}

// The depth is bounded so that a loop in the tree, which no rule permits,
// cannot hang a reader.
const ancestry = `WITH RECURSIVE up (id, parent, name, kind, depth) AS (
	SELECT id, parent, name, kind, 0 FROM nodes WHERE id = $1
	UNION ALL
	SELECT n.id, n.parent, n.name, n.kind, up.depth + 1 FROM nodes n JOIN up ON n.id = up.parent WHERE up.depth < 1000
)
SELECT up.id, up.parent, up.name, up.kind, COALESCE(g.access, 0) FROM up
LEFT JOIN grants g ON g.node = up.id AND g.grantee = $2 ORDER BY up.depth`

// Ancestry returns a node and the containers above it, the node first, with
// what the user was granted on each. It is empty if there is no such node.
func (t *Tx) Ancestry(id quire.NodeID, grantee quire.UserID) ([]Ancestor, error) {
	var list []Ancestor
	err := t.c.Query(ancestry, []any{string(id), string(grantee)}, func(cols []any) error {
		var a Ancestor
		if err := scan(cols, []any{&a.ID, &a.Parent, &a.Name, &a.Kind, &a.Access}); err != nil {
			return err
		}
		list = append(list, a)
		return nil
	})
	return list, err
}

var grants = newRecord("grants", "node grantee access given_by created", 2,
	func(g *quire.Grant) []any { return []any{&g.Node, &g.User, &g.Access, &g.By, &g.Created} })

// Grants returns what was granted on a node itself.
func (t *Tx) Grants(node quire.NodeID) ([]quire.Grant, error) {
	return grants.all(t, "WHERE node = $1 ORDER BY created, grantee", node)
}

// GrantsTo returns what was granted to a user anywhere.
func (t *Tx) GrantsTo(user quire.UserID) ([]quire.Grant, error) {
	return grants.all(t, "WHERE grantee = $1 ORDER BY created, node", user)
}

// PutGrant adds or replaces a grant.
func (t *Tx) PutGrant(g *quire.Grant) error { return grants.upsert(t, g) }

// DeleteGrant removes a grant; it is no error if there is none.
func (t *Tx) DeleteGrant(node quire.NodeID, user quire.UserID) error {
	return grants.remove(t, string(node), string(user))
}

var links = newRecord("links", "id node access given_by created expires password", 1,
	func(l *quire.Link) []any {
		return []any{&l.ID, &l.Node, &l.Access, &l.By, &l.Created, &l.Expires, &l.Password}
	})

// Link returns the share link of that id.
func (t *Tx) Link(id quire.LinkID) (quire.Link, error) { return links.one(t, "WHERE id = $1", id) }

// Links returns a node's share links in the order they were made.
func (t *Tx) Links(node quire.NodeID) ([]quire.Link, error) {
	return links.all(t, "WHERE node = $1 ORDER BY created, id", node)
}

// PutLink adds or replaces a share link.
func (t *Tx) PutLink(l *quire.Link) error { return links.upsert(t, l) }

// DeleteLink removes a share link; it is no error if there is none.
func (t *Tx) DeleteLink(id quire.LinkID) error { return links.remove(t, string(id)) }

// heights counts the containers on the longest way down from one.
const heights = `WITH RECURSIVE down (id, depth) AS (
	SELECT id, 0 FROM nodes WHERE id = $1
	UNION ALL
	SELECT n.id, down.depth + 1 FROM nodes n JOIN down ON n.parent = down.id WHERE n.kind = 'container' AND down.depth < 1000
)
SELECT COALESCE(MAX(depth), 0) FROM down`

// Height returns how many levels of containers there are below one.
func (t *Tx) Height(container quire.NodeID) (int, error) {
	n, err := t.number(heights, string(container))
	return int(n), err
}
