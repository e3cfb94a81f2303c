package chunk

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/quire-docs/quire"
)

// The messages are JSON as encoding/json reads it: properties that are not known are
// ignored, names match without regard to case, of a property that occurs twice the
// last one counts, and null stands for an absent one. Lists that are absent or null
// are empty; those that we send are always there.

// ChunksToReturn says which chunks of a stream a client wants to be sent.
type ChunksToReturn uint8

// The values of ChunksToReturn.
const (
	AllChunks    ChunksToReturn = iota // the default
	NoChunks                           // the signature alone
	LastZipChunk                       // see Signature.LastZipChunk
)

var chunksToReturnNames = [...]string{"All", "None", "LastZipChunk"}

// String returns the protocol's name of the value.
func (c ChunksToReturn) String() string {
	if int(c) >= len(chunksToReturnNames) {
		return fmt.Sprintf("ChunksToReturn %d", uint8(c))
	}
	return chunksToReturnNames[c]
}

// MarshalText returns the protocol's name of the value.
func (c ChunksToReturn) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText accepts the protocol's names.
func (c *ChunksToReturn) UnmarshalText(text []byte) error {
	for i, name := range chunksToReturnNames {
		if string(text) == name {
			*c = ChunksToReturn(i)
			return nil
		}
	}
	return fmt.Errorf("chunk: no such ChunksToReturn: %.40q", text)
}

// Retention says whether a content property outlives a change of the content that
// PutChunkedFile did not make. Its zero value is not valid.
type Retention uint8

// The retentions.
const (
	DeleteOnContentChange Retention = 1
	KeepOnContentChange   Retention = 2
)

// String returns the protocol's name of the retention.
func (r Retention) String() string {
	switch r {
	case DeleteOnContentChange:
		return "DeleteOnContentChange"
	case KeepOnContentChange:
		return "KeepOnContentChange"
	}
	return fmt.Sprintf("Retention %d", uint8(r))
}

// MarshalText returns the protocol's name. It fails for a value that is none.
func (r Retention) MarshalText() ([]byte, error) {
	if r != DeleteOnContentChange && r != KeepOnContentChange {
		return nil, fmt.Errorf("chunk: no such retention: %d", uint8(r))
	}
	return []byte(r.String()), nil
}

// UnmarshalText accepts the protocol's names.
func (r *Retention) UnmarshalText(text []byte) error {
	switch string(text) {
	case "DeleteOnContentChange":
		*r = DeleteOnContentChange
	case "KeepOnContentChange":
		*r = KeepOnContentChange
	default:
		return fmt.Errorf("chunk: no such retention: %.40q", text)
	}
	return nil
}

// ContentProperty is a named value that is kept beside a file's content.
type ContentProperty struct {
	Retention Retention
	Name      string
	Value     string
}

// UnmarshalJSON also takes the retention under the name that the protocol's data
// model once gave it, ContentPropertyRetention; Retention counts where both are there.
func (p *ContentProperty) UnmarshalJSON(b []byte) error {
	var wire struct {
		Name, Value                         string
		Retention, ContentPropertyRetention Retention
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	if wire.Retention == 0 {
		wire.Retention = wire.ContentPropertyRetention
	}
	*p = ContentProperty{Retention: wire.Retention, Name: wire.Name, Value: wire.Value}
	return nil
}

// StreamSignature is the signature of one stream of a file.
type StreamSignature struct {
	StreamID quire.StreamID `json:"StreamId"`
	Scheme   Scheme         `json:"ChunkingScheme"`
	Chunks   []Chunk        `json:"ChunkSignatures"`
}

// Signature returns the signature without the stream's name.
func (s StreamSignature) Signature() Signature { return Signature{s.Scheme, s.Chunks} }

// AbsentStream returns how an answer states that a stream does not exist.
func AbsentStream(id quire.StreamID) StreamSignature {
	return StreamSignature{StreamID: id, Scheme: Zip}
}

// MarshalJSON sends an empty list for no chunks. It writes the chunks itself,
// because a document of hundreds of parts has its signature sent with each save.
func (s StreamSignature) MarshalJSON() ([]byte, error) {
	head, err := json.Marshal(struct {
		StreamID quire.StreamID `json:"StreamId"`
		Scheme   Scheme         `json:"ChunkingScheme"`
	}{s.StreamID, s.Scheme})
	if err != nil {
		return nil, err
	}
	const perChunk = len(`{"ChunkId":"","Length":1234567},`) + idTextLen
	b := make([]byte, 0, len(head)+32+perChunk*len(s.Chunks))
	b = append(b, head[:len(head)-1]...)
	b = append(b, `,"ChunkSignatures":[`...)
	for i, k := range s.Chunks {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"ChunkId":"`...)
		b = idText.AppendEncode(b, k.ID[:])
		b = append(b, `","Length":`...)
		b = strconv.AppendInt(b, k.Length, 10)
		b = append(b, '}')
	}
	return append(b, "]}"...), nil
}

// GetChunkedFileRequest asks for content properties and streams, each stream's
// chunks as far as the client does not have them.
type GetChunkedFileRequest struct {
	ContentPropertiesToReturn []string
	ContentFilters            []ContentFilter
}

// ContentFilter asks for one stream.
type ContentFilter struct {
	StreamID           quire.StreamID `json:"StreamId"`
	Scheme             Scheme         `json:"ChunkingScheme"` // only a hint: the content decides
	ChunksToReturn     ChunksToReturn
	AlreadyKnownChunks []ID // never to be sent
}

// MarshalJSON sends empty lists where there is nothing.
func (r GetChunkedFileRequest) MarshalJSON() ([]byte, error) {
	type plain GetChunkedFileRequest
	r.ContentPropertiesToReturn = notNil(r.ContentPropertiesToReturn)
	r.ContentFilters = notNil(r.ContentFilters)
	return json.Marshal(plain(r))
}

// MarshalJSON sends an empty list where there is nothing.
func (f ContentFilter) MarshalJSON() ([]byte, error) {
	type plain ContentFilter
	f.AlreadyKnownChunks = notNil(f.AlreadyKnownChunks)
	return json.Marshal(plain(f))
}

// GetChunkedFileResponse answers with the whole signature of each stream that was
// asked for, and the properties that exist. The chunks follow in frames, each once.
type GetChunkedFileResponse struct {
	ContentProperties []ContentProperty
	Signatures        []StreamSignature
}

// MarshalJSON sends empty lists where there is nothing. It is worth calling by
// itself: json.Marshal reads through its result once more.
func (r GetChunkedFileResponse) MarshalJSON() ([]byte, error) {
	properties, err := json.Marshal(notNil(r.ContentProperties))
	if err != nil {
		return nil, err
	}
	b := append([]byte(`{"ContentProperties":`), properties...)
	b = append(b, `,"Signatures":[`...)
	for i, s := range r.Signatures {
		if i > 0 {
			b = append(b, ',')
		}
		signature, err := s.MarshalJSON()
		if err != nil {
			return nil, err
		}
		b = append(b, signature...)
	}
	return append(b, "]}"...), nil
}

// GetChunksRequest asks for parts of chunks.
type GetChunksRequest struct {
	ContentFilters []RangeFilter
}

// RangeFilter asks for parts of one stream's chunks.
type RangeFilter struct {
	StreamID quire.StreamID `json:"StreamId"`
	Scheme   Scheme         `json:"ChunkingScheme"` // only a hint: the content decides
	Ranges   []Range        `json:"ChunkRangesToReturn"`
}

// Range is a part of a chunk in bytes. A Length of -1 is up to the chunk's end.
type Range struct {
	ChunkID ID `json:"ChunkId"`
	Offset  int64
	Length  int64
}

// Resolve returns the range's length in bytes within a chunk of the given size, and
// whether it reaches the chunk's end. A range that the chunk does not have gives a
// *FormatError.
func (r Range) Resolve(size int64) (length int64, end bool, err error) {
	if r.Offset < 0 || r.Offset > size || r.Length < -1 || r.Length > size-r.Offset {
		return 0, false, &FormatError{Rule: RuleRange, Detail: fmt.Sprintf("%d bytes from %d of a chunk of %d", r.Length, r.Offset, size)}
	}
	length = r.Length
	if length < 0 {
		length = size - r.Offset
	}
	return length, r.Offset+length == size, nil
}

// MarshalJSON sends an empty list where there is nothing.
func (r GetChunksRequest) MarshalJSON() ([]byte, error) {
	type plain GetChunksRequest
	r.ContentFilters = notNil(r.ContentFilters)
	return json.Marshal(plain(r))
}

// MarshalJSON sends an empty list where there is nothing.
func (f RangeFilter) MarshalJSON() ([]byte, error) {
	type plain RangeFilter
	f.Ranges = notNil(f.Ranges)
	return json.Marshal(plain(f))
}

// GetChunksResponse names the chunks of which parts follow in frames. Chunks that
// the file no longer has are left out.
type GetChunksResponse struct {
	ChunkRangeCollection []StreamChunks
}

// StreamChunks names chunks of one stream.
type StreamChunks struct {
	StreamID quire.StreamID `json:"StreamId"`
	ChunkIDs []ID           `json:"ChunkIds"`
}

// MarshalJSON sends an empty list where there is nothing.
func (r GetChunksResponse) MarshalJSON() ([]byte, error) {
	type plain GetChunksResponse
	r.ChunkRangeCollection = notNil(r.ChunkRangeCollection)
	return json.Marshal(plain(r))
}

// MarshalJSON sends an empty list where there is nothing.
func (s StreamChunks) MarshalJSON() ([]byte, error) {
	type plain StreamChunks
	s.ChunkIDs = notNil(s.ChunkIDs)
	return json.Marshal(plain(s))
}

// PutChunkedFileRequest changes the streams and properties that it names and leaves
// the others. A stream without chunks is to be deleted, or emptied if it is
// MainContent.
type PutChunkedFileRequest struct {
	ContentProperties []ContentProperty
	Signatures        []StreamSignature
	// UploadSessionTokenToCommit names an upload session whose frames count as if they
	// were sent in this request; empty for none.
	UploadSessionTokenToCommit string
}

// MarshalJSON sends empty lists where there is nothing.
func (r PutChunkedFileRequest) MarshalJSON() ([]byte, error) {
	type plain PutChunkedFileRequest
	r.ContentProperties = notNil(r.ContentProperties)
	r.Signatures = notNil(r.Signatures)
	return json.Marshal(plain(r))
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
