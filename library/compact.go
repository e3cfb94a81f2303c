package library

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

const choreCompact = "compact"

const (
	// smallExtent is the length, in bytes, below which an extent is worth
	// copying to have fewer of them. Longer ones are read as fast where they
	// are.
	smallExtent = 256 << 10
	// manySmall is how many small extents that lie beside another one a
	// revision may have before they are brought together.
	manySmall = 64
	// compactPause is how long a file's saves are left to gather before its
	// current revision is compacted, so that a busy one is copied seldom.
	compactPause = 10 * time.Minute
)

// scattered counts the small extents of a manifest that could be joined with
// one beside them.
func scattered(m *quire.Manifest) int {
	n := 0
	for _, s := range m.Streams {
		for i, x := range s.Extents {
			small := func(k int) bool { return k >= 0 && k < len(s.Extents) && s.Extents[k].Length < smallExtent }
			if x.Length < smallExtent && (small(i-1) || small(i+1)) {
				n++
			}
		}
	}
	return n
}

// compact copies the many small extents of a file's current revision into one
// new segment. The revision keeps its number, its bytes and its chunks; only
// where they lie changes. Who reads the old segments goes on, since they stay
// for the grace period at least, and as long as older revisions need them.
func (l *Library) compact(ctx context.Context, id quire.NodeID) error {
	var n quire.Node
	var m quire.Manifest
	err := l.view(ctx, func(tx *catalog.Tx) (err error) {
		if n, err = tx.Node(id); err != nil {
			return err
		}
		m, err = tx.Manifest(id, n.Revision)
		return err
	})
	if err != nil {
		return ignoreMissing(err)
	}
	if scattered(&m) < manySmall {
		return nil
	}
	next, in, err := l.gather(ctx, m)
	if err != nil {
		return err
	}
	used := false
	err = l.update(ctx, func(tx *catalog.Tx) error {
		used = false
		now, err := tx.Node(id)
		if err != nil {
			return ignoreMissing(err)
		}
		current, err := tx.Manifest(id, now.Revision)
		if err != nil {
			return err
		}
		if now.Revision != n.Revision || !sameExtents(current, m) {
			return nil // it moved on: its next turn comes with the save that moved it
		}
		for i := range current.Streams {
			current.Streams[i].Extents = next[i]
		}
		for _, s := range in.fresh {
			s.Created = tx.Now()
			if err := tx.InsertSegment(&s.Segment, s.data, now.Site, catalog.NodeHolder(id)); err != nil {
				return err
			}
		}
		used = true
		if err := tx.UpdateManifest(id, now.Revision, &current); err != nil {
			return err
		}
		return l.releaseUnused(tx, now)
	})
	if err != nil || !used {
		l.drop(ctx, in, err)
	}
	return err
}

// gather stores the runs of small extents of a manifest as one segment and
// returns the extents that each stream has then.
func (l *Library) gather(ctx context.Context, m quire.Manifest) ([][]quire.Extent, *incoming, error) {
	var runs []io.Reader
	var at int64
	next := make([][]quire.Extent, len(m.Streams))
	type place struct{ stream, extent int }
	var moved []place // extents of next whose segment is the new one
	for i := range m.Streams {
		s := &m.Streams[i]
		content := l.assemble(ctx, s)
		defer content.Close()
		var from int64
		for k := 0; k < len(s.Extents); {
			end, length := k, int64(0)
			for end < len(s.Extents) && s.Extents[end].Length < smallExtent {
				length += s.Extents[end].Length
				end++
			}
			if end-k < 2 {
				next[i] = append(next[i], s.Extents[k])
				from += s.Extents[k].Length
				k++
				continue
			}
			runs = append(runs, content.Reader(from, length))
			moved = append(moved, place{i, len(next[i])})
			next[i] = append(next[i], quire.Extent{Offset: at, Length: length})
			at += length
			from += length
			k = end
		}
	}
	s, err := l.take(ctx, io.MultiReader(runs...))
	if err != nil {
		return nil, nil, err
	}
	in := whole(s)
	if s.Size != at {
		err := &quire.Incomplete{Got: s.Size, Expected: at}
		l.drop(ctx, in, err)
		return nil, nil, err
	}
	for _, p := range moved {
		next[p.stream][p.extent].Segment = s.ID
	}
	return next, in, nil
}

func sameExtents(a, b quire.Manifest) bool {
	return slices.EqualFunc(a.Streams, b.Streams, func(x, y quire.Stream) bool {
		return x.ID == y.ID && slices.Equal(x.Extents, y.Extents)
	})
}

// holdMoved makes a file hold the segments that a save took from where the
// file's bytes lay when the save began, and that a compaction has given up
// since.
func holdMoved(tx *catalog.Tx, e Entry, current quire.Manifest, changed map[quire.StreamID]*quire.Stream, in *incoming) error {
	have := make(map[quire.SegmentID]bool)
	for _, s := range current.Streams {
		for _, x := range s.Extents {
			have[x.Segment] = true
		}
	}
	for _, f := range in.fresh {
		have[f.ID] = true
	}
	for _, s := range changed {
		if s == nil {
			continue
		}
		for _, x := range s.Extents {
			if have[x.Segment] {
				continue
			}
			have[x.Segment] = true
			err := tx.Hold(e.Site, catalog.NodeHolder(e.ID), x.Segment)
			if errors.Is(err, quire.ErrNotFound) {
				err = &quire.Unavailable{Reason: "the file was rearranged while it was saved: try again", After: time.Second}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
