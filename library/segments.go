package library

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/zeebo/blake3"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
)

// The keys of the blob store are the ids of its segments.
func blobKey(id quire.SegmentID) blob.Key { return blob.Key(id) }

func fromBlob(s blob.Segment) fresh {
	return fresh{Segment: quire.Segment{ID: quire.SegmentID(s.Key), Size: s.Size, Sum: s.Sum[:]}}
}

// inline makes a segment that will live in the catalog.
func (l *Library) inline(data []byte) fresh {
	sum := blake3.Sum256(data)
	return fresh{
		Segment: quire.Segment{ID: quire.CatalogSegment(l.recordID()), Size: int64(len(data)), Sum: sum[:]},
		data:    data,
	}
}

// recordID returns an id for a new record. Nothing rests on it being hard to guess,
// but it is: at least 80 of its bits are random.
func (l *Library) recordID() string {
	if l.cat.Serial() {
		return risingID()
	}
	return NewID()
}

// risingID returns an id that is mostly greater than those made before it, so
// that the records of what is new lie beside each other.
func risingID() string {
	var b [16]byte
	rand.Read(b[6:])
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().UnixMilli())<<16|uint64(b[6])<<8|uint64(b[7]))
	return risingText.EncodeToString(b[:])
}

// risingText keeps the order of what it encodes.
var risingText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// storage turns the blob store's errors into the domain's.
func storage(err error) error {
	switch {
	case errors.Is(err, blob.ErrNoSpace):
		return fmt.Errorf("%w (%w)", quire.ErrNoSpace, err)
	case errors.Is(err, blob.ErrTransient):
		return fmt.Errorf("%w (%w)", &quire.Unavailable{Reason: "the storage is not reachable: try again soon", After: retryAfter}, err)
	}
	return err
}

// intact compares bytes with the checksum that was stored with them.
func intact(data []byte, s quire.Segment) bool {
	sum := blake3.Sum256(data)
	return int64(len(data)) == s.Size && bytes.Equal(sum[:], s.Sum)
}

// toBlob is the inverse of fromBlob.
func toBlob(s quire.Segment) blob.Segment {
	b := blob.Segment{Key: blobKey(s.ID), Size: s.Size}
	copy(b.Sum[:], s.Sum)
	return b
}
