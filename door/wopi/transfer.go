package wopi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/lock"
)

// limits bound what one request of the incremental transfer may ask for.
func (c *call) limits() chunk.Limits {
	l := chunk.DefaultLimits()
	if c.opt.MaxSize > 0 {
		l.Payload = c.opt.MaxSize
	}
	return l
}

// getChunkedFile is GetChunkedFile (CSPP Plus §6).
func getChunkedFile(c *call) error {
	body, err := chunk.ReadRequestMessage(c.r.Body, c.limits())
	if err != nil {
		return err
	}
	in, err := chunk.ParseGetChunkedFile(body, c.limits())
	if err != nil {
		return err
	}
	var streams []quire.StreamID
	for _, f := range in.ContentFilters {
		streams = append(streams, f.StreamID)
	}
	snap, err := c.lib.Snapshot(c.ctx, c.caller, c.id, streams)
	if err != nil {
		return err
	}
	defer snap.Close()

	out := chunk.GetChunkedFileResponse{}
	for _, p := range snap.Properties {
		if slices.Contains(in.ContentPropertiesToReturn, p.Name) {
			out.ContentProperties = append(out.ContentProperties, contentProperty(p))
		}
	}
	var send []piece
	sent := make(map[chunk.ID]bool)
	for _, f := range in.ContentFilters {
		v := snap.Streams[f.StreamID]
		if v == nil {
			out.Signatures = append(out.Signatures, chunk.AbsentStream(f.StreamID))
			continue
		}
		out.Signatures = append(out.Signatures, chunk.StreamSignature{StreamID: f.StreamID, Scheme: v.Signature.Scheme, Chunks: v.Signature.Chunks})
		send = wanted(send, sent, f, v)
	}
	size := chunk.EndSize
	for _, p := range send {
		size += chunk.ChunkSize(p.length)
	}
	return c.frames(snap, out, size, func(w *chunk.Writer) error {
		for _, p := range send {
			if err := w.Chunk(p.id, p.length, p.v.Reader(p.at, p.length)); err != nil {
				return err
			}
		}
		return nil
	})
}

func contentProperty(p quire.Property) chunk.ContentProperty {
	out := chunk.ContentProperty{Name: p.Name, Value: p.Value, Retention: chunk.DeleteOnContentChange}
	if p.Keep {
		out.Retention = chunk.KeepOnContentChange
	}
	return out
}

// piece is a part of a stream that is to be sent.
type piece struct {
	v          *library.StreamView
	id         chunk.ID
	at, length int64 // in the stream
}

// wanted adds the chunks of a stream that a filter asks for: each once, and
// none that the client knows.
func wanted(send []piece, sent map[chunk.ID]bool, f chunk.ContentFilter, v *library.StreamView) []piece {
	if f.ChunksToReturn == chunk.NoChunks {
		return send
	}
	known := make(map[chunk.ID]bool, len(f.AlreadyKnownChunks))
	for _, id := range f.AlreadyKnownChunks {
		known[id] = true
	}
	last, isZip := v.Signature.LastZipChunk()
	if f.ChunksToReturn == chunk.LastZipChunk && !isZip {
		return send
	}
	var at int64
	for i, k := range v.Signature.Chunks {
		begin := at
		at += k.Length
		if f.ChunksToReturn == chunk.LastZipChunk && (i < len(v.Signature.Chunks)-1 || k != last) {
			continue
		}
		if !known[k.ID] && !sent[k.ID] {
			sent[k.ID] = true
			send = append(send, piece{v, k.ID, begin, k.Length})
		}
	}
	return send
}

// frames answers with a message and the frames that f writes, whose size is
// known before.
func (c *call) frames(snap *library.Snapshot, message json.Marshaler, size int64, f func(*chunk.Writer) error) error {
	b, err := message.MarshalJSON()
	if err != nil {
		return err
	}
	c.setSequence(snap.Entry.Sequence)
	c.setVersion(snap.Entry)
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(chunk.MessageSize(int64(len(b)))+size, 10))
	w := chunk.NewWriter(c.w)
	err = w.Message(b)
	if err == nil {
		err = f(w)
	}
	if err == nil {
		err = w.End()
	}
	if err != nil {
		// The answer has begun, so its end must show that it is not whole.
		c.log.Warn("an answer of chunks broke off", "node", c.id, "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// getChunks is GetChunks (CSPP Plus §7).
func getChunks(c *call) error {
	body, err := chunk.ReadRequestMessage(c.r.Body, c.limits())
	if err != nil {
		return err
	}
	in, err := chunk.ParseGetChunks(body, c.limits())
	if err != nil {
		return err
	}
	var streams []quire.StreamID
	for _, f := range in.ContentFilters {
		streams = append(streams, f.StreamID)
	}
	snap, err := c.lib.Snapshot(c.ctx, c.caller, c.id, streams)
	if err != nil {
		return err
	}
	defer snap.Close()

	type part struct {
		piece
		offset int64 // in the chunk
		end    bool
	}
	out := chunk.GetChunksResponse{}
	var send []part
	var asked int64
	size := chunk.EndSize
	for _, f := range in.ContentFilters {
		named := chunk.StreamChunks{StreamID: f.StreamID}
		if v := snap.Streams[f.StreamID]; v != nil {
			where := make(map[chunk.ID]piece)
			var at int64
			for _, k := range v.Signature.Chunks {
				if _, ok := where[k.ID]; !ok {
					where[k.ID] = piece{v, k.ID, at, k.Length}
				}
				at += k.Length
			}
			for _, r := range f.Ranges {
				p, ok := where[r.ChunkID]
				if !ok {
					continue // the file has moved on: the client sees it by what is missing
				}
				n, end, err := r.Resolve(p.length)
				if err != nil {
					return err
				}
				p.at, p.length = p.at+r.Offset, n
				if asked += n; asked > 2*snap.Size()+1<<20 {
					return badRequest("the ranges add up to more than the file: ask for each part once")
				}
				send = append(send, part{p, r.Offset, end})
				size += chunk.RangeSize(n)
				if !slices.Contains(named.ChunkIDs, r.ChunkID) {
					named.ChunkIDs = append(named.ChunkIDs, r.ChunkID)
				}
			}
		}
		out.ChunkRangeCollection = append(out.ChunkRangeCollection, named)
	}
	return c.frames(snap, out, size, func(w *chunk.Writer) error {
		for _, p := range send {
			if err := w.Range(p.id, p.offset, p.length, p.end, p.v.Reader(p.at, p.length)); err != nil {
				return err
			}
		}
		return nil
	})
}

// putChunkedFile is PutChunkedFile (CSPP Plus §8).
func putChunkedFile(c *call) error {
	e, err := c.file()
	if err != nil {
		return err
	}
	if e.Access < quire.Editor {
		return quire.ErrNotFound
	}
	key, err := c.lockKey()
	if err != nil {
		return err
	}
	seq, err := strconv.ParseInt(c.header("X-WOPI-SequenceNumber"), 10, 32)
	if err != nil {
		return badRequest("X-WOPI-SequenceNumber is missing or not a number")
	}
	if c.header("X-WOPI-Editors") != "" && !c.signed && c.proofsOn() {
		return badRequest("X-WOPI-Editors needs a valid proof key")
	}
	frames := chunk.NewReader(c.r.Body, c.limits())
	message, err := frames.ReadMessage()
	if err != nil {
		return err
	}
	in, err := chunk.ParsePutChunkedFile(message, c.limits())
	if err != nil {
		return err
	}
	e, _, err = c.lib.SaveChunks(c.ctx, c.caller, c.id, library.SaveChunks{
		Precondition: quire.Precondition{Key: key, Sequence: &seq, Unlocked: quire.OnlyEmptyUnlocked},
		SameLock:     c.profile().sameLock,
		Request:      in, Frames: frames, Upload: quire.UploadID(in.UploadSessionTokenToCommit),
		Max: c.opt.MaxSize, Authors: c.editors(),
	})
	var conflict *quire.Conflict
	var locked *quire.Locked
	switch {
	case errors.As(err, &conflict):
		c.setSequence(conflict.Current.Sequence)
		return &statusError{http.StatusPreconditionFailed, conflict.Error()}
	case errors.As(err, &locked):
		return c.chunkConflict(locked)
	case err != nil:
		return err
	}
	c.setSequence(e.Sequence)
	c.setVersion(e)
	return c.done()
}

// proofsOn says whether any editor's proof keys are verified.
func (d *Door) proofsOn() bool {
	if d.opt.Editors == nil {
		return false
	}
	for _, e := range d.opt.Editors.Editors() {
		if e.ProofRequired {
			return true
		}
	}
	return false
}

// chunkConflict tells what stands in PutChunkedFile's way: no mechanism where
// the coauth id is merely unknown, because the client then takes a lock and
// tries again (CSPP Plus §8).
func (c *call) chunkConflict(e *quire.Locked) error {
	if lock.What(e.State) == lock.ByWOPI {
		c.w.Header().Set("X-WOPI-ConflictingMechanism", "WOPI-Lock")
	}
	return e
}

// uploadLife is how long an upload session lives after its last update (CSPP
// Plus §9).
const uploadLife = 30 * time.Minute

// createUploadSession is CreateUploadSession (CSPP Plus §9).
func createUploadSession(c *call) error {
	if _, err := c.file(); err != nil {
		return err
	}
	u, err := c.lib.CreateUpload(c.ctx, c.caller, library.NewUpload{
		Target: quire.Target{Node: c.id, OnConflict: quire.Replace}, Declared: -1, Life: uploadLife,
	})
	if err != nil {
		return err
	}
	return c.answer(struct{ UploadSessionToken string }{string(u.ID)})
}

// updateUploadSession is UpdateUploadSession (CSPP Plus §9).
func updateUploadSession(c *call) error {
	if _, err := c.file(); err != nil {
		return err
	}
	offset, err := strconv.ParseInt(c.header("X-WOPI-ContentRangeOffset"), 10, 64)
	if err != nil || offset < 0 {
		return badRequest("X-WOPI-ContentRangeOffset is missing or not a number")
	}
	length, err := strconv.ParseInt(c.header("X-WOPI-ContentRangeLength"), 10, 64)
	if err != nil || length < 0 || c.r.ContentLength >= 0 && c.r.ContentLength != length {
		return badRequest("X-WOPI-ContentRangeLength is missing or not the length of the body")
	}
	id := quire.UploadID(c.header("X-WOPI-UploadSessionToken"))
	u, err := c.lib.Upload(c.ctx, c.caller, id)
	if err != nil {
		return err
	}
	if u.Target.Node != c.id || u.Door != quire.DoorWOPI {
		return quire.ErrUploadGone
	}
	u, _, err = c.lib.Append(c.ctx, c.caller, id, offset, c.r.Body, library.Append{
		Length: length, Sized: true, Interrupt: c.interrupt,
	})
	if err != nil {
		return err
	}
	c.w.Header().Set("X-WOPI-UploadSessionCurrentOffset", strconv.FormatInt(u.Received, 10))
	return c.done()
}

// interrupt ends the reading of this request's body.
func (c *call) interrupt() {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now()) // a test's recorder has none
}
