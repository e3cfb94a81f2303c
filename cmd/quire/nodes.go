package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// A server has a lease for as long as it runs, so that nobody moves what it serves,
// and so that the nodes of a cluster know each other's settings. One that was killed
// is forgotten when its lease is over.
const (
	nodeLease = "serve/"
	nodeLife  = 30 * time.Second
	nodeBeat  = 10 * time.Second
)

// node is this process as one of the servers of an installation.
type node struct {
	name     string // of its lease
	process  string // for people
	settings string // those that all nodes must have in common, encoded; empty is not to compare any
}

// node returns what other processes are told of this one. A catalog in the data
// folder is one server's, and what a killed one was told does not matter.
func (s *serveCmd) node() *node {
	host, err := os.Hostname()
	if err != nil {
		host = "a machine without a name"
	}
	n := &node{name: nodeLease + library.NewID(), process: fmt.Sprintf("process %d on %s", os.Getpid(), host)}
	if s.Catalog != "" {
		n.settings = s.common()
	}
	return n
}

func (n *node) holder() string { return n.process + "?" + n.settings }

// renew takes or renews the server's lease.
func (n *node) renew(tx *catalog.Tx) error {
	_, err := tx.TakeLease(n.name, n.holder(), nodeLife)
	return err
}

// leave gives the lease back. Where that fails it ends by itself.
func (n *node) leave(cat *catalog.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = cat.Update(ctx, func(tx *catalog.Tx) error { return tx.EndLease(n.name, n.holder()) })
}

// agree refuses to run beside nodes that have other settings.
func (n *node) agree(tx *catalog.Tx) error {
	others, err := tx.LiveLeases(nodeLease)
	if err != nil || n.settings == "" {
		return err
	}
	for _, l := range others {
		if _, theirs, _ := strings.Cut(l.Holder, "?"); l.Name != n.name && theirs != n.settings {
			return differ(n.settings, theirs)
		}
	}
	return nil
}

// common returns the settings that decide what becomes of everybody's documents
// and links, so that it must not matter which node acts.
func (s *serveCmd) common() string {
	return url.Values{
		"public-url": {s.PublicURL}, "ucloud-provider": {s.Provider},
		"trash-life": {s.TrashLife.String()}, "grace": {s.Grace.String()},
		"keep-all": {s.KeepAll.String()}, "keep-hourly": {s.KeepHourly.String()}, "keep-daily": {s.KeepDaily.String()},
		"event-life": {s.EventLife.String()}, "record-reads": {strconv.FormatBool(s.RecordReads)},
	}.Encode()
}

// differ tells which settings of this node and another one are not the same.
func differ(mine, theirs string) error {
	a, err1 := url.ParseQuery(mine)
	b, err2 := url.ParseQuery(theirs)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	names := maps.Clone(a)
	maps.Copy(names, b)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a.Get(name) != b.Get(name) {
			parts = append(parts, fmt.Sprintf("%s is %q here and %q there", name, a.Get(name), b.Get(name)))
		}
	}
	if len(parts) == 0 {
		parts = []string{"another version knows other settings"}
	}
	return &settingError{"catalog", "a node with other settings runs on this database: " + strings.Join(parts, ", ") +
		": give all nodes the same, or stop the others first (one that was killed is forgotten after " + nodeLife.String() + ")"}
}
