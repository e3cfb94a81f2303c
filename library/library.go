// Package library holds every rule of the document server, once: who may do
// what, what a name may be, when a lock stands in the way, what a save is, how
// long things are kept. Doors translate protocols into its calls.
//
// Each change is one catalog transaction in which access, locks,
// preconditions and quota are checked. Bytes are stored before it, so that a
// commit is only metadata: when a method that changes something returns nil,
// bytes and metadata are durable.
//
// The order is always: bytes to the blob store (durable), then the catalog
// transaction that names them. A crash in between leaves bytes that nothing
// names, which the garbage collection finds.
package library

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
)

// Options are what an operator may set. The zero value gives the defaults.
type Options struct {
	Logger *slog.Logger

	// TrashLife is how long deleted nodes can be restored; 0 is 30 days.
	TrashLife time.Duration
	// Grace is how long a segment that nothing names is kept, so that a slow
	// reader can finish; 0 is 24 hours.
	Grace time.Duration
	// EventLife is how long the record of events is kept; 0 is 400 days.
	EventLife time.Duration
	// RecordReads adds an event for each reading of a file, which costs each
	// download a durable write.
	RecordReads bool
	// Retention says which old revisions are kept.
	Retention Retention
	// MaxUploads is how many open upload sessions one user may have; 0 is
	// 1,000.
	MaxUploads int
	// UploadStep is how many bytes of one request's body an upload takes before
	// it records them: what a crash in the middle of a long request costs at
	// most. 0 is 64 MiB.
	UploadStep int64
	// Thumbnails says whether small pictures of a file of that name can be made;
	// they are, in the background, of new revisions. nil is of none.
	Thumbnails func(name string) bool
}

// Library is the document server without its protocols. It is safe for
// concurrent use, and any number of them may work on one catalog and blob
// store.
type Library struct {
	cat   *catalog.Store
	blobs *blob.Store
	opt   Options
	log   *slog.Logger

	tops    sync.Map // quire.SiteID → tops; immutable facts
	active  active
	recent  recent
	signing signing

	converting, delivering queue
	opened                 catalog.Cached[openKey, *Content]
}

// tops are the containers at the top of a site's trees. They never change.
type tops struct{ root, trash quire.NodeID }

// New returns a library over a catalog and a blob store, which stay the
// caller's to close.
func New(cat *catalog.Store, blobs *blob.Store, opt Options) *Library {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&opt.TrashLife, 30*24*time.Hour)
	setDefault(&opt.Grace, 24*time.Hour)
	setDefault(&opt.EventLife, 400*24*time.Hour)
	setDefault(&opt.MaxUploads, 1000)
	setDefault(&opt.UploadStep, 64<<20)
	opt.Retention = opt.Retention.withDefaults()
	return &Library{cat: cat, blobs: blobs, opt: opt, log: opt.Logger}
}

func setDefault[T comparable](p *T, d T) {
	var zero T
	if *p == zero {
		*p = d
	}
}

// CacheUse tells how often a file that was opened was known from before, and how
// often not.
func (l *Library) CacheUse() (hits, misses uint64) { return l.opened.Use() }

// Entry is a node as one caller sees it.
type Entry struct {
	quire.Node
	Path   string       // from the site's root, beginning with "/"
	Access quire.Access // the caller's
}

func (l *Library) view(ctx context.Context, f func(*catalog.Tx) error) error {
	return l.noted(ctx, l.cat.View(ctx, f))
}

func (l *Library) update(ctx context.Context, f func(*catalog.Tx) error) error {
	return l.noted(ctx, l.cat.Update(ctx, f))
}
