// Package migrations holds the catalog's schema as a series of steps, one
// folder for each engine. Steps only go forward, and a step that was released
// is never changed.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed sqlite/*.sql
var steps embed.FS

// SQLite returns the steps for SQLite.
func SQLite() fs.FS { return sub("sqlite") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(steps, dir)
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	return f
}
