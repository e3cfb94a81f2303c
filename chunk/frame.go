package chunk

import (
	"fmt"
	"io"
	"math"
)

// FrameType is the kind of a frame, as its header spells it.
type FrameType uint32

// The frame types. No other value is valid.
const (
	EndFrame    FrameType = 1 // the last one of a request or response
	MessageJSON FrameType = 2 // the first one, exactly once
	ChunkFrame  FrameType = 3 // a whole chunk
	ChunkRange  FrameType = 4 // a part of a chunk
)

// String returns the protocol's name of the type.
func (t FrameType) String() string {
	switch t {
	case EndFrame:
		return "EndFrame"
	case MessageJSON:
		return "MessageJSON"
	case ChunkFrame:
		return "Chunk"
	case ChunkRange:
		return "ChunkRange"
	}
	return fmt.Sprintf("frame type %d", uint32(t))
}

// Everything in a frame is big-endian: type uint32, size of the extended header
// uint32, size of the payload uint64; then the extended header, then the payload.
const (
	frameHeaderSize = 16
	chunkHeaderSize = 16 // the chunk id
	rangeHeaderSize = 36 // chunk id, offset uint64, length uint64, flags uint32

	// The only flags that a ChunkRange may have.
	flagInside     = 0
	flagEndOfChunk = 1
)

// extendedSize returns the one valid size of the extended header of a type.
func (t FrameType) extendedSize() uint32 {
	switch t {
	case ChunkFrame:
		return chunkHeaderSize
	case ChunkRange:
		return rangeHeaderSize
	}
	return 0
}

// EndSize is the size of an EndFrame in bytes.
const EndSize int64 = frameHeaderSize

// MessageSize returns the size of a MessageJSON frame of n bytes of JSON.
func MessageSize(n int64) int64 { return frameHeaderSize + n }

// ChunkSize returns the size of a Chunk frame of a chunk of n bytes.
func ChunkSize(n int64) int64 { return frameHeaderSize + chunkHeaderSize + n }

// RangeSize returns the size of a ChunkRange frame of n bytes of a chunk.
func RangeSize(n int64) int64 { return frameHeaderSize + rangeHeaderSize + n }

// Header says what a frame is and what its payload holds.
type Header struct {
	Type FrameType
	// ChunkID names the chunk; the zero ID in frames that carry none. A Reader's
	// Payload does not check it, its Verified does for whole chunks.
	ChunkID ID
	// Offset and Length are the range of the chunk, in bytes, that the payload is. A
	// Chunk frame is the range from 0 to its end. Their sum never overflows.
	Offset, Length int64
	// EndOfChunk says that the range reaches the chunk's end.
	EndOfChunk bool
	// PayloadSize is the payload's size in bytes, and equals Length where the frame
	// has one.
	PayloadSize int64
	// PayloadOffset is where the payload starts, in bytes from the start of what the
	// Reader reads. Whoever has stored that stream can name a chunk's bytes by it
	// instead of copying them.
	PayloadOffset int64
}

// Limits bound what one body may ask for. A field that is 0 or less stands for its
// default, which DefaultLimits gives.
type Limits struct {
	Message int64 // bytes of one JSON message
	Payload int64 // bytes of one chunk or range
	Total   int64 // bytes of one body, headers included
	Frames  int   // frames of one body, EndFrame included
	Chunks  int   // chunk ids in one message, over all its lists together
}

// DefaultLimits returns the limits that hold where none is set. Payload and Total
// are bounded only by what an int64 counts: nothing here holds a payload, so
// whoever stores it sets the limit.
func DefaultLimits() Limits {
	return Limits{
		Message: 32 << 20,
		Payload: math.MaxInt64,
		Total:   math.MaxInt64,
		Frames:  1 << 20,
		Chunks:  maxChunks,
	}
}

// maxChunks is as many chunks as Cut makes at most, rounded up, so that a signature
// that we send is one that we take back.
const maxChunks = 700_000

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Message > 0 {
		d.Message = l.Message
	}
	if l.Payload > 0 {
		d.Payload = l.Payload
	}
	if l.Total > 0 {
		d.Total = l.Total
	}
	if l.Frames > 0 {
		d.Frames = l.Frames
	}
	if l.Chunks > 0 {
		d.Chunks = l.Chunks
	}
	return d
}

// Rule names the rule of the protocol that a body breaks.
type Rule string

// The rules. All but RuleLimit are a malformed request; RuleLimit may be answered
// as a body too large.
const (
	RuleTruncated  Rule = "the body ends inside a frame"
	RuleNoEnd      Rule = "no EndFrame"
	RuleType       Rule = "unknown frame type"
	RuleOrder      Rule = "frame out of order"
	RuleHeaderSize Rule = "wrong size of the extended header"
	RulePayload    Rule = "wrong size of the payload"
	RuleRange      Rule = "invalid range"
	RuleFlags      Rule = "invalid flags"
	RuleHash       Rule = "the chunk does not hash to its id"
	RuleLimit      Rule = "over a limit"
	RuleJSON       Rule = "malformed JSON"
	RuleMessage    Rule = "invalid message" // well-formed JSON that asks for what can't be
)

// FormatError reports a body that breaks a rule: the fault of whoever sent it. Any
// other error of this package's readers is the underlying reader's own, wrapped.
type FormatError struct {
	Rule   Rule
	Frame  int    // which frame, from 1; 0 where no frame is concerned
	Detail string // what was found; may be empty
	Err    error  // the cause, where there is one; io.ErrUnexpectedEOF for RuleTruncated
}

func (e *FormatError) Error() string {
	s := "chunk: "
	if e.Frame > 0 {
		s += fmt.Sprintf("frame %d: ", e.Frame)
	}
	s += string(e.Rule)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil && e.Err != io.ErrUnexpectedEOF {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

// Is makes errors.Is match any FormatError of the same rule.
func (e *FormatError) Is(target error) bool {
	t, ok := target.(*FormatError)
	return ok && t.Rule == e.Rule && t.Frame == 0 && t.Detail == "" && t.Err == nil
}

func truncated(frame int) error {
	return &FormatError{Rule: RuleTruncated, Frame: frame, Err: io.ErrUnexpectedEOF}
}
