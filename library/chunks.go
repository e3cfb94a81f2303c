package library

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/chunk"
	"github.com/quire-docs/quire/lock"
)

// SaveChunks says how a file is changed by its chunks (CSPP Plus §8).
type SaveChunks struct {
	quire.Precondition
	SameLock lock.SameID
	Request  chunk.PutChunkedFileRequest
	Frames   *chunk.Reader  // after its message: the chunks that the host is not expected to have
	Upload   quire.UploadID // a session whose frames count as if they were in Frames; may be empty
	Max      int64          // the most bytes that MainContent may have; 0 is no limit
	Authors  []quire.UserID
}

// chunkKey names a chunk within one file. The id alone is not proof against
// collisions, so the length is part of it.
type chunkKey struct {
	id     chunk.ID
	length int64
}

// chunkPlaces says where the bytes of chunks are.
type chunkPlaces map[chunkKey][]quire.Extent

// SaveChunks changes the streams and properties that the request names, in one
// step, and leaves the others. A chunk is taken from the request's frames, the
// named upload session or the file's current revision, and from nowhere else;
// what is new is stored as one segment, and the rest is metadata.
//
// It refuses in the protocol's order: a lock (*quire.Locked), then the
// sequence number (*quire.Conflict), then what cannot be resolved
// (*quire.Invalid or *chunk.FormatError). A refusal changes nothing.
func (l *Library) SaveChunks(ctx context.Context, c quire.Caller, id quire.NodeID, o SaveChunks) (e Entry, done quire.Saved, err error) {
	snap, err := l.Snapshot(ctx, c, id, l.needed(o.Request))
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	defer snap.Close()
	if err := allow(c, snap.Entry, quire.Editor); err != nil {
		return Entry{}, quire.Saved{}, l.noted(ctx, err)
	}
	if err := mayChange(snap.Entry, lock.Content, o.Precondition, o.SameLock, snap.now); err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if err := checkPrecondition(snap.Entry, o.Precondition); err != nil {
		return Entry{}, quire.Saved{}, err
	}

	places := make(chunkPlaces)
	for _, v := range snap.Streams {
		places.addStream(v)
	}
	up, err := l.uploadedChunks(ctx, c, id, o.Upload, places)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	in, err := l.stageChunks(ctx, o.Frames, places)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	kept := false
	defer func() {
		if !kept {
			l.drop(ctx, in, err)
		}
	}()
	changed, err := l.build(ctx, o, places, in)
	if err != nil {
		return Entry{}, quire.Saved{}, err
	}
	if !uses(changed, in) {
		l.drop(ctx, in, nil) // all that was sent is there already
		in = &incoming{}
	}

	err = l.update(ctx, func(tx *catalog.Tx) error {
		in.used = false
		if e, err = l.find(tx, c, id, quire.Editor); err != nil {
			return err
		}
		if err := mayChange(e, lock.Content, o.Precondition, o.SameLock, tx.Now()); err != nil {
			return err
		}
		if err := checkPrecondition(e, o.Precondition); err != nil {
			return err
		}
		if e.Revision != snap.Entry.Revision {
			return &quire.Conflict{Current: e.Node}
		}
		if err := l.fit(tx, e.Site, in); err != nil {
			return err
		}
		if err := putProperties(tx, id, o.Request.ContentProperties); err != nil {
			return err
		}
		e, err = l.appendChunks(tx, c, e, changed, in, o)
		if err != nil {
			return err
		}
		done = quire.Saved{Node: e.ID, Revision: e.Revision, Sequence: e.Sequence}
		return l.settleChunks(tx, up, e.ID, changed)
	})
	kept = err == nil && in.used
	return e, done, err
}

// uses says whether streams have any of the fresh bytes.
func uses(changed map[quire.StreamID]*quire.Stream, in *incoming) bool {
	for _, s := range changed {
		if s == nil {
			continue
		}
		for _, x := range s.Extents {
			if slices.ContainsFunc(in.fresh, func(f fresh) bool { return f.ID == x.Segment }) {
				return true
			}
		}
	}
	return false
}

// needed returns the streams whose chunks a request may refer to: all, unless
// it names no chunk at all.
func (l *Library) needed(r chunk.PutChunkedFileRequest) []quire.StreamID {
	for _, s := range r.Signatures {
		if len(s.Chunks) > 0 {
			return nil
		}
	}
	return []quire.StreamID{}
}

// addStream adds the chunks of a stream that the file has.
func (p chunkPlaces) addStream(v *StreamView) {
	var at int64
	for _, k := range v.Signature.Chunks {
		key := chunkKey{k.ID, k.Length}
		if _, ok := p[key]; !ok {
			p[key] = v.slice(at, k.Length)
		}
		at += k.Length
	}
}

// slice returns the extents of a part of the content.
func (c *Content) slice(offset, length int64) []quire.Extent {
	var list []quire.Extent
	for i := 0; length > 0; i++ {
		if i == 0 {
			i = c.extentAt(offset)
		}
		x, skip := c.extents[i], offset-c.starts[i]
		n := min(length, x.Length-skip)
		list = append(list, quire.Extent{Segment: x.Segment, Offset: x.Offset + skip, Length: n})
		offset += n
		length -= n
	}
	return list
}

// chunkRange is a part of a chunk that came in a frame of its own.
type chunkRange struct {
	offset, length int64
	at             int64 // in the segment
	end            bool
}

// stageChunks stores the payloads of the frames as one segment, checks each
// against its id, and adds where they are.
func (l *Library) stageChunks(ctx context.Context, frames *chunk.Reader, places chunkPlaces) (*incoming, error) {
	if frames == nil {
		return &incoming{}, nil
	}
	p := &payloads{frames: frames, ranges: make(map[chunk.ID][]chunkRange)}
	s, err := l.take(ctx, p)
	if err != nil {
		var format *chunk.FormatError
		if errors.As(err, &format) {
			return nil, format
		}
		return nil, err
	}
	in := whole(s)
	for key, at := range p.whole {
		if key.length == 0 {
			places[key] = nil
			continue
		}
		places[key] = []quire.Extent{{Segment: s.ID, Offset: at, Length: key.length}}
	}
	if err := l.joinRanges(ctx, s, p.ranges, places); err != nil {
		l.drop(ctx, in, err)
		return nil, err
	}
	return in, nil
}

// payloads reads the payloads of frames one after the other, as one stream,
// and remembers where each is.
type payloads struct {
	frames  *chunk.Reader
	whole   map[chunkKey]int64
	ranges  map[chunk.ID][]chunkRange
	current io.Reader
	at      int64
}

// Read implements io.Reader.
func (p *payloads) Read(b []byte) (int, error) {
	for {
		if p.current != nil {
			n, err := p.current.Read(b)
			p.at += int64(n)
			if err == io.EOF {
				p.current, err = nil, nil
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		h, err := p.frames.Next()
		if err != nil {
			return 0, err // io.EOF once the body is whole
		}
		if h.Type == chunk.ChunkRange {
			p.ranges[h.ChunkID] = append(p.ranges[h.ChunkID], chunkRange{h.Offset, h.Length, p.at, h.EndOfChunk})
		} else {
			if p.whole == nil {
				p.whole = make(map[chunkKey]int64)
			}
			p.whole[chunkKey{h.ChunkID, h.PayloadSize}] = p.at
		}
		p.current = p.frames.Verified()
	}
}

// joinRanges makes chunks of ranges that together are whole, and checks them.
func (l *Library) joinRanges(ctx context.Context, s fresh, ranges map[chunk.ID][]chunkRange, places chunkPlaces) error {
	for id, parts := range ranges {
		slices.SortFunc(parts, func(a, b chunkRange) int { return int(min(1, max(-1, a.offset-b.offset))) })
		var extents []quire.Extent
		var length int64
		complete := false
		for _, r := range parts {
			if r.offset > length {
				break // a gap: it is not whole
			}
			if skip := length - r.offset; r.length > skip {
				extents = append(extents, quire.Extent{Segment: s.ID, Offset: r.at + skip, Length: r.length - skip})
				length = r.offset + r.length
			}
			complete = complete || r.end && r.offset+r.length == length
		}
		if !complete {
			continue
		}
		if err := l.verifyChunk(ctx, s, id, extents, length); err != nil {
			return err
		}
		places[chunkKey{id, length}] = extents
	}
	return nil
}

func (l *Library) verifyChunk(ctx context.Context, s fresh, id chunk.ID, extents []quire.Extent, length int64) error {
	in := l.assemble(ctx, &quire.Stream{Size: length, Extents: extents})
	defer in.Close()
	if s.ID.InCatalog() {
		in.remember(s.ID, s.data)
	}
	var h chunk.Hasher
	if _, err := in.WriteRange(&h, 0, length); err != nil {
		return err
	}
	if h.Sum() != id {
		return &chunk.FormatError{Rule: chunk.RuleHash, Detail: id.String()}
	}
	return nil
}

// uploadedChunks adds the chunks of an upload session, and returns the session
// as it was when they were read.
func (l *Library) uploadedChunks(ctx context.Context, c quire.Caller, id quire.NodeID, session quire.UploadID, places chunkPlaces) (*quire.Upload, error) {
	if session == "" {
		return nil, nil
	}
	var u quire.Upload
	var in *incoming
	err := l.view(ctx, func(tx *catalog.Tx) (err error) {
		if u, err = l.upload(tx, c, session); err != nil {
			return err
		}
		if u.Target.Node != id || u.Done != nil {
			return quire.ErrUploadGone
		}
		in, err = received(tx, u)
		return err
	})
	if errors.Is(err, quire.ErrUploadGone) {
		return nil, &quire.Invalid{What: "upload session", Reason: "there is no such session for this file: start a new one"}
	}
	if err != nil {
		return nil, err
	}
	content := l.assemble(ctx, &quire.Stream{Size: in.size, Extents: in.extents})
	defer content.Close()
	frames := chunk.NewSessionReader(content.Reader(0, in.size), chunk.DefaultLimits())
	for {
		h, err := frames.Next()
		if err == io.EOF {
			return &u, nil
		}
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, frames.Verified()); err != nil {
			return nil, err
		}
		places[chunkKey{h.ChunkID, h.PayloadSize}] = content.slice(h.PayloadOffset, h.PayloadSize)
	}
}

// build makes the streams that a request describes: each chunk must be found,
// with the length that is stated.
func (l *Library) build(ctx context.Context, o SaveChunks, places chunkPlaces, in *incoming) (map[quire.StreamID]*quire.Stream, error) {
	changed := make(map[quire.StreamID]*quire.Stream, len(o.Request.Signatures))
	for _, want := range o.Request.Signatures {
		if len(want.Chunks) == 0 && want.StreamID != quire.MainContent {
			changed[want.StreamID] = nil
			continue
		}
		s := &quire.Stream{ID: want.StreamID}
		for _, k := range want.Chunks {
			extents, ok := places[chunkKey{k.ID, k.Length}]
			if !ok && k != emptyChunk {
				return nil, &quire.Invalid{What: "signature", Reason: "chunk " + k.ID.String() + " was not sent and is not in the file: send it"}
			}
			for _, x := range extents {
				s.Extents = join(s.Extents, x)
			}
			s.Size += k.Length
		}
		if want.StreamID == quire.MainContent && o.Max > 0 && s.Size > o.Max {
			return nil, &quire.TooLarge{Limit: o.Max}
		}
		var err error
		if s.Signature, err = l.trusted(ctx, want.Signature(), s, in); err != nil {
			return nil, err
		}
		changed[want.StreamID] = s
	}
	return changed, nil
}

var emptyChunk = chunk.Chunk{ID: chunk.Sum(nil)}

// join appends an extent, as part of the last one where they touch.
func join(list []quire.Extent, x quire.Extent) []quire.Extent {
	if n := len(list); n > 0 {
		last := &list[n-1]
		if last.Segment == x.Segment && last.Offset+last.Length == x.Offset {
			last.Length += x.Length
			return list
		}
	}
	return append(list, x)
}

// trusted returns the stored form of a client's signature if the scheme that
// it states is what the content says; nil if that needs a closer look, which
// the first reader takes.
func (l *Library) trusted(ctx context.Context, sig chunk.Signature, s *quire.Stream, in *incoming) ([]byte, error) {
	content := l.assemble(ctx, s)
	defer content.Close()
	for _, f := range in.fresh {
		if f.ID.InCatalog() {
			content.remember(f.ID, f.data)
		}
	}
	likely := false
	var err error
	switch {
	case sig.Scheme == chunk.Zip && len(sig.Chunks) > 1:
		last := sig.Chunks[len(sig.Chunks)-1].Length
		if likely, err = beginsWith(content, 0, "PK\x03\x04"); likely {
			likely, err = beginsWith(content, s.Size-last, "PK\x01\x02")
		}
	case sig.Scheme == chunk.FullFile && len(sig.Chunks) == 1:
		likely, err = noZip(content)
	}
	if err != nil || !likely {
		return nil, err
	}
	return sig.MarshalBinary()
}

func beginsWith(c *Content, offset int64, mark string) (bool, error) {
	if offset < 0 || c.Size-offset < int64(len(mark)) {
		return false, nil
	}
	b := make([]byte, len(mark))
	if _, err := c.ReadAt(b, offset); err != nil && err != io.EOF {
		return false, err
	}
	return string(b) == mark, nil
}

// noZip says whether content has no end of a zip archive's directory where one
// would be: in the last 22 bytes and a comment's greatest length before them.
func noZip(c *Content) (bool, error) {
	tail := make([]byte, min(c.Size, 22+65535))
	if _, err := c.ReadAt(tail, c.Size-int64(len(tail))); err != nil && err != io.EOF {
		return false, err
	}
	return !bytes.Contains(tail, []byte("PK\x05\x06")), nil
}

// putProperties writes content properties (CSPP Plus §3).
func putProperties(tx *catalog.Tx, id quire.NodeID, list []chunk.ContentProperty) error {
	if len(list) == 0 {
		return nil
	}
	if err := tx.DropProperties(id, false, tx.Now().Add(-quire.StreamLife)); err != nil {
		return err
	}
	for _, p := range list {
		err := tx.PutProperty(&quire.Property{Node: id, Name: p.Name, Value: p.Value, Keep: p.Retention == chunk.KeepOnContentChange, Updated: tx.Now()})
		if err != nil {
			return err
		}
	}
	all, err := tx.Properties(id, tx.Now().Add(-quire.StreamLife))
	if err == nil && len(all) > quire.MaxProperties {
		err = &quire.Invalid{What: "content properties", Reason: "a file has at most 256"}
	}
	return err
}

// appendChunks adds the revision that the changed streams make with those that
// stay.
func (l *Library) appendChunks(tx *catalog.Tx, c quire.Caller, e Entry, changed map[quire.StreamID]*quire.Stream, in *incoming, o SaveChunks) (Entry, error) {
	m, err := tx.Manifest(e.ID, e.Revision)
	if err != nil {
		return e, err
	}
	if err := holdMoved(tx, e, m, changed, in); err != nil {
		return e, err
	}
	last, err := tx.Revision(e.ID, e.Revision)
	if err != nil {
		return e, err
	}
	var next quire.Manifest
	for _, s := range unexpired(m.Streams, tx.Now().Add(-quire.StreamLife)) {
		if _, named := changed[s.ID]; !named {
			next.Streams = append(next.Streams, s)
		}
	}
	for _, s := range changed {
		if s != nil {
			s := *s
			s.Updated = tx.Now()
			next.Streams = append(next.Streams, s)
		}
	}
	if next.Stream(quire.MainContent) == nil {
		next.Streams = append(next.Streams, *m.Main())
	}
	if len(next.Streams) > quire.MaxAlternateStreams+1 {
		return e, &quire.Invalid{What: "streams", Reason: "a file has at most 256 alternate streams"}
	}
	slices.SortFunc(next.Streams, func(a, b quire.Stream) int {
		if a.ID == quire.MainContent || b.ID == quire.MainContent {
			return strings.Compare(rank(a.ID), rank(b.ID))
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	r := quire.Revision{Size: next.Main().Size, Kind: quire.SaveAutosave, Session: coauthSession(last, tx.Now()), Authors: o.Authors}
	if _, named := changed[quire.MainContent]; !named {
		r.Sum = last.Sum
	}
	return l.append(tx, c, e, &next, r, in, e.Client, false)
}

// rank puts MainContent before all others.
func rank(id quire.StreamID) string {
	if id == quire.MainContent {
		return "0"
	}
	return "1"
}

// sessionGap is how long coauthors may pause without beginning a new editing
// session.
const sessionGap = 30 * time.Minute

// coauthSession names the editing session of a save by chunks: that of the
// last one, unless it is long ago.
func coauthSession(last quire.Revision, now time.Time) string {
	if last.Kind == quire.SaveAutosave && last.Session != "" && now.Sub(last.Created) < sessionGap {
		return last.Session
	}
	return NewID()[:16]
}

// settleChunks hands over what the file needs of a committed upload session
// and ends it.
func (l *Library) settleChunks(tx *catalog.Tx, up *quire.Upload, file quire.NodeID, changed map[quire.StreamID]*quire.Stream) error {
	if up == nil {
		return nil
	}
	now, err := tx.Upload(up.ID)
	if err != nil {
		return err
	}
	if now.Epoch != up.Epoch {
		return quire.ErrUploadBusy
	}
	needed := make(map[quire.SegmentID]bool)
	for _, s := range changed {
		if s == nil {
			continue
		}
		for _, x := range s.Extents {
			needed[x.Segment] = true
		}
	}
	held, err := tx.Holds(catalog.UploadHolder(up.ID))
	if err != nil {
		return err
	}
	for _, id := range held {
		if needed[id] {
			if err := tx.Hold(now.Site, catalog.NodeHolder(file), id); err != nil {
				return err
			}
		}
	}
	return tx.DeleteUpload(&now)
}

func ignoreMissing(err error) error {
	if errors.Is(err, quire.ErrNotFound) {
		return nil
	}
	return err
}
