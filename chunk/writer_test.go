package chunk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/quire-docs/quire/chunk"
	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var body bytes.Buffer
		w := chunk.NewWriter(&body)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		json := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "json")
		must(w.Message(json))
		size := chunk.MessageSize(int64(len(json))) + chunk.EndSize
		var want []readFrame
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
			id, n := chunk.Sum(data), int64(len(data))
			// What the payload's reader has beyond the size must stay out.
			src := io.MultiReader(bytes.NewReader(data), strings.NewReader("more"))
			h := chunk.Header{ChunkID: id, Length: n, PayloadSize: n}
			if rapid.Bool().Draw(t, "range") {
				h.Type, h.Offset, h.EndOfChunk = chunk.ChunkRange, rapid.Int64Range(0, math.MaxInt64-n).Draw(t, "offset"), rapid.Bool().Draw(t, "end")
				must(w.Range(id, h.Offset, n, h.EndOfChunk, src))
				size += chunk.RangeSize(n)
			} else {
				h.Type, h.EndOfChunk = chunk.ChunkFrame, true
				must(w.Chunk(id, n, src))
				size += chunk.ChunkSize(n)
			}
			h.PayloadOffset = int64(body.Len()) - n
			want = append(want, readFrame{h, string(data)})
		}
		must(w.End())
		if int64(body.Len()) != size {
			t.Fatalf("%d bytes written, %d planned", body.Len(), size)
		}
		r := chunk.NewReader(&body, chunk.Limits{})
		got, err := r.ReadMessage()
		must(err)
		frames, err := readAll(r)
		must(err)
		if !bytes.Equal(got, json) || fmt.Sprint(frames) != fmt.Sprint(want) {
			t.Fatalf("read %q %v, want %q %v", got, frames, json, want)
		}
	})
}

func TestWriterErrors(t *testing.T) {
	start := func() *chunk.Writer {
		w := chunk.NewWriter(io.Discard)
		if err := w.Message([]byte("{}")); err != nil {
			t.Fatal(err)
		}
		return w
	}
	few := strings.NewReader
	for name, c := range map[string]struct {
		do   func(w *chunk.Writer) error
		want error
	}{
		"few bytes":        {func(w *chunk.Writer) error { return w.Chunk(hello, 5, few("hell")) }, io.ErrUnexpectedEOF},
		"few of a range":   {func(w *chunk.Writer) error { return w.Range(hello, 1, 5, true, few("")) }, io.ErrUnexpectedEOF},
		"failing reader":   {func(w *chunk.Writer) error { return w.Chunk(hello, 5, iotest.ErrReader(errRead)) }, errRead},
		"negative size":    {func(w *chunk.Writer) error { return w.Chunk(hello, -1, few("")) }, nil},
		"negative offset":  {func(w *chunk.Writer) error { return w.Range(hello, -1, 1, false, few("x")) }, nil},
		"negative length":  {func(w *chunk.Writer) error { return w.Range(hello, 1, -1, false, few("x")) }, nil},
		"range too far":    {func(w *chunk.Writer) error { return w.Range(hello, math.MaxInt64, 1, false, few("x")) }, nil},
		"second message":   {func(w *chunk.Writer) error { return w.Message(nil) }, chunk.ErrFrameOrder},
		"chunk behind end": {func(w *chunk.Writer) error { w.End(); return w.Chunk(hello, 5, few("hello")) }, chunk.ErrFrameOrder},
		"two ends":         {func(w *chunk.Writer) error { w.End(); return w.End() }, chunk.ErrFrameOrder},
	} {
		w := start()
		err := c.do(w)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if again := w.End(); again == nil {
			t.Errorf("%s: the body goes on", name)
		}
	}
	w := chunk.NewWriter(io.Discard)
	w.Chunk(hello, 5, few("hello"))
	if err := w.Message(nil); err != chunk.ErrFrameOrder {
		t.Errorf("a message after a chunk: %v", err)
	}
	if err := chunk.NewWriter(io.Discard).End(); err != chunk.ErrFrameOrder {
		t.Errorf("an end without a message: %v", err)
	}
	r, broken := io.Pipe()
	r.CloseWithError(errRead)
	if err := chunk.NewWriter(broken).Message([]byte("{}")); !errors.Is(err, errRead) {
		t.Errorf("a broken writer: %v", err)
	}
}

// readerFrom notes what payloads it is given.
type readerFrom struct {
	bytes.Buffer
	got []io.Reader
}

func (r *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	r.got = append(r.got, src)
	return r.Buffer.ReadFrom(src)
}

func TestWriterUsesReadFrom(t *testing.T) {
	var dst readerFrom
	w := chunk.NewWriter(&dst)
	src := strings.NewReader("hello")
	if err := w.Chunk(hello, 5, src); err != nil {
		t.Fatal(err)
	}
	if len(dst.got) != 1 || dst.got[0].(*io.LimitedReader).R != src {
		t.Errorf("ReadFrom was called with %v", dst.got)
	}
}

// TestWriterWithoutReadFrom writes to what can't read, and by far more than a buffer.
func TestWriterWithoutReadFrom(t *testing.T) {
	data := randomBytes(9, 300_000)
	id := chunk.Sum(data)
	var body bytes.Buffer
	w := chunk.NewWriter(struct{ io.Writer }{&body})
	for _, err := range []error{w.Message([]byte("{}")), w.Chunk(id, int64(len(data)), bytes.NewReader(data)), w.End()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := message + frame(3, string(id[:]), string(data)) + end; body.String() != want {
		t.Error("the body is another")
	}
	if err := chunk.NewWriter(struct{ io.Writer }{&body}).Chunk(id, 10, strings.NewReader("few")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too few bytes: %v", err)
	}
}
