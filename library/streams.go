package library

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/chunk"
)

// StreamView is one stream of a Snapshot: its bytes, and how they are cut into
// chunks.
type StreamView struct {
	*Content
	Signature chunk.Signature
}

// Snapshot is a file's whole content at one moment: its streams with their
// signatures and its properties, all of one revision.
type Snapshot struct {
	Entry      Entry
	Streams    map[quire.StreamID]*StreamView // those that were asked for and exist
	Properties []quire.Property               // in order of their names

	now time.Time // of the transaction that it is from
}

// Close releases what the streams have open.
func (s *Snapshot) Close() {
	for _, v := range s.Streams {
		v.Close()
	}
}

// Size returns how many bytes the streams have together.
func (s *Snapshot) Size() int64 {
	var n int64
	for _, v := range s.Streams {
		n += v.Content.Size
	}
	return n
}

// Snapshot returns streams of a file's current revision with their signatures;
// nil is all of them. A signature that is not known yet is worked out, once
// for all who ask, and kept with the revision.
func (l *Library) Snapshot(ctx context.Context, c quire.Caller, id quire.NodeID, streams []quire.StreamID) (*Snapshot, error) {
	var snap *Snapshot
	var m quire.Manifest
	err := l.view(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		if e.IsContainer() {
			return quire.ErrNotAFile
		}
		old := tx.Now().Add(-quire.StreamLife)
		snap = &Snapshot{Entry: e, now: tx.Now(), Streams: make(map[quire.StreamID]*StreamView)}
		if m, err = tx.Manifest(id, e.Revision); err != nil {
			return err
		}
		m.Streams = unexpired(m.Streams, old)
		snap.Properties, err = tx.Properties(id, old)
		return err
	})
	if err != nil {
		return nil, err
	}
	if streams == nil {
		for _, s := range m.Streams {
			streams = append(streams, s.ID)
		}
	}
	for _, want := range streams {
		s := m.Stream(want)
		if s == nil && want == quire.MainContent {
			s = m.Main()
		}
		if s == nil {
			continue
		}
		v := &StreamView{Content: l.assemble(ctx, s)}
		v.Entry, v.Revision, v.Sequence = snap.Entry, snap.Entry.Revision, snap.Entry.Sequence
		snap.Streams[want] = v
		if v.Signature, err = l.signature(ctx, v.Content, s); err != nil {
			snap.Close()
			return nil, err
		}
	}
	return snap, nil
}

// unexpired drops alternate streams that were last written before a time.
func unexpired(list []quire.Stream, old time.Time) []quire.Stream {
	var alive []quire.Stream
	for _, s := range list {
		if s.ID == quire.MainContent || s.Updated.After(old) {
			alive = append(alive, s)
		}
	}
	return alive
}

// assemble returns content made of a stream's extents.
func (l *Library) assemble(ctx context.Context, s *quire.Stream) *Content {
	c := &Content{ctx: ctx, l: l}
	c.setExtents(s)
	return c
}

// signing keeps many callers who ask for one signature at a time from working
// it out each.
type signing = singleflight.Group

// signature returns how a stream is cut: as it is stored, or else by reading
// it.
func (l *Library) signature(ctx context.Context, in *Content, s *quire.Stream) (chunk.Signature, error) {
	var sig chunk.Signature
	if s.Signature != nil {
		err := sig.UnmarshalBinary(s.Signature)
		return sig, err
	}
	key := fmt.Sprintf("%s/%d/%s", in.Entry.ID, in.Revision, s.ID)
	result := l.signing.DoChan(key, func() (any, error) {
		// Others wait for it too, so it outlives the one who asked first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
		defer cancel()
		whole := l.assemble(ctx, s)
		defer whole.Close()
		sig, err := chunk.Sign(ctx, whole, s.Size)
		if err != nil {
			return nil, err
		}
		return sig, l.keepSignature(ctx, in.Entry.ID, in.Revision, s.ID, sig)
	})
	select {
	case <-ctx.Done():
		return sig, ctx.Err()
	case r := <-result:
		if r.Err != nil {
			return sig, r.Err
		}
		return r.Val.(chunk.Signature), nil
	}
}

// keepSignature stores a signature with its revision, if that still exists.
func (l *Library) keepSignature(ctx context.Context, id quire.NodeID, number int64, stream quire.StreamID, sig chunk.Signature) error {
	b, err := sig.MarshalBinary()
	if err != nil {
		return err
	}
	return l.update(ctx, func(tx *catalog.Tx) error {
		m, err := tx.Manifest(id, number)
		if err != nil {
			return ignoreMissing(err)
		}
		s := m.Stream(stream)
		if s == nil || s.Signature != nil {
			return nil
		}
		s.Signature = b
		return tx.UpdateManifest(id, number, &m)
	})
}
