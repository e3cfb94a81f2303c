// Package metrics counts what a server does, for Prometheus. Labels have few
// values: never a path, a name or an id.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one server.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	received *prometheus.CounterVec
	running  *prometheus.GaugeVec
}

// New returns metrics that count nothing yet, with those of the process.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quire_requests_total", Help: "Requests answered, by door, method and status."}, []string{"door", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quire_request_seconds", Help: "How long requests took, by door, in seconds.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600},
		}, []string{"door"}),
		sent:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quire_sent_bytes_total", Help: "Bytes of answers, by door."}, []string{"door"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quire_received_bytes_total", Help: "Bytes of requests as their length was stated, by door."}, []string{"door"}),
		running:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "quire_requests_running", Help: "Requests that are being answered, by door."}, []string{"door"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "quire_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.sent, m.received, m.running, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gauge adds a value that is asked for each time it is collected. What cannot be
// told is left out as -1.
func (m *Metrics) Gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Counter adds a value that only grows while the process runs, and that is asked
// for each time it is collected.
func (m *Metrics) Counter(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Count counts the requests of a door.
func (m *Metrics) Count(door string, h http.Handler) http.Handler {
	seconds, sent, received, running := m.seconds.WithLabelValues(door), m.sent.WithLabelValues(door), m.received.WithLabelValues(door), m.running.WithLabelValues(door)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		running.Inc()
		c := &counter{ResponseWriter: w}
		// Also when the handler panics, which is how an answer is broken off.
		defer func() {
			running.Dec()
			status := c.status
			if status == 0 {
				status = http.StatusOK
			}
			m.requests.WithLabelValues(door, method(r.Method), strconv.Itoa(status)).Inc()
			seconds.Observe(time.Since(began).Seconds())
			sent.Add(float64(c.bytes))
			received.Add(float64(max(0, r.ContentLength)))
		}()
		h.ServeHTTP(c, r)
	})
}

// method keeps clients from making labels of their own.
func method(s string) string {
	switch s {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return s
	}
	return "other"
}
