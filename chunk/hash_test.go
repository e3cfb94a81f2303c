package chunk_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/quire-docs/quire/chunk"
	"pgregory.net/rapid"
)

// pattern returns n bytes of which byte i is 7i+add.
func pattern(n, add int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + add)
	}
	return b
}

func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// clientVectors come from a real client: the ID of pattern(n, n).
var clientVectors = []struct {
	n  int
	id string
}{
	{1, "I1lYk2njAWVK6BMimtbTPA=="},
	{3, "YhnLjBTScFdFL9iKsMoLEw=="},
	{15, "Dvbr45rfjm2y88H7dPXaFw=="},
	{16, "Dor9YzzjW0+ylIWIyiA1zw=="},
	{17, "AH0zDiaeUqmZwTCO0Rs8Eg=="},
	{31, "YkBLVol+OATvLKNkt5pG/g=="},
	{32, "2G2V98yrmvCGeomCR+ehXw=="},
	{33, "YwSbyGPxSbzpagsE9vczBg=="},
	{48, "D/EF2I4AUv+b4FsjeQ0Hsw=="},
	{63, "az4QLuuXhYk/xBS8WVJzlA=="},
	{64, "ZlK8cR7rM7+AAuTKl5iq9g=="},
	{100, "rdBv+AzIK7vhDNfJDeB2hg=="},
	{150, "I4sShlmNmRr0noqRtTEY7g=="},
	{191, "SqxYbZo6s2Pf9EmE2QaEnw=="},
	{192, "/OkobALo7RTkD3JANCPHsw=="},
	{200, "Eq0SAw4unguVW3nPhv1Fgw=="},
	{1000, "tduJ8IZrDlKZjw3fnbDJOg=="},
}

var halvesVectors = []struct {
	data   []byte
	h1, h2 uint64
	id     string
}{
	{nil, 0x232706fc6bf50919, 0x8b72ee65b4e851c7, "GQn1a/wGJyPHUei0Ze5yiw=="},
	{[]byte("hello"), 0x3768826ad382e6ca, 0x5c941ed1c71ae043, "yuaC02qCaDdD4BrH0R6UXA=="},
	{[]byte("foobar"), 0x86c057a503edde99, 0x65178fe24e37629a, "md7tA6VXwIaaYjdO4o8XZQ=="},
	{[]byte("Blob1"), 0x777840b04a3d3e26, 0x9a5f4605726e958b, "Jj49SrBAeHeLlW5yBUZfmg=="},
	{[]byte("Blob2"), 0x943ada9499ec74c5, 0xe7b9d09fc9dfa740, "xXTsmZTaOpRAp9/Jn9C55w=="},
	{[]byte("SampleTextVersion-1"), 0x14d8759b8696943a, 0x3ed0b6cff865b864, "OpSWhpt12BRkuGX4z7bQPg=="},
	{[]byte("SampleTextVersion-2"), 0xf8cb3b3b764478c6, 0x9eeab1609d8d9b91, "xnhEdjs7y/iRm42dYLHqng=="},
	{[]byte("Alt_SampleTextVersion-1"), 0x4715021a6c1142b1, 0xc5a0e9030344c0b9, "sUIRbBoCFUe5wEQDA+mgxQ=="},
	{[]byte("Alt_SampleTextVersion-2"), 0xbc299528d4b20995, 0xf3a77149ee8ea6ea, "lQmy1CiVKbzqpo7uSXGn8w=="},
	{pattern(1, 3), 0x4b87fa4c899cff30, 0x81b68b651a1176a5, "MP+ciUz6h0uldhEaZYu2gQ=="},
	{pattern(3, 3), 0x5770d2148ccb1962, 0x130bcab08ad82f45, "YhnLjBTScFdFL9iKsMoLEw=="},
	{pattern(7, 3), 0xa99e9412beb02c42, 0x688a0dbbb53289eb, "QiywvhKUnqnriTK1uw2KaA=="},
	{pattern(8, 3), 0x93fa88e896a3c5fd, 0xd5695d769aef7819, "/cWjluiI+pMZeO+adl1p1Q=="},
	{pattern(12, 3), 0x55c0306fc907b8e3, 0x88580fb4eec096a4, "47gHyW8wwFWklsDutA9YiA=="},
	{pattern(15, 3), 0x80ff2557a5f3fce9, 0x9f9124303074ed55, "6fzzpVcl/4BV7XQwMCSRnw=="},
	{pattern(16, 3), 0x996b234d7cd0c4ed, 0x8a808f0f205dfad7, "7cTQfE0ja5nX+l0gD4+Aig=="},
	{pattern(17, 3), 0xe0fdf7e05d4532b1, 0x7eec84bc0a6d79fd, "sTJFXeD3/eD9eW0KvITsfg=="},
	{pattern(31, 3), 0xb8cc43d889b92e0c, 0x833b8c390ccc43c5, "DC65idhDzLjFQ8wMOYw7gw=="},
	{pattern(32, 3), 0xe10b9985690e40f4, 0x28554cf193842d36, "9EAOaYWZC+E2LYST8UxVKA=="},
	{pattern(33, 3), 0x126b358fac1ab794, 0x7d7471da8cecbd07, "lLcarI81axIHveyM2nF0fQ=="},
	{pattern(63, 3), 0xca1cae9c64df1f4d, 0x50085c8ff26e412d, "TR/fZJyuHMotQW7yj1wIUA=="},
	{pattern(64, 3), 0x5345591ecf7c6e35, 0x9a9760e466b05a95, "NW58zx5ZRVOVWrBm5GCXmg=="},
	{pattern(95, 3), 0x0a04c3f05543399d, 0xbbb50efe8502cfff, "nTlDVfDDBAr/zwKF/g61uw=="},
	{pattern(96, 3), 0x1f928ec4e1b51a12, 0x5a481a7089a84595, "Ehq14cSOkh+VRaiJcBpIWg=="},
	{pattern(97, 3), 0x2700a2ae8303333c, 0xc1e96df79b0937d4, "PDMDg66iACfUNwmb923pwQ=="},
	{pattern(191, 3), 0x5a8b556721e70004, 0xbfbe8ba61a7acb43, "BADnIWdVi1pDy3oapou+vw=="},
	{pattern(192, 3), 0x4bd5231fc1b3b9cf, 0xf70d440762d6f476, "z7mzwR8j1Ut29NZiB0QN9w=="},
	{pattern(193, 3), 0x898f9ebe5674b3c2, 0xe9529fbaf0941aa2, "wrN0Vr6ej4miGpTwup9S6Q=="},
	{pattern(287, 3), 0xef60b12696bcb0ec, 0x4b891c4440f99a7c, "7LC8liaxYO98mvlARByJSw=="},
	{pattern(288, 3), 0x70a2ef669478aefb, 0x338f2a05aa705160, "+654lGbvonBgUXCqBSqPMw=="},
	{pattern(289, 3), 0x979e2c0df0d87bf0, 0x946c95c8a2daaf2c, "8HvY8A0snpcsr9qiyJVslA=="},
	{pattern(1000, 3), 0x85072d3218a51b05, 0x2412672ca9b5bf48, "BRulGDItB4VIv7WpLGcSJA=="},
	{pattern(100000, 3), 0x0e46c19554d6ee96, 0x22d5954adbbc4016, "lu7WVJXBRg4WQLzbSpXVIg=="},
	{counting(192), 0x02d13f94b2a31a54, 0x0ea393db758d85d3, "VBqjspQ/0QLThY1125OjDg=="},
	{[]byte("one"), 0xab5e1cb5c18098d1, 0x996f440119daa260, "0ZiAwbUcXqtgotoZAURvmQ=="},
}

// streamed hashes b in parts of at most step bytes.
func streamed(h *chunk.Hasher, b []byte, step int) chunk.ID {
	h.Reset()
	for len(b) > 0 {
		n := min(step, len(b))
		h.Write(b[:n])
		b = b[n:]
	}
	return h.Sum()
}

func TestVectors(t *testing.T) {
	check := func(t *testing.T, data []byte, want string) {
		t.Helper()
		if got := chunk.Sum(data).String(); got != want {
			t.Errorf("%d bytes: Sum = %s, want %s", len(data), got, want)
		}
		var h chunk.Hasher
		for _, step := range []int{1, 7, 95, 96, 97, 1 << 20} {
			if got := streamed(&h, data, step).String(); got != want {
				t.Errorf("%d bytes by %d: Hasher = %s, want %s", len(data), step, got, want)
			}
		}
	}
	for _, v := range clientVectors {
		check(t, pattern(v.n, v.n), v.id)
	}
	for _, v := range halvesVectors {
		check(t, v.data, v.id)
		var id chunk.ID
		binary.LittleEndian.PutUint64(id[:8], v.h1)
		binary.LittleEndian.PutUint64(id[8:], v.h2)
		if id.String() != v.id {
			t.Errorf("the halves of %d bytes spell %s, want %s", len(v.data), id, v.id)
		}
	}
}

// oracle is a second transcription of the algorithm, in loops over arrays as the
// pseudo code has them, so that a slip in the unrolled one can't hide.
func oracle(data []byte) chunk.ID {
	const c = 0xdeadbeefdeadbeef
	w64 := func(p int) uint64 { return binary.LittleEndian.Uint64(data[p:]) }
	id := func(h1, h2 uint64) (id chunk.ID) {
		binary.LittleEndian.PutUint64(id[:8], h1)
		binary.LittleEndian.PutUint64(id[8:], h2)
		return id
	}
	length := len(data)
	if length >= 192 {
		r := [12]int{11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46}
		re := [12]int{44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54}
		var h [12]uint64
		for i := 2; i < 12; i += 3 {
			h[i] = c
		}
		p := 0
		for ; length-p >= 96; p += 96 {
			for i := range 12 {
				h[i] += w64(p + 8*i)
				h[(i+2)%12] ^= h[(i+10)%12]
				h[(i+11)%12] ^= h[i]
				h[i] = bits.RotateLeft64(h[i], r[i])
				h[(i+11)%12] += h[(i+1)%12]
			}
		}
		var tail [96]byte
		copy(tail[:], data[p:])
		tail[95] = byte(length - p)
		for i := range 12 {
			h[i] += binary.LittleEndian.Uint64(tail[8*i:])
		}
		for range 3 {
			for i := range 12 {
				h[(i+11)%12] += h[(i+1)%12]
				h[(i+2)%12] ^= h[(i+11)%12]
				h[(i+1)%12] = bits.RotateLeft64(h[(i+1)%12], re[i])
			}
		}
		return id(h[0], h[1])
	}
	h := [4]uint64{0, 0, c, c}
	mix := func() {
		for _, row := range [3][4]int{{50, 52, 30, 41}, {54, 48, 38, 37}, {62, 34, 5, 36}} {
			for i, r := range row {
				h[(i+2)%4] = bits.RotateLeft64(h[(i+2)%4], r)
				h[(i+2)%4] += h[(i+3)%4]
				h[i] ^= h[(i+2)%4]
			}
		}
	}
	p := 0
	if length > 15 {
		for ; length-p >= 32; p += 32 {
			h[2] += w64(p)
			h[3] += w64(p + 8)
			mix()
			h[0] += w64(p + 16)
			h[1] += w64(p + 24)
		}
		if length-p >= 16 {
			h[2] += w64(p)
			h[3] += w64(p + 8)
			mix()
			p += 16
		}
	}
	h[3] += uint64(length) << 56
	if length == p {
		h[2] += c
		h[3] += c
	} else {
		var tail [16]byte
		copy(tail[:], data[p:])
		h[2] += binary.LittleEndian.Uint64(tail[:])
		h[3] += binary.LittleEndian.Uint64(tail[8:])
	}
	for n, r := range [11]int{15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63} {
		i := n % 4
		h[(i+3)%4] ^= h[(i+2)%4]
		h[(i+2)%4] = bits.RotateLeft64(h[(i+2)%4], r)
		h[(i+3)%4] += h[(i+2)%4]
	}
	return id(h[0], h[1])
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	rand.NewChaCha8(s).Read(b)
	return b
}

func TestSumAgainstOracle(t *testing.T) {
	data := randomBytes(1, 200_000)
	lengths := []int{4095, 4096, 4097, 65535, 65536, 100_000, 199_999}
	for n := range 2400 {
		lengths = append(lengths, n)
	}
	var h chunk.Hasher
	for _, n := range lengths {
		b := data[:n]
		want := oracle(b)
		if got := chunk.Sum(b); got != want {
			t.Fatalf("%d bytes: Sum = %s, want %s", n, got, want)
		}
		for _, step := range []int{1, 13, 96, 191, 192, n + 1} {
			if n > 3000 && step < 96 {
				continue
			}
			if got := streamed(&h, b, step); got != want {
				t.Fatalf("%d bytes by %d: Hasher = %s, want %s", n, step, got, want)
			}
		}
		if h.Size() != int64(n) {
			t.Fatalf("Size = %d, want %d", h.Size(), n)
		}
	}
}

func TestHasherSplits(t *testing.T) {
	data := randomBytes(2, 4000)
	edges := []int{0, 1, 95, 96, 97, 191, 192, 193, 287, 288, 289}
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.SampledFrom(edges), rapid.IntRange(0, 600))
		var h chunk.Hasher
		at := 0
		for _, n := range rapid.SliceOfN(part, 0, 6).Draw(t, "parts") {
			n, err := h.Write(data[at : at+n])
			if err != nil {
				t.Fatal(err)
			}
			at += n
			// A sum in between must not disturb what follows.
			if got, want := h.Sum(), oracle(data[:at]); got != want {
				t.Fatalf("after %d bytes: %s, want %s", at, got, want)
			}
		}
		if h.Size() != int64(at) {
			t.Fatalf("Size = %d, want %d", h.Size(), at)
		}
	})
}

func TestIDText(t *testing.T) {
	const good = "GQn1a/wGJyPHUei0Ze5yiw=="
	id, err := chunk.ParseID(good)
	if err != nil || id != chunk.Sum(nil) || id.String() != good {
		t.Fatalf("ParseID = %v, %v", id, err)
	}
	bad := []string{
		"", "=", good[:22], good[:23], good + "=", good + "\n", "\n" + good, " " + good[1:],
		good[:21] + "x==",                  // padding bits that are not zero
		strings.ReplaceAll(good, "/", "_"), // the alphabet of URLs
		"GQn1a/wGJyPHUei0Ze5yi2E=",         // 17 bytes
		"GQn1a/wGJyPHUei0Ze5yYWJj",         // 18 bytes
		good[:10] + "\n" + good[10:23], good[:22] + "\r\n", "====" + good[4:],
	}
	for _, s := range bad {
		id := chunk.ID{1}
		if err := id.UnmarshalText([]byte(s)); err != chunk.ErrID {
			t.Errorf("UnmarshalText(%q) = %v, want ErrID", s, err)
		}
		if id != (chunk.ID{1}) {
			t.Errorf("UnmarshalText(%q) changed the id", s)
		}
	}
	b, err := json.Marshal(map[chunk.ID]chunk.ID{id: id})
	if want := `{"` + good + `":"` + good + `"}`; err != nil || string(b) != want {
		t.Errorf("json = %s, %v; want %s", b, err, want)
	}
}

func FuzzIDText(f *testing.F) {
	f.Add("GQn1a/wGJyPHUei0Ze5yiw==")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := chunk.ParseID(s); err == nil && id.String() != s {
			t.Fatalf("%q and %q are one id", s, id)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10, 1 << 20} {
		data := randomBytes(3, size)
		b.Run(fmt.Sprintf("Sum/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				chunk.Sum(data)
			}
		})
		b.Run(fmt.Sprintf("Hasher/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			var h chunk.Hasher
			for b.Loop() {
				h.Reset()
				h.Write(data)
				h.Sum()
			}
		})
	}
}

func TestHasherDoesNotAllocate(t *testing.T) {
	data := bytes.Repeat([]byte("quire"), 1000)
	var h chunk.Hasher
	if n := testing.AllocsPerRun(10, func() { h.Reset(); h.Write(data); h.Sum() }); n != 0 {
		t.Errorf("%v allocations for a chunk", n)
	}
}
