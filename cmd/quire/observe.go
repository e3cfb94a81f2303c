package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/catalog"
	"github.com/quire-docs/quire/metrics"
	"github.com/quire-docs/quire/server"
	"github.com/quire-docs/quire/traces"
)

// traceSettings say where traces go.
type traceSettings struct {
	Traces     string  `help:"An OpenTelemetry collector that traces are sent to by OTLP over HTTP, for example http://127.0.0.1:4318. Empty is what OTEL_EXPORTER_OTLP_ENDPOINT says; without both there are none." env:"QUIRE_TRACES" placeholder:"URL"`
	TraceShare float64 `help:"How many of the requests are traced: 1 is all, 0.1 every tenth." name:"trace-share" env:"QUIRE_TRACE_SHARE" default:"1"`
}

// start begins to trace; nil is not to.
func (s *traceSettings) start(ctx context.Context, opt traces.Options) (*traces.Traces, error) {
	opt.Collector, opt.Share = s.Traces, s.TraceShare
	if !opt.On() {
		if !(s.TraceShare > 0 && s.TraceShare <= 1) {
			return nil, &settingError{"trace-share", "use a number above 0 and at most 1"}
		}
		return nil, nil
	}
	t, err := traces.Start(ctx, opt)
	if err != nil {
		return nil, &settingError{"traces, trace-share", err.Error()}
	}
	return t, nil
}

// watch tells metrics and traces what the stores do. Its fields are set before
// anything runs beside, or never: then it does nothing.
type watch struct {
	counts *metrics.Metrics
	traces *traces.Traces
}

func (w *watch) transaction(ctx context.Context, e catalog.Event) {
	kind := "view"
	if e.Write {
		kind = "update"
	}
	if w.counts != nil {
		w.counts.Transaction(kind, e.Duration, e.Runs)
	}
	// Most errors are answers: not found, locked. Which are not, the request knows.
	w.traces.Done(ctx, "catalog "+kind, e.Duration, false, "quire.runs", int64(e.Runs))
}

func (w *watch) blob(ctx context.Context, e blob.Event) {
	failed := blobFailed(e.Err)
	if w.counts != nil {
		w.counts.Blob(string(e.Op), e.Duration, e.Bytes, failed)
	}
	w.traces.Done(ctx, "blob "+string(e.Op), e.Duration, failed, "quire.bytes", e.Bytes)
}

// blobFailed says whether an error is the storage's, and not of what was asked or
// of the client that went away.
func blobFailed(err error) bool {
	var source *blob.SourceError
	return err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrExists) && !errors.As(err, &source)
}

// tracing is the server's view of traces; nil is none.
func tracing(t *traces.Traces) func(*http.Request, bool) (context.Context, server.Span) {
	if t == nil {
		return nil
	}
	return func(r *http.Request, trusted bool) (context.Context, server.Span) { return t.Begin(r, trusted) }
}

// endTraces sends what is left of traces when the server stops.
func endTraces(t *traces.Traces) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return t.Close(ctx)
}
