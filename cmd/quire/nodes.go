package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/library"
)

// A running node of a cluster has a lease that tells its settings. A node that
// was killed is forgotten when its lease is over.
const (
	nodeLease = "node "
	nodeLife  = 30 * time.Second
	nodeBeat  = 10 * time.Second
)

// node is this process as a part of a cluster.
type node struct {
	cat    *catalog.Store
	name   string // of its lease
	common string // the settings that all nodes must have in common, encoded
}

// common returns the settings that decide what becomes of everybody's documents
// and links, so that it must not matter which node acts.
func (s *serveCmd) common() string {
	return url.Values{
		"public-url": {s.PublicURL}, "ucloud-provider": {s.Provider},
		"trash-life": {s.TrashLife.String()}, "grace": {s.Grace.String()},
		"keep-all": {s.KeepAll.String()}, "keep-hourly": {s.KeepHourly.String()}, "keep-daily": {s.KeepDaily.String()},
	}.Encode()
}

// join makes this process one of the nodes that run, if its settings go with
// theirs. Without a shared catalog there are no others, and it returns nil.
func (s *serveCmd) join(ctx context.Context, cat *catalog.Store) (*node, error) {
	if s.Catalog == "" {
		return nil, nil
	}
	n := &node{cat: cat, name: nodeLease + library.NewID(), common: s.common()}
	return n, n.beat(ctx)
}

// beat takes or renews the node's lease.
func (n *node) beat(ctx context.Context) error {
	return n.cat.Update(ctx, func(tx *catalog.Tx) error {
		all, err := tx.Leases()
		if err != nil {
			return err
		}
		for _, l := range all {
			switch {
			case !strings.HasPrefix(l.Name, nodeLease) || l.Name == n.name:
			case !tx.Now().Before(l.Until):
				err = tx.EndLease(l.Name, l.Holder)
			case l.Holder != n.common:
				err = differ(n.common, l.Holder)
			}
			if err != nil {
				return err
			}
		}
		_, err = tx.TakeLease(n.name, n.common, nodeLife)
		return err
	})
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

// run renews the lease until ctx ends and then gives it back.
func (n *node) run(ctx context.Context, log *slog.Logger) {
	if n == nil {
		return
	}
	tick := time.NewTicker(nodeBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), nodeBeat)
			defer cancel()
			err := n.cat.Update(end, func(tx *catalog.Tx) error { return tx.EndLease(n.name, n.common) })
			if err != nil {
				log.Warn("this node could not be signed off; it is forgotten by itself", "error", err)
			}
			return
		case <-tick.C:
			if err := n.beat(ctx); err != nil && ctx.Err() == nil {
				log.Error("this node's lease was not renewed; it will be tried again", "error", err)
			}
		}
	}
}
