package chunk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// A zip archive is read here only as far as cutting it needs: where its directory
// lies, where each entry begins, and how long its data are. Nothing is decompressed,
// no name is looked at, and an archive that is bent, or that can be read in two ways,
// is none.

const (
	// maxZipEntries and maxDirectory bound what is read and kept of a directory. An
	// archive beyond them is not cut.
	maxZipEntries = 200_000
	maxDirectory  = 64 << 20

	localHeaderSize     = 30
	centralHeaderSize   = 46
	endRecordSize       = 22
	maxEndRecord        = endRecordSize + 0xffff // with the longest comment
	zip64EndRecordSize  = 56
	zip64LocatorSize    = 20
	localHeaderMark     = "PK\x03\x04"
	centralHeaderMark   = "PK\x01\x02"
	endRecordMark       = "PK\x05\x06"
	zip64EndRecordMark  = "PK\x06\x06"
	zip64LocatorMark    = "PK\x06\x07"
	zip64ExtraID        = 1
	saturated16, disk64 = 0xffff, 0xffffffff
)

// errNotZip says that a stream is not a zip archive that can be cut. It never leaves
// the package.
var errNotZip = errors.New("chunk: not a zip archive to be cut")

// entry is where a zip entry begins, in bytes from the start of the stream, and how
// many bytes its data take.
type entry struct {
	offset, data int64
}

// directory is what the central directory says.
type directory struct {
	entries []entry // by rising offset
	start   int64   // of the directory itself
}

// endRecord is what the end of central directory record, or its 64 bit form, says.
type endRecord struct {
	count        uint64
	size, offset uint64 // of the directory; the offset as the archive counts
	at           int64  // where the record lies in the stream, which is where the directory ends
}

// readDirectory reads the central directory. The error is errNotZip or that of
// reading.
func readDirectory(w *window) (directory, error) {
	end, err := findEnd(w)
	if err != nil {
		return directory{}, err
	}
	if end.count > maxZipEntries || end.size > maxDirectory || end.size > uint64(end.at) ||
		end.count > end.size/centralHeaderSize {
		return directory{}, errNotZip
	}
	d := directory{start: end.at - int64(end.size)}
	// An archive that was put behind something else, as a self-extracting one, may count
	// from its own start; the directory ends where the end record begins, so that start is
	// known.
	if end.offset > uint64(d.start) {
		return directory{}, errNotZip
	}
	base := d.start - int64(end.offset)

	d.entries = make([]entry, 0, end.count) // the bytes for that many are there
	at := d.start
	for range end.count {
		var e entry
		if at, err = readCentralHeader(w, at, end.at, &e); err != nil {
			return directory{}, err
		}
		if e.offset > d.start-base {
			return directory{}, errNotZip
		}
		e.offset += base
		d.entries = append(d.entries, e)
	}
	if at != end.at {
		return directory{}, errNotZip
	}
	slices.SortFunc(d.entries, func(a, b entry) int { return cmp.Compare(a.offset, b.offset) })
	return d, nil
}

// findEnd finds the end of central directory record, whose comment must reach the end
// of the stream.
func findEnd(w *window) (endRecord, error) {
	// One read gets all that may matter, and of most archives the directory as well.
	n := min(windowSize, w.size)
	tail, err := w.bytes(w.size-n, int(n))
	if err != nil {
		return endRecord{}, err
	}
	tail = tail[max(0, len(tail)-maxEndRecord):]
	// From the back, for a comment may hold anything.
	for i := len(tail) - endRecordSize; i >= 0; i-- {
		if i = bytes.LastIndex(tail[:i+len(endRecordMark)], []byte(endRecordMark)); i < 0 {
			break
		}
		b := tail[i:]
		if len(b) == endRecordSize+int(binary.LittleEndian.Uint16(b[20:])) {
			return readEnd(w, w.size-int64(len(b)), b)
		}
	}
	return endRecord{}, errNotZip
}

func readEnd(w *window, at int64, b []byte) (endRecord, error) {
	le := binary.LittleEndian
	disk, dirDisk, onDisk, count := le.Uint16(b[4:]), le.Uint16(b[6:]), le.Uint16(b[8:]), le.Uint16(b[10:])
	size, offset := le.Uint32(b[12:]), le.Uint32(b[16:])
	end := endRecord{count: uint64(count), size: uint64(size), offset: uint64(offset), at: at}
	// b is not looked at any more: reading on may overwrite it.
	large, ok, err := readZip64End(w, at)
	if err != nil {
		return endRecord{}, err
	}
	if ok {
		// What the small record can say it must say alike; what it can't is saturated.
		agrees := func(small, most, large uint64) bool { return small == large || small == most }
		if agrees(end.count, saturated16, large.count) && agrees(end.size, disk64, large.size) &&
			agrees(end.offset, disk64, large.offset) && agrees(uint64(onDisk), saturated16, large.count) &&
			agrees(uint64(disk), saturated16, 0) && agrees(uint64(dirDisk), saturated16, 0) {
			return large, nil
		}
		return endRecord{}, errNotZip
	}
	if disk != 0 || dirDisk != 0 || onDisk != count {
		return endRecord{}, errNotZip
	}
	return end, nil
}

// readZip64End reads the 64 bit end record that may lie before the one at the given
// place; false if there is none.
func readZip64End(w *window, at int64) (endRecord, bool, error) {
	none := func(err error) (endRecord, bool, error) { return endRecord{}, false, err }
	locator := at - zip64LocatorSize
	if locator < zip64EndRecordSize {
		return none(nil)
	}
	b, err := w.bytes(locator, zip64LocatorSize)
	if err != nil {
		return none(err)
	}
	le := binary.LittleEndian
	if string(b[:4]) != zip64LocatorMark {
		return none(nil)
	}
	offset := le.Uint64(b[8:])
	if le.Uint32(b[4:]) != 0 || le.Uint32(b[16:]) > 1 {
		return none(errNotZip)
	}
	// The locator counts as the archive does, which may be from behind a prefix; without
	// extra data the record lies right before the locator.
	for _, start := range []uint64{offset, uint64(locator - zip64EndRecordSize)} {
		if start > uint64(locator-zip64EndRecordSize) {
			continue
		}
		b, err := w.bytes(int64(start), zip64EndRecordSize)
		if err != nil {
			return none(err)
		}
		if string(b[:4]) != zip64EndRecordMark || le.Uint64(b[4:]) != uint64(locator)-start-12 {
			continue
		}
		end := endRecord{count: le.Uint64(b[32:]), size: le.Uint64(b[40:]), offset: le.Uint64(b[48:]), at: int64(start)}
		if le.Uint32(b[16:]) != 0 || le.Uint32(b[20:]) != 0 || le.Uint64(b[24:]) != end.count {
			return none(errNotZip)
		}
		return end, true, nil
	}
	return none(errNotZip)
}

// readCentralHeader reads the directory's header at the given place, which with all
// its fields ends at limit or before, into e, and returns where it ends. The offset
// in e is as the archive counts. Both numbers in e fit an int64 with room to spare.
func readCentralHeader(w *window, at, limit int64, e *entry) (int64, error) {
	if limit-at < centralHeaderSize {
		return 0, errNotZip
	}
	b, err := w.bytes(at, centralHeaderSize)
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	if string(b[:4]) != centralHeaderMark {
		return 0, errNotZip
	}
	data, full, offset := uint64(le.Uint32(b[20:])), le.Uint32(b[24:]), uint64(le.Uint32(b[42:]))
	name, extra, comment := int64(le.Uint16(b[28:])), int64(le.Uint16(b[30:])), int64(le.Uint16(b[32:]))
	disk := le.Uint16(b[34:])
	next := at + centralHeaderSize + name + extra + comment
	if next > limit {
		return 0, errNotZip
	}
	if data == disk64 || offset == disk64 || disk == saturated16 {
		field, err := w.bytes(at+centralHeaderSize+name, int(extra))
		if err != nil {
			return 0, err
		}
		z := zip64Extra(field)
		// The field holds only what is saturated in the header, in this order.
		take := func(n int) uint64 {
			if len(z) < n {
				err = errNotZip
				return 0
			}
			v := z[:n]
			z = z[n:]
			if n == 4 {
				return uint64(le.Uint32(v))
			}
			return le.Uint64(v)
		}
		if full == disk64 {
			take(8)
		}
		if data == disk64 {
			data = take(8)
		}
		if offset == disk64 {
			offset = take(8)
		}
		if disk == saturated16 {
			disk = uint16(min(take(4), saturated16))
		}
		if err != nil {
			return 0, err
		}
	}
	if disk != 0 || data > uint64(w.size) || offset > uint64(w.size) {
		return 0, errNotZip
	}
	*e = entry{offset: int64(offset), data: int64(data)}
	return next, nil
}

// zip64Extra returns the 64 bit numbers among an entry's extra fields; nil if there
// are none.
func zip64Extra(b []byte) []byte {
	for len(b) >= 4 {
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		b = b[4:]
		if n > len(b) {
			return nil
		}
		if id == zip64ExtraID {
			return b[:n]
		}
		b = b[n:]
	}
	return nil
}
