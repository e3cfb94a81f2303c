package chunk_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/quire-docs/quire/chunk"
	"pgregory.net/rapid"
)

func TestSignatureCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := chunk.Signature{Scheme: chunk.Scheme(rapid.IntRange(0, 2).Draw(t, "scheme"))}
		left := int64(math.MaxInt64)
		for range rapid.IntRange(0, 20).Draw(t, "chunks") {
			c := chunk.Chunk{ID: chunk.Sum(rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "id")), Length: rapid.Int64Range(0, left).Draw(t, "length")}
			left -= c.Length
			s.Chunks = append(s.Chunks, c)
		}
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got chunk.Signature
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestSignatureCodecRefuses(t *testing.T) {
	id := string(make([]byte, 16))
	for name, in := range map[string]string{
		"empty":              "",
		"version alone":      "\x01",
		"no count":           "\x01\x02",
		"another version":    "\x02\x02\x00",
		"another scheme":     "\x01\x03\x00",
		"trailing byte":      "\x01\x02\x00\x00",
		"no chunk":           "\x01\x02\x01",
		"half an id":         "\x01\x02\x01" + id[:8],
		"no length":          "\x01\x02\x01" + id,
		"unfinished length":  "\x01\x02\x01" + id + "\x80",
		"long-winded length": "\x01\x02\x01" + id + "\x80\x00",
		"long-winded count":  "\x01\x02\x81\x00" + id + "\x01",
		"length of 2^63":     "\x01\x02\x01" + id + "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
		"huge count":         "\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + id + "\x01",
		"count of 2^32":      "\x01\x02\x80\x80\x80\x80\x10" + id + "\x01",
		"sum of 2^63":        "\x01\x02\x02" + id + "\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + id + "\x01",
	} {
		s := chunk.Signature{Scheme: chunk.FullFile}
		if err := s.UnmarshalBinary([]byte(in)); err != chunk.ErrSignature {
			t.Errorf("%s: %v, want ErrSignature", name, err)
		}
		if s.Scheme != chunk.FullFile || s.Chunks != nil {
			t.Errorf("%s: the signature was changed", name)
		}
	}
	for name, s := range map[string]chunk.Signature{
		"negative length": {Chunks: []chunk.Chunk{{Length: -1}}},
		"sum":             {Chunks: []chunk.Chunk{{Length: math.MaxInt64}, {Length: 1}}},
		"scheme":          {Scheme: 3},
	} {
		if b, err := s.MarshalBinary(); err == nil {
			t.Errorf("%s: encoded as %x", name, b)
		}
	}
}

func FuzzSignature(f *testing.F) {
	b, _ := chunk.Signature{Scheme: chunk.Zip, Chunks: []chunk.Chunk{{ID: hello, Length: 5}, {Length: 1 << 40}}}.MarshalBinary()
	f.Add(b)
	f.Add([]byte("\x01\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s chunk.Signature
		if s.UnmarshalBinary(b) != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is encoded again as %x, %v", b, again, err)
		}
	})
}

func TestSignatureParts(t *testing.T) {
	s := chunk.Signature{Scheme: chunk.Zip, Chunks: []chunk.Chunk{{Length: 3}, {Length: 0}, {ID: hello, Length: 5}}}
	if n, err := s.Size(); n != 8 || err != nil {
		t.Errorf("Size = %d, %v", n, err)
	}
	if d := cmp.Diff([]chunk.Piece{{Length: 3}, {Offset: 3}, {Offset: 3, Length: 5}}, s.Pieces(), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if c, ok := s.LastZipChunk(); !ok || c != s.Chunks[2] {
		t.Errorf("LastZipChunk = %v, %v", c, ok)
	}
	for _, s := range []chunk.Signature{{Scheme: chunk.Zip}, {Scheme: chunk.FullFile, Chunks: s.Chunks}} {
		if c, ok := s.LastZipChunk(); ok {
			t.Errorf("LastZipChunk = %v", c)
		}
	}
}

func TestSchemeText(t *testing.T) {
	for text, want := range map[string]chunk.Scheme{"": 0, "FullFile": chunk.FullFile, "Zip": chunk.Zip} {
		var s chunk.Scheme
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %v, %v", text, s, err)
		}
		if b, err := want.MarshalText(); err != nil || string(b) != text {
			t.Errorf("%v is spelled %q, %v", want, b, err)
		}
	}
	var s chunk.Scheme
	if s.UnmarshalText([]byte("zip")) == nil || s.UnmarshalText([]byte("Rdc")) == nil {
		t.Error("unknown schemes are taken")
	}
	if _, err := chunk.Scheme(3).MarshalText(); err == nil {
		t.Error("an unknown scheme is spelled")
	}
}
