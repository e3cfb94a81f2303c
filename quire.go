// Package quire is the domain of the document server: the things that are
// stored, the names that they go by, and the errors that every protocol's door
// translates. It has no behaviour beyond what a value can say about itself and
// imports nothing but the standard library, so every other package may import
// it.
//
// A Site is a tenant with one tree of Nodes. A Node is a container or a file. A
// file has Revisions, and each Revision has a Manifest: which runs of bytes
// (Extents of Segments) make up each of its Streams. Segments are immutable;
// everything else changes only inside a catalog transaction.
package quire

import (
	"time"
)

// A type for each kind of identifier, so that the compiler tells one from
// another. All are opaque text made of lower-case letters and digits; those of
// nodes, links and uploads carry 128 random bits and cannot be guessed.
type (
	SiteID    string // a tenant
	UserID    string // a person; letters and digits only, as WOPI asks of UserId and OwnerId
	NodeID    string // a file or container; stable across edits, renames and moves
	SegmentID string // an immutable run of bytes; see InCatalog
	UploadID  string // an upload session
	TokenID   string // a personal access token's public half
	LinkID    string // a share link; holding it is the permission it grants
	StreamID  string // a stream within a file; MainContent is the file itself
)

// MainContent names the stream that every file has. Other streams are
// alternates (CSPP Plus, content data model).
const MainContent StreamID = "MainContent"

// Limits of the model. Doors may be stricter, never laxer.
const (
	// MaxNameBytes is the longest node name in bytes of UTF-8 after
	// normalisation.
	MaxNameBytes = 255
	// MaxDepth is how many containers may stand above a node.
	MaxDepth = 200
	// MaxLockID is the longest WOPI or coauth lock id, in ASCII characters.
	MaxLockID = 1024
	// MaxLockMetadata is the longest metadata of a coauth lock, in bytes.
	MaxLockMetadata = 4 << 10
	// MaxAlternateStreams is how many streams a file may have beside
	// MainContent (CSPP Plus §3).
	MaxAlternateStreams = 256
	// MaxProperties is how many unexpired content properties a file may have
	// (CSPP Plus §3).
	MaxProperties = 256
	// MaxPropertyName is the longest content property name, in characters.
	MaxPropertyName = 256
	// MaxPropertyValue is the longest content property value, in bytes.
	MaxPropertyValue = 1 << 10
	// MaxUserInfo is the longest text that PutUserInfo keeps, in ASCII
	// characters.
	MaxUserInfo = 1024
	// InlineMax is the largest body, in bytes, that is kept in the catalog
	// instead of the blob store, so that a small save costs one durable write.
	InlineMax = 64 << 10
)

// StreamLife is how long an alternate stream or a content property lives after
// it was last written (CSPP Plus §3).
const StreamLife = 30 * 24 * time.Hour

// Site is a tenant: an account and one of its instances, with a tree, users, a
// quota and a viewer secret of its own.
type Site struct {
	ID       SiteID
	Account  string
	Instance string
	Root     NodeID // the container at the top of its tree
	Trash    NodeID // the container that deleted nodes are moved to
	Quota    int64  // bytes that may be stored; 0 is no limit
	Created  time.Time
	Viewer   ViewerSecrets
	Epoch    int64
}

// ViewerSecrets are a site's keys for viewing and conversion (file API,
// signatures).
type ViewerSecrets struct {
	Current  string    // empty when an administrator has cleared it
	Previous string    // still signs callbacks until Until
	Until    time.Time // when Previous ends
	NoMD5    bool      // refuse the MD5 signcode
}

// Role is what a user may do to a site as a whole.
type Role string

// The roles, from least to most.
const (
	RoleMember Role = "member" // works with the nodes that grants open
	RoleAdmin  Role = "admin"  // owns the site's tree and administers it
)

// User is a person who can sign in.
type User struct {
	ID       UserID
	Site     SiteID
	Login    string // the name to sign in with, unique on the server without regard to case
	Name     string // the name that others see
	Email    string
	Role     Role
	Password string // an encoded argon2id hash; empty allows no password sign-in
	Disabled bool
	Created  time.Time
	Info     string // what PutUserInfo stored last
	Epoch    int64
}

// Scope limits what a token may be used for, whatever its user may do.
type Scope string

// The scopes; each includes the ones before it.
const (
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write"
	ScopeAdmin Scope = "admin"
)

// Allows says whether a token of scope s may do what needs asks.
func (s Scope) Allows(needs Scope) bool { return s.rank() >= needs.rank() && needs.rank() > 0 }

func (s Scope) rank() int {
	switch s {
	case ScopeRead:
		return 1
	case ScopeWrite:
		return 2
	case ScopeAdmin:
		return 3
	}
	return 0
}

// Token is a personal access token. Its secret half is shown once when it is
// made; only a hash is kept.
type Token struct {
	ID      TokenID
	User    UserID
	Label   string
	Scope   Scope
	Hash    []byte // SHA-256 of the secret half
	Created time.Time
	Expires time.Time // zero: does not expire
	Used    time.Time // the last use, to the hour
}

// Kind tells files from containers.
type Kind string

// The two kinds of node.
const (
	File      Kind = "file"
	Container Kind = "container"
)

// Node is a file or a container.
type Node struct {
	ID       NodeID
	Site     SiteID
	Parent   NodeID // empty for a site's root and its trash
	Name     string // as it was given, NFC
	NameKey  string // unique in its parent: the folded name, or "/"+ID in the trash
	Kind     Kind
	Owner    UserID
	Created  time.Time
	Modified time.Time // of the content, for a file

	// The rest is a file's.

	Revision int64 // the current revision's number, 1 or more
	Sequence int64 // rises with every content change, by whatever protocol
	Size     int64 // of MainContent, in bytes
	// Client is the modification time that a client gave for the content, if
	// any.
	Client time.Time
	Lock   LockState

	Trashed *Trashed // set on the top of a deleted tree
	Epoch   int64    // rises with every change of this row
}

// IsContainer says whether n is a container.
func (n *Node) IsContainer() bool { return n.Kind == Container }

// Trashed remembers where a deleted node came from.
type Trashed struct {
	Parent NodeID    `json:"parent"`
	By     UserID    `json:"by"`
	At     time.Time `json:"at"`
}

// SaveKind says why a revision was made; retention and history read it.
type SaveKind string

// The kinds of save.
const (
	SaveManual   SaveKind = ""         // a person or program asked for it
	SaveAutosave SaveKind = "autosave" // an editor's timer; collapses with its session
	SaveExit     SaveKind = "exit"     // the last one of an editing session
	SaveRestore  SaveKind = "restore"  // an old revision made current again
	SaveConflict SaveKind = "conflict" // kept beside the original because the original had moved on
)

// Revision is one immutable state of a file's content.
type Revision struct {
	Node     NodeID
	Number   int64 // 1, 2, 3 ... in the file; never used again
	Sequence int64 // the file's sequence number when it was made
	Size     int64 // of MainContent, in bytes
	Created  time.Time
	Authors  []UserID
	Door     Door
	Kind     SaveKind
	Session  string // the editing session it belongs to, if any
	Label    string // a name that a person gave it; named revisions are never thinned
	From     int64  // the revision it restores, if any
	Sum      []byte // BLAKE3-256 of MainContent, where known
}

// Manifest says which bytes make up a revision.
type Manifest struct {
	Streams []Stream // MainContent first, alternates in order of their id
}

// Main returns the MainContent stream. Every manifest has one.
func (m *Manifest) Main() *Stream {
	if s := m.Stream(MainContent); s != nil {
		return s
	}
	return &Stream{ID: MainContent}
}

// Stream returns the stream of that id, or nil.
func (m *Manifest) Stream(id StreamID) *Stream {
	for i := range m.Streams {
		if m.Streams[i].ID == id {
			return &m.Streams[i]
		}
	}
	return nil
}

// Stream is one run of content, made of extents in order.
type Stream struct {
	ID        StreamID
	Size      int64 // the sum of the extents' lengths
	Extents   []Extent
	Signature []byte    // an encoded chunk signature, once known
	Updated   time.Time // when it was last written
}

// Extent is a part of a segment.
type Extent struct {
	Segment SegmentID
	Offset  int64 // within the segment, in bytes
	Length  int64 // in bytes, more than 0
}

// InCatalog says whether the segment's bytes live in the catalog itself.
// Its id alone tells, so that a reader needs no look-up to find out.
func (id SegmentID) InCatalog() bool { return len(id) > 0 && id[0] == inCatalogMark }

const inCatalogMark = '_'

// CatalogSegment makes the id of a segment that lives in the catalog.
func CatalogSegment(random string) SegmentID { return SegmentID(string(inCatalogMark) + random) }

// Segment is an immutable run of bytes.
type Segment struct {
	ID      SegmentID
	Size    int64
	Sum     []byte // BLAKE3-256 of the bytes
	Created time.Time
}

// Property is a content property of a file (CSPP Plus §3).
type Property struct {
	Node    NodeID
	Name    string
	Value   string
	Keep    bool // KeepOnContentChange; otherwise DeleteOnContentChange
	Updated time.Time
}

// Access is what somebody may do to a node.
type Access int

// The accesses; each includes the ones before it.
const (
	NoAccess Access = iota
	Viewer          // read
	Editor          // and change, create, delete
	Owner           // and share, force-unlock, purge
)

func (a Access) String() string {
	switch a {
	case Viewer:
		return "viewer"
	case Editor:
		return "editor"
	case Owner:
		return "owner"
	}
	return "none"
}

// ParseAccess is the inverse of Access.String; ok is false for other text.
func ParseAccess(s string) (a Access, ok bool) {
	for _, a := range []Access{NoAccess, Viewer, Editor, Owner} {
		if a.String() == s {
			return a, true
		}
	}
	return NoAccess, false
}

// Grant gives a user access to a node and everything below it.
type Grant struct {
	Node    NodeID
	User    UserID
	Access  Access
	By      UserID
	Created time.Time
}

// Link gives whoever holds its id access to a node and everything below it.
type Link struct {
	ID       LinkID
	Node     NodeID
	Access   Access
	By       UserID
	Created  time.Time
	Expires  time.Time // zero: does not expire
	Password string    // an encoded argon2id hash; empty asks for none
}

// Door names the protocol that a request came in by.
type Door string

// The doors.
const (
	DoorFileAPI Door = "fileapi"
	DoorWOPI    Door = "wopi"
	DoorUCloud  Door = "ucloud"
	DoorTus     Door = "tus"
	DoorWeb     Door = "web"
	DoorSignIn  Door = "signin"
	DoorCommand Door = "command" // the command line, on the server itself
)

// Caller is on whose behalf the library acts. A door makes it from
// credentials; the library never sees a header.
type Caller struct {
	User  UserID // empty for the holder of a link only
	Site  SiteID
	Name  string // shown to others, never empty
	Role  Role
	Scope Scope
	Link  LinkID // a share link that was presented, if any
	// Within limits the caller to one node and what is below it, where the
	// credential was made for one resource; empty is no limit.
	Within NodeID
	Door   Door
	Editor string // the editor that acts for the user, if any
	Addr   string // the network address, for the record of events
}

// EventKind is what happened to a node.
type EventKind string

// The kinds of event. The first group is the change feed's; the rest is
// history and audit.
const (
	EventNew     EventKind = "new"
	EventUpdate  EventKind = "update"
	EventRename  EventKind = "rename"
	EventMoveIn  EventKind = "movein"
	EventMoveOut EventKind = "moveout"
	EventRemove  EventKind = "remove"

	EventRead        EventKind = "read"
	EventRefused     EventKind = "refused" // somebody asked for what they may not
	EventPurge       EventKind = "purge"   // out of the trash, for good
	EventComment     EventKind = "comment"
	EventGrant       EventKind = "grant"
	EventLink        EventKind = "link"
	EventForceUnlock EventKind = "force-unlock"
	EventConflict    EventKind = "conflict"
	EventAdmin       EventKind = "admin"
	EventSignIn      EventKind = "signin"
	EventSignOut     EventKind = "signout"
	EventToken       EventKind = "token"  // a personal access token
	EventApp         EventKind = "app"    // an OAuth client was allowed something, or no longer
	EventFactor      EventKind = "factor" // a second factor
	EventPassword    EventKind = "password"
)

// OnNode says whether the event belongs in the history that everybody who can
// read a node sees. Who read it or was refused is for auditors only.
func (k EventKind) OnNode() bool { return k != EventRead && k != EventRefused }

// IsChange says whether the event belongs in the change feed.
func (k EventKind) IsChange() bool {
	switch k {
	case EventNew, EventUpdate, EventRename, EventMoveIn, EventMoveOut, EventRemove:
		return true
	}
	return false
}

// Event is one entry of the record of what happened: the change feed, a file's
// activities and the audit log are views of it.
type Event struct {
	Seq    int64 // rises; an event that is seen later never has a lower one
	Site   SiteID
	Node   NodeID // empty where the event is the site's
	Kind   EventKind
	Path   string // of the node, when it happened
	Time   time.Time
	User   UserID
	Name   string // of who did it, as others saw it then
	Door   Door
	Addr   string
	Detail map[string]any
}

// RefusedDetail is the detail that says why something was refused.
const RefusedDetail = "refused"

// Refused says whether the event tells of an attempt that was not let happen.
func (e Event) Refused() bool {
	switch e.Kind {
	case EventRefused:
		return true
	case EventSignIn, EventFactor, EventApp:
		return e.Detail[RefusedDetail] != nil
	}
	return false
}

// Upload is a resumable upload session. One mechanism serves every door.
type Upload struct {
	ID       UploadID
	Site     SiteID
	Owner    UserID
	Door     Door
	Created  time.Time
	Expires  time.Time
	Life     time.Duration // how long each byte that comes extends it
	Received int64         // bytes from 0 that are here without a gap
	Declared int64         // the whole size if it is known, else -1
	Target   Target
	Meta     map[string]string // what its door needs to remember
	Done     *Saved            // set once committed
	Epoch    int64             // rises with every change of this row
}

// Target says where content is meant to land.
type Target struct {
	Node       NodeID     `json:"node,omitempty"`   // an existing file, or
	Parent     NodeID     `json:"parent,omitempty"` // a container, with Name; or
	Path       string     `json:"path,omitempty"`   // a path in the site, whose containers are made as needed
	Name       string     `json:"name,omitempty"`
	OnConflict OnConflict `json:"on_conflict,omitempty"`
	Client     time.Time  `json:"client,omitzero"` // the content's modification time, as its sender knows it
}

// OnConflict says what to do when a name is taken.
type OnConflict string

// The conflict policies.
const (
	Rename  OnConflict = ""        // pick a free name: "name (1).ext"
	Replace OnConflict = "replace" // save as a new revision of the file that is there
	Reject  OnConflict = "reject"  // fail with Exists
	// RenameClose is Rename as UCloud writes it: "name(1).ext".
	RenameClose OnConflict = "rename-close"
)

// Saved is the outcome of a save.
type Saved struct {
	Node     NodeID `json:"node"`
	Revision int64  `json:"revision"`
	Sequence int64  `json:"sequence"`
	Created  bool   `json:"created,omitempty"` // the file is new
}

// Precondition is what must hold for a change to be made. It is checked in the
// transaction that makes the change. The zero value asks for nothing but that
// no lock stands in the way.
type Precondition struct {
	Node     NodeID    // if not empty: what is changed must be this file, not another that has its name now
	Revision *int64    // the current revision must be this one
	Sequence *int64    // the current sequence number must be this one
	Modified time.Time // if not zero: the content must not be newer than this
	Absent   bool      // the file must not exist (If-None-Match: *)
	Present  bool      // the file must exist (If-Match: *)
	Key      LockKey   // what is presented to a lock
	// Unlocked decides about a file that nobody has locked; see UnlockedRule.
	Unlocked UnlockedRule
}

// UnlockedRule says whether a file without a lock may be changed. Doors that
// speak of locks ask for one (WOPI PutFile), others do not.
type UnlockedRule int

// The rules for unlocked files.
const (
	AllowUnlocked        UnlockedRule = iota // no lock is needed
	OnlyEmptyUnlocked                        // only a file of 0 bytes may be changed without a lock
	RecentHolderUnlocked                     // as OnlyEmptyUnlocked, and the last holder while nothing changed since
)
