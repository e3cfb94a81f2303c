package blob

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/quire-docs/quire"
)

// Driver keeps objects: immutable runs of bytes under keys. It is deliberately
// small, because every kind of storage needs one; Store, which everybody else
// uses, adds keys, checksums, retries and metrics once for all of them.
//
// An object exists whole or not at all, and its bytes never change: nothing
// overwrites, appends to or truncates it. Several drivers, in one process or on
// many machines, may work on the same storage at the same time, and each sees
// what the others have done as soon as their calls return.
//
// All methods may be called concurrently. A key that Key.Valid refuses gives
// ErrBadKey, from every method that takes one. A driver's calls after Close
// give ErrClosed. A context that has ended before the call gives its error.
// Errors that may go away by themselves wrap ErrTransient.
//
// Package blobtest tests each sentence of this interface.
type Driver interface {
	// Put stores what r yields, up to io.EOF, under key and returns how many
	// bytes that was. The length is not known beforehand and has no limit but
	// the storage's; an empty object is an object. Memory use does not depend
	// on the length.
	//
	// Nobody sees the object before it is complete. When Put returns nil, it is
	// visible to every driver on the storage and survives a crash of the
	// process and the loss of power.
	//
	// When Put returns an error there is no object, now or after a crash, and
	// nothing is left that uses up space for long. The one exception is an
	// error that wraps ErrUncertain: then the object may exist, and if it does,
	// it is whole.
	//
	// An existing key gives ErrExists and its object is left as it was. Of
	// several concurrent calls with one key exactly one succeeds, if none
	// fails for another reason; the others give ErrExists. r may have been
	// read by then.
	//
	// An error of r other than io.EOF is returned wrapped. Put reads r from one
	// goroutine at a time and never after it has returned. It prefers r's
	// WriteTo, if r has one. Full storage gives ErrNoSpace.
	//
	// When ctx ends Put fails with its error, after the Read of r that is under
	// way, which it cannot interrupt; only once the bytes are durable and the
	// object is being published does it go through with it.
	Put(ctx context.Context, key Key, r io.Reader) (size int64, err error)

	// Open reads length bytes from offset on; the length ToEnd reads to the
	// object's end. A missing key gives ErrNotFound.
	//
	// A range that is not within the object (offset negative or greater than
	// the size, or offset+length greater than the size) gives ErrRange: from
	// Open or, where finding out would cost a look-up of its own, from a Read
	// before any io.EOF. A reader never ends early without an error. An empty
	// range is fine, also at the very end.
	//
	// The reader must be closed, and is for one goroutine. ctx is in force
	// until then: once it ends, reading fails with its error, although bytes
	// that are buffered may still come. Deleting the object or closing the
	// driver meanwhile lets the reader go on to the end or makes it fail; what
	// it yields is right in any case.
	Open(ctx context.Context, key Key, offset, length int64) (io.ReadCloser, error)

	// Stat describes the object, or gives ErrNotFound.
	Stat(ctx context.Context, key Key) (Info, error)

	// Delete removes the object. When it returns nil, no driver on the storage
	// finds the object any more, not even after a crash. Deleting a key that
	// does not exist is no error, so that a deletion can be repeated.
	Delete(ctx context.Context, key Key) error

	// List describes the objects whose keys come after the given one, or all
	// if that is empty, in byte-wise order of their keys and at most limit of
	// them (1 to MaxList, else ErrRange). Fewer than limit means that there are
	// no more. after need not exist.
	//
	// Every object that existed before the call and still exists after it, in
	// the range that the result covers, is listed, once. Objects that come or
	// go during the call may or may not be.
	List(ctx context.Context, after Key, limit int) ([]Info, error)

	// Close waits for the calls that are running, among them each Put, and
	// releases what the driver holds; the stored objects stay. Cancel their
	// contexts first if it has to be quick. Closing again does nothing and
	// returns nil.
	Close() error
}

// LocalFiles is what a Driver has beside its interface if each object is a file
// of its own on this machine. It is there for one reason: given an *os.File the
// operating system sends a file to a network connection by itself (sendfile),
// at several times the speed of copying through this process, and
// http.ServeContent answers range requests from it.
type LocalFiles interface {
	// File opens the object's file for reading, at offset 0. The file holds the
	// object's bytes and nothing else. It must not be changed. The caller
	// closes it; deleting the object or closing the driver meanwhile does not
	// disturb it. A missing key gives ErrNotFound.
	File(ctx context.Context, key Key) (*os.File, error)
}

// Presigner is what a Driver has beside its interface if clients can be sent to
// the storage itself, to fetch an object without this process.
type Presigner interface {
	// Presign makes a URL by which anybody can read the object for a while. It
	// does not find out whether there is one.
	Presign(ctx context.Context, key Key, link Link) (string, error)
}

// Link says what a presigned URL is to give.
type Link struct {
	Life        time.Duration // for which it is good, a second to a week
	Type        string        // the answer's Content-Type
	Disposition string        // the answer's Content-Disposition
}

// Info describes an object.
type Info struct {
	Key  Key
	Size int64 // bytes
	// Modified is when the object was written, by the clock of the storage,
	// which need not agree with any other. It is at least the time at which the
	// last of the bytes came in.
	Modified time.Time
}

// ToEnd as the length of a range means all that comes after its offset.
const ToEnd = -1

// MaxList is the greatest limit of List.
const MaxList = 10_000

// The errors that drivers and Store return, wrapped. Match them with errors.Is.
var (
	// ErrNotFound: there is no object of that key. It is a different error
	// from quire.ErrNotFound, because a user who asks for a document that is
	// there must not be told that it is not, only since its bytes are missing.
	ErrNotFound = errors.New("blob: no such object")
	// ErrExists: there is an object of that key already.
	ErrExists = errors.New("blob: the object exists already")
	// ErrBadKey: what was given as a key can't be one.
	ErrBadKey = errors.New("blob: not a key")
	// ErrRange: the range or limit is impossible, or beyond the object's end.
	ErrRange = errors.New("blob: out of range")
	// ErrClosed: the driver has been closed.
	ErrClosed = errors.New("blob: closed")
	// ErrUncertain: it is not known whether the object has been stored.
	ErrUncertain = errors.New("blob: it is not known whether the object was stored")
	// ErrTransient: the storage can't do it now, but the same call may succeed
	// when repeated.
	ErrTransient = errors.New("blob: storage does not answer at present")
	// ErrNoSpace: the storage is full, or a quota that the operating system
	// keeps is used up.
	ErrNoSpace = quire.ErrNoSpace
)
