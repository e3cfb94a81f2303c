package chunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Reader reads the frames of one body. It holds no payload, reads nothing ahead and
// allocates nothing by a size that the body states. It is not safe for concurrent
// use.
//
//	for {
//		h, err := r.Next()
//		if err == io.EOF {
//			break // the body is whole
//		}
//		...
//		io.Copy(dst, r.Verified())
//	}
type Reader struct {
	src     io.Reader
	limits  Limits
	session bool

	header  Header
	frames  int   // headers read
	pos     int64 // bytes read
	left    int64 // bytes of the current payload not yet read
	err     error // what every later Next returns
	scratch [rangeHeaderSize]byte
}

// NewReader returns a Reader of a request's or response's body: MessageJSON first,
// exactly once; then Chunk and ChunkRange frames in any order; then EndFrame, which
// must be there. What follows EndFrame is not read.
func NewReader(r io.Reader, limits Limits) *Reader {
	return &Reader{src: r, limits: limits.orDefault()}
}

// NewSessionReader returns a Reader of what an upload session has received: Chunk
// frames only, up to the end of the stream. A stream that ends inside a frame is
// truncated; an empty one is whole.
func NewSessionReader(r io.Reader, limits Limits) *Reader {
	return &Reader{src: r, limits: limits.orDefault(), session: true}
}

// Next skips what is left of the current payload and returns the next frame's
// header. It returns io.EOF at the end of a whole body: after EndFrame, which is
// not returned itself, or at the clean end of a session. A body that breaks a rule
// gives a *FormatError, one that can't be read the reader's error, wrapped. After
// any error Next returns the same one again.
func (r *Reader) Next() (Header, error) {
	if r.err == nil {
		r.header, r.err = r.next()
	}
	if r.err != nil {
		r.header, r.left = Header{}, 0
		return Header{}, r.err
	}
	return r.header, nil
}

func (r *Reader) next() (Header, error) {
	if r.left > 0 {
		if _, err := io.Copy(io.Discard, (*payload)(r)); err != nil {
			return Header{}, err
		}
	}
	b := r.scratch[:frameHeaderSize]
	n, err := io.ReadFull(r.src, b)
	r.pos += int64(n)
	if err == io.EOF {
		if r.session {
			return Header{}, io.EOF
		}
		return Header{}, &FormatError{Rule: RuleNoEnd, Err: io.ErrUnexpectedEOF}
	}
	r.frames++
	if err != nil {
		return Header{}, r.readError(err)
	}
	h := Header{Type: FrameType(binary.BigEndian.Uint32(b))}
	extended, size := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:])
	if err := r.check(h.Type, extended, size); err != nil {
		return Header{}, err
	}
	if h.Type == EndFrame {
		return Header{}, io.EOF
	}
	b = r.scratch[:extended]
	n, err = io.ReadFull(r.src, b)
	r.pos += int64(n)
	if err != nil {
		return Header{}, r.readError(err)
	}
	h.PayloadSize, h.PayloadOffset = int64(size), r.pos
	switch h.Type {
	case ChunkFrame:
		h.ChunkID, h.Length, h.EndOfChunk = ID(b), h.PayloadSize, true
	case ChunkRange:
		if err := r.setRange(&h, b); err != nil {
			return Header{}, err
		}
	}
	r.left = h.PayloadSize
	return h, nil
}

// check holds the rules that the first 16 bytes of a frame must keep, so that
// neither size is acted on before it is known to be good.
func (r *Reader) check(t FrameType, extended uint32, size uint64) error {
	fail := func(rule Rule, format string, args ...any) error {
		return &FormatError{Rule: rule, Frame: r.frames, Detail: fmt.Sprintf(format, args...)}
	}
	if t < EndFrame || t > ChunkRange {
		return fail(RuleType, "%d", uint32(t))
	}
	if extended != t.extendedSize() {
		return fail(RuleHeaderSize, "%d bytes in a %v", extended, t)
	}
	switch {
	case r.session && t != ChunkFrame:
		return fail(RuleOrder, "%v in an upload session", t)
	case !r.session && (r.frames == 1) != (t == MessageJSON):
		return fail(RuleOrder, "a %v must not be here", t)
	case t == EndFrame && size != 0:
		return fail(RulePayload, "%d bytes in an EndFrame", size)
	case r.frames > r.limits.Frames:
		return fail(RuleLimit, "more than %d frames", r.limits.Frames)
	}
	limit := r.limits.Payload
	if t == MessageJSON {
		limit = r.limits.Message
	}
	if size > uint64(limit) {
		return fail(RuleLimit, "%d bytes in a %v, the most is %d", size, t, limit)
	}
	// pos is at most Total here, so nothing overflows.
	if room := r.limits.Total - r.pos; room < int64(extended) || room-int64(extended) < int64(size) {
		return fail(RuleLimit, "a body of more than %d bytes", r.limits.Total)
	}
	return nil
}

func (r *Reader) setRange(h *Header, b []byte) error {
	h.ChunkID = ID(b)
	offset, length := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	flags := binary.BigEndian.Uint32(b[32:])
	fail := func(rule Rule, format string, args ...any) error {
		return &FormatError{Rule: rule, Frame: r.frames, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case flags != flagInside && flags != flagEndOfChunk:
		return fail(RuleFlags, "%#x", flags)
	case length != uint64(h.PayloadSize):
		return fail(RulePayload, "%d bytes for a range of %d", h.PayloadSize, length)
	case offset > math.MaxInt64-length: // length is a payload's size and so no more than an int64
		return fail(RuleRange, "%d bytes from %d", length, offset)
	}
	h.Offset, h.Length, h.EndOfChunk = int64(offset), int64(length), flags == flagEndOfChunk
	return nil
}

// readError tells the end of the input inside a frame, which is the sender's fault,
// from a failure to read.
func (r *Reader) readError(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return truncated(r.frames)
	}
	return fmt.Errorf("chunk: reading frame %d: %w", r.frames, err)
}

// payload is the Reader as the reader of its current payload.
type payload Reader

func (p *payload) Read(b []byte) (int, error) {
	r := (*Reader)(p)
	if r.err != nil && r.err != io.EOF {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(b)) > r.left {
		b = b[:r.left]
	}
	n, err := r.src.Read(b)
	r.left -= int64(n)
	r.pos += int64(n)
	if err != nil && r.left > 0 {
		r.err = r.readError(err)
		return n, r.err
	}
	return n, nil
}

// framePayload ties a payload to its frame: bytes read by a reader that was kept
// over Next would be those of another chunk.
type framePayload struct {
	r     *Reader
	frame int
}

var errStale = errors.New("chunk: a payload was read after the next frame began")

func (p *framePayload) Read(b []byte) (int, error) {
	if p.r.frames != p.frame {
		return 0, errStale
	}
	return (*payload)(p.r).Read(b)
}

// Payload returns the reader of the current frame's payload, or of what is left of
// it. It ends after PayloadSize bytes with io.EOF, gives a *FormatError where the
// body ends before, and is of use only until the next call of Next. Nothing checks
// the bytes against the chunk's id.
func (r *Reader) Payload() io.Reader { return &framePayload{r, r.frames} }

// Verified is Payload for a frame of which nothing has been read yet, with the
// chunk's id checked on the way: a Chunk frame whose bytes do not hash to its id
// gives a *FormatError of RuleHash in place of the last of them, so nobody gets such
// a chunk whole. A ChunkRange can't be checked alone and passes as it is.
func (r *Reader) Verified() io.Reader {
	if r.header.Type != ChunkFrame {
		return r.Payload()
	}
	return &verified{src: framePayload{r, r.frames}, id: r.header.ChunkID, size: r.header.PayloadSize}
}

type verified struct {
	src  framePayload
	hash Hasher
	id   ID
	size int64
	err  error
}

func (v *verified) Read(b []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.src.Read(b)
	v.hash.Write(b[:n])
	if err != nil && err != io.EOF {
		v.err = err
		return n, err
	}
	// An empty chunk, and one of which a part was read elsewhere, end with io.EOF only.
	if (v.hash.Size() == v.size || err == io.EOF) && (v.hash.Size() != v.size || v.hash.Sum() != v.id) {
		v.err = &FormatError{Rule: RuleHash, Frame: v.src.frame, Detail: v.id.String()}
		clear(b[:n])
		return 0, v.err
	}
	return n, err
}

// ReadMessage reads the body's first frame, which must be MessageJSON, and returns
// its JSON. It is called in place of the first Next.
func (r *Reader) ReadMessage() ([]byte, error) {
	h, err := r.Next()
	if err == io.EOF {
		err = &FormatError{Rule: RuleNoEnd, Err: io.ErrUnexpectedEOF}
	}
	if err != nil {
		return nil, err
	}
	if h.Type != MessageJSON {
		return nil, &FormatError{Rule: RuleOrder, Frame: r.frames, Detail: "no MessageJSON"}
	}
	// ReadAll grows with what arrives, not with what the header claims.
	return io.ReadAll(r.Payload())
}

// ReadRequestMessage reads the body of a request that carries no chunks, as those of
// GetChunkedFile and GetChunks, and returns its JSON. Such a body is a MessageJSON
// and an EndFrame, or the bare JSON object alone, which some clients send; white
// space and a byte order mark before a bare object are dropped. Whether the JSON is
// well-formed is left to the Parse functions.
func ReadRequestMessage(r io.Reader, limits Limits) ([]byte, error) {
	limits = limits.orDefault()
	var first [1]byte
	if _, err := io.ReadFull(r, first[:]); err != nil {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &FormatError{Rule: RuleTruncated, Detail: "empty body", Err: io.ErrUnexpectedEOF}
		}
		return nil, fmt.Errorf("chunk: reading a request: %w", err)
	}
	body := io.MultiReader(bytes.NewReader(first[:]), r)
	// A frame starts with the high byte of its type, which is 0 for all that are valid.
	if first[0] == 0 {
		return readFramedMessage(NewReader(body, limits))
	}
	most := min(limits.Message, limits.Total, math.MaxInt64-1)
	b, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &FormatError{Rule: RuleTruncated, Err: io.ErrUnexpectedEOF}
	case err != nil:
		return nil, fmt.Errorf("chunk: reading a request: %w", err)
	case int64(len(b)) > most:
		return nil, &FormatError{Rule: RuleLimit, Detail: fmt.Sprintf("a message of more than %d bytes", most)}
	}
	b = trimJSON(b)
	if len(b) == 0 || b[0] != '{' {
		return nil, &FormatError{Rule: RuleType, Frame: 1, Detail: "neither a frame nor a JSON object"}
	}
	return b, nil
}

func readFramedMessage(r *Reader) ([]byte, error) {
	b, err := r.ReadMessage()
	if err != nil {
		return nil, err
	}
	switch h, err := r.Next(); {
	case err == io.EOF:
		return b, nil
	case err != nil:
		return nil, err
	default:
		return nil, &FormatError{Rule: RuleOrder, Frame: r.frames, Detail: fmt.Sprintf("a %v in a request without chunks", h.Type)}
	}
}

// trimJSON drops white space on both sides and a byte order mark, which JSON does
// not allow and some writers send all the same.
func trimJSON(b []byte) []byte {
	const space = " \t\r\n"
	b = bytes.Trim(b, space)
	if rest, ok := bytes.CutPrefix(b, []byte("\xef\xbb\xbf")); ok {
		b = bytes.TrimLeft(rest, space)
	}
	return b
}
