package library

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
)

// Content is one stream of one revision, open for reading. It shows the same
// bytes whatever writers do meanwhile. Its methods may be called concurrently.
type Content struct {
	Entry    Entry
	Revision int64
	Sequence int64 // the file's, when the content was made
	Size     int64 // in bytes

	ctx     context.Context
	l       *Library
	extents []quire.Extent
	starts  []int64 // of each extent in the stream

	mu          sync.Mutex                 // guards those below
	inline      map[quire.SegmentID][]byte // bytes that live in the catalog
	inlineBytes int                        // how many of them were read by data
	file        openFile                   // the local file that was used last
	block       block                      // what was read last of a remote segment
	ahead       ahead                      // what prepare opened
}

// ahead is a part of a segment that is open before it is asked for.
type ahead struct {
	id             quire.SegmentID
	offset, length int64
	f              *os.File // at offset; nil if the segment is no local file
	r              io.ReadCloser
}

func (a *ahead) close() error {
	switch {
	case a.f != nil:
		return a.f.Close()
	case a.r != nil:
		return a.r.Close()
	}
	return nil
}

// block is a part of an extent. Its bytes do not change.
type block struct {
	extent int
	start  int64 // within the extent
	data   []byte
}

// blockSize is how much of a segment that is no local file is read for a small
// read, since each read of a bucket costs a request: whoever reads a document in
// small steps is likely to go on beside.
const blockSize = 256 << 10

type openFile struct {
	id quire.SegmentID
	f  *os.File
}

// Open opens the main content of a file: of the current revision if number is
// 0. The caller closes it.
func (l *Library) Open(ctx context.Context, c quire.Caller, id quire.NodeID, number int64) (*Content, error) {
	return l.OpenStream(ctx, c, id, number, quire.MainContent)
}

// OpenStream is Open for any of a file's streams.
func (l *Library) OpenStream(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, stream quire.StreamID) (*Content, error) {
	in, err := l.openCached(ctx, c, id, number, stream)
	return l.recorded(ctx, c, in, err)
}

func (l *Library) openCached(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, stream quire.StreamID) (*Content, error) {
	if number != 0 || stream != quire.MainContent || c.Link != "" {
		return l.openStream(ctx, c, id, number, stream)
	}
	// The caller's name, address and editor have no part in what is found.
	who := quire.Caller{User: c.User, Site: c.Site, Role: c.Role, Scope: c.Scope, Within: c.Within}
	found, err := l.opened.Get(ctx, l.cat, openKey{who, id}, func() (*Content, error) {
		in, err := l.openStream(ctx, c, id, 0, stream)
		if err == nil && !in.small() {
			return in, errNotCached
		}
		return in, err
	})
	if err != nil && !errors.Is(err, errNotCached) {
		return nil, err
	}
	return found.again(ctx), nil
}

// openKey names what a caller finds when they open a file.
type openKey struct {
	caller quire.Caller
	id     quire.NodeID
}

// What is remembered of an opened file must be small.
const (
	maxCachedExtents = 16
	maxCachedBytes   = 16 << 10
)

// small says whether content is worth remembering.
func (c *Content) small() bool {
	n := 0
	for _, data := range c.inline {
		n += len(data)
	}
	return len(c.extents) <= maxCachedExtents && n <= maxCachedBytes
}

var errNotCached = errors.New("library: too large to remember")

// again returns the same content for another reader.
func (c *Content) again(ctx context.Context) *Content {
	n := &Content{Entry: c.Entry, Revision: c.Revision, Sequence: c.Sequence, Size: c.Size, ctx: ctx, l: c.l, extents: c.extents, starts: c.starts}
	n.Entry.Lock = live(n.Entry.Node, time.Now())
	c.mu.Lock()
	n.inline = maps.Clone(c.inline)
	c.mu.Unlock()
	return n
}

func (l *Library) openStream(ctx context.Context, c quire.Caller, id quire.NodeID, number int64, stream quire.StreamID) (*Content, error) {
	var out *Content
	err := l.view(ctx, func(tx *catalog.Tx) error {
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		out, err = l.openIn(ctx, tx, e, number, stream)
		return err
	})
	return out, err
}

// OpenPath is Open for the file at a path, in one look.
func (l *Library) OpenPath(ctx context.Context, c quire.Caller, path string, number int64) (*Content, error) {
	names, err := SplitPath(path)
	if err != nil {
		return nil, err
	}
	var out *Content
	err = l.view(ctx, func(tx *catalog.Tx) error {
		id, rest, err := l.walk(tx, c.Site, names)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return quire.ErrNotFound
		}
		e, err := l.find(tx, c, id, quire.Viewer)
		if err != nil {
			return err
		}
		out, err = l.openIn(ctx, tx, e, number, quire.MainContent)
		return err
	})
	return l.recorded(ctx, c, out, err)
}

// firstInline is how many extents Open looks at for bytes in the catalog, so
// that a small file is read in the transaction that found it.
const firstInline = 4

func (l *Library) openIn(ctx context.Context, tx *catalog.Tx, e Entry, number int64, stream quire.StreamID) (*Content, error) {
	if e.IsContainer() {
		return nil, quire.ErrNotAFile
	}
	out := &Content{Entry: e, Revision: e.Revision, Sequence: e.Sequence, ctx: ctx, l: l}
	if number != 0 && number != e.Revision {
		r, err := tx.Revision(e.ID, number)
		if err != nil {
			return nil, err
		}
		out.Revision, out.Sequence = number, r.Sequence
		out.Entry.Modified, out.Entry.Size = r.Created, r.Size
	}
	m, err := tx.Manifest(e.ID, out.Revision)
	if err != nil {
		return nil, err
	}
	s := m.Stream(stream)
	if s == nil {
		if stream != quire.MainContent {
			return nil, quire.ErrNotFound
		}
		s = m.Main()
	}
	out.setExtents(s)
	for i, x := range s.Extents {
		if i == firstInline {
			break
		}
		if !x.Segment.InCatalog() {
			continue
		}
		data, err := tx.SegmentData(x.Segment)
		if err != nil {
			return nil, damaged(x.Segment, err)
		}
		out.remember(x.Segment, data)
	}
	return out, nil
}

func (c *Content) setExtents(s *quire.Stream) {
	c.Size, c.extents = s.Size, s.Extents
	c.starts = make([]int64, len(s.Extents))
	var at int64
	for i, x := range s.Extents {
		c.starts[i] = at
		at += x.Length
	}
}

func (c *Content) remember(id quire.SegmentID, data []byte) {
	if c.inline == nil {
		c.inline = make(map[quire.SegmentID][]byte)
	}
	c.inline[id] = data
}

// damaged is the error of content whose bytes are missing. It is the store's
// fault, not the caller's: a missing segment must not look like a missing
// file.
func damaged(id quire.SegmentID, err error) error {
	if errors.Is(err, quire.ErrNotFound) || errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("segment %s is missing: run fsck", id)
	}
	return storage(err)
}

// Close releases what the content has open.
func (c *Content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.ahead.close()
	c.ahead = ahead{}
	if c.file.f == nil {
		return err
	}
	f := c.file.f
	c.file = openFile{}
	return errors.Join(err, f.Close())
}

// maxInline is how many bytes of the catalog an open content keeps, so that
// the chunks of a document that lie in one segment are not each a query.
const maxInline = 1 << 20

// data returns the bytes of a segment that lives in the catalog.
func (c *Content) data(id quire.SegmentID) ([]byte, error) {
	c.mu.Lock()
	data, ok := c.inline[id]
	c.mu.Unlock()
	if ok {
		return data, nil
	}
	err := c.l.view(c.ctx, func(tx *catalog.Tx) (err error) {
		data, err = tx.SegmentData(id)
		return err
	})
	if err != nil {
		return nil, damaged(id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inlineBytes += len(data); c.inlineBytes > maxInline {
		clear(c.inline) // whoever reads from beginning to end is past them
		c.inlineBytes = len(data)
	}
	c.remember(id, data)
	return data, nil
}

// WriteRange writes length bytes from an offset on to w. Where w can take a
// file of the operating system, it gets one.
func (c *Content) WriteRange(w io.Writer, offset, length int64) (written int64, err error) {
	if offset < 0 || length < 0 || offset > c.Size-length {
		return 0, &quire.Invalid{What: "range", Reason: "it reaches beyond the end"}
	}
	for i := c.extentAt(offset); length > 0; i++ {
		x := c.extents[i]
		skip := offset - c.starts[i]
		n := min(length, x.Length-skip)
		m, err := c.writeSegment(w, x.Segment, x.Offset+skip, n)
		written += m
		if err != nil {
			return written, err
		}
		offset += n
		length -= n
	}
	return written, nil
}

// presignedLife is for how long a presigned URL is good. A download that has begun
// goes on.
const presignedLife = 2 * time.Minute

// Presigned returns a URL of the storage itself by which anybody can fetch the
// content within the next two minutes, with the given Content-Type and
// Content-Disposition; or nothing if there can be none: the storage has no such
// URLs, or the content is not one whole segment. Whoever asks makes sure that the
// caller may download the file.
func (c *Content) Presigned(kind, disposition string) (string, error) {
	if len(c.extents) != 1 || c.extents[0].Segment.InCatalog() || c.extents[0].Offset != 0 {
		return "", nil
	}
	x := c.extents[0]
	var s quire.Segment
	err := c.l.view(c.ctx, func(tx *catalog.Tx) (err error) {
		s, err = tx.Segment(x.Segment)
		return err
	})
	if err != nil {
		return "", damaged(x.Segment, err)
	}
	if s.Size != x.Length {
		return "", nil
	}
	text, _, err := c.l.blobs.Presign(c.ctx, blobKey(x.Segment), blob.Link{Life: presignedLife, Type: kind, Disposition: disposition})
	return text, err
}

// extentAt returns the index of the extent that an offset is in.
func (c *Content) extentAt(offset int64) int {
	return sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > offset }) - 1
}

func (c *Content) writeSegment(w io.Writer, id quire.SegmentID, offset, length int64) (int64, error) {
	if id.InCatalog() {
		data, err := c.data(id)
		if err != nil {
			return 0, err
		}
		if int64(len(data)) < offset+length {
			return 0, damaged(id, quire.ErrNotFound)
		}
		n, err := w.Write(data[offset : offset+length])
		return int64(n), err
	}
	in := c.takeAhead(id, offset, length)
	if in.f == nil && in.r == nil {
		var err error
		if in, err = c.openPart(id, offset, length); err != nil {
			return 0, err
		}
	}
	if in.f != nil {
		defer in.f.Close()
		return copyExactly(w, in.f, length)
	}
	defer in.r.Close()
	return copyExactly(w, in.r, length)
}

// openPart opens a part of a segment that is not in the catalog.
func (c *Content) openPart(id quire.SegmentID, offset, length int64) (in ahead, err error) {
	in = ahead{id: id, offset: offset, length: length}
	f, local, err := c.l.blobs.File(c.ctx, blobKey(id))
	if err != nil {
		return in, damaged(id, err)
	}
	if !local {
		if in.r, err = c.l.blobs.Open(c.ctx, blobKey(id), offset, length); err != nil {
			return in, damaged(id, err)
		}
		return in, nil
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return in, errors.Join(err, f.Close())
	}
	in.f = f
	return in, nil
}

// takeAhead hands over what prepare opened, if it is what is wanted.
func (c *Content) takeAhead(id quire.SegmentID, offset, length int64) ahead {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.ahead
	if in.id != id || in.offset != offset || in.length != length {
		return ahead{}
	}
	c.ahead = ahead{}
	return in
}

// prepare opens what WriteRange of the same range begins with.
func (c *Content) prepare(offset, length int64) error {
	if length <= 0 || offset < 0 || offset > c.Size-length {
		return nil // WriteRange says what is wrong, if anything is
	}
	i := c.extentAt(offset)
	x := c.extents[i]
	skip := offset - c.starts[i]
	if x.Segment.InCatalog() {
		_, err := c.data(x.Segment)
		return err
	}
	in, err := c.openPart(x.Segment, x.Offset+skip, min(length, x.Length-skip))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.ahead
	c.ahead = in
	return old.close()
}

func copyExactly(w io.Writer, r io.Reader, n int64) (int64, error) {
	m, err := io.Copy(w, &io.LimitedReader{R: r, N: n})
	if err == nil && m < n {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, &quire.Invalid{What: "offset", Reason: "it is negative"}
	}
	for n < len(p) {
		if offset >= c.Size {
			return n, io.EOF
		}
		i := c.extentAt(offset)
		x := c.extents[i]
		skip := offset - c.starts[i]
		part := p[n:min(len(p), n+int(min(x.Length-skip, int64(len(p)))))]
		m, err := c.readExtent(part, i, skip)
		n += m
		offset += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// readExtent reads from an offset of an extent, within it.
func (c *Content) readExtent(p []byte, i int, skip int64) (int, error) {
	x := c.extents[i]
	if x.Segment.InCatalog() {
		data, err := c.data(x.Segment)
		if err != nil {
			return 0, err
		}
		if int64(len(data)) < x.Offset+skip+int64(len(p)) {
			return 0, damaged(x.Segment, quire.ErrNotFound)
		}
		return copy(p, data[x.Offset+skip:]), nil
	}
	f, err := c.localFile(x.Segment)
	if err != nil {
		return 0, err
	}
	if f != nil {
		return f.ReadAt(p, x.Offset+skip)
	}
	if len(p) >= blockSize {
		return c.readRemote(p, x, skip)
	}
	c.mu.Lock()
	b := c.block
	c.mu.Unlock()
	if start := skip - skip%blockSize; b.data == nil || b.extent != i || b.start != start {
		b = block{extent: i, start: start, data: make([]byte, min(blockSize, x.Length-start))}
		if _, err := c.readRemote(b.data, x, start); err != nil {
			return 0, err
		}
		c.mu.Lock()
		c.block = b
		c.mu.Unlock()
	}
	return copy(p, b.data[skip-b.start:]), nil
}

func (c *Content) readRemote(p []byte, x quire.Extent, skip int64) (int, error) {
	r, err := c.l.blobs.Open(c.ctx, blobKey(x.Segment), x.Offset+skip, int64(len(p)))
	if err != nil {
		return 0, damaged(x.Segment, err)
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	return n, storage(err)
}

// localFile returns the file that a segment is, kept open for the next read;
// nil where segments are not local files.
func (c *Content) localFile(id quire.SegmentID) (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file.id == id && c.file.f != nil {
		return c.file.f, nil
	}
	f, local, err := c.l.blobs.File(c.ctx, blobKey(id))
	if err != nil {
		return nil, damaged(id, err)
	}
	if !local {
		return nil, nil
	}
	if c.file.f != nil {
		c.file.f.Close()
	}
	c.file = openFile{id: id, f: f}
	return f, nil
}

// Reader returns a reader over a part of the content. It is an io.ReadSeeker
// and an io.WriterTo.
func (c *Content) Reader(offset, length int64) *Section {
	return &Section{c: c, base: offset, size: max(0, min(length, c.Size-offset))}
}

// Section is a part of a Content as a stream. It is not safe for concurrent
// use.
type Section struct {
	c              *Content
	base, size, at int64
}

// Read implements io.Reader.
func (s *Section) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.size-s.at)]
	n, err := s.c.ReadAt(p, s.base+s.at)
	s.at += int64(n)
	return n, err
}

// Seek implements io.Seeker.
func (s *Section) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, &quire.Invalid{What: "offset", Reason: "it is before the beginning"}
	}
	s.at = offset
	return offset, nil
}

// Prepare finds out whether the next n bytes can be had, by opening what they begin
// with, so that a caller can still say what is wrong. WriteNTo goes on from there.
func (s *Section) Prepare(n int64) error {
	return s.c.prepare(s.base+s.at, max(0, min(n, s.size-s.at)))
}

// WriteTo implements io.WriterTo.
func (s *Section) WriteTo(w io.Writer) (int64, error) { return s.WriteNTo(w, s.size-s.at) }

// WriteNTo writes the next n bytes, or what is left if that is less.
func (s *Section) WriteNTo(w io.Writer, n int64) (int64, error) {
	n = max(0, min(n, s.size-s.at))
	m, err := s.c.WriteRange(w, s.base+s.at, n)
	s.at += m
	return m, err
}
