package catalog_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/catalog"
)

// FuzzManifest: whatever is stored, reading it fails or gives a manifest that
// is stored the same way again.
func FuzzManifest(f *testing.F) {
	good, err := catalog.EncodeManifest(&quire.Manifest{Streams: []quire.Stream{
		{ID: quire.MainContent, Size: 9, Extents: []quire.Extent{{Segment: "x", Offset: 1, Length: 4}, {Segment: "y", Length: 5}}, Signature: []byte{1}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again quire.Manifest
		if catalog.DecodeManifest(b, &m) != nil {
			return
		}
		out, err := catalog.EncodeManifest(&m)
		if err != nil {
			t.Fatal(err)
		}
		if err := catalog.DecodeManifest(out, &again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Error(d)
		}
		if twice, err := catalog.EncodeManifest(&again); err != nil || !bytes.Equal(twice, out) {
			t.Errorf("%x, then %x (%v)", out, twice, err)
		}
	})
}

func TestImpossibleManifests(t *testing.T) {
	for _, s := range []quire.Stream{
		{Size: 1},
		{Size: 0, Extents: []quire.Extent{{Segment: "x", Length: 0}}},
		{Size: 1, Extents: []quire.Extent{{Segment: "x", Offset: -1, Length: 1}}},
		{Size: 2, Extents: []quire.Extent{{Segment: "x", Length: 1}}},
	} {
		if _, err := catalog.EncodeManifest(&quire.Manifest{Streams: []quire.Stream{s}}); err == nil {
			t.Errorf("%+v was stored", s)
		}
	}
}
