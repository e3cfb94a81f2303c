// Package metrics counts what a server does, for Prometheus. Labels have few
// values: never a path, a name or an id.
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one server.
type Metrics struct {
	registry  *prometheus.Registry
	operation func(context.Context) string

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	received *prometheus.CounterVec
	running  *prometheus.GaugeVec

	catalog    *prometheus.HistogramVec
	races      prometheus.Counter
	blobs      *prometheus.HistogramVec
	blobBytes  *prometheus.CounterVec
	blobFailed *prometheus.CounterVec
	limited    *prometheus.CounterVec
}

// Buckets, in seconds: of requests, which may be uploads of an hour, and of
// what a store does.
var (
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600}
	storeBuckets   = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}
)

// New returns metrics that count nothing yet, with those of the process. Operation
// tells what the request of a context asked for, out of a short list; where it
// tells nothing, the pattern that the request came in by is taken.
func New(version string, operation func(context.Context) string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		operation: operation,

		requests: counter("quire_requests_total", "Requests answered, by door, operation and status.", "door", "operation", "status"),
		seconds:  histogram("quire_request_seconds", "How long requests took, by door and operation, in seconds; without WebSockets.", requestBuckets, "door", "operation"),
		sent:     counter("quire_sent_bytes_total", "Bytes of answers, by door and operation; without WebSockets.", "door", "operation"),
		received: counter("quire_received_bytes_total", "Bytes of requests that were read, by door and operation; without WebSockets.", "door", "operation"),
		running:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "quire_requests_running", Help: "Requests that are being answered, by door."}, []string{"door"}),

		catalog:    histogram("quire_catalog_seconds", "How long transactions took, with their retries, by kind (view or update), in seconds.", storeBuckets, "kind"),
		races:      prometheus.NewCounter(prometheus.CounterOpts{Name: "quire_catalog_lost_races_total", Help: "How often a transaction ran again because others changed the same."}),
		blobs:      histogram("quire_blob_seconds", "How long operations on the blob store took, by operation, in seconds; a read lasts until its reader is done.", storeBuckets, "operation"),
		blobBytes:  counter("quire_blob_bytes_total", "Bytes stored in and read from the blob store, by operation.", "operation"),
		blobFailed: counter("quire_blob_failures_total", "Operations that the blob store failed, by operation.", "operation"),
		limited:    counter("quire_limited_total", "Requests refused by a limit, by limit (user, address, uploads or sockets).", "limit"),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "quire_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.sent, m.received, m.running, m.catalog, m.races, m.blobs, m.blobBytes, m.blobFailed, m.limited, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a value that is asked for each time it is collected. What cannot be
// told is -1.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Counter adds a value that only grows while the process runs, and that is asked
// for each time it is collected.
func (m *Metrics) Counter(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Cache adds a cache, which is asked for its hits and misses since the start each
// time they are collected.
func (m *Metrics) Cache(name string, use func() (hits, misses uint64)) {
	labels := prometheus.Labels{"cache": name}
	count := func(metric, help string, value func() uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: metric, Help: help, ConstLabels: labels}, func() float64 { return float64(value()) }))
	}
	count("quire_cache_hits_total", "What a cache had, by cache.", func() uint64 { h, _ := use(); return h })
	count("quire_cache_misses_total", "What a cache did not have, by cache.", func() uint64 { _, n := use(); return n })
}

// Transaction counts a transaction of the catalog, which ran a number of times.
func (m *Metrics) Transaction(kind string, took time.Duration, runs int) {
	m.catalog.WithLabelValues(kind).Observe(took.Seconds())
	m.races.Add(float64(runs - 1))
}

// Blob counts an operation on the blob store. Failed says that the store is to
// blame.
func (m *Metrics) Blob(operation string, took time.Duration, bytes int64, failed bool) {
	m.blobs.WithLabelValues(operation).Observe(took.Seconds())
	m.blobBytes.WithLabelValues(operation).Add(float64(max(0, bytes)))
	failures := m.blobFailed.WithLabelValues(operation) // there also while it is 0
	if failed {
		failures.Inc()
	}
}

// Limits names the limits that Limited may count, so that they are there also
// while they have refused nobody.
func (m *Metrics) Limits(names ...string) {
	for _, n := range names {
		m.limited.WithLabelValues(n)
	}
}

// Limited counts a request that a limit refused.
func (m *Metrics) Limited(limit string) { m.limited.WithLabelValues(limit).Inc() }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Count counts the requests of a door.
func (m *Metrics) Count(door string, h http.Handler) http.Handler {
	running := m.running.WithLabelValues(door)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		running.Inc()
		c := &counter{ResponseWriter: w}
		body := &countedBody{ReadCloser: r.Body}
		r = r.WithContext(r.Context()) // a copy: net/http looks at its own request's body
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = body
		}
		// Also when the handler panics, which is how an answer is broken off.
		defer func() {
			running.Dec()
			status := c.status
			if status == 0 {
				status = http.StatusOK
			}
			operation := m.operation(r.Context())
			if operation == "" {
				operation = r.Pattern
			}
			m.requests.WithLabelValues(door, operation, strconv.Itoa(status)).Inc()
			if status == http.StatusSwitchingProtocols {
				return
			}
			m.seconds.WithLabelValues(door, operation).Observe(time.Since(began).Seconds())
			m.sent.WithLabelValues(door, operation).Add(float64(c.bytes))
			m.received.WithLabelValues(door, operation).Add(float64(body.n.Load()))
		}()
		h.ServeHTTP(c, r)
	})
}
