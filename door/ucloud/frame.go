package ucloud

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// The messages of WEBSOCKET_V2. A frame has one or more; CHUNK and LISTING
// take the rest of theirs.
const (
	opOK        = 0 // to the client: send this file
	opChunk     = 2 // from the client: the next bytes of a file
	opSkip      = 3 // both: leave this file out
	opListing   = 4 // from the client: what there is
	opCompleted = 5 // to the client: how many files are done
	opClose     = 6 // from the client: the session is over
)

// entry is one file of a listing.
type entry struct {
	id    uint32
	size  int64
	mtime time.Time // zero if it is none that a file can have
	path  string
}

// receiver is who a frame's messages are for. chunk must not read beyond what
// it is given; what it leaves is an error.
type receiver interface {
	chunk(id uint32, data *bufio.Reader) error
	skip(id uint32) error
	list(e entry) error
	closed() error
}

var errFrame = bad("a message is cut short or has an unknown opcode")

// parseFrame hands a frame's messages on, one after the other, without holding
// the frame.
func parseFrame(r *bufio.Reader, to receiver) error {
	for {
		op, err := r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch op {
		case opChunk, opSkip:
			var b [4]byte
			if err := full(r, b[:]); err != nil {
				return err
			}
			id := binary.BigEndian.Uint32(b[:])
			if op == opSkip {
				if err := to.skip(id); err != nil {
					return err
				}
				continue
			}
			if err := to.chunk(id, r); err != nil {
				return err
			}
			switch _, err := r.ReadByte(); err {
			case io.EOF:
				return nil
			case nil:
				return bad("a file has more bytes than its listing said")
			default:
				return err
			}
		case opListing:
			return parseListing(r, to)
		case opClose:
			return to.closed()
		default:
			return errFrame
		}
	}
}

// maxMtime is the greatest modification time that is kept: the end of the year
// 9999.
const maxMtime = 253402300799999

func parseListing(r *bufio.Reader, to receiver) error {
	const head = 4 + 8 + 8 + 4
	var b [head]byte
	for {
		if _, err := r.Peek(1); err == io.EOF {
			return nil
		}
		if err := full(r, b[:]); err != nil {
			return err
		}
		e := entry{id: binary.BigEndian.Uint32(b[:]), size: int64(binary.BigEndian.Uint64(b[4:]))}
		if ms := int64(binary.BigEndian.Uint64(b[12:])); ms > 0 && ms <= maxMtime {
			e.mtime = time.UnixMilli(ms).UTC()
		}
		if e.size < 0 || e.size > maxSize {
			return bad("a size in the listing is negative or too large")
		}
		n := binary.BigEndian.Uint32(b[20:])
		if n > maxRelative {
			return bad("a path in the listing is too long")
		}
		path := make([]byte, n)
		if err := full(r, path); err != nil {
			return err
		}
		e.path = string(path)
		if err := to.list(e); err != nil {
			return err
		}
	}
}

// maxSize is the largest file that a listing may announce: what the browser
// can count to.
const maxSize = 1<<53 - 1

// full reads all of b; a frame that ends before is malformed.
func full(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errFrame
	}
	return err
}
