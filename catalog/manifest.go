package catalog

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/quire-docs/quire"
)

// A manifest is stored as one value: a version byte, the table of segments
// that it names, then the streams. Numbers are unsigned varints, text and
// bytes follow their length. docs/formats.md has the layout.
const manifestVersion = 1

// EncodeManifest returns the stored form of a manifest.
func EncodeManifest(m *quire.Manifest) ([]byte, error) {
	index := make(map[quire.SegmentID]uint64)
	var names []quire.SegmentID
	for _, s := range m.Streams {
		for _, e := range s.Extents {
			if _, ok := index[e.Segment]; !ok {
				index[e.Segment] = uint64(len(names))
				names = append(names, e.Segment)
			}
		}
	}
	b := make([]byte, 0, 64+32*len(names))
	b = append(b, manifestVersion)
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, n := range names {
		b = appendText(b, string(n))
	}
	b = binary.AppendUvarint(b, uint64(len(m.Streams)))
	for _, s := range m.Streams {
		b = appendText(b, string(s.ID))
		b = binary.AppendUvarint(b, uint64(millis(s.Updated)))
		b = binary.AppendUvarint(b, uint64(len(s.Extents)))
		var size int64
		for _, e := range s.Extents {
			if e.Offset < 0 || e.Length <= 0 || size > math.MaxInt64-e.Length {
				return nil, errors.New("catalog: a manifest with an impossible extent")
			}
			size += e.Length
			b = binary.AppendUvarint(b, index[e.Segment])
			b = binary.AppendUvarint(b, uint64(e.Offset))
			b = binary.AppendUvarint(b, uint64(e.Length))
		}
		if size != s.Size {
			return nil, errors.New("catalog: a manifest whose extents do not add up to the stream's size")
		}
		b = appendText(b, string(s.Signature))
	}
	return b, nil
}

var errManifest = errors.New("catalog: a manifest that cannot be read: run fsck")

// DecodeManifest reads the stored form of a manifest.
func DecodeManifest(b []byte, m *quire.Manifest) error {
	d := decoder{b: b}
	if d.byte() != manifestVersion {
		return errManifest
	}
	names := make([]quire.SegmentID, 0, d.count(1))
	for range cap(names) {
		names = append(names, quire.SegmentID(d.text()))
	}
	streams := make([]quire.Stream, 0, d.count(4))
	for range cap(streams) {
		s := quire.Stream{ID: quire.StreamID(d.text()), Updated: fromMillis(d.int())}
		s.Extents = make([]quire.Extent, 0, d.count(3))
		for range cap(s.Extents) {
			i := d.uint()
			if i >= uint64(len(names)) {
				return errManifest
			}
			e := quire.Extent{Segment: names[i], Offset: d.int(), Length: d.int()}
			if e.Length <= 0 || e.Offset > math.MaxInt64-e.Length || s.Size > math.MaxInt64-e.Length {
				return errManifest
			}
			s.Size += e.Length
			s.Extents = append(s.Extents, e)
		}
		if t := d.text(); t != "" {
			s.Signature = []byte(t)
		}
		streams = append(streams, s)
	}
	if d.bad || len(d.b) != 0 {
		return errManifest
	}
	m.Streams = streams
	return nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads the parts of a stored value. Once something does not fit, all
// that follows is zero and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v := d.uint()
	if v > math.MaxInt64 {
		d.fail()
		return 0
	}
	return int64(v)
}

// count reads how many parts follow. Each takes at least some bytes, so that
// a lying count cannot make the reader allocate more than it was given.
func (d *decoder) count(atLeast int) int {
	v := d.uint()
	if v > uint64(len(d.b)/atLeast) {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *decoder) text() string {
	n := d.count(1)
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
