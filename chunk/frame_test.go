package chunk_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/quire-docs/quire/chunk"
)

// Published examples: a body of {"a":1} with the chunk "hello", and the range "ell".
const (
	sampleBody = "00000002000000000000000000000007" + "7b2261223a317d" +
		"00000003000000100000000000000005" + "cae682d36a82683743e01ac7d11e945c" + "68656c6c6f" +
		"00000001000000000000000000000000"
	sampleRange = "00000004000000240000000000000003" + "cae682d36a82683743e01ac7d11e945c" +
		"0000000000000001" + "0000000000000003" + "00000000" + "656c6c"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var (
	hello   = chunk.Sum([]byte("hello"))
	message = frame(2, "", "{}")
	end     = frame(1, "", "")
	helloID = string(hello[:])
)

// frame spells a frame, right or wrong.
func frame(t uint32, extended, payload string) string {
	return sized(t, len(extended), uint64(len(payload)), extended+payload)
}

func sized(t uint32, extended int, payload uint64, rest string) string {
	b := binary.BigEndian.AppendUint32(nil, t)
	b = binary.BigEndian.AppendUint32(b, uint32(extended))
	b = binary.BigEndian.AppendUint64(b, payload)
	return string(b) + rest
}

func rangeHeader(offset, length uint64, flags uint32) string {
	b := binary.BigEndian.AppendUint64([]byte(helloID), offset)
	b = binary.BigEndian.AppendUint64(b, length)
	return string(binary.BigEndian.AppendUint32(b, flags))
}

type readFrame struct {
	chunk.Header
	payload string
}

// readAll reads a body to its end.
func readAll(r *chunk.Reader) ([]readFrame, error) {
	var frames []readFrame
	for {
		h, err := r.Next()
		if err == io.EOF {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		b, err := io.ReadAll(r.Payload())
		if err != nil {
			return frames, err
		}
		if int64(len(b)) != h.PayloadSize {
			return frames, fmt.Errorf("%d bytes of payload, the header says %d", len(b), h.PayloadSize)
		}
		frames = append(frames, readFrame{h, string(b)})
	}
}

func TestReader(t *testing.T) {
	body := append(unhex(sampleBody[:len(sampleBody)-32]), unhex(sampleRange)...)
	body = append(body, frame(4, rangeHeader(4, 1, 1), "o")+end+"what follows is ignored"...)
	src := bytes.NewReader(body)
	got, err := readAll(chunk.NewReader(iotest.HalfReader(src), chunk.Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	want := []readFrame{
		{chunk.Header{Type: chunk.MessageJSON, PayloadSize: 7, PayloadOffset: 16}, `{"a":1}`},
		{chunk.Header{Type: chunk.ChunkFrame, ChunkID: hello, Length: 5, EndOfChunk: true, PayloadSize: 5, PayloadOffset: 55}, "hello"},
		{chunk.Header{Type: chunk.ChunkRange, ChunkID: hello, Offset: 1, Length: 3, PayloadSize: 3, PayloadOffset: 112}, "ell"},
		{chunk.Header{Type: chunk.ChunkRange, ChunkID: hello, Offset: 4, Length: 1, EndOfChunk: true, PayloadSize: 1, PayloadOffset: 167}, "o"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read\n%v, want\n%v", got, want)
	}
	for _, f := range got {
		if s := string(body[f.PayloadOffset:][:f.PayloadSize]); s != f.payload {
			t.Errorf("at PayloadOffset lies %q, not %q", s, f.payload)
		}
	}
	if src.Len() != len("what follows is ignored") {
		t.Errorf("%d bytes left behind EndFrame", src.Len())
	}
}

func TestReaderSkipsPayloads(t *testing.T) {
	body := message + frame(3, helloID, "hello") + frame(3, helloID, "hello") + end
	r := chunk.NewReader(strings.NewReader(body), chunk.Limits{})
	var stale io.Reader
	for i := range 3 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if stale != nil {
			if n, err := stale.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
				t.Errorf("a payload of an earlier frame gives %d bytes, %v", n, err)
			}
		}
		stale = r.Payload()
		if i == 1 {
			io.ReadFull(stale, make([]byte, 2))
		}
	}
	for range 2 {
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
}

func TestReaderRules(t *testing.T) {
	const most = math.MaxUint64
	limits := chunk.Limits{Message: 10, Payload: 20, Total: 200, Frames: 5}
	for name, c := range map[string]struct {
		body string
		rule chunk.Rule
	}{
		"empty":                  {"", chunk.RuleNoEnd},
		"no EndFrame":            {message, chunk.RuleNoEnd},
		"no EndFrame, chunk":     {message + frame(3, helloID, "hello"), chunk.RuleNoEnd},
		"cut in a header":        {message + end[:15], chunk.RuleTruncated},
		"cut after a header":     {message + frame(3, helloID, "")[:16], chunk.RuleTruncated},
		"cut in extended header": {message + frame(3, helloID, "")[:20], chunk.RuleTruncated},
		"cut in a payload":       {message + frame(3, helloID, "hello")[:36], chunk.RuleTruncated},
		"cut in the message":     {message[:17], chunk.RuleTruncated},
		"type 0":                 {message + frame(0, "", "") + end, chunk.RuleType},
		"type 5":                 {message + frame(5, "", "") + end, chunk.RuleType},
		"type of 32 bits":        {message + frame(1<<31|1, "", ""), chunk.RuleType},
		"not frames":             {"GET / HTTP/1.1\r\n\r\n", chunk.RuleType},
		"EndFrame first":         {end, chunk.RuleOrder},
		"chunk first":            {frame(3, helloID, "hello") + message + end, chunk.RuleOrder},
		"two messages":           {message + message + end, chunk.RuleOrder},
		"message last":           {message + frame(3, helloID, "") + message + end, chunk.RuleOrder},
		"message with header":    {frame(2, "x", "{}") + end, chunk.RuleHeaderSize},
		"end with header":        {message + frame(1, "x", ""), chunk.RuleHeaderSize},
		"end with payload":       {message + frame(1, "", "x"), chunk.RulePayload},
		"chunk without id":       {message + frame(3, "", "hello") + end, chunk.RuleHeaderSize},
		"chunk with long id":     {message + frame(3, helloID+"x", "hello") + end, chunk.RuleHeaderSize},
		"huge extended header":   {message + sized(3, math.MaxUint32, 5, "hello") + end, chunk.RuleHeaderSize},
		"short range header":     {message + frame(4, rangeHeader(0, 5, 1)[:35], "hello") + end, chunk.RuleHeaderSize},
		"flags 2":                {message + frame(4, rangeHeader(0, 5, 2), "hello") + end, chunk.RuleFlags},
		"flags 3":                {message + frame(4, rangeHeader(0, 5, 3), "hello") + end, chunk.RuleFlags},
		"high flags":             {message + frame(4, rangeHeader(0, 5, 1<<31), "hello") + end, chunk.RuleFlags},
		"range too long":         {message + frame(4, rangeHeader(0, 6, 1), "hello") + end, chunk.RulePayload},
		"range too short":        {message + frame(4, rangeHeader(0, 4, 1), "hello") + end, chunk.RulePayload},
		"range huge":             {message + frame(4, rangeHeader(0, most, 1), "hello") + end, chunk.RulePayload},
		"range from 2^64-1":      {message + frame(4, rangeHeader(most, 5, 1), "hello") + end, chunk.RuleRange},
		"range over int64":       {message + frame(4, rangeHeader(math.MaxInt64-4, 5, 1), "hello") + end, chunk.RuleRange},
		"payload of 2^64-1":      {message + sized(3, 16, most, helloID+"hello") + end, chunk.RuleLimit},
		"payload of 2^63":        {message + sized(3, 16, 1<<63, helloID+"hello") + end, chunk.RuleLimit},
		"message of 2^64-1":      {sized(2, 0, most, "{}") + end, chunk.RuleLimit},
		"end of 2^64-1":          {message + sized(1, 0, most, ""), chunk.RulePayload},
		"message over limit":     {frame(2, "", "{         }") + end, chunk.RuleLimit},
		"payload over limit":     {message + frame(3, helloID, strings.Repeat("x", 21)) + end, chunk.RuleLimit},
		"range over limit":       {message + frame(4, rangeHeader(0, 21, 1), strings.Repeat("x", 21)) + end, chunk.RuleLimit},
		"frames over limit":      {message + strings.Repeat(frame(3, helloID, ""), 4) + end, chunk.RuleLimit},
		"total over limit":       {message + strings.Repeat(frame(4, rangeHeader(0, 20, 1), strings.Repeat("x", 20)), 3) + end, chunk.RuleLimit},
		"total of headers":       {message + strings.Repeat(frame(4, rangeHeader(0, 0, 1), ""), 3) + frame(4, rangeHeader(0, 20, 1), "x"), chunk.RuleLimit},
	} {
		t.Run(name, func(t *testing.T) {
			r := chunk.NewReader(strings.NewReader(c.body), limits)
			_, err := readAll(r)
			var f *chunk.FormatError
			if !errors.As(err, &f) || f.Rule != c.rule || !errors.Is(err, &chunk.FormatError{Rule: c.rule}) {
				t.Fatalf("%v, want %q", err, c.rule)
			}
			if cut := c.rule == chunk.RuleTruncated || c.rule == chunk.RuleNoEnd; errors.Is(err, io.ErrUnexpectedEOF) != cut {
				t.Errorf("%v wraps the wrong error", err)
			}
			if !strings.Contains(err.Error(), string(c.rule)) {
				t.Errorf("the text %q does not name the rule", err)
			}
			if _, again := r.Next(); again != err {
				t.Errorf("then %v", again)
			}
			if b, err := io.ReadAll(r.Payload()); len(b) > 0 || err == nil {
				t.Errorf("after the error the payload gives %q, %v", b, err)
			}
			// The same when nobody reads the payloads.
			r = chunk.NewReader(strings.NewReader(c.body), limits)
			for err = nil; err == nil; {
				_, err = r.Next()
			}
			if !errors.Is(err, &chunk.FormatError{Rule: c.rule}) && !(errors.As(err, &f) && f.Rule == c.rule) {
				t.Errorf("skipping: %v, want %q", err, c.rule)
			}
		})
	}
}

func TestSessionReader(t *testing.T) {
	one := frame(3, helloID, "hello")
	for name, c := range map[string]struct {
		body  string
		rule  chunk.Rule
		count int
	}{
		"empty":           {"", "", 0},
		"one":             {one, "", 1},
		"two":             {one + one, "", 2},
		"cut in header":   {one + one[:1], chunk.RuleTruncated, 1},
		"cut in id":       {one + one[:20], chunk.RuleTruncated, 1},
		"cut after id":    {one + one[:32], chunk.RuleTruncated, 1},
		"cut in payload":  {one + one[:36], chunk.RuleTruncated, 1},
		"message":         {message, chunk.RuleOrder, 0},
		"end":             {one + end, chunk.RuleOrder, 1},
		"range":           {frame(4, rangeHeader(0, 5, 1), "hello"), chunk.RuleOrder, 0},
		"unknown type":    {one + frame(9, "", ""), chunk.RuleType, 1},
		"payload of 2^63": {sized(3, 16, 1<<63, helloID), chunk.RuleLimit, 0},
	} {
		t.Run(name, func(t *testing.T) {
			frames, err := readAll(chunk.NewSessionReader(strings.NewReader(c.body), chunk.Limits{}))
			var f *chunk.FormatError
			if len(frames) != c.count || (err != nil) != (c.rule != "") || err != nil && (!errors.As(err, &f) || f.Rule != c.rule) {
				t.Errorf("%d frames, %v; want %d, %q", len(frames), err, c.count, c.rule)
			}
		})
	}
}

func TestReaderPassesOtherErrors(t *testing.T) {
	body := message + frame(3, helloID, "hello") + end
	for n := range len(body) {
		src := io.MultiReader(strings.NewReader(body[:n]), iotest.ErrReader(errRead))
		_, err := readAll(chunk.NewReader(src, chunk.Limits{}))
		var f *chunk.FormatError
		if !errors.Is(err, errRead) || errors.As(err, &f) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestVerified(t *testing.T) {
	other := chunk.Sum([]byte("other"))
	empty := chunk.Sum(nil)
	for name, c := range map[string]struct {
		body string
		good bool
	}{
		"right":       {frame(3, helloID, "hello"), true},
		"wrong":       {frame(3, string(other[:]), "hello"), false},
		"empty":       {frame(3, string(empty[:]), ""), true},
		"wrong empty": {frame(3, helloID, ""), false},
		"a range":     {frame(4, rangeHeader(0, 5, 1), "other"), true},
	} {
		for _, step := range []int{1, 3, 5, 100} {
			r := chunk.NewReader(strings.NewReader(message+c.body+end), chunk.Limits{})
			r.Next()
			h, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			v := r.Verified()
			var got []byte
			buf := make([]byte, step)
			for {
				n, rerr := v.Read(buf)
				got = append(got, buf[:n]...)
				if err = rerr; err != nil {
					break
				}
			}
			if c.good && (err != io.EOF || int64(len(got)) != h.PayloadSize) {
				t.Errorf("%s by %d: %q, %v", name, step, got, err)
			}
			if !c.good && (!errors.As(err, new(*chunk.FormatError)) || len(got) > 0 && int64(len(got)) >= h.PayloadSize) {
				t.Errorf("%s by %d: %q, %v; want a FormatError and not the whole", name, step, got, err)
			}
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("%s: then %v", name, err)
			}
		}
	}
	// Of a chunk that was begun elsewhere nothing can be said.
	r := chunk.NewReader(strings.NewReader(message+frame(3, helloID, "hello")+end), chunk.Limits{})
	r.Next()
	r.Next()
	r.Payload().Read(make([]byte, 1))
	if b, err := io.ReadAll(r.Verified()); err == nil {
		t.Errorf("a part of a chunk is verified: %q", b)
	}
}

func TestReadRequestMessage(t *testing.T) {
	limits := chunk.Limits{Message: 20}
	for name, c := range map[string]struct {
		body, want string
		rule       chunk.Rule
	}{
		"framed":           {message + end + "more", "{}", ""},
		"bare":             {`{"a":1}`, `{"a":1}`, ""},
		"bare after space": {" \r\n\t{} \n", "{}", ""},
		"bare with a mark": {"\xef\xbb\xbf {}", "{}", ""},
		"bare, not JSON":   {"{nonsense", "{nonsense", ""}, // for the parser to refuse
		"bare at limit":    {"{" + strings.Repeat(" ", 18) + "}", "{" + strings.Repeat(" ", 18) + "}", ""},
		"bare over limit":  {"{" + strings.Repeat(" ", 19) + "}", "", chunk.RuleLimit},
		"only space":       {"   ", "", chunk.RuleType},
		"half a mark":      {"\xef\xbb{}", "", chunk.RuleType},
		"a list":           {"[]", "", chunk.RuleType},
		"text":             {"hello", "", chunk.RuleType},
		"empty":            {"", "", chunk.RuleTruncated},
		"framed, no end":   {message, "", chunk.RuleNoEnd},
		"framed, cut":      {message[:17], "", chunk.RuleTruncated},
		"framed, chunk":    {message + frame(3, helloID, "hello") + end, "", chunk.RuleOrder},
		"framed over":      {frame(2, "", strings.Repeat(" ", 21)) + end, "", chunk.RuleLimit},
		"end only":         {end, "", chunk.RuleOrder},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.body), iotest.OneByteReader(strings.NewReader(c.body))} {
			b, err := chunk.ReadRequestMessage(r, limits)
			var f *chunk.FormatError
			if string(b) != c.want || (err != nil) != (c.rule != "") || err != nil && (!errors.As(err, &f) || f.Rule != c.rule) {
				t.Errorf("%s: %q, %v; want %q, %q", name, b, err, c.want, c.rule)
			}
		}
	}
	for _, body := range []string{"", "{", message, message[:5]} {
		_, err := chunk.ReadRequestMessage(io.MultiReader(strings.NewReader(body), iotest.ErrReader(errRead)), limits)
		if !errors.Is(err, errRead) || errors.As(err, new(*chunk.FormatError)) {
			t.Errorf("a failing reader after %q: %v", body, err)
		}
	}
}

// TestClaimsAreNotAllocated reads bodies that claim much and hold nothing.
func TestClaimsAreNotAllocated(t *testing.T) {
	limits := chunk.Limits{Message: math.MaxInt64}
	for _, body := range []string{
		sized(2, 0, 1<<40, "{"), message + sized(3, 16, 1<<40, helloID+"h"),
		message + sized(4, 36, 1<<40, rangeHeader(0, 1<<40, 1)+"h"),
	} {
		got := allocated(func() {
			r := chunk.NewReader(strings.NewReader(body), limits)
			r.ReadMessage()
			r.Next()
		})
		if got > 64<<10 {
			t.Errorf("%d bytes allocated for %d", got, len(body))
		}
	}
}

func TestReadMessage(t *testing.T) {
	r := chunk.NewReader(bytes.NewReader(unhex(sampleBody)), chunk.Limits{})
	if b, err := r.ReadMessage(); string(b) != `{"a":1}` || err != nil {
		t.Errorf("ReadMessage = %q, %v", b, err)
	}
	if b, err := r.ReadMessage(); b != nil || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(*chunk.FormatError)) {
		t.Errorf("a second ReadMessage = %q, %v", b, err)
	}
	for _, body := range []string{"", frame(3, helloID, "hello")} {
		if b, err := chunk.NewSessionReader(strings.NewReader(body), chunk.Limits{}).ReadMessage(); !errors.As(err, new(*chunk.FormatError)) {
			t.Errorf("a session has the message %q, %v", b, err)
		}
	}
	r = chunk.NewReader(strings.NewReader(message+frame(3, helloID, "hello")[:34]), chunk.Limits{})
	r.Next()
	r.Next()
	if b, err := io.ReadAll(r.Verified()); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, new(*chunk.FormatError)) {
		t.Errorf("a truncated chunk gives %q, %v", b, err)
	}
}

// FuzzReader holds that a body that is taken is the one that writing its frames gives,
// and that nothing is read beyond it.
func FuzzReader(f *testing.F) {
	f.Add(unhex(sampleBody), false)
	f.Add([]byte(message+string(unhex(sampleRange))+end+"more"), false)
	f.Add([]byte(frame(3, helloID, "hello")+frame(3, helloID, "")), true)
	f.Add([]byte(sized(2, 0, math.MaxUint64, "{}")), false)
	f.Fuzz(func(t *testing.T, body []byte, session bool) {
		src := bytes.NewReader(body)
		limits := chunk.Limits{Frames: 100, Total: 1 << 20}
		r := chunk.NewReader(src, limits)
		if session {
			r = chunk.NewSessionReader(src, limits)
		}
		frames, err := readAll(r)
		if err != nil {
			if !errors.As(err, new(*chunk.FormatError)) {
				t.Fatalf("not a FormatError: %v", err)
			}
			return
		}
		var again bytes.Buffer
		w := chunk.NewWriter(&again)
		for _, f := range frames {
			switch f.Type {
			case chunk.MessageJSON:
				err = w.Message([]byte(f.payload))
			case chunk.ChunkFrame:
				err = w.Chunk(f.ChunkID, f.Length, strings.NewReader(f.payload))
			case chunk.ChunkRange:
				err = w.Range(f.ChunkID, f.Offset, f.Length, f.EndOfChunk, strings.NewReader(f.payload))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !session {
			if err := w.End(); err != nil {
				t.Fatal(err)
			}
		}
		if taken := body[:len(body)-src.Len()]; !bytes.Equal(again.Bytes(), taken) {
			t.Fatalf("took %x, wrote %x", taken, again.Bytes())
		}
	})
}

func FuzzReadRequestMessage(f *testing.F) {
	f.Add([]byte(message + end))
	f.Add([]byte("\xef\xbb\xbf {} "))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := chunk.ReadRequestMessage(bytes.NewReader(body), chunk.Limits{Message: 1 << 10})
		if err != nil && !errors.As(err, new(*chunk.FormatError)) {
			t.Fatal(err)
		}
		if len(b) > 1<<10 || !bytes.Contains(body, b) {
			t.Fatalf("%q from %q", b, body)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		data := randomBytes(7, size)
		id := chunk.Sum(data)
		var body bytes.Buffer
		w := chunk.NewWriter(&body)
		w.Message([]byte("{}"))
		for range 32 {
			w.Chunk(id, int64(size), bytes.NewReader(data))
		}
		w.End()
		buf := make([]byte, 64<<10)
		for name, of := range map[string]func(*chunk.Reader) io.Reader{"Payload": (*chunk.Reader).Payload, "Verified": (*chunk.Reader).Verified} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(body.Len()))
				b.ReportAllocs()
				for b.Loop() {
					r := chunk.NewReader(bytes.NewReader(body.Bytes()), chunk.Limits{})
					for {
						if _, err := r.Next(); err == io.EOF {
							break
						} else if err != nil {
							b.Fatal(err)
						}
						p := of(r)
						for {
							if _, err := p.Read(buf); err == io.EOF {
								break
							} else if err != nil {
								b.Fatal(err)
							}
						}
					}
				}
			})
		}
	}
}
