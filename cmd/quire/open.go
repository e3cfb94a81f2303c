package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/quire-docs/quire"
	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/catalog/sqlite"
	"github.com/quire-docs/quire/identity"
	"github.com/quire-docs/quire/library"
)

// lookupEnv is os.LookupEnv, by another name where flags are resolved.
var lookupEnv = os.LookupEnv

// storage is where the documents are. Every command that works on them has
// it.
type storage struct {
	Data  string `help:"The folder that everything is kept in." env:"QUIRE_DATA" default:"quire-data" type:"path"`
	Blobs string `help:"Where the documents' bytes are kept instead of in the data folder: s3://bucket/prefix?endpoint=https://host&region=name. Credentials are those of the AWS_ variables or files." env:"QUIRE_BLOBS" placeholder:"URL"`
}

// opened is an open store with what works on it.
type opened struct {
	cat     *catalog.Store
	blobs   *blob.Store
	library *library.Library
	ids     *identity.Authority
}

// open opens the store. Only serve makes a new one.
func (s *storage) open(ctx context.Context, create bool, log *slog.Logger, opt library.Options) (*opened, error) {
	db := filepath.Join(s.Data, "catalog.db")
	if _, err := os.Stat(db); errors.Is(err, os.ErrNotExist) && !create {
		return nil, &settingError{"data", fmt.Sprintf("%s has no documents: name the server's data folder, or start the server once", s.Data)}
	}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return nil, &settingError{"data", err.Error()}
	}
	if create {
		if err := noBackup(s.Data); err != nil {
			return nil, err
		}
	}
	driver, err := sqlite.Open(ctx, db, nil)
	if err != nil {
		return nil, err
	}
	cat := catalog.New(driver)
	bytes, err := s.blobs(ctx)
	if err != nil {
		return nil, errors.Join(err, cat.Close())
	}
	blobs := blob.New(bytes, blob.Options{})
	opt.Logger = log
	return &opened{cat: cat, blobs: blobs, library: library.New(cat, blobs, opt), ids: identity.New(cat)}, nil
}

func (o *opened) close() error { return errors.Join(o.cat.Close(), o.blobs.Close()) }

// begin makes the first site and its administrator, if there is none.
func (o *opened) begin(ctx context.Context, password string) (firstLogin, firstPassword string, err error) {
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
