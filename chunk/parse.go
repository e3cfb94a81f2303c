package chunk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/quire-docs/quire"
)

const (
	// maxStreams is MainContent and its alternates.
	maxStreams = 1 + quire.MaxAlternateStreams
	// maxNamesAsked bounds the properties that a client may ask for; a file has fewer.
	maxNamesAsked = 4096
	// maxStreamID bounds a stream's name in bytes. The protocol states no limit.
	maxStreamID = 1024
	// maxSessionToken bounds the token of an upload session in bytes.
	maxSessionToken = 4096
)

// ParseGetChunkedFile returns the request that the JSON message b makes, or a
// *FormatError. At least one stream is asked for, and each at most once.
func ParseGetChunkedFile(b []byte, limits Limits) (GetChunkedFileRequest, error) {
	var req GetChunkedFileRequest
	var wire struct {
		ContentPropertiesToReturn, ContentFilters json.RawMessage
	}
	b, lifted := lift(b, "AlreadyKnownChunks", limits, plainIDs)
	budget, err := decodeMessage(b, &wire, limits)
	if err != nil {
		return req, err
	}
	req.ContentPropertiesToReturn, err = decodeList[string](wire.ContentPropertiesToReturn, maxNamesAsked, "ContentPropertiesToReturn")
	if err != nil {
		return req, err
	}
	type filter struct {
		StreamID           quire.StreamID `json:"StreamId"`
		Scheme             Scheme         `json:"ChunkingScheme"`
		ChunksToReturn     ChunksToReturn
		AlreadyKnownChunks json.RawMessage
	}
	filters, err := decodeList[filter](wire.ContentFilters, maxStreams, "ContentFilters")
	if err != nil {
		return req, err
	}
	streams := make(streamSet)
	for _, f := range filters {
		if err := streams.add(f.StreamID); err != nil {
			return req, err
		}
		ids, plain := lifted[string(f.AlreadyKnownChunks)]
		if !plain {
			if ids, err = decodeIDs(f.AlreadyKnownChunks, budget); err != nil {
				return req, err
			}
		}
		budget -= len(ids)
		req.ContentFilters = append(req.ContentFilters, ContentFilter{f.StreamID, f.Scheme, f.ChunksToReturn, ids})
	}
	if len(filters) == 0 {
		return req, invalid("no ContentFilters")
	}
	return req, nil
}

// decodeIDs decodes the chunks that a client knows.
func decodeIDs(raw json.RawMessage, most int) ([]ID, error) {
	known, err := decodeList[wireID](raw, most, "AlreadyKnownChunks")
	if err != nil {
		return nil, err
	}
	ids := make([]ID, len(known))
	for i, k := range known {
		if !k.set {
			return nil, invalid("null in AlreadyKnownChunks")
		}
		ids[i] = k.id
	}
	return ids, nil
}

// ParseGetChunks returns the request that the JSON message b makes, or a
// *FormatError. At least one stream is asked for, and each at most once. Whether a
// range lies within its chunk is for Range.Resolve.
func ParseGetChunks(b []byte, limits Limits) (GetChunksRequest, error) {
	var req GetChunksRequest
	var wire struct{ ContentFilters json.RawMessage }
	budget, err := decodeMessage(b, &wire, limits)
	if err != nil {
		return req, err
	}
	type filter struct {
		StreamID quire.StreamID  `json:"StreamId"`
		Scheme   Scheme          `json:"ChunkingScheme"`
		Ranges   json.RawMessage `json:"ChunkRangesToReturn"`
	}
	filters, err := decodeList[filter](wire.ContentFilters, maxStreams, "ContentFilters")
	if err != nil {
		return req, err
	}
	type wireRange struct {
		ChunkID        wireID `json:"ChunkId"`
		Offset, Length wireInt
	}
	streams := make(streamSet)
	for _, f := range filters {
		if err := streams.add(f.StreamID); err != nil {
			return req, err
		}
		ranges, err := decodeList[wireRange](f.Ranges, budget, "ChunkRangesToReturn")
		if err != nil {
			return req, err
		}
		budget -= len(ranges)
		out := RangeFilter{f.StreamID, f.Scheme, make([]Range, len(ranges))}
		for i, r := range ranges {
			switch {
			case !r.ChunkID.set || !r.Offset.set || !r.Length.set:
				return req, invalid("a range without ChunkId, Offset or Length")
			case r.Offset.v < 0, r.Length.v < -1, r.Length.v > math.MaxInt64-r.Offset.v:
				return req, &FormatError{Rule: RuleRange, Detail: fmt.Sprintf("%d bytes from %d", r.Length.v, r.Offset.v)}
			}
			out.Ranges[i] = Range{r.ChunkID.id, r.Offset.v, r.Length.v}
		}
		req.ContentFilters = append(req.ContentFilters, out)
	}
	if len(filters) == 0 {
		return req, invalid("no ContentFilters")
	}
	return req, nil
}

// ParsePutChunkedFile returns the request that the JSON message b makes, or a
// *FormatError. Each stream and each property is named at most once; naming none of
// either is accepted. The lengths of a signature's chunks add up to an int64.
func ParsePutChunkedFile(b []byte, limits Limits) (PutChunkedFileRequest, error) {
	var req PutChunkedFileRequest
	var wire struct {
		ContentProperties, Signatures json.RawMessage
		UploadSessionTokenToCommit    string
	}
	b, lifted := lift(b, "ChunkSignatures", limits, plainChunks)
	budget, err := decodeMessage(b, &wire, limits)
	if err != nil {
		return req, err
	}
	if len(wire.UploadSessionTokenToCommit) > maxSessionToken {
		return req, overLimit("UploadSessionTokenToCommit of more than %d bytes", maxSessionToken)
	}
	properties, err := decodeList[ContentProperty](wire.ContentProperties, quire.MaxProperties, "ContentProperties")
	if err != nil {
		return req, err
	}
	if err := checkProperties(properties); err != nil {
		return req, err
	}
	type signature struct {
		StreamID quire.StreamID  `json:"StreamId"`
		Scheme   Scheme          `json:"ChunkingScheme"`
		Chunks   json.RawMessage `json:"ChunkSignatures"`
	}
	signatures, err := decodeList[signature](wire.Signatures, maxStreams, "Signatures")
	if err != nil {
		return req, err
	}
	streams := make(streamSet)
	for _, s := range signatures {
		if err := streams.add(s.StreamID); err != nil {
			return req, err
		}
		out := StreamSignature{StreamID: s.StreamID, Scheme: s.Scheme}
		var plain bool
		if out.Chunks, plain = lifted[string(s.Chunks)]; !plain {
			if out.Chunks, err = decodeChunks(s.Chunks, budget); err != nil {
				return req, err
			}
		}
		budget -= len(out.Chunks)
		if _, err := out.Signature().Size(); err != nil {
			return req, err
		}
		req.Signatures = append(req.Signatures, out)
	}
	if len(streams) == maxStreams && !streams[quire.MainContent] {
		return req, overLimit("more than %d alternate streams", quire.MaxAlternateStreams)
	}
	req.ContentProperties = properties
	req.UploadSessionTokenToCommit = wire.UploadSessionTokenToCommit
	return req, nil
}

// decodeChunks decodes the chunks of a signature.
func decodeChunks(raw json.RawMessage, most int) ([]Chunk, error) {
	type wireChunk struct {
		ID     wireID `json:"ChunkId"`
		Length wireInt
	}
	wire, err := decodeList[wireChunk](raw, most, "ChunkSignatures")
	if err != nil {
		return nil, err
	}
	chunks := make([]Chunk, len(wire))
	for i, c := range wire {
		if !c.ID.set || !c.Length.set {
			return nil, invalid("a chunk without ChunkId or Length")
		}
		chunks[i] = Chunk{c.ID.id, c.Length.v}
	}
	return chunks, nil
}

// shortest is the length in bytes of a message that is worth lifting lists out of.
const shortest = 1 << 10

// lift takes the lists of chunks out of a message before it is decoded: a document
// of hundreds of parts has its list in each request, and encoding/json reads
// through it three times. What it returns has a name in the place of each list,
// which no client can know beforehand, and the lists by their names as they stand
// in the message.
//
// It touches only lists as most clients write them, which plain reads from the
// beginning of a text: without spaces, escapes or other members. If there is
// anything else under the key, the message stays as it is. So a message means the
// same with and without it: a quote in a string is preceded by a backslash, so
// what is found behind a brace or a comma is a key, or the message is no JSON
// before and after.
func lift[T any](b []byte, key string, limits Limits, plain func(b []byte, most int) (list []T, rest []byte, ok bool)) ([]byte, map[string][]T) {
	limits = limits.orDefault()
	if len(b) < shortest || int64(len(b)) > limits.Message {
		return b, nil
	}
	pattern := []byte(`"` + key + `":[`)
	most, name := limits.Chunks, maphash.Bytes(maphash.MakeSeed(), nil)
	var short []byte
	lists := make(map[string][]T)
	for rest := b; ; {
		at := bytes.Index(rest, pattern)
		if at < 0 {
			return append(short, rest...), lists
		}
		if at == 0 || rest[at-1] != '{' && rest[at-1] != ',' {
			return b, nil
		}
		at += len(pattern) - 1
		list, after, ok := plain(rest[at:], most)
		if !ok {
			return b, nil
		}
		most -= len(list)
		stands := fmt.Sprintf(`"%x %d"`, name, len(lists))
		lists[stands] = list
		short = append(append(short, rest[:at]...), stands...)
		rest = after
	}
}

// plainIDs reads a list of chunk ids for lift.
func plainIDs(b []byte, most int) (ids []ID, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(b, []byte("["))
	for ok {
		var id ID
		if len(rest) < idTextLen+3 || rest[0] != '"' || rest[idTextLen+1] != '"' || len(ids) == most || id.UnmarshalText(rest[1:idTextLen+1]) != nil {
			break
		}
		ids = append(ids, id)
		next := rest[idTextLen+2]
		rest = rest[idTextLen+3:]
		switch next {
		case ']':
			return ids, rest, true
		case ',':
		default:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// plainChunks reads a list of a signature's chunks for lift.
func plainChunks(b []byte, most int) (chunks []Chunk, rest []byte, ok bool) {
	const before, between = `{"ChunkId":"`, `","Length":`
	rest, ok = bytes.CutPrefix(b, []byte("["))
	for ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(before)); !ok || len(rest) < idTextLen || len(chunks) == most {
			break
		}
		var k Chunk
		if k.ID.UnmarshalText(rest[:idTextLen]) != nil {
			break
		}
		if rest, ok = bytes.CutPrefix(rest[idTextLen:], []byte(between)); !ok {
			break
		}
		digits := 0
		for ; digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9'; digits++ {
			if digits == 18 || digits == 1 && rest[0] == '0' {
				return nil, nil, false // more than surely fits, or no number of JSON's
			}
			k.Length = 10*k.Length + int64(rest[digits]-'0')
		}
		if digits == 0 || len(rest) < digits+2 || rest[digits] != '}' {
			break
		}
		chunks = append(chunks, k)
		next := rest[digits+1]
		rest = rest[digits+2:]
		switch next {
		case ']':
			return chunks, rest, true
		case ',':
		default:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

func checkProperties(properties []ContentProperty) error {
	names := make(map[string]bool, len(properties))
	for _, p := range properties {
		switch {
		case p.Name == "":
			return invalid("a content property without a name")
		case utf8.RuneCountInString(p.Name) > quire.MaxPropertyName:
			return invalid("a content property's name has more than %d characters", quire.MaxPropertyName)
		case len(p.Value) > quire.MaxPropertyValue:
			return invalid("a content property's value has more than %d bytes", quire.MaxPropertyValue)
		case p.Retention == 0:
			return invalid("content property %q without a Retention", p.Name)
		case names[p.Name]:
			return invalid("content property %q twice", p.Name)
		}
		names[p.Name] = true
	}
	return nil
}

// streamSet is the streams that a message has named.
type streamSet map[quire.StreamID]bool

func (s streamSet) add(id quire.StreamID) error {
	switch {
	case id == "":
		return invalid("an entry without StreamId")
	case len(id) > maxStreamID:
		return overLimit("a StreamId of more than %d bytes", maxStreamID)
	case s[id]:
		return invalid("StreamId %q twice", id)
	}
	s[id] = true
	return nil
}

func invalid(format string, args ...any) error {
	return &FormatError{Rule: RuleMessage, Detail: fmt.Sprintf(format, args...)}
}

func overLimit(format string, args ...any) error {
	return &FormatError{Rule: RuleLimit, Detail: fmt.Sprintf(format, args...)}
}

// decodeMessage decodes the one JSON object that b is into wire, whose lists stay
// raw, and returns how many chunk ids they may hold together.
func decodeMessage(b []byte, wire any, limits Limits) (budget int, err error) {
	limits = limits.orDefault()
	if int64(len(b)) > limits.Message {
		return 0, overLimit("a message of more than %d bytes", limits.Message)
	}
	b = trimJSON(b)
	switch {
	case !utf8.Valid(b):
		return 0, &FormatError{Rule: RuleJSON, Detail: "not UTF-8"}
	case len(b) == 0 || b[0] != '{':
		return 0, &FormatError{Rule: RuleJSON, Detail: "not an object"}
	}
	if err := json.Unmarshal(b, wire); err != nil {
		return 0, &FormatError{Rule: RuleJSON, Err: err}
	}
	return limits.Chunks, nil
}

// decodeList decodes a list of at most most elements. A short text can spell very
// many elements, each far larger in memory, so a list that may have too many is
// decoded one by one and left at the first that is.
func decodeList[T any](raw json.RawMessage, most int, name string) ([]T, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	fail := func(err error) ([]T, error) {
		return nil, &FormatError{Rule: RuleJSON, Detail: name, Err: err}
	}
	var out []T
	// A list has no more elements than commas and one.
	if bytes.Count(raw, []byte{','}) < most {
		if err := json.Unmarshal(raw, &out); err != nil {
			return fail(err)
		}
		return out, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, &FormatError{Rule: RuleJSON, Detail: name + " is not a list"}
	}
	for d.More() {
		if len(out) == most {
			return nil, overLimit("more than %d in %s", most, name)
		}
		var element T
		if err := d.Decode(&element); err != nil {
			return fail(err)
		}
		out = append(out, element)
	}
	return out, nil
}

// wireID is an ID that knows whether it was there.
type wireID struct {
	id  ID
	set bool
}

func (w *wireID) UnmarshalText(b []byte) error {
	w.set = true
	return w.id.UnmarshalText(b)
}

// wireInt is an integer that knows whether it was there.
type wireInt struct {
	v   int64
	set bool
}

func (w *wireInt) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	v, err := strconv.ParseInt(string(b), 10, 64)
	*w = wireInt{v, err == nil}
	return err
}
