package chunk

import (
	"encoding/json"
	"slices"
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
		fast, ok := plainChunks([]byte(s), most)
		if !ok {
			return
		}
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
	if got, ok := plainChunks(wire.ChunkSignatures, 3); !ok || !slices.Equal(got, s.Chunks) {
		t.Errorf("what we write is not read fast: %v %v", got, ok)
	}
	if _, ok := plainChunks(wire.ChunkSignatures, 2); ok {
		t.Error("more than there may be are accepted")
	}
}
