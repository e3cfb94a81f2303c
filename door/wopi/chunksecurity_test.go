package wopi_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
)

// A chunk's id is no key: what another file has can be neither read nor taken
// by its id, and an id cannot be given to other bytes.
func TestChunkIDIsNoKey(t *testing.T) {
	f := open(t, nil)
	secret := strings.Repeat("what only ann knows ", 10_000)
	theirs := f.resource(f.ann, f.save("/ann/secret.txt", secret).ID, "")
	id, length := chunk.Sum([]byte(secret)), int64(len(secret))
	if g := theirs.getChunked(all(quire.MainContent)); string(g.chunks[id]) != secret {
		t.Fatal("ann cannot read her own")
	}
	mine := f.resource(f.bob, f.save("/bob/mine.txt", "bob's").ID, "")
	mine.join("c")

	ask, err := json.Marshal(chunk.GetChunksRequest{ContentFilters: []chunk.RangeFilter{{StreamID: quire.MainContent, Ranges: []chunk.Range{{ChunkID: id, Length: -1}}}}})
	if err != nil {
		t.Fatal(err)
	}
	a := mine.send("POST", "", ask, "X-WOPI-Override", "GET_CHUNKS")
	want(t, "GetChunks of another file's chunk", a, 200)
	if bytes.Contains(a.body, []byte("what only ann knows")) || strings.Contains(string(a.body), id.String()) {
		t.Error("the chunk is given away")
	}
	take := chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{{StreamID: quire.MainContent, Scheme: chunk.FullFile, Chunks: []chunk.Chunk{{ID: id, Length: length}}}}}
	head := []string{"X-WOPI-SequenceNumber", "1", "X-WOPI-CoauthLockId", "c"}
	want(t, "a reference to another file's chunk", mine.putChunked(take, nil, head...), 400)

	// Other bytes under the id of a chunk: of another file's, and of its own.
	forged := map[chunk.ID][]byte{id: bytes.Repeat([]byte("forged! "), int(length)/8+1)[:length]}
	want(t, "other bytes under a known id", mine.putChunked(take, forged, head...), 400)
	own := chunk.Sum([]byte("bob's"))
	take.Signatures[0].Chunks = []chunk.Chunk{{ID: own, Length: 5}}
	want(t, "other bytes under its own id", mine.putChunked(take, map[chunk.ID][]byte{own: []byte("BOB'S")}, head...), 400)
	if got := mine.get("/contents").body; string(got) != "bob's" {
		t.Errorf("it is %q", got)
	}
	if got := theirs.get("/contents").body; string(got) != secret {
		t.Error("ann's file has changed")
	}
	if n := f.entry(f.id(mine)).Sequence; n != 1 {
		t.Errorf("the sequence number is %d", n)
	}
}
