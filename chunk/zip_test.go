package chunk_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quire-docs/quire/chunk"
)

// sampleArchive is a published sample: three stored members, one of them empty.
const sampleArchive = "UEsDBBQAAAAAAIMYIlDHHBc8CAAAAAgAAAATAAAAW0NvbnRlbnRfVHlwZXNdLnhtbDxUeXBlcy8+UEsDBBQAAAAAAI" +
	"MYIlAAAAAAAAAAAAAAAAAJAAAAZW1wdHkuYmluUEsDBBQAAAAAAIMYIlCiTX2K9wAAAPcAAAARAAAAd29yZC9kb2N1" +
	"bWVudC54bWw8dz5oZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZW" +
	"xsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxs" +
	"byBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsby" +
	"BoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyBoZWxsbyA8L3c+UEsBAhQAFAAAAAAAgxgi" +
	"UMccFzwIAAAACAAAABMAAAAAAAAAAAAAAIABAAAAAFtDb250ZW50X1R5cGVzXS54bWxQSwECFAAUAAAAAACDGCJQAA" +
	"AAAAAAAAAAAAAACQAAAAAAAAAAAAAAgAE5AAAAZW1wdHkuYmluUEsBAhQAFAAAAAAAgxgiUKJNfYr3AAAA9wAAABEA" +
	"AAAAAAAAAAAAAIABYAAAAHdvcmQvZG9jdW1lbnQueG1sUEsFBgAAAAADAAMAtwAAAIYBAAAAAA=="

func decode(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSampleArchive(t *testing.T) {
	data := decode(t, sampleArchive)
	want := []struct {
		offset, length int64
		id             string
	}{
		{0, 49, "IT0YarSzGTZNOZ/bdL1bXg=="},
		{49, 8, "YasMGmR0p8SaQK/dJdQDoA=="},
		{57, 39, "WTxi6ykpOGpLoTZzbW89ZA=="},
		{96, 47, "bDM5ytBwa/7wyYiaFM7JPQ=="},
		{143, 247, "ZI+D0ZKEQIcaFin6nQQoOA=="},
		{390, 205, "m6jnJOZtiKXSo23kLYZdKA=="},
	}
	s := sign(t, data)
	if s.Scheme != chunk.Zip || len(s.Chunks) != len(want) {
		t.Fatalf("Sign = %v with %d chunks, want Zip with %d", s.Scheme, len(s.Chunks), len(want))
	}
	for i, p := range s.Pieces() {
		w := want[i]
		if p != (chunk.Piece{Offset: w.offset, Length: w.length}) || s.Chunks[i].ID.String() != w.id {
			t.Errorf("chunk %d = %v %v, want %v", i, p, s.Chunks[i].ID, w)
		}
	}
	if c, ok := s.LastZipChunk(); !ok || c.ID.String() != want[5].id {
		t.Errorf("LastZipChunk = %v, %v", c, ok)
	}
	if got := chunk.Sum(data).String(); got != "vKdzUa2Q7zjuNQSgRQnPpQ==" {
		t.Errorf("the whole archive hashes to %s", got)
	}
}

// member is an entry of an archive made by hand, with whatever bends it.
type member struct {
	name       string
	extra      string // of the local header only
	data       string
	descriptor string // after the data: a descriptor, padding
	zip64      bool   // the directory's sizes and offset are in its extra field
	disk       uint16

	noMark  bool  // the local header's mark is wrong
	sizeBy  int64 // is added to the size that the directory states
	offset  int64 // is added to the offset that the directory states
	inOther int   // n > 0: the directory points to the header of member n-1
}

// archive is a zip archive made by hand.
type archive struct {
	prefix   string
	relative bool // offsets count from behind the prefix
	members  []member
	order    []int // of the directory; as stored if nil
	between  string
	comment  string
	zip64    bool   // with a 64 bit end record
	zip64Pad string // extra data in it
	// The small end record also says what it can.
	zip64Spare bool

	countBy, sizeBy, offsetBy int // are added to what the end record states
	disk                      uint16
	trailer                   string // behind everything
	afterDir                  string // between the directory and the end records
}

// build returns the archive and how it is to be cut.
func (a archive) build() ([]byte, []chunk.Piece) {
	le := binary.LittleEndian
	var out []byte
	var pieces []chunk.Piece
	cut := func() {
		var end int64
		if n := len(pieces); n > 0 {
			end = pieces[n-1].Offset + pieces[n-1].Length
		}
		if n := int64(len(out)); n > end {
			pieces = append(pieces, chunk.Piece{Offset: end, Length: n - end})
		}
	}
	out = append(out, a.prefix...)
	cut()
	base := 0
	if a.relative {
		base = len(out)
	}
	offsets := make([]int64, len(a.members))
	for i, m := range a.members {
		offsets[i] = int64(len(out) - base)
		mark := "PK\x03\x04"
		if m.noMark {
			mark = "PK\x03\x05"
		}
		out = append(out, mark...)
		out = append(out, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		out = le.AppendUint32(out, crc32.ChecksumIEEE([]byte(m.data)))
		out = le.AppendUint32(out, uint32(len(m.data)))
		out = le.AppendUint32(out, uint32(len(m.data)))
		out = le.AppendUint16(out, uint16(len(m.name)))
		out = le.AppendUint16(out, uint16(len(m.extra)))
		out = append(append(out, m.name...), m.extra...)
		cut()
		out = append(out, m.data...)
		cut()
		out = append(out, m.descriptor...)
		cut()
	}
	out = append(out, a.between...)
	if n := len(pieces); len(a.between) > 0 && n > 0 && len(a.members) > 0 && a.members[len(a.members)-1].descriptor != "" {
		pieces = pieces[:n-1] // the padding is one with the descriptor
	}
	cut()
	order := a.order
	if order == nil {
		for i := range a.members {
			order = append(order, i)
		}
	}
	start := len(out)
	for _, i := range order {
		m := a.members[i]
		offset := offsets[i] + m.offset
		if m.inOther > 0 {
			offset = offsets[m.inOther-1]
		}
		size := int64(len(m.data)) + m.sizeBy
		out = append(out, "PK\x01\x02\x14\x00\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
		out = le.AppendUint32(out, crc32.ChecksumIEEE([]byte(m.data)))
		var extra []byte
		if m.zip64 {
			extra = append(extra, 0xca, 0xfe, 2, 0, 1, 2) // one that is not ours comes first
			extra = append(extra, 1, 0, 28, 0)
			extra = le.AppendUint64(extra, uint64(len(m.data)))
			extra = le.AppendUint64(extra, uint64(size))
			extra = le.AppendUint64(extra, uint64(offset))
			extra = le.AppendUint32(extra, uint32(m.disk))
			out = append(out, "\xff\xff\xff\xff\xff\xff\xff\xff"...)
		} else {
			out = le.AppendUint32(out, uint32(size))
			out = le.AppendUint32(out, uint32(len(m.data)))
		}
		out = le.AppendUint16(out, uint16(len(m.name)))
		out = le.AppendUint16(out, uint16(len(extra)))
		out = le.AppendUint16(out, 3)
		if m.zip64 {
			out = append(out, "\xff\xff\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"...)
		} else {
			out = le.AppendUint16(out, m.disk)
			out = append(out, 0, 0, 0, 0, 0, 0)
			out = le.AppendUint32(out, uint32(offset))
		}
		out = append(append(append(out, m.name...), extra...), "abc"...)
	}
	count, size, offset := len(order)+a.countBy, len(out)-start+a.sizeBy, start-base+a.offsetBy
	out = append(out, a.afterDir...)
	if a.zip64 {
		at := len(out) - base
		out = append(out, "PK\x06\x06"...)
		out = le.AppendUint64(out, uint64(44+len(a.zip64Pad)))
		out = append(out, 45, 0, 45, 0)
		out = le.AppendUint32(out, uint32(a.disk))
		out = le.AppendUint32(out, 0)
		out = le.AppendUint64(out, uint64(count))
		out = le.AppendUint64(out, uint64(count))
		out = le.AppendUint64(out, uint64(size))
		out = le.AppendUint64(out, uint64(offset))
		out = append(out, a.zip64Pad...)
		out = append(out, "PK\x06\x07\x00\x00\x00\x00"...)
		out = le.AppendUint64(out, uint64(at))
		out = append(out, 1, 0, 0, 0)
	}
	out = append(out, "PK\x05\x06"...)
	if a.zip64 && !a.zip64Spare {
		out = append(out, bytes.Repeat([]byte{0xff}, 16)...)
	} else {
		out = le.AppendUint16(out, a.disk)
		out = le.AppendUint16(out, 0)
		out = le.AppendUint16(out, uint16(count))
		out = le.AppendUint16(out, uint16(count))
		out = le.AppendUint32(out, uint32(size))
		out = le.AppendUint32(out, uint32(offset))
	}
	out = le.AppendUint16(out, uint16(len(a.comment)))
	out = append(append(out, a.comment...), a.trailer...)
	cut()
	return out, pieces
}

var some = []member{
	{name: "[Content_Types].xml", data: "<Types/>"},
	{name: "empty.bin"},
	{name: "word/", extra: "xxxxx"},
	{name: "word/document.xml", data: "<w>hello</w>", extra: "\xca\xfe\x01\x00z"},
}

// with returns the members of some, of which the given one is changed.
func with(i int, change func(*member)) []member {
	m := append([]member(nil), some...)
	change(&m[i])
	return m
}

func TestCutArchives(t *testing.T) {
	descriptor := "PK\x07\x08012345678901"
	all64 := append([]member(nil), some...)
	for i := range all64 {
		all64[i].zip64 = true
	}
	noData := []member{{name: "a/"}, {name: "b/"}}
	for name, a := range map[string]archive{
		"plain":                  {members: some},
		"no entries":             {},
		"no entries, prefix":     {prefix: "#!/bin/sh", relative: true},
		"no data":                {members: noData},
		"comment":                {members: some, comment: "made by hand"},
		"comment with a mark":    {members: some, comment: "PK\x05\x06 and more text than a record has"},
		"longest comment":        {members: some, comment: string(make([]byte, 0xffff))},
		"prefix":                 {members: some, prefix: "MZ..."},
		"prefix, relative":       {members: some, prefix: "MZ...", relative: true},
		"descriptor":             {members: with(0, func(m *member) { m.descriptor = descriptor })},
		"descriptor of nothing":  {members: with(1, func(m *member) { m.descriptor = descriptor })},
		"descriptor of the last": {members: with(3, func(m *member) { m.descriptor = descriptor })},
		"padding":                {members: with(2, func(m *member) { m.descriptor = "\x00\x00\x00" })},
		"padding at the end":     {members: some, between: "\x00\x00\x00"},
		"out of order":           {members: some, order: []int{3, 1, 0, 2}},
		"entry not listed":       {members: []member{some[0]}, between: "PK\x03\x04 a deleted one"},
		"zip64 entries":          {members: all64},
		"zip64 end":              {members: some, zip64: true},
		"zip64 end, spare":       {members: some, zip64: true, zip64Spare: true},
		"zip64 end, padded":      {members: some, zip64: true, zip64Pad: "0123"},
		"zip64 both, prefix":     {members: all64, zip64: true, prefix: "MZ", comment: "c"},
		"zip64, relative":        {members: all64, zip64: true, prefix: "MZ", relative: true},
		"zip64, no entries":      {zip64: true},
	} {
		t.Run(name, func(t *testing.T) {
			data, want := a.build()
			checkTiles(t, data, chunk.Zip, want)
		})
	}
}

// TestCutLies has archives that must not be cut.
func TestCutLies(t *testing.T) {
	for name, a := range map[string]archive{
		"trailing garbage":       {members: some, trailer: "x"},
		"gap after directory":    {members: some, afterDir: "a signature"},
		"one entry too many":     {members: some, countBy: 1},
		"one entry too few":      {members: some, countBy: -1},
		"no entries counted":     {members: some, countBy: -4},
		"directory too short":    {members: some, sizeBy: -1},
		"directory too long":     {members: some, sizeBy: 1},
		"directory too far":      {members: some, offsetBy: 1},
		"directory too near":     {members: some, offsetBy: -1},
		"directory out of reach": {members: some, offsetBy: 1 << 30},
		"huge directory":         {members: some, sizeBy: 1 << 30},
		"disk of the end":        {members: some, disk: 1},
		"disk of the zip64 end":  {members: some, disk: 1, zip64: true},
		"disk of an entry":       {members: with(1, func(m *member) { m.disk = 1 })},
		"disk of a zip64 entry":  {members: with(1, func(m *member) { m.disk = 1; m.zip64 = true })},
		"no mark":                {members: with(1, func(m *member) { m.noMark = true })},
		"no mark on the last":    {members: with(3, func(m *member) { m.noMark = true })},
		"data too long":          {members: with(0, func(m *member) { m.sizeBy = 1 })},
		"data of the last":       {members: with(3, func(m *member) { m.sizeBy = 1 })},
		"data into nowhere":      {members: with(3, func(m *member) { m.sizeBy = 1 << 30 })},
		"data beyond an int64":   {members: with(0, func(m *member) { m.zip64 = true; m.sizeBy = -100 })},
		"data of 63 bits":        {members: with(0, func(m *member) { m.zip64 = true; m.sizeBy = 1<<63 - 20 })},
		"offset beyond an int64": {members: with(0, func(m *member) { m.zip64 = true; m.offset = -1 })},
		"offset in a header":     {members: with(1, func(m *member) { m.offset = 1 })},
		"offset in data":         {members: with(1, func(m *member) { m.offset = -1 })},
		"offset in directory":    {members: with(3, func(m *member) { m.offset = 80 })},
		"offset out of reach":    {members: with(3, func(m *member) { m.offset = 1 << 30 })},
		"one header for two":     {members: with(3, func(m *member) { m.inOther = 1 })},
		"zip64 entry too many":   {members: some, zip64: true, countBy: 1},
		"zip64 directory":        {members: some, zip64: true, sizeBy: -1},
	} {
		t.Run(name, func(t *testing.T) {
			data, _ := a.build()
			checkTiles(t, data, chunk.FullFile, []chunk.Piece{{Offset: 0, Length: int64(len(data))}})
		})
	}

	sound, _ := archive{members: some, zip64: true}.build()
	end := len(sound) - 22
	bend := func(name string, change func(b []byte)) {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(sound)
			change(data)
			checkTiles(t, data, chunk.FullFile, []chunk.Piece{{Offset: 0, Length: int64(len(data))}})
		})
	}
	bend("locator without its record", func(b []byte) { b[end-76] = 'x' })
	bend("locator of another disk", func(b []byte) { b[end-16] = 1 })
	bend("locator of many disks", func(b []byte) { b[end-4] = 2 })
	bend("record of another length", func(b []byte) { b[end-72]++ })
	bend("end records that differ", func(b []byte) { binary.LittleEndian.PutUint16(b[end+10:], 3) })
	bend("no locator", func(b []byte) { b[end-20] = 'x' })
	bend("entries on this disk", func(b []byte) { b[end-52]++ })
	bend("saturated size without a number", func(b []byte) { saturate(b, 20) })
	bend("saturated offset without a number", func(b []byte) { saturate(b, 42) })
	bend("no mark in the directory", func(b []byte) { b[bytes.Index(b, []byte("PK\x01\x02"))] = 'x' })
	bend("name over the directory's end", func(b []byte) { b[bytes.LastIndex(b, []byte("PK\x01\x02"))+29] = 1 })
	bend("local name too long", func(b []byte) { b[27] = 0xff })
}

// saturate sets a number of the first header in the directory to 2^32-1.
func saturate(b []byte, at int) {
	copy(b[bytes.Index(b, []byte("PK\x01\x02"))+at:], "\xff\xff\xff\xff")
}

// TestCutBentZip64Fields has extra fields that hold less than the header needs.
func TestCutBentZip64Fields(t *testing.T) {
	data, _ := archive{members: []member{{name: "a", data: "text", zip64: true}}}.build()
	field := bytes.Index(data, []byte("\xca\xfe\x02\x00"))
	for name, change := range map[string]func(b []byte){
		"field ends early":       func(b []byte) { b[8] = 20 },
		"field for another":      func(b []byte) { b[6] = 2 },
		"field beyond its bytes": func(b []byte) { b[2] = 0xff },
		"long field":             func(b []byte) { b[8] = 29 },
	} {
		bent := bytes.Clone(data)
		change(bent[field:])
		t.Run(name, func(t *testing.T) {
			checkTiles(t, bent, chunk.FullFile, []chunk.Piece{{Length: int64(len(bent))}})
		})
	}
}

// document returns an archive as programs write them, of n parts of different kinds.
func document(t testing.TB, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := range n {
		text := bytes.Repeat(fmt.Appendf(nil, "<row r=%d/>", i), i%50)
		head := &zip.FileHeader{Name: fmt.Sprintf("xl/worksheets/sheet%d.xml", i), Method: zip.Deflate}
		var part io.Writer
		var err error
		switch i % 4 {
		case 0: // deflated, with a data descriptor
			part, err = w.CreateHeader(head)
		case 1: // without one
			head.CRC32, head.UncompressedSize64, head.CompressedSize64 = crc32.ChecksumIEEE(text), uint64(len(text)), uint64(len(text))
			head.Method = zip.Store
			part, err = w.CreateRaw(head)
		case 2: // stored, with a data descriptor
			head.Method = zip.Store
			part, err = w.CreateHeader(head)
		case 3:
			head.Name = fmt.Sprintf("dir%d/", i)
			part, err = w.CreateHeader(head)
			text = nil
		}
		if err == nil {
			_, err = part.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.SetComment("a document"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestCutAgainstReader compares with where the standard library finds the data.
func TestCutAgainstReader(t *testing.T) {
	data := document(t, 300)
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var want []chunk.Piece
	var end int64
	add := func(to int64) {
		if to > end {
			want = append(want, chunk.Piece{Offset: end, Length: to - end})
			end = to
		}
	}
	for _, f := range r.File {
		at, err := f.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		add(at)
		add(at + int64(f.CompressedSize64))
		if f.Flags&8 != 0 {
			add(end + 16)
		}
	}
	add(int64(len(data)))
	checkTiles(t, data, chunk.Zip, want)
}

func TestCutTooManyEntries(t *testing.T) {
	// 65,536 entries need the 64 bit end record; beyond 200,000 an archive is not cut.
	for n, want := range map[int]chunk.Scheme{65_535: chunk.Zip, 65_536: chunk.Zip, 200_000: chunk.Zip, 200_001: chunk.FullFile} {
		data, pieces := archive{members: make([]member, n), zip64: true}.build()
		if want == chunk.FullFile {
			pieces = []chunk.Piece{{Offset: 0, Length: int64(len(data))}}
		}
		scheme, got, err := chunk.Cut(bytes.NewReader(data), int64(len(data)))
		if err != nil || scheme != want || !cmp.Equal(got, pieces) {
			t.Errorf("%d entries: %v, %d pieces, %v; want %v, %d pieces", n, scheme, len(got), err, want, len(pieces))
		}
	}
}
