package fileapi

import (
	"archive/zip"
	"net/http"
	"slices"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/library"
	"github.com/quire-docs/quire/transform"
)

// part is a part of a document that is not the same in two revisions.
type part struct {
	Name   string `json:"name"`
	Change string `json:"change"` // added, changed or removed
	Bytes  uint64 `json:"bytes"`  // as it is now, unpacked
}

// maxParts is how many are told of.
const maxParts = 500

// changes is GET file/changes: what a revision changed beside the one before it,
// for documents that are zip archives, part by part. Only the archives'
// directories are read.
func changes(c *call) error {
	revision, err := c.revisionNumber()
	if err != nil {
		return err
	}
	now, err := c.lib.Open(c.ctx, c.caller, quire.NodeID(c.q.Get("uid")), revision)
	if err != nil {
		return err
	}
	defer now.Close()
	before, err := c.lib.Revisions(c.ctx, c.caller, now.Entry.ID, now.Revision, 1, true)
	if err != nil {
		return err
	}
	out := struct {
		Revision int64  `json:"revision"`
		Against  int64  `json:"against,omitempty"`
		Known    bool   `json:"known"` // both are documents of parts
		Parts    []part `json:"parts"`
		More     bool   `json:"more"`
	}{Revision: now.Revision, Parts: []part{}}
	if len(before) == 0 {
		return c.answer(http.StatusOK, out)
	}
	out.Against = before[0].Number
	old, err := c.lib.Open(c.ctx, c.caller, now.Entry.ID, out.Against)
	if err != nil {
		return err
	}
	defer old.Close()
	is, ok1 := directory(now)
	was, ok2 := directory(old)
	out.Known = ok1 && ok2
	if out.Known {
		out.Parts = compare(was, is)
		if len(out.Parts) > maxParts {
			out.Parts, out.More = out.Parts[:maxParts], true
		}
	}
	return c.answer(http.StatusOK, out)
}

// directory returns an archive's members by name.
func directory(in *library.Content) (map[string]zip.FileHeader, bool) {
	z, err := transform.OpenArchive(in, in.Size)
	if err != nil {
		return nil, false
	}
	list := make(map[string]zip.FileHeader, len(z.File))
	for _, f := range z.File {
		list[f.Name] = f.FileHeader
	}
	return list, true
}

// compare lists what differs, by name.
func compare(was, is map[string]zip.FileHeader) []part {
	out := []part{}
	for name, f := range is {
		old, ok := was[name]
		switch {
		case !ok:
			out = append(out, part{strings.ToValidUTF8(name, "?"), "added", f.UncompressedSize64})
		case old.CRC32 != f.CRC32 || old.UncompressedSize64 != f.UncompressedSize64:
			out = append(out, part{strings.ToValidUTF8(name, "?"), "changed", f.UncompressedSize64})
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			out = append(out, part{strings.ToValidUTF8(name, "?"), "removed", 0})
		}
	}
	slices.SortFunc(out, func(a, b part) int { return strings.Compare(a.Name, b.Name) })
	return out
}
