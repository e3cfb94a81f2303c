package transform

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// maxDirectory is how long an archive's directory may be, in bytes: some 200,000
// members with names of usual length.
const maxDirectory = 16 << 20

// Archives that are refused before their directory is in memory.
var (
	ErrNoArchive      = errors.New("the file is no zip archive, or a damaged one")
	ErrTooManyMembers = errors.New("the archive has too many members")
)

// OpenArchive reads a zip archive's directory, which may be up to 16 MiB long:
// what it costs in memory does not follow what a file says of itself. It returns
// ErrNoArchive, ErrTooManyMembers, or what reading the file failed with.
func OpenArchive(in io.ReaderAt, size int64) (*zip.Reader, error) {
	// archive/zip makes room for as many members as are announced.
	if n, err := announced(in, size); err != nil {
		return nil, err
	} else if n > maxDirectory/46 { // the shortest entry has 46 bytes
		return nil, ErrTooManyMembers
	}
	// It goes on past the announced length while there are entries, so what it
	// reads is counted as well; 128 KiB more for its search for the end.
	m := &metered{in: in, left: maxDirectory + 128<<10, on: true}
	z, err := zip.NewReader(m, size)
	m.on = false
	switch {
	case err == nil:
		return z, nil
	case errors.Is(err, ErrTooManyMembers), m.err != nil:
		return nil, errors.Join(m.err, err)
	}
	return nil, ErrNoArchive
}

// announced is how many members an archive says to have: the larger number, if
// the end record and its zip64 form differ.
func announced(in io.ReaderAt, size int64) (uint64, error) {
	if size < 22 {
		return 0, ErrNoArchive
	}
	tail := make([]byte, min(size, 22+64<<10))
	start := size - int64(len(tail))
	if n, err := in.ReadAt(tail, start); n < len(tail) {
		return 0, err
	}
	at := bytes.LastIndex(tail[:len(tail)-18], []byte("PK\x05\x06"))
	if at < 0 {
		return 0, ErrNoArchive
	}
	members := uint64(binary.LittleEndian.Uint16(tail[at+10:]))
	var locator [20]byte
	where := start + int64(at) - int64(len(locator))
	if where < 0 {
		return members, nil
	}
	if n, err := in.ReadAt(locator[:], where); n < len(locator) {
		return 0, err
	}
	if string(locator[:4]) != "PK\x06\x07" {
		return members, nil
	}
	var end [56]byte
	p := binary.LittleEndian.Uint64(locator[8:])
	if p > uint64(size) || uint64(size)-p < uint64(len(end)) {
		return 0, ErrNoArchive
	}
	if n, err := in.ReadAt(end[:], int64(p)); n < len(end) {
		return 0, err
	}
	return max(members, binary.LittleEndian.Uint64(end[32:])), nil
}

// metered is a file of which only so much may be read while it is on.
type metered struct {
	in   io.ReaderAt
	left int64
	on   bool
	err  error // what reading failed with
}

// ReadAt implements io.ReaderAt.
func (m *metered) ReadAt(p []byte, at int64) (int, error) {
	if m.on {
		if m.left -= int64(len(p)); m.left < 0 {
			return 0, ErrTooManyMembers
		}
	}
	n, err := m.in.ReadAt(p, at)
	if m.on && err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}
