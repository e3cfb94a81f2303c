package library

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
)

// Problem is something that Check found wrong.
type Problem struct {
	What   string `json:"what"`   // a stable word: "missing-segment", "corrupt-segment" ...
	Where  string `json:"where"`  // the id of the node, segment or upload
	Detail string `json:"detail"` // a sentence
}

// Checked counts what Check looked at.
type Checked struct {
	Nodes     int   `json:"nodes"`
	Revisions int   `json:"revisions"`
	Segments  int   `json:"segments"`
	Uploads   int   `json:"uploads"`
	Bytes     int64 `json:"bytes"` // read and compared with their checksums
	Orphans   int   `json:"orphans"`
	Problems  int   `json:"problems"`
}

// Check verifies the store: that every node hangs in a tree, that every
// revision's manifest can be read and adds up, that every segment it names is
// there and held, and (with data) that every segment's bytes have their
// checksum. It may run beside a working server. It changes nothing.
func (l *Library) Check(ctx context.Context, data bool, report func(Problem)) (sum Checked, err error) {
	f := &checker{l: l, sum: &sum, data: data, report: func(what, where, format string, args ...any) {
		sum.Problems++
		report(Problem{What: what, Where: where, Detail: fmt.Sprintf(format, args...)})
	}}
	for _, step := range []func(context.Context) error{f.nodes, f.uploads, f.segments, f.orphans} {
		if err := step(ctx); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

type checker struct {
	l      *Library
	sum    *Checked
	data   bool
	report func(what, where, format string, args ...any)
}

func (f *checker) nodes(ctx context.Context) error {
	var after quire.NodeID
	for {
		var page []quire.Node
		err := f.l.view(ctx, func(tx *catalog.Tx) (err error) {
			if page, err = tx.NodesAfter(after, 200); err != nil {
				return err
			}
			for i := range page {
				if err := f.node(tx, &page[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		after = page[len(page)-1].ID
	}
}

func (f *checker) node(tx *catalog.Tx, n *quire.Node) error {
	f.sum.Nodes++
	t, err := f.l.siteTops(tx, n.Site)
	if errors.Is(err, quire.ErrNotFound) {
		f.report("lost-node", string(n.ID), "it belongs to site %s, which does not exist", n.Site)
		return nil
	}
	if err != nil {
		return err
	}
	up, err := tx.Ancestry(n.ID, "")
	if err != nil {
		return err
	}
	if top := up[len(up)-1]; top.ID != t.root && top.ID != t.trash {
		f.report("lost-node", string(n.ID), "%q does not hang in its site's tree: above it is %s", n.Name, top.Parent)
	}
	if n.IsContainer() {
		return nil
	}
	return f.file(tx, n)
}

func (f *checker) file(tx *catalog.Tx, n *quire.Node) error {
	holds := make(map[quire.SegmentID]bool)
	held, err := tx.Holds(catalog.NodeHolder(n.ID))
	if err != nil {
		return err
	}
	for _, id := range held {
		holds[id] = true
	}
	revs, err := allRevisions(tx, n.ID)
	if err != nil {
		return err
	}
	current := false
	for _, r := range revs {
		f.sum.Revisions++
		m, err := tx.Manifest(n.ID, r.Number)
		if err != nil {
			f.report("bad-manifest", string(n.ID), "revision %d: %v", r.Number, err)
			continue
		}
		if m.Main().Size != r.Size {
			f.report("bad-manifest", string(n.ID), "revision %d has %d bytes, its manifest %d", r.Number, r.Size, m.Main().Size)
		}
		if r.Number == n.Revision {
			current = true
			if r.Size != n.Size {
				f.report("bad-node", string(n.ID), "it has %d bytes, its current revision %d", n.Size, r.Size)
			}
		}
		for _, s := range m.Streams {
			for _, x := range s.Extents {
				if err := f.extent(tx, n, r.Number, x, holds); err != nil {
					return err
				}
			}
		}
	}
	if !current {
		f.report("bad-node", string(n.ID), "its current revision %d does not exist", n.Revision)
	}
	return nil
}

func (f *checker) extent(tx *catalog.Tx, n *quire.Node, number int64, x quire.Extent, holds map[quire.SegmentID]bool) error {
	s, err := tx.Segment(x.Segment)
	switch {
	case errors.Is(err, quire.ErrNotFound):
		f.report("missing-segment", string(x.Segment), "revision %d of %s names it, but there is no record of it", number, n.ID)
	case err != nil:
		return err
	case x.Offset+x.Length > s.Size:
		f.report("bad-manifest", string(n.ID), "revision %d names bytes %d to %d of segment %s, which has %d", number, x.Offset, x.Offset+x.Length, s.ID, s.Size)
	case !holds[x.Segment]:
		f.report("unheld-segment", string(x.Segment), "revision %d of %s names it without a hold", number, n.ID)
	}
	return nil
}

func (f *checker) uploads(ctx context.Context) error {
	return f.l.view(ctx, func(tx *catalog.Tx) error {
		all, err := tx.Uploads("")
		if err != nil {
			return err
		}
		for _, u := range all {
			f.sum.Uploads++
			if u.Done != nil {
				continue
			}
			in, err := received(tx, u)
			if err != nil {
				f.report("bad-upload", string(u.ID), "%v", err)
				continue
			}
			for _, x := range in.extents {
				s, err := tx.Segment(x.Segment)
				if errors.Is(err, quire.ErrNotFound) || err == nil && x.Offset+x.Length > s.Size {
					f.report("bad-upload", string(u.ID), "segment %s is missing or too short", x.Segment)
				} else if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (f *checker) segments(ctx context.Context) error {
	var after quire.SegmentID
	for {
		var page []quire.Segment
		err := f.l.view(ctx, func(tx *catalog.Tx) (err error) {
			page, err = tx.SegmentsAfter(after, 100)
			return err
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		for _, s := range page {
			if err := f.segment(ctx, s); err != nil {
				return err
			}
		}
		after = page[len(page)-1].ID
	}
}

func (f *checker) segment(ctx context.Context, s quire.Segment) error {
	f.sum.Segments++
	bad, err := f.broken(ctx, s)
	if err != nil {
		return err
	}
	if bad == "" {
		return nil
	}
	// The collector may have deleted it since the page was read.
	err = f.l.view(ctx, func(tx *catalog.Tx) error {
		_, err := tx.Segment(s.ID)
		return err
	})
	if errors.Is(err, quire.ErrNotFound) {
		return nil
	}
	if err == nil {
		f.report(bad, string(s.ID), "its %d bytes are not as they were stored: restore them from a backup", s.Size)
	}
	return err
}

// broken says what is wrong with a segment's bytes: nothing is "".
func (f *checker) broken(ctx context.Context, s quire.Segment) (string, error) {
	if s.ID.InCatalog() {
		var data []byte
		err := f.l.view(ctx, func(tx *catalog.Tx) (err error) {
			data, err = tx.SegmentData(s.ID)
			return err
		})
		switch {
		case errors.Is(err, quire.ErrNotFound):
			return "missing-segment", nil
		case err != nil:
			return "", err
		case !intact(data, s):
			return "corrupt-segment", nil
		}
		f.sum.Bytes += s.Size
		return "", nil
	}
	var err error
	if f.data {
		err = f.l.blobs.Verify(ctx, toBlob(s))
	} else {
		var info blob.Info
		if info, err = f.l.blobs.Stat(ctx, blobKey(s.ID)); err == nil && info.Size != s.Size {
			return "corrupt-segment", nil
		}
	}
	var corrupt *blob.CorruptError
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return "missing-segment", nil
	case errors.As(err, &corrupt):
		return "corrupt-segment", nil
	case err != nil:
		return "", storage(err)
	}
	if f.data {
		f.sum.Bytes += s.Size
	}
	return "", nil
}

// orphans counts objects that no record names. They are not a problem: a crash
// leaves them, and the garbage collection removes them.
func (f *checker) orphans(ctx context.Context) error {
	return f.l.orphans(ctx, time.Minute, func(blob.Info) error {
		f.sum.Orphans++
		return nil
	})
}
