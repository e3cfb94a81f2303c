package wopi

import (
	"encoding/json"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/door/wopi/discovery"
	"github.com/quire-docs/quire/lock"
)

// profile is what is particular about an editor's behaviour.
type profile struct {
	sameLock lock.SameID
	unlocked quire.UnlockedRule
	// rescue keeps a save beside the file that a lock or a newer revision
	// refuses, because the editor would lose it.
	rescue bool
	// autosaves says that saves under a lock come from a timer, unless the
	// editor says otherwise.
	autosaves bool
	collabora bool // it reads and sends Collabora's own properties and headers
}

var profiles = map[discovery.Profile]profile{
	discovery.Microsoft:  {sameLock: sameSession, unlocked: quire.OnlyEmptyUnlocked, autosaves: true},
	discovery.Collabora:  {unlocked: quire.RecentHolderUnlocked, rescue: true, collabora: true},
	discovery.OnlyOffice: {unlocked: quire.RecentHolderUnlocked, rescue: true, autosaves: true, collabora: true},
}

// strict is the protocol to the letter, for clients that are no configured
// editor.
var strict = profile{unlocked: quire.OnlyEmptyUnlocked}

// profile returns the behaviour of the editor that the token was made for.
func (c *call) profile() profile {
	if c.opt.Editors != nil && c.tok.Editor != "" {
		if e, ok := c.opt.Editors.Editor(c.tok.Editor); ok {
			return profiles[e.Profile]
		}
	}
	return strict
}

// sameSession compares two of Microsoft's lock ids, which may be JSON: those
// that differ only in fields other than S (or L) belong to one session.
func sameSession(a, b string) bool {
	key := func(s string) string {
		var v struct{ S, L string }
		if len(s) == 0 || s[0] != '{' || json.Unmarshal([]byte(s), &v) != nil {
			return ""
		}
		if v.S != "" {
			return v.S
		}
		return v.L
	}
	k := key(a)
	return k != "" && k == key(b)
}
