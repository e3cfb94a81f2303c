package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/postgres"
	"github.com/quire-docs/quire/catalog/sqlite"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
)

// lookupEnv is os.LookupEnv, by another name where flags are resolved.
var lookupEnv = os.LookupEnv

// storage is where the documents are. Every command that works on them has
// it.
type storage struct {
	Data    string `help:"The folder that everything is kept in." env:"QUIRE_DATA" default:"quire-data" type:"path"`
	Catalog string `help:"The PostgreSQL database that records are kept in instead of in the data folder: postgres://user:password@host:5432/name. The nodes of a cluster share it." env:"QUIRE_CATALOG" placeholder:"URL"`
	Blobs   string `help:"Where the documents' bytes are kept instead of in the data folder: s3://bucket/prefix?endpoint=https://host&region=name. Credentials are those of the AWS_ variables or files." env:"QUIRE_BLOBS" placeholder:"URL"`

	cacheBytes int64 // of the cache beside a bucket; 0 is none
}

// opened is an open store with what works on it.
type opened struct {
	cat     *catalog.Store
	blobs   *blob.Store
	cache   *blob.Cache // nil if there is none
	library *library.Library
	ids     *identity.Authority
	watch   *watch // of the catalog and the blob store
	driver  catalog.Driver
	node    *node // a server's; nil for other commands
}

// open opens the store, for a server if there is one. Only that makes a new store.
func (s *storage) open(ctx context.Context, self *node, log *slog.Logger, opt library.Options) (*opened, error) {
	if isBackup(s.Data) {
		return nil, &settingError{"data", fmt.Sprintf("%s is a backup: 'quire restore' makes a server's data of it, and 'quire restore --dry-run' verifies it", s.Data)}
	}
	db := filepath.Join(s.Data, "catalog.db")
	if _, err := os.Stat(db); errors.Is(err, os.ErrNotExist) && self == nil && s.Catalog == "" {
		return nil, &settingError{"data", fmt.Sprintf("%s has no documents: name the server's data folder, or start the server once", s.Data)}
	}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return nil, &settingError{"data", err.Error()}
	}
	driver, err := s.catalog(ctx, db, self == nil)
	if err != nil {
		return nil, err
	}
	watch := new(watch)
	cat := catalog.New(driver)
	cat.Observe(watch.transaction)
	bytes, err := s.blobs(ctx)
	if err != nil {
		return nil, errors.Join(err, cat.Close())
	}
	var cache *blob.Cache
	if s.Blobs != "" && s.cacheBytes > 0 {
		if cache, err = blob.OpenCache(filepath.Join(s.Data, "cache"), s.cacheBytes); err != nil {
			return nil, errors.Join(&settingError{"blob-cache", err.Error()}, bytes.Close(), cat.Close())
		}
	}
	blobs := blob.New(bytes, blob.Options{Observe: watch.blob, Cache: cache})
	o := &opened{cat: cat, blobs: blobs, cache: cache, ids: identity.New(cat), driver: driver, node: self, watch: watch}
	if self != nil {
		err = enter(ctx, cat, blobs, self)
	} else {
		err = look(ctx, cat, blobs)
	}
	if err != nil {
		return nil, errors.Join(err, blobs.Close(), cat.Close())
	}
	opt.Logger = log
	o.library = library.New(cat, blobs, opt)
	return o, nil
}

// catalog opens what keeps the records, and brings its schema up to date; with
// current it must be already.
func (s *storage) catalog(ctx context.Context, file string, current bool) (catalog.Driver, error) {
	if s.Catalog == "" {
		return sqlite.Open(ctx, file, sqlite.Options{Current: current})
	}
	if !strings.HasPrefix(s.Catalog, "postgres://") && !strings.HasPrefix(s.Catalog, "postgresql://") {
		return nil, &settingError{"catalog", "write it like postgres://user:password@host:5432/name"}
	}
	d, err := postgres.Open(ctx, s.Catalog, postgres.Options{Current: current})
	if err != nil {
		return nil, &settingError{"catalog", err.Error()}
	}
	return d, nil
}

func (o *opened) close() error {
	if o.node != nil {
		o.node.leave(o.cat)
	}
	return errors.Join(o.cat.Close(), o.blobs.Close())
}

// begin makes the first site and its administrator, if there is none. Of several
// nodes that start at once one does; the others find what it made.
func (o *opened) begin(ctx context.Context, password string) (firstLogin, firstPassword string, err error) {
	ctx = quire.WithActor(ctx, quire.Caller{Name: "first start", Door: quire.DoorCommand})
	for range 3 { // the site, the administrator, and then nothing is left to do
		firstLogin, firstPassword, err = o.beginOnce(ctx, password)
		if !errors.As(err, new(*quire.Exists)) {
			break
		}
	}
	return firstLogin, firstPassword, err
}

func (o *opened) beginOnce(ctx context.Context, password string) (firstLogin, firstPassword string, err error) {
	sites, err := o.library.Sites(ctx)
	if err != nil {
		return "", "", err
	}
	var site quire.Site
	if len(sites) > 0 {
		users, err := o.library.Users(ctx, "", "", 1)
		if err != nil || len(users) > 0 {
			return "", "", err
		}
		site = sites[0]
	} else if site, err = o.library.CreateSite(ctx, library.DefaultAccount, library.DefaultInstance, 0); err != nil {
		return "", "", err
	}
	// A password hash takes 64 MiB, which a server that has just started would
	// otherwise keep for minutes.
	defer debug.FreeOSMemory()
	given := password != ""
	if !given {
		password = library.NewID()[:16]
	}
	hash, err := identity.HashPassword(ctx, password)
	if err != nil {
		return "", "", fmt.Errorf("the first administrator's password: %w", err)
	}
	u, err := o.library.CreateUser(ctx, library.NewUser{Site: site.ID, Login: "admin", Name: "Administrator", Role: quire.RoleAdmin, Password: hash, Access: quire.Owner})
	if err != nil {
		return "", "", err
	}
	if given {
		password = ""
	}
	return u.Login, password, nil
}
