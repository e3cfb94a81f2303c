package chunk

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The fast way to read a list of chunks accepts only what the general one
// accepts, and reads the same of it.
func FuzzPlainChunks(f *testing.F) {
	id := Sum([]byte("x")).String()
	for _, s := range []string{
		`[]`, `[{"ChunkId":"` + id + `","Length":12},{"ChunkId":"` + id + `","Length":0}]`, `[{"ChunkId":"` + id + `","Length":012}]`,
		`[{"ChunkId":"` + id + `","Length":12},]`, `[{"ChunkId":"` + id + `","Length":-1}]`, `[{"ChunkId":"` + id + `","Length":999999999999999999}]`,
		`[{"ChunkId":"` + id + `","Length":9999999999999999999}]`, `[{"ChunkId":"` + id + `","Length":1}`, `[{"Length":1,"ChunkId":"` + id + `"}]`,
		`[{"ChunkId":"` + id + `","Length":1}]]`, `[{"ChunkId":"` + id[:20] + `","Length":1}]`, `[{"ChunkId":"` + id + `","Length":1e3}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		const most = 3
		fast, rest, ok := plainChunks([]byte(s), most)
		if !ok {
			return
		}
		s = s[:len(s)-len(rest)]
		if !json.Valid([]byte(s)) {
			t.Fatalf("%q is accepted", s)
		}
		slow, err := decodeChunks(json.RawMessage(s), most)
		if err != nil || !slices.Equal(fast, slow) {
			t.Errorf("%q: %v, but %v and %v", s, fast, slow, err)
		}
	})
}

func TestPlainChunks(t *testing.T) {
	s := StreamSignature{StreamID: "MainContent", Scheme: Zip, Chunks: []Chunk{{Sum([]byte("a")), 1}, {Sum([]byte("b")), 999_999_999_999}, {Sum(nil), 0}}}
	b, err := s.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var wire struct{ ChunkSignatures json.RawMessage }
	if err := json.Unmarshal(b, &wire); err != nil {
		t.Fatal(err)
	}
	if got, rest, ok := plainChunks(wire.ChunkSignatures, 3); !ok || len(rest) != 0 || !slices.Equal(got, s.Chunks) {
		t.Errorf("what we write is not read fast: %v %q %v", got, rest, ok)
	}
	if _, _, ok := plainChunks(wire.ChunkSignatures, 2); ok {
		t.Error("more than there may be are accepted")
	}
}

// Lifting lists out of a message changes nothing about what it means, nor about
// whether it is taken. Only long messages are lifted, so blanks make the
// difference.
func FuzzLift(f *testing.F) {
	id := Sum([]byte("x")).String()
	known, chunks := `"AlreadyKnownChunks":["`+id+`","`+id+`"]`, `"ChunkSignatures":[{"ChunkId":"`+id+`","Length":12}]`
	for _, s := range []string{
		`{"ContentFilters":[{"StreamId":"a",` + known + `},{"StreamId":"b",` + known + `}]}`,
		`{"ContentFilters":[{"StreamId":"a",` + known + `,"AlreadyKnownChunks":[]}]}`,
		`{"ContentFilters":[{"StreamId":"a",` + known + `,` + known + `}],"X":{` + known + `}}`,
		`{"ContentFilters":[{"StreamId":"a","alreadyknownchunks":["` + id + `"],"X":{` + known + `}}]}`,
		`{"ContentFilters":[{"StreamId":"a,\"AlreadyKnownChunks":["` + id + `"]}]}`,
		`{"ContentFilters":[{"StreamId":"a","X":",` + known + `}]}`,
		`{"Signatures":[{"StreamId":"a","ChunkingScheme":"Zip",` + chunks + `},{"StreamId":"b",` + chunks + `}]}`,
		`{"Signatures":[{"StreamId":"a",` + chunks + `}` + `,{"StreamId":"b","ChunkSignatures":null}]}`,
		`{"Signatures":[{` + chunks + `],"ContentProperties":[{"Retention":"KeepOnContentChange","Name":"n","Value":"{\"ChunkSignatures\":[]"}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) >= shortest {
			return
		}
		long := strings.Repeat(" ", shortest) + s
		limits := Limits{Chunks: 3}
		get1, err1 := ParseGetChunkedFile([]byte(s), limits)
		get2, err2 := ParseGetChunkedFile([]byte(long), limits)
		if (err1 == nil) != (err2 == nil) || err1 == nil && !reflect.DeepEqual(get1, get2) {
			t.Errorf("%q is %v, %v, but %v, %v", s, get1, err1, get2, err2)
		}
		put1, err1 := ParsePutChunkedFile([]byte(s), limits)
		put2, err2 := ParsePutChunkedFile([]byte(long), limits)
		if (err1 == nil) != (err2 == nil) || err1 == nil && !reflect.DeepEqual(put1, put2) {
			t.Errorf("%q is %v, %v, but %v, %v", s, put1, err1, put2, err2)
		}
	})
}
