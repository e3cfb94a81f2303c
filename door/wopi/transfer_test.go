package wopi_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
)

// document makes a zip archive of stored parts.
func document(t testing.TB, parts map[string]string, order ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range order {
		p, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(p, parts[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// local is a client's copy of a stream, cut into chunks.
type local struct {
	bytes []byte
	sig   chunk.Signature
}

func cut(t testing.TB, b []byte) local {
	t.Helper()
	sig, err := chunk.Sign(context.Background(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return local{b, sig}
}

func (l local) chunks() map[chunk.ID][]byte {
	m := make(map[chunk.ID][]byte)
	at := int64(0)
	for _, k := range l.sig.Chunks {
		m[k.ID] = l.bytes[at : at+k.Length]
		at += k.Length
	}
	return m
}

func (l local) stream(id quire.StreamID) chunk.StreamSignature {
	return chunk.StreamSignature{StreamID: id, Scheme: l.sig.Scheme, Chunks: l.sig.Chunks}
}

// got is the answer of GetChunkedFile.
type got struct {
	answer
	message chunk.GetChunkedFileResponse
	chunks  map[chunk.ID][]byte
}

func (r resource) getChunked(req chunk.GetChunkedFileRequest) got {
	r.f.t.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		r.f.t.Fatal(err)
	}
	var framed bytes.Buffer
	w := chunk.NewWriter(&framed)
	if err := w.Message(body); err != nil {
		r.f.t.Fatal(err)
	}
	if err := w.End(); err != nil {
		r.f.t.Fatal(err)
	}
	g := got{answer: r.send("POST", "", framed.Bytes(), "X-WOPI-Override", "GET_CHUNKED_FILE"), chunks: map[chunk.ID][]byte{}}
	if g.StatusCode != 200 {
		return g
	}
	in := chunk.NewReader(bytes.NewReader(g.body), chunk.DefaultLimits())
	text, err := in.ReadMessage()
	if err != nil {
		r.f.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g.message); err != nil {
		r.f.t.Fatal(err)
	}
	for {
		h, err := in.Next()
		if err == io.EOF {
			return g
		}
		if err != nil {
			r.f.t.Fatal(err)
		}
		b, err := io.ReadAll(in.Verified())
		if err != nil {
			r.f.t.Fatal(err)
		}
		if _, twice := g.chunks[h.ChunkID]; twice {
			r.f.t.Errorf("chunk %s was sent twice", h.ChunkID)
		}
		g.chunks[h.ChunkID] = b
	}
}

func all(ids ...quire.StreamID) chunk.GetChunkedFileRequest {
	var q chunk.GetChunkedFileRequest
	for _, id := range ids {
		q.ContentFilters = append(q.ContentFilters, chunk.ContentFilter{StreamID: id, Scheme: chunk.Zip})
	}
	return q
}

// whole puts a stream together from its signature and chunks.
func (g got) whole(t testing.TB, i int) []byte {
	t.Helper()
	var b []byte
	for _, k := range g.message.Signatures[i].Chunks {
		c, ok := g.chunks[k.ID]
		if !ok || int64(len(c)) != k.Length {
			t.Fatalf("chunk %s of %d bytes: there %v, %d bytes", k.ID, k.Length, ok, len(c))
		}
		b = append(b, c...)
	}
	return b
}

// putChunked sends a message and chunks.
func (r resource) putChunked(req chunk.PutChunkedFileRequest, chunks map[chunk.ID][]byte, head ...string) answer {
	r.f.t.Helper()
	return r.send("POST", "/contents", r.frames(req, chunks), append([]string{"X-WOPI-Override", "PUT_CHUNKED_FILE"}, head...)...)
}

func (r resource) frames(req chunk.PutChunkedFileRequest, chunks map[chunk.ID][]byte) []byte {
	r.f.t.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		r.f.t.Fatal(err)
	}
	var framed bytes.Buffer
	w := chunk.NewWriter(&framed)
	if err := w.Message(body); err != nil {
		r.f.t.Fatal(err)
	}
	for id, b := range chunks {
		if err := w.Chunk(id, int64(len(b)), bytes.NewReader(b)); err != nil {
			r.f.t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		r.f.t.Fatal(err)
	}
	return framed.Bytes()
}

func (r resource) coauth(op, id string, head ...string) answer {
	return r.op(op, append([]string{"X-WOPI-CoauthLockId", id, "X-WOPI-CoauthLockExpirationTimeout", "3600"}, head...)...)
}

func (r resource) join(id string) answer {
	return r.coauth("GET_COAUTH_LOCK", id, "X-WOPI-CoauthLockType", "Coauth")
}

func TestIncrementalTransfer(t *testing.T) {
	f := open(t, nil)
	order := []string{"[Content_Types].xml", "slide1.xml", "slide2.xml", "picture.png"}
	parts := map[string]string{order[0]: "<Types/>", order[1]: "one", order[2]: "two", order[3]: strings.Repeat("picture", 50_000)}
	v1 := cut(t, document(t, parts, order...))
	e := f.save("/deck.pptx", string(v1.bytes))
	r := f.resource(f.bob, e.ID, "")

	g := r.getChunked(all(quire.MainContent))
	want(t, "GetChunkedFile", g.answer, 200, "X-WOPI-SequenceNumber", "1", "X-WOPI-ItemVersion", "1")
	if g.message.Signatures[0].Scheme != chunk.Zip || len(g.message.Signatures[0].Chunks) < 8 || !bytes.Equal(g.whole(t, 0), v1.bytes) {
		t.Fatalf("%+v", g.message.Signatures)
	}
	if g.ContentLength != int64(len(g.body)) || g.message.ContentProperties == nil {
		t.Errorf("Content-Length %d, %s", g.ContentLength, g.body[:200])
	}

	// One slide changes: only what is new goes over the wire.
	parts["slide2.xml"] = "changed"
	v2 := cut(t, document(t, parts, order...))
	fresh := v2.chunks()
	for id := range v1.chunks() {
		delete(fresh, id)
	}
	put := chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{v2.stream(quire.MainContent)}}
	want(t, "unlocked", r.putChunked(put, fresh, "X-WOPI-SequenceNumber", "1"), 409, "X-WOPI-Lock", "")
	want(t, "GetCoauthLock", r.join("c1"), 200)
	want(t, "an old sequence number", r.putChunked(put, fresh, "X-WOPI-SequenceNumber", "0", "X-WOPI-CoauthLockId", "c1"), 412, "X-WOPI-SequenceNumber", "1")
	want(t, "no sequence number", r.putChunked(put, fresh, "X-WOPI-CoauthLockId", "c1"), 400)
	want(t, "a chunk is missing", r.putChunked(put, nil, "X-WOPI-SequenceNumber", "1", "X-WOPI-CoauthLockId", "c1"), 400)
	sent := len(r.frames(put, fresh))
	want(t, "PutChunkedFile", r.putChunked(put, fresh, "X-WOPI-SequenceNumber", "1", "X-WOPI-CoauthLockId", "c1"), 200, "X-WOPI-SequenceNumber", "2", "X-WOPI-ItemVersion", "2")
	if sent*20 > len(v2.bytes) {
		t.Errorf("%d bytes were sent for a file of %d", sent, len(v2.bytes))
	}
	if b := r.get("/contents").body; !bytes.Equal(b, v2.bytes) {
		t.Fatal("the file is not what was sent")
	}

	// A client that knows the first version gets only the difference.
	q := all(quire.MainContent)
	for id := range v1.chunks() {
		q.ContentFilters[0].AlreadyKnownChunks = append(q.ContentFilters[0].AlreadyKnownChunks, id)
	}
	if g := r.getChunked(q); len(g.chunks) != len(fresh) {
		t.Errorf("%d chunks, want %d", len(g.chunks), len(fresh))
	}
	q.ContentFilters[0].AlreadyKnownChunks = nil
	q.ContentFilters[0].ChunksToReturn = chunk.LastZipChunk
	if g := r.getChunked(q); len(g.chunks) != 1 || len(g.message.Signatures[0].Chunks) != len(v2.sig.Chunks) {
		t.Errorf("LastZipChunk: %d chunks", len(g.chunks))
	}
	q.ContentFilters[0].ChunksToReturn = chunk.NoChunks
	if g := r.getChunked(q); len(g.chunks) != 0 {
		t.Errorf("None: %d chunks", len(g.chunks))
	}
	want(t, "two filters for a stream", r.getChunked(all("a", "a")).answer, 400)
	want(t, "no filter", r.getChunked(all()).answer, 400)

	// Chunk ids resolve only inside their own file.
	other := f.resource(f.bob, f.save("/other.pptx", string(document(t, parts, order[0]))).ID, "")
	other.join("c1")
	want(t, "another file's chunks", other.putChunked(put, nil, "X-WOPI-SequenceNumber", "1", "X-WOPI-CoauthLockId", "c1"), 400)
}

func TestGetChunks(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.eve, f.save("/t.txt", "hello world").ID, "")
	id := chunk.Sum([]byte("hello world"))
	ask := func(ranges ...chunk.Range) answer {
		b, _ := json.Marshal(chunk.GetChunksRequest{ContentFilters: []chunk.RangeFilter{{StreamID: quire.MainContent, Ranges: ranges}}})
		return r.send("POST", "", b, "X-WOPI-Override", "GET_CHUNKS")
	}
	a := ask(chunk.Range{ChunkID: id, Offset: 0, Length: 5}, chunk.Range{ChunkID: id, Offset: 5, Length: -1}, chunk.Range{ChunkID: chunk.Sum(nil), Length: 1})
	want(t, "GetChunks", a, 200, "X-WOPI-SequenceNumber", "1")
	in := chunk.NewReader(bytes.NewReader(a.body), chunk.DefaultLimits())
	text, err := in.ReadMessage()
	if err != nil || string(text) != `{"ChunkRangeCollection":[{"StreamId":"MainContent","ChunkIds":["`+id.String()+`"]}]}` {
		t.Fatalf("%s %v", text, err)
	}
	for _, w := range []struct {
		text string
		end  bool
	}{{"hello", false}, {" world", true}} {
		h, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(in.Payload())
		if string(b) != w.text || h.EndOfChunk != w.end {
			t.Errorf("%q %v", b, h.EndOfChunk)
		}
	}
	want(t, "beyond the end", ask(chunk.Range{ChunkID: id, Offset: 5, Length: 100}), 400)
	want(t, "many times", ask(func() (l []chunk.Range) {
		for range 200_000 {
			l = append(l, chunk.Range{ChunkID: id, Length: -1})
		}
		return l
	}()...), 400)
}

func TestStreamsAndProperties(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/s.docx", "main").ID, "")
	r.join("c1")
	head := func(seq int) []string {
		return []string{"X-WOPI-SequenceNumber", strconv.Itoa(seq), "X-WOPI-CoauthLockId", "c1"}
	}
	alt := cut(t, []byte("alternate"))
	put := chunk.PutChunkedFileRequest{
		Signatures:        []chunk.StreamSignature{alt.stream("alt")},
		ContentProperties: []chunk.ContentProperty{{Name: "keep", Value: "k", Retention: chunk.KeepOnContentChange}, {Name: "drop", Value: "d", Retention: chunk.DeleteOnContentChange}},
	}
	want(t, "an alternate stream alone", r.putChunked(put, alt.chunks(), head(1)...), 200, "X-WOPI-SequenceNumber", "2")
	q := all(quire.MainContent, "alt", "none")
	q.ContentPropertiesToReturn = []string{"keep", "drop", "other"}
	g := r.getChunked(q)
	if string(g.whole(t, 0)) != "main" || string(g.whole(t, 1)) != "alternate" || len(g.message.ContentProperties) != 2 {
		t.Errorf("%+v", g.message)
	}
	if s := g.message.Signatures[2]; s.Scheme != chunk.Zip || len(s.Chunks) != 0 || g.message.Signatures[1].Scheme != chunk.FullFile {
		t.Errorf("%+v", g.message.Signatures)
	}
	// Another door's change clears them.
	r.coauth("UNLOCK_COAUTH_LOCK", "c1")
	r.lock("L")
	want(t, "PutFile", r.put("other", "X-WOPI-Lock", "L"), 200)
	g = r.getChunked(q)
	if len(g.message.Signatures[1].Chunks) != 0 || len(g.message.ContentProperties) != 1 || g.message.ContentProperties[0].Name != "keep" {
		t.Errorf("%+v", g.message)
	}
	// An empty file has one chunk of no bytes.
	e := f.resource(f.bob, f.save("/empty.docx", "").ID, "")
	if s := e.getChunked(all(quire.MainContent)).message.Signatures[0]; s.Scheme != chunk.FullFile || len(s.Chunks) != 1 || s.Chunks[0].ID != chunk.Sum(nil) {
		t.Errorf("%+v", s)
	}
	main := cut(t, []byte("first content"))
	first := chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{main.stream(quire.MainContent)}}
	want(t, "an empty file without a lock", e.putChunked(first, main.chunks(), "X-WOPI-SequenceNumber", "1"), 200)
	// What is said of the scheme is what the content says.
	e.join("c")
	wrong := chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{{StreamID: quire.MainContent, Scheme: chunk.Zip, Chunks: cut(t, []byte("no zip")).sig.Chunks}}}
	want(t, "a text as Zip", e.putChunked(wrong, cut(t, []byte("no zip")).chunks(), "X-WOPI-SequenceNumber", "2", "X-WOPI-CoauthLockId", "c"), 200)
	if s := e.getChunked(all(quire.MainContent)).message.Signatures[0]; s.Scheme != chunk.FullFile {
		t.Errorf("%+v", s)
	}
}

// TestChunkLocks goes through the lock decisions of PutChunkedFile.
func TestChunkLocks(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/k.docx", "x").ID, "")
	l := cut(t, []byte("y"))
	try := func(head ...string) answer {
		return r.putChunked(chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{l.stream(quire.MainContent)}}, l.chunks(), append([]string{"X-WOPI-SequenceNumber", "1"}, head...)...)
	}
	want(t, "both", try("X-WOPI-Lock", "A", "X-WOPI-CoauthLockId", "B"), 400)
	r.lock("A")
	for _, head := range [][]string{nil, {"X-WOPI-Lock", "B"}, {"X-WOPI-CoauthLockId", "A"}} {
		want(t, fmt.Sprint("WOPI-locked ", head), try(head...), 409, "X-WOPI-Lock", "A", "X-WOPI-ConflictingMechanism", "WOPI-Lock")
	}
	r.op("UNLOCK", "X-WOPI-Lock", "A")
	r.join("c1")
	r.join("c2")
	want(t, "unknown id", try("X-WOPI-CoauthLockId", "c9"), 409, "X-WOPI-ConflictingMechanism", "-", "X-WOPI-Lock", "-")
	want(t, "WOPI lock beside coauth", try("X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "-")
	r.coauth("GET_COAUTH_LOCK", "c2", "X-WOPI-CoauthLockType", "CoauthExclusive")
	want(t, "another is exclusive", try("X-WOPI-CoauthLockId", "c1"), 409, "X-WOPI-ConflictingMechanism", "WOPI-CoauthExclusiveLock")
	want(t, "its holder", try("X-WOPI-CoauthLockId", "c2"), 200)
}

func TestCoauthTable(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/t.docx", "x").ID, "")
	viewer := f.resource(f.eve, f.id(r), "")
	empty := viewer.op("GET_COAUTH_TABLE")
	want(t, "an empty table", empty, 200)
	if string(empty.body) != `{"CoauthTable":[]}` || empty.Header.Get("X-WOPI-CoauthTableVersion") == "" {
		t.Errorf("%s %v", empty.body, empty.Header)
	}
	want(t, "a viewer takes one", viewer.join("v"), 404)
	a := r.send("POST", "", []byte(`{"CoauthLockMetadata":"body"}`), "X-WOPI-Override", "GET_COAUTH_LOCK", "X-WOPI-CoauthLockId", "c1", "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "60", "X-WOPI-CoauthLockMetadata", "header")
	want(t, "GetCoauthLock", a, 200)
	var table struct{ CoauthTable []map[string]any }
	if err := json.Unmarshal(a.body, &table); err != nil || len(table.CoauthTable) != 1 {
		t.Fatalf("%s", a.body)
	}
	row := table.CoauthTable[0]
	if len(row) != 5 || row["CoauthLockId"] != "c1" || row["CoauthLockMetadata"] != "body" || row["CoauthLockType"] != "Coauth" || row["UserFriendlyName"] != "Bob" || row["CoauthLockTime"].(float64) < 1e12 {
		t.Errorf("%v", row)
	}
	v := a.Header.Get("X-WOPI-CoauthTableVersion")
	same := viewer.op("GET_COAUTH_TABLE", "X-WOPI-CoauthTableVersion", v)
	want(t, "the version that is known", same, 200, "X-WOPI-CoauthTableVersion", v)
	if len(same.body) != 0 {
		t.Errorf("%q", same.body)
	}
	want(t, "refresh", r.coauth("REFRESH_COAUTH_LOCK", "c1"), 200, "X-WOPI-CoauthTableVersion", v)
	want(t, "refresh, unknown", r.coauth("REFRESH_COAUTH_LOCK", "c9"), 409)
	want(t, "unlock, unknown", r.coauth("UNLOCK_COAUTH_LOCK", "c9"), 409)
	for name, head := range map[string][]string{
		"no id":         {"X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "60"},
		"no type":       {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockExpirationTimeout", "60"},
		"type None":     {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockType", "None", "X-WOPI-CoauthLockExpirationTimeout", "60"},
		"no timeout":    {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockType", "Coauth"},
		"timeout 59":    {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "59"},
		"timeout 3601":  {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "3601"},
		"timeout text":  {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "1m"},
		"long id":       {"X-WOPI-CoauthLockId", strings.Repeat("c", 1025), "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "60"},
		"long metadata": {"X-WOPI-CoauthLockId", "c", "X-WOPI-CoauthLockType", "Coauth", "X-WOPI-CoauthLockExpirationTimeout", "60", "X-WOPI-CoauthLockMetadata", strings.Repeat("m", 4097)},
	} {
		want(t, name, r.op("GET_COAUTH_LOCK", head...), 400)
	}
	for _, op := range []string{"LOCK", "REFRESH_LOCK", "UNLOCK"} {
		want(t, op+" beside coauth locks", r.op(op, "X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "-", "X-WOPI-LockedByOtherInterface", "true")
	}
	want(t, "PutFile beside coauth locks", r.put("y", "X-WOPI-Lock", "A"), 409, "X-WOPI-Lock", "-")
	want(t, "Delete beside coauth locks", r.op("DELETE"), 409, "X-WOPI-Lock", "-")
	want(t, "UnlockCoauthLock", r.coauth("UNLOCK_COAUTH_LOCK", "c1"), 200)
	r.op("LOCK", "X-WOPI-Lock", "A", "X-WOPI-LockUserVisible", "True")
	want(t, "GetCoauthLock beside a WOPI lock", r.join("c1"), 409, "X-WOPI-ConflictingMechanism", "WOPI-Lock", "X-WOPI-ConflictingLockUsername", "Bob")
	want(t, "GetCoauthTable beside a WOPI lock", r.op("GET_COAUTH_TABLE"), 409)
}

func TestUploadSession(t *testing.T) {
	f := open(t, nil)
	r := f.resource(f.bob, f.save("/u.bin", "x").ID, "")
	r.join("c")
	content := bytes.Repeat([]byte("0123456789"), 30_000)
	l := cut(t, content)
	var frames bytes.Buffer
	w := chunk.NewWriter(&frames)
	for id, b := range l.chunks() {
		if err := w.Chunk(id, int64(len(b)), bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	session := r.op("CREATE_UPLOAD_SESSION").json(t)["UploadSessionToken"].(string)
	update := func(token string, at int, b []byte, length int) answer {
		return r.send("POST", "", b, "X-WOPI-Override", "UPDATE_UPLOAD_SESSION", "X-WOPI-UploadSessionToken", token, "X-WOPI-ContentRangeOffset", strconv.Itoa(at), "X-WOPI-ContentRangeLength", strconv.Itoa(length))
	}
	raw := frames.Bytes()
	for at := 0; at < len(raw); {
		n := min(70_001, len(raw)-at)
		want(t, "UpdateUploadSession", update(session, at, raw[at:at+n], n), 200, "X-WOPI-UploadSessionCurrentOffset", strconv.Itoa(at+n))
		at += n
	}
	want(t, "a wrong offset", update(session, 5, []byte("x"), 1), 400)
	want(t, "a wrong length", update(session, len(raw), []byte("x"), 2), 400)
	want(t, "an unknown session", update("none", 0, []byte("x"), 1), 410)
	put := chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{l.stream(quire.MainContent)}, UploadSessionTokenToCommit: session}
	want(t, "a commit that fails", r.putChunked(put, nil, "X-WOPI-SequenceNumber", "7", "X-WOPI-CoauthLockId", "c"), 412)
	want(t, "a commit", r.putChunked(put, nil, "X-WOPI-SequenceNumber", "1", "X-WOPI-CoauthLockId", "c"), 200)
	if b := r.get("/contents").body; !bytes.Equal(b, content) {
		t.Errorf("%d bytes", len(b))
	}
	want(t, "after the commit", update(session, len(raw), []byte("x"), 1), 410)
}
