// Package librarytest opens the catalog and the blob storage that tests of the
// library and of the doors work on: SQLite and a folder, or, if the environment
// variable QUIRE_TEST_STORE says so, a real PostgreSQL and a real S3 server. So
// every such test can be run on both.
package librarytest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/dir"
	"github.com/quire-docs/quire/blob/s3"
	"github.com/quire-docs/quire/blob/s3/s3test"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/postgres/postgrestest"
	"github.com/quire-docs/quire/catalog/sqlite"
)

// Variable is the environment variable that says what tests work on: Local,
// which is the default, or Cluster.
const (
	Variable = "QUIRE_TEST_STORE"
	Local    = "local"
	Cluster  = "postgres+s3"
)

// Place is where a test's documents are. It is empty at first and goes when the
// test ends.
type Place struct {
	// Files is the folder with the blob storage's objects, each a file: a test
	// may damage or remove some. A bucket is such a folder as well.
	Files string

	t        testing.TB
	local    string // the folder with everything, or empty
	database string // its URL
	bucket   s3.Place
	options  s3.Options
}

// New returns a new place, of the kind that the environment says.
func New(t testing.TB) *Place {
	t.Helper()
	switch kind := os.Getenv(Variable); kind {
	case "", Local:
		return NewLocal(t)
	case Cluster:
		return NewCluster(t)
	default:
		t.Fatalf("%s is %q: use %s or %s", Variable, kind, Local, Cluster)
		return nil
	}
}

// NewLocal returns a place of SQLite and a folder whatever the environment says,
// for tests of what only these do.
func NewLocal(t testing.TB) *Place {
	folder := t.TempDir()
	return &Place{t: t, local: folder, Files: filepath.Join(folder, "blobs")}
}

// Local says whether the place is one of SQLite and a folder.
func (p *Place) Local() bool { return p.local != "" }

// NewCluster returns a place of PostgreSQL and S3 whatever the environment says,
// for tests of what only these do.
func NewCluster(t testing.TB) *Place {
	t.Helper()
	pg, template, err := database()
	if err != nil {
		t.Fatal(err)
	}
	name, at, err := pg.New(context.Background(), template)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	gateway := s3test.Start(t)
	bucket, err := s3.ParsePlace(gateway.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	return &Place{t: t, Files: gateway.Folder, database: at, bucket: bucket, options: s3.Options{Credentials: gateway.Credentials()}}
}

// database starts the PostgreSQL server that the tests of a process share, and
// makes a database with the schema, for copies. The server ends with the
// process.
var database = func() func() (*postgrestest.Server, string, error) {
	var template string
	start := sync.OnceValues(func() (*postgrestest.Server, error) {
		ctx := context.Background()
		pg, err := postgrestest.Start(postgrestest.Options{})
		if err != nil {
			return nil, err
		}
		name, at, err := pg.New(ctx, "")
		if err != nil {
			return nil, errors.Join(err, pg.Close())
		}
		d, err := postgres.Open(ctx, at, postgres.Options{})
		if err != nil {
			return nil, errors.Join(err, pg.Close())
		}
		template = name
		return pg, d.Close()
	})
	return func() (*postgrestest.Server, string, error) {
		pg, err := start()
		return pg, template, err
	}
}()

// Store is an open Place.
type Store struct {
	Catalog *catalog.Store
	Blobs   *blob.Store
	Records catalog.Driver // of Catalog
	Bytes   blob.Driver    // of Blobs
}

// Open opens what is there, with a clock to use instead of the catalog's unless
// it is nil. It is the caller's to close, before the test ends.
func (p *Place) Open(now func() time.Time) *Store {
	p.t.Helper()
	ctx := context.Background()
	s := new(Store)
	var err error
	if p.Local() {
		s.Records, err = sqlite.Open(ctx, filepath.Join(p.local, "catalog.db"), sqlite.Options{Now: now})
	} else {
		s.Records, err = postgres.Open(ctx, p.database, postgres.Options{Now: now})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if p.Local() {
		s.Bytes, err = dir.Open(p.Files, dir.Options{})
	} else {
		s.Bytes, err = s3.Open(ctx, p.bucket, p.options)
	}
	if err != nil {
		p.t.Fatal(errors.Join(err, s.Records.Close()))
	}
	s.Catalog, s.Blobs = catalog.New(s.Records), blob.New(s.Bytes, blob.Options{})
	return s
}

// Close closes both parts.
func (s *Store) Close() error { return errors.Join(s.Catalog.Close(), s.Blobs.Close()) }

// Open opens a new place until the test ends.
func Open(t testing.TB, now func() time.Time) (*Place, *Store) {
	t.Helper()
	p := New(t)
	return p, p.OpenFor(t, now)
}

// OpenFor is Place.Open until the test ends.
func (p *Place) OpenFor(t testing.TB, now func() time.Time) *Store {
	t.Helper()
	s := p.Open(now)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
