package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/metrics"
)

// gauges are what is asked of the catalog when metrics are collected.
func gauges(m *metrics.Metrics, o *opened) {
	m.Cache("tokens", o.ids.CacheUse)
	m.Cache("files", o.library.CacheUse)
	ask := func(f func(*catalog.Tx) (int64, error)) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			n := int64(-1)
			if err := o.cat.View(ctx, func(tx *catalog.Tx) (err error) {
				n, err = f(tx)
				return err
			}); err != nil {
				return -1
			}
			return float64(n)
		}
	}
	m.Gauge("quire_conversions_waiting", "Conversions that wait; -1 if the catalog does not answer.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountRenditions(catalog.RenditionWaiting) }))
	m.Gauge("quire_conversions_failed", "Conversions that failed and whose revisions are still there.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountRenditions(catalog.RenditionFailed) }))
	if o.cache != nil {
		segments(m, o.cache)
	}
	m.Gauge("quire_deliveries_waiting", "Callbacks of conversions that are still to be made.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountDeliveries(catalog.DeliveryDue) }))
	m.Gauge("quire_chores_due", "Background work (thinning, compaction, purging) whose time has come.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountChores() }))
	m.Gauge("quire_uploads_open", "Uploads that are not complete.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountOpenUploads() }))
	m.Gauge("quire_locks_held", "Files that somebody holds a lock on.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountLocked() }))
	m.Gauge("quire_users", "Users on the server.", ask(func(tx *catalog.Tx) (int64, error) { return tx.CountUsers() }))
}

// segments is what the cache beside a bucket does and has.
func segments(m *metrics.Metrics, c *blob.Cache) {
	m.Cache("segments", func() (hits, misses uint64) {
		s := c.Stats()
		return uint64(s.Hits), uint64(s.Misses)
	})
	m.Counter("quire_segment_cache_evicted_total", "Segments that left the local cache to make room, or because nobody used them.", func() float64 { return float64(c.Stats().Evicted) })
	m.Counter("quire_segment_cache_damaged_total", "Copies in the local cache whose bytes were wrong and were not used.", func() float64 { return float64(c.Stats().Damaged) })
	m.Gauge("quire_segment_cache_bytes", "Bytes in the local cache of segments.", func() float64 { return float64(c.Stats().Bytes) })
}

// adminServer serves what is for operators only: metrics, profiles, and the log
// level. It is on a listener of its own, because it asks for no password.
func adminServer(m *metrics.Metrics, level *slog.LevelVar) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /loglevel", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(level.Level().String() + "\n")) // the operator's loss
	})
	mux.HandleFunc("PUT /loglevel", func(w http.ResponseWriter, r *http.Request) {
		var l slog.Level
		if err := l.UnmarshalText([]byte(r.FormValue("level"))); err != nil {
			http.Error(w, "level must be debug, info, warn or error", http.StatusBadRequest)
			return
		}
		level.Set(l)
		_, _ = w.Write([]byte(l.String() + "\n")) // as above
	})
	return mux
}

// serveAdmin serves until ctx ends.
func serveAdmin(ctx context.Context, address string, h http.Handler, log *slog.Logger) (net.Addr, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &settingError{"admin-listen", err.Error()}
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the operators' listener ended", "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = s.Close() }) // nobody is owed an answer there
	return l.Addr(), nil
}
