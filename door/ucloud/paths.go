package ucloud

import (
	"strings"
	"unicode/utf8"

	"github.com/quire-docs/quire"
)

// locate cuts an id "/{drive}/path" into the drive, as the request writes it,
// and the path in our site, which begins with a slash. Drives of other sites
// are not found.
func (c *call) locate(id string) (drive, path string, err error) {
	rest, ok := strings.CutPrefix(id, "/")
	if !ok {
		return "", "", bad("an id is /{drive}/path: begin it with a slash and the drive")
	}
	drive, path, _ = strings.Cut(rest, "/")
	switch drive {
	case "":
		return "", "", bad("the id names no drive: use /{drive}/path")
	case string(c.site.ID), c.site.Account, c.site.Account + ":" + c.site.Instance:
		return drive, "/" + strings.TrimSuffix(path, "/"), nil
	}
	return "", "", quire.ErrNotFound
}

// wireID returns the id of what is at a path in a drive.
func wireID(drive, path string) string {
	return strings.TrimSuffix("/"+drive+path, "/")
}

// maxRelative is the longest path in a listing, in bytes. It bounds what an
// entry costs before it is looked at.
const maxRelative = 16 << 10

// checkRelative refuses the paths of a listing that do not stay below their
// folder on every system: absolute ones, "..", NUL, and the separators of
// other systems. What else a name may not be is the library's to say.
func checkRelative(path string) error {
	switch {
	case path == "":
		return bad("an entry of the listing has no path")
	case !utf8.ValidString(path):
		return bad("a path in the listing is not valid UTF-8")
	case strings.ContainsRune(path, 0):
		return bad("a path in the listing has a NUL character")
	case strings.ContainsRune(path, '\\'):
		return bad(`a path in the listing has a backslash: separate folders with "/"`)
	case path[0] == '/', len(path) > 1 && path[1] == ':' && isLetter(path[0]):
		return bad("a path in the listing is absolute: name it from the folder on")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return bad("a path in the listing has an empty part, . or ..: leave it out")
		}
	}
	return nil
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
