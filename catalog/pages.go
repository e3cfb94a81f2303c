package catalog

import "github.com/quire-docs/quire"

// ChildrenAt returns a page of a container's nodes, containers before files,
// from a position on. By name it reads no more of the container than an index;
// other orders read all of it.
func (t *Tx) ChildrenAt(parent quire.NodeID, by SortKey, descending bool, offset, limit int) ([]quire.Node, error) {
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
	order := " ORDER BY kind, " + col + " " + dir + ", name_key " + dir
	if col == "name_key" {
		order = " ORDER BY kind, name_key " + dir
	}
	// The ids of a page come from the index alone; only its own rows are read.
	return nodes.all(t, "WHERE id IN (SELECT id FROM nodes WHERE parent = $1"+order+" LIMIT $2 OFFSET $3)"+order, parent, int64(limit), int64(offset))
}

// SiteEventsBefore returns a page of a site's events, the newest first, with
// sequence numbers below before; 0 is from the newest.
func (t *Tx) SiteEventsBefore(site quire.SiteID, before int64, limit int) ([]quire.Event, error) {
	if before <= 0 {
		return events.all(t, "WHERE site = $1 ORDER BY seq DESC LIMIT $2", site, int64(limit))
	}
	return events.all(t, "WHERE site = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3", site, before, int64(limit))
}
