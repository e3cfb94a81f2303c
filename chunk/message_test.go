package chunk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/chunk"
)

const idA, idB = "GQn1a/wGJyPHUei0Ze5yiw==", "yuaC02qCaDdD4BrH0R6UXA=="

func id(t testing.TB, s string) chunk.ID {
	t.Helper()
	id, err := chunk.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// parsers hide which message is meant.
var parsers = map[string]func([]byte, chunk.Limits) (any, error){
	"GetChunkedFile": func(b []byte, l chunk.Limits) (any, error) { return chunk.ParseGetChunkedFile(b, l) },
	"GetChunks":      func(b []byte, l chunk.Limits) (any, error) { return chunk.ParseGetChunks(b, l) },
	"PutChunkedFile": func(b []byte, l chunk.Limits) (any, error) { return chunk.ParsePutChunkedFile(b, l) },
}

func TestParse(t *testing.T) {
	a, b := id(t, idA), id(t, idB)
	long := strings.Repeat("ä", quire.MaxPropertyName)
	value := strings.Repeat("x", quire.MaxPropertyValue)
	for name, c := range map[string]struct {
		message, json string
		want          any
	}{
		"get": {"GetChunkedFile", `{"ContentPropertiesToReturn":["p1"],"ContentFilters":[{"StreamId":"MainContent","ChunkingScheme":"Zip",
			"ChunksToReturn":"All","AlreadyKnownChunks":["` + idA + `"]},{"StreamId":"alt","ChunksToReturn":"LastZipChunk"}]}`,
			chunk.GetChunkedFileRequest{ContentPropertiesToReturn: []string{"p1"}, ContentFilters: []chunk.ContentFilter{
				{StreamID: quire.MainContent, Scheme: chunk.Zip, AlreadyKnownChunks: []chunk.ID{a}},
				{StreamID: "alt", ChunksToReturn: chunk.LastZipChunk}}}},
		"get, nulls": {"GetChunkedFile", `{"ContentPropertiesToReturn":null,"ContentFilters":[{"StreamId":"s","ChunkingScheme":null,
			"ChunksToReturn":null,"AlreadyKnownChunks":null}],"Unknown":[{}]}`,
			chunk.GetChunkedFileRequest{ContentFilters: []chunk.ContentFilter{{StreamID: "s"}}}},
		"get, byte order mark": {"GetChunkedFile", "\xef\xbb\xbf" + `{"ContentFilters":[{"StreamId":"s","ChunksToReturn":"None"}]} `,
			chunk.GetChunkedFileRequest{ContentFilters: []chunk.ContentFilter{{StreamID: "s", ChunksToReturn: chunk.NoChunks}}}},
		"ranges": {"GetChunks", `{"ContentFilters":[{"StreamId":"MainContent","ChunkingScheme":"FullFile","ChunkRangesToReturn":[
			{"ChunkId":"` + idA + `","Offset":0,"Length":4096},{"ChunkId":"` + idB + `","Offset":9223372036854775807,"Length":-1}]},{"StreamId":"x"}]}`,
			chunk.GetChunksRequest{ContentFilters: []chunk.RangeFilter{
				{StreamID: quire.MainContent, Scheme: chunk.FullFile, Ranges: []chunk.Range{{ChunkID: a, Length: 4096}, {ChunkID: b, Offset: math.MaxInt64, Length: -1}}},
				{StreamID: "x"}}}},
		"put": {"PutChunkedFile", `{"ContentProperties":[{"Retention":"KeepOnContentChange","Name":"n","Value":"v"},
			{"ContentPropertyRetention":"DeleteOnContentChange","Name":"m","Value":null},
			{"Name":"` + long + `","Value":"` + value + `","ContentPropertyRetention":"KeepOnContentChange","Retention":"DeleteOnContentChange"}],
			"Signatures":[{"StreamId":"MainContent","ChunkingScheme":"Zip","ChunkSignatures":[{"ChunkId":"` + idA + `","Length":0},
			{"ChunkId":"` + idB + `","Length":9223372036854775807}]},{"StreamId":"gone","ChunkSignatures":[]}],"UploadSessionTokenToCommit":"t"}`,
			chunk.PutChunkedFileRequest{
				ContentProperties: []chunk.ContentProperty{{Retention: chunk.KeepOnContentChange, Name: "n", Value: "v"},
					{Retention: chunk.DeleteOnContentChange, Name: "m"}, {Retention: chunk.DeleteOnContentChange, Name: long, Value: value}},
				Signatures: []chunk.StreamSignature{{StreamID: quire.MainContent, Scheme: chunk.Zip, Chunks: []chunk.Chunk{{ID: a}, {ID: b, Length: math.MaxInt64}}},
					{StreamID: "gone"}},
				UploadSessionTokenToCommit: "t"}},
		"put, nothing": {"PutChunkedFile", `{"ContentProperties":null,"UploadSessionTokenToCommit":null}`, chunk.PutChunkedFileRequest{}},
	} {
		got, err := parsers[c.message]([]byte(c.json), chunk.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// list returns n elements that format spells, which gets the number of each.
func list(n int, format string) string {
	var s []string
	for i := range n {
		if strings.Contains(format, "%") {
			s = append(s, fmt.Sprintf(format, i))
		} else {
			s = append(s, format)
		}
	}
	return "[" + strings.Join(s, ",") + "]"
}

func TestParseRefuses(t *testing.T) {
	// These wrap what a test is about in a message that is right otherwise.
	get := func(filter string) string { return `{"ContentFilters":[{"StreamId":"s"` + filter + `}]}` }
	ranges := func(r string) string {
		return `{"ContentFilters":[{"StreamId":"s","ChunkRangesToReturn":[` + r + `]}]}`
	}
	put := func(chunks string) string {
		return `{"Signatures":[{"StreamId":"s","ChunkSignatures":` + chunks + `}]}`
	}
	property := func(p string) string { return `{"ContentProperties":[` + p + `]}` }
	const c = `{"ChunkId":"` + idA + `","Length":1}`
	most := math.MaxInt64
	for name, c := range map[string]struct {
		message, json string
		rule          chunk.Rule
	}{
		"get, no filters":       {"GetChunkedFile", `{"ContentFilters":[]}`, chunk.RuleMessage},
		"get, nothing":          {"GetChunkedFile", `{}`, chunk.RuleMessage},
		"get, no stream":        {"GetChunkedFile", `{"ContentFilters":[{}]}`, chunk.RuleMessage},
		"get, null filter":      {"GetChunkedFile", `{"ContentFilters":[null]}`, chunk.RuleMessage},
		"get, stream twice":     {"GetChunkedFile", `{"ContentFilters":[{"StreamId":"s"},{"StreamId":"t"},{"StreamId":"s"}]}`, chunk.RuleMessage},
		"get, long stream":      {"GetChunkedFile", `{"ContentFilters":[{"StreamId":"` + strings.Repeat("s", 1025) + `"}]}`, chunk.RuleLimit},
		"get, filters an int":   {"GetChunkedFile", `{"ContentFilters":3}`, chunk.RuleJSON},
		"get, filters an int2":  {"GetChunkedFile", `{"ContentFilters":{"a":` + list(300, "1") + `}}`, chunk.RuleJSON},
		"get, many filters":     {"GetChunkedFile", `{"ContentFilters":` + list(258, `{"StreamId":"%d"}`) + `}`, chunk.RuleLimit},
		"get, many names":       {"GetChunkedFile", `{"ContentFilters":[{"StreamId":"s"}],"ContentPropertiesToReturn":` + list(4097, `""`) + `}`, chunk.RuleLimit},
		"get, unknown choice":   {"GetChunkedFile", get(`,"ChunksToReturn":"Some"`), chunk.RuleJSON},
		"get, empty choice":     {"GetChunkedFile", get(`,"ChunksToReturn":""`), chunk.RuleJSON},
		"get, choice an int":    {"GetChunkedFile", get(`,"ChunksToReturn":0`), chunk.RuleJSON},
		"get, unknown scheme":   {"GetChunkedFile", get(`,"ChunkingScheme":"Rdc"`), chunk.RuleJSON},
		"get, bad id":           {"GetChunkedFile", get(`,"AlreadyKnownChunks":["xyz"]`), chunk.RuleJSON},
		"get, null id":          {"GetChunkedFile", get(`,"AlreadyKnownChunks":[null]`), chunk.RuleMessage},
		"get, many known":       {"GetChunkedFile", get(`,"AlreadyKnownChunks":` + list(11, `"`+idA+`"`)), chunk.RuleLimit},
		"get, trailing":         {"GetChunkedFile", get("") + "{}", chunk.RuleJSON},
		"get, a list":           {"GetChunkedFile", "[]", chunk.RuleJSON},
		"get, null":             {"GetChunkedFile", "null", chunk.RuleJSON},
		"get, empty":            {"GetChunkedFile", "", chunk.RuleJSON},
		"get, not JSON":         {"GetChunkedFile", "{", chunk.RuleJSON},
		"get, not UTF-8":        {"GetChunkedFile", "{\"ContentFilters\":[{\"StreamId\":\"\xff\"}]}", chunk.RuleJSON},
		"get, too long":         {"GetChunkedFile", get(strings.Repeat(" ", 1<<20)), chunk.RuleLimit},
		"range, no filters":     {"GetChunks", `{}`, chunk.RuleMessage},
		"range, stream twice":   {"GetChunks", `{"ContentFilters":[{"StreamId":"s"},{"StreamId":"s"}]}`, chunk.RuleMessage},
		"range, no id":          {"GetChunks", ranges(`{"Offset":0,"Length":1}`), chunk.RuleMessage},
		"range, no offset":      {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Length":1}`), chunk.RuleMessage},
		"range, null length":    {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Offset":0,"Length":null}`), chunk.RuleMessage},
		"range, null":           {"GetChunks", ranges(`null`), chunk.RuleMessage},
		"range, Offset -1":      {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Offset":-1,"Length":1}`), chunk.RuleRange},
		"range, Length -2":      {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Offset":0,"Length":-2}`), chunk.RuleRange},
		"range, overflow":       {"GetChunks", ranges(fmt.Sprintf(`{"ChunkId":"%s","Offset":%d,"Length":1}`, idA, most)), chunk.RuleRange},
		"range, too large":      {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Offset":9223372036854775808,"Length":1}`), chunk.RuleJSON},
		"range, a fraction":     {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Offset":0.5,"Length":1}`), chunk.RuleJSON},
		"range, a text":         {"GetChunks", ranges(`{"ChunkId":"` + idA + `","Offset":"0","Length":1}`), chunk.RuleJSON},
		"range, many":           {"GetChunks", ranges(strings.Repeat(`{"ChunkId":"`+idA+`","Offset":0,"Length":1},`, 10) + "null"), chunk.RuleLimit},
		"put, stream twice":     {"PutChunkedFile", `{"Signatures":[{"StreamId":"s"},{"StreamId":"s"}]}`, chunk.RuleMessage},
		"put, no stream":        {"PutChunkedFile", `{"Signatures":[{}]}`, chunk.RuleMessage},
		"put, many streams":     {"PutChunkedFile", `{"Signatures":` + list(258, `{"StreamId":"%d"}`) + `}`, chunk.RuleLimit},
		"put, many alternates":  {"PutChunkedFile", `{"Signatures":` + list(257, `{"StreamId":"%d"}`) + `}`, chunk.RuleLimit},
		"put, no id":            {"PutChunkedFile", put(`[{"Length":1}]`), chunk.RuleMessage},
		"put, no length":        {"PutChunkedFile", put(`[{"ChunkId":"` + idA + `"}]`), chunk.RuleMessage},
		"put, negative length":  {"PutChunkedFile", put(`[{"ChunkId":"` + idA + `","Length":-1}]`), chunk.RuleMessage},
		"put, sum":              {"PutChunkedFile", put(fmt.Sprintf(`[%s,{"ChunkId":"%s","Length":%d}]`, c, idA, most)), chunk.RuleMessage},
		"put, id of 15 bytes":   {"PutChunkedFile", put(`[{"ChunkId":"AAAAAAAAAAAAAAAAAAAA","Length":1}]`), chunk.RuleJSON},
		"put, many chunks":      {"PutChunkedFile", put(list(11, c)), chunk.RuleLimit},
		"put, many in two":      {"PutChunkedFile", `{"Signatures":[{"StreamId":"s","ChunkSignatures":` + list(6, c) + `},{"StreamId":"t","ChunkSignatures":` + list(5, c) + `}]}`, chunk.RuleLimit},
		"put, property unnamed": {"PutChunkedFile", property(`{"Value":"v","Retention":"KeepOnContentChange"}`), chunk.RuleMessage},
		"put, property null":    {"PutChunkedFile", property(`null`), chunk.RuleMessage},
		"put, property twice":   {"PutChunkedFile", property(`{"Name":"n","Retention":"KeepOnContentChange"},{"Name":"n","Retention":"KeepOnContentChange"}`), chunk.RuleMessage},
		"put, no retention":     {"PutChunkedFile", property(`{"Name":"n","Value":"v"}`), chunk.RuleMessage},
		"put, bad retention":    {"PutChunkedFile", property(`{"Name":"n","Retention":"Forever"}`), chunk.RuleJSON},
		"put, long name":        {"PutChunkedFile", property(`{"Name":"` + strings.Repeat("n", 257) + `","Retention":"KeepOnContentChange"}`), chunk.RuleMessage},
		"put, long value":       {"PutChunkedFile", property(`{"Name":"n","Retention":"KeepOnContentChange","Value":"` + strings.Repeat("n", 1025) + `"}`), chunk.RuleMessage},
		"put, many properties":  {"PutChunkedFile", `{"ContentProperties":` + list(257, `{"Name":"%d","Retention":"KeepOnContentChange"}`) + `}`, chunk.RuleLimit},
		"put, long token":       {"PutChunkedFile", `{"UploadSessionTokenToCommit":"` + strings.Repeat("n", 4097) + `"}`, chunk.RuleLimit},
	} {
		_, err := parsers[c.message]([]byte(c.json), chunk.Limits{Message: 1 << 20, Chunks: 10})
		var f *chunk.FormatError
		if !errors.As(err, &f) || f.Rule != c.rule {
			t.Errorf("%s: %v, want %q", name, err, c.rule)
		}
	}
	// At the limits all is well.
	for message, json := range map[string]string{
		"GetChunkedFile": get(`,"AlreadyKnownChunks":` + list(10, `"`+idA+`"`)),
		"PutChunkedFile": `{"Signatures":[{"StreamId":"MainContent","ChunkSignatures":` + list(10, c) + `},` + list(256, `{"StreamId":"%d","ChunkSignatures":[]}`)[1:] +
			`,"ContentProperties":` + list(256, `{"Name":"%d","Retention":"KeepOnContentChange"}`) + `}`,
	} {
		if _, err := parsers[message]([]byte(json), chunk.Limits{Chunks: 10}); err != nil {
			t.Errorf("%s at the limits: %v", message, err)
		}
	}
}

func TestMarshal(t *testing.T) {
	a := id(t, idA)
	for want, v := range map[string]any{
		`{"ContentProperties":[],"Signatures":[]}`: chunk.GetChunkedFileResponse{},
		`{"ContentProperties":[{"Retention":"KeepOnContentChange","Name":"p1","Value":"v"}],"Signatures":[` +
			`{"StreamId":"MainContent","ChunkingScheme":"Zip","ChunkSignatures":[{"ChunkId":"` + idA + `","Length":569}]},` +
			`{"StreamId":"gone","ChunkingScheme":"Zip","ChunkSignatures":[]}]}`: &chunk.GetChunkedFileResponse{
			ContentProperties: []chunk.ContentProperty{{Retention: chunk.KeepOnContentChange, Name: "p1", Value: "v"}},
			Signatures: []chunk.StreamSignature{
				{StreamID: quire.MainContent, Scheme: chunk.Zip, Chunks: []chunk.Chunk{{ID: a, Length: 569}}},
				chunk.AbsentStream("gone"),
			},
		},
		`{"ChunkRangeCollection":[]}`: chunk.GetChunksResponse{},
		`{"ChunkRangeCollection":[{"StreamId":"s","ChunkIds":["` + idA + `"]},{"StreamId":"t","ChunkIds":[]}]}`: chunk.GetChunksResponse{
			ChunkRangeCollection: []chunk.StreamChunks{{StreamID: "s", ChunkIDs: []chunk.ID{a}}, {StreamID: "t"}},
		},
		`{"ContentPropertiesToReturn":[],"ContentFilters":[{"StreamId":"s","ChunkingScheme":"","ChunksToReturn":"All","AlreadyKnownChunks":[]}]}`: chunk.GetChunkedFileRequest{
			ContentFilters: []chunk.ContentFilter{{StreamID: "s"}},
		},
		`{"ContentFilters":[{"StreamId":"s","ChunkingScheme":"Zip","ChunkRangesToReturn":[]}]}`: chunk.GetChunksRequest{
			ContentFilters: []chunk.RangeFilter{{StreamID: "s", Scheme: chunk.Zip}},
		},
		`{"ContentProperties":[],"Signatures":[],"UploadSessionTokenToCommit":""}`: chunk.PutChunkedFileRequest{},
	} {
		b, err := json.Marshal(v)
		if err != nil || string(b) != want {
			t.Errorf("%s, %v\nwant %s", b, err, want)
		}
	}
}

func TestRangeResolve(t *testing.T) {
	for _, c := range []struct {
		offset, length, size int64
		want                 int64
		end, ok              bool
	}{
		{0, 5, 5, 5, true, true}, {0, 4, 5, 4, false, true}, {1, 4, 5, 4, true, true}, {1, -1, 5, 4, true, true},
		{5, -1, 5, 0, true, true}, {5, 0, 5, 0, true, true}, {0, -1, 0, 0, true, true}, {0, 0, 5, 0, false, true},
		{0, 6, 5, 0, false, false}, {5, 1, 5, 0, false, false}, {6, -1, 5, 0, false, false}, {6, 0, 5, 0, false, false},
		{-1, 1, 5, 0, false, false}, {0, -2, 5, 0, false, false}, {1, math.MaxInt64, 5, 0, false, false}, {math.MaxInt64, math.MaxInt64, 5, 0, false, false},
	} {
		n, end, err := chunk.Range{Offset: c.offset, Length: c.length}.Resolve(c.size)
		if n != c.want || end != c.end || (err == nil) != c.ok {
			t.Errorf("%d bytes from %d of %d: %d, %v, %v", c.length, c.offset, c.size, n, end, err)
		}
	}
}

// TestShortListsOfMany holds that a text of many tiny elements costs no more memory
// than the cap on elements.
func TestShortListsOfMany(t *testing.T) {
	many := strings.Repeat("{},", 1<<20) + "{}"
	for message, json := range map[string]string{
		"GetChunkedFile": `{"ContentFilters":[` + many + `]}`,
		"GetChunks":      `{"ContentFilters":[{"StreamId":"s","ChunkRangesToReturn":[` + many + `]}]}`,
		"PutChunkedFile": `{"Signatures":[{"StreamId":"s","ChunkSignatures":[` + many + `]}]}`,
	} {
		got := allocated(func() {
			if _, err := parsers[message]([]byte(json), chunk.Limits{Chunks: 1000}); err == nil {
				t.Errorf("%s is taken", message)
			}
		})
		if got > 6*uint64(len(json)) {
			t.Errorf("%s of %d bytes allocates %d", message, len(json), got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"ContentPropertiesToReturn":["p"],"ContentFilters":[{"StreamId":"s","ChunkingScheme":"Zip","ChunksToReturn":"None","AlreadyKnownChunks":["` + idA + `"]}]}`))
	f.Add([]byte(`{"ContentFilters":[{"StreamId":"s","ChunkRangesToReturn":[{"ChunkId":"` + idA + `","Offset":1,"Length":-1}]}]}`))
	f.Add([]byte(`{"ContentProperties":[{"Retention":"KeepOnContentChange","Name":"n","Value":"v"}],"Signatures":[{"StreamId":"s","ChunkingScheme":"Zip","ChunkSignatures":[{"ChunkId":"` + idA + `","Length":9}]}],"UploadSessionTokenToCommit":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, parse := range parsers {
			v, err := parse(b, chunk.Limits{Message: 1 << 16, Chunks: 100})
			if err != nil {
				if !errors.As(err, new(*chunk.FormatError)) {
					t.Fatalf("%s: not a FormatError: %v", name, err)
				}
				continue
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w, err := parse(again, chunk.Limits{})
			if err != nil {
				t.Fatalf("%s: %s is refused: %v", name, again, err)
			}
			if d := cmp.Diff(v, w, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("%s: %s", name, d)
			}
		}
	})
}

func BenchmarkParsePut(b *testing.B) {
	s := chunk.StreamSignature{StreamID: quire.MainContent, Scheme: chunk.Zip}
	for i := range 2000 {
		s.Chunks = append(s.Chunks, chunk.Chunk{ID: chunk.Sum([]byte(fmt.Sprint(i))), Length: int64(i)})
	}
	data, err := json.Marshal(chunk.PutChunkedFileRequest{Signatures: []chunk.StreamSignature{s}})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := chunk.ParsePutChunkedFile(data, chunk.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Marshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(chunk.GetChunkedFileResponse{Signatures: []chunk.StreamSignature{s}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
