package ucloud

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-docs/quire/library"
)

// recorder writes the messages that it receives down again.
type recorder struct {
	frame   bytes.Buffer
	entries int
	over    bool
}

var errOver = errors.New("closed")

func (r *recorder) chunk(id uint32, data *bufio.Reader) error {
	r.frame.WriteByte(opChunk)
	r.frame.Write(binary.BigEndian.AppendUint32(nil, id))
	_, err := io.Copy(&r.frame, data)
	return err
}

func (r *recorder) skip(id uint32) error {
	r.frame.WriteByte(opSkip)
	r.frame.Write(binary.BigEndian.AppendUint32(nil, id))
	return nil
}

func (r *recorder) list(e entry) error {
	if r.entries == 0 {
		r.frame.WriteByte(opListing)
	}
	r.entries++
	var ms uint64
	if !e.mtime.IsZero() {
		ms = uint64(e.mtime.UnixMilli())
	}
	b := binary.BigEndian.AppendUint32(nil, e.id)
	b = binary.BigEndian.AppendUint64(b, uint64(e.size))
	b = binary.BigEndian.AppendUint64(b, ms)
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.path)))
	r.frame.Write(append(b, e.path...))
	return nil
}

func (r *recorder) closed() error {
	r.frame.WriteByte(opClose)
	r.over = true
	return errOver
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 0, 0, 1, 3, 0, 0, 0, 2, 2, 0, 0, 0, 3, 'd', 'a', 't', 'a'})
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x7b, 0, 0, 0, 3, 'a', '/', 'b'})
	f.Add([]byte{6, 1})
	f.Add([]byte{4})
	f.Fuzz(func(t *testing.T, frame []byte) {
		var got recorder
		err := parseFrame(bufio.NewReader(bytes.NewReader(frame)), &got)
		if got.over != errors.Is(err, errOver) {
			t.Fatalf("CLOSE was not passed on: %v", err)
		}
		if err != nil && !got.over {
			return
		}
		// What is taken says the same when it is written down again. A time
		// that no file can have is left out.
		want := frame
		if got.over {
			want = frame[:min(len(frame), got.frame.Len())]
		}
		if got.entries == 0 && len(want) > got.frame.Len() && want[got.frame.Len()] == opListing {
			want = want[:got.frame.Len()] // a listing of nothing
		}
		if got.frame.Len() != len(want) || got.entries == 0 && !bytes.Equal(got.frame.Bytes(), want) {
			t.Errorf("got %x, want %x", got.frame.Bytes(), want)
		}
	})
}

func FuzzRelative(f *testing.F) {
	for _, s := range []string{"a", "a/b.txt", "../x", "a/../b", "/etc", `\\server`, "C:/x", "a\x00b", "a//b", "a/", ".", "", "..", "...", "a/..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if checkRelative(path) != nil {
			return
		}
		if !utf8.ValidString(path) || strings.ContainsAny(path, "\\\x00") || path == "" || path[0] == '/' {
			t.Fatalf("took %q", path)
		}
		// Whatever base it is joined to, it stays below, name for name.
		names, err := library.SplitPath("/base/" + path)
		if err != nil {
			return
		}
		if names[0] != "base" || len(names) != 2+strings.Count(path, "/") {
			t.Fatalf("%q became %q", path, names)
		}
		for _, n := range names {
			if n == "" || n == "." || n == ".." || strings.ContainsAny(n, `/\`) {
				t.Fatalf("%q became %q", path, names)
			}
		}
	})
}

func TestIDSet(t *testing.T) {
	var s idSet
	for id := range uint32(1000) {
		if s.has(id) {
			t.Fatalf("%d is in an empty set", id)
		}
	}
	for id := uint32(0); id < 1<<20; id += 3 {
		s.add(id)
	}
	for id := range uint32(1 << 20) {
		if s.has(id) != (id%3 == 0) {
			t.Fatalf("%d: %v", id, s.has(id))
		}
	}
	for id := range uint32(1 << 18) {
		s.add(id << 13)
		if len(s.words) > maxWords {
			t.Fatal("the set grows without bound")
		}
	}
}
