// Package traces sends spans of requests, transactions and reads and writes of
// bytes to an OpenTelemetry collector, by OTLP over HTTP. Spans carry names of
// operations, sizes and ids of requests, and nothing of what users store or send.
package traces

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// Options say where spans go.
type Options struct {
	// Collector is the collector's base URL, to which /v1/traces is added. Empty
	// is what the standard variables OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and
	// OTEL_EXPORTER_OTLP_ENDPOINT say; the other variables of the exporter and of
	// resources are in force either way.
	Collector string
	// Share is how many of the requests are traced: 1 is all of them.
	Share   float64
	Version string // of this program
	Logger  *slog.Logger
}

// On says whether anything is to be traced.
func (o Options) On() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	return o.Collector != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Traces sends spans. A nil one does nothing.
type Traces struct {
	provider *trace.TracerProvider
	tracer   api.Tracer
}

// Start begins to trace. It does not wait for the collector: spans that it does
// not take are dropped, and a warning tells so at most once a minute.
func Start(ctx context.Context, opt Options) (*Traces, error) {
	if !(opt.Share > 0 && opt.Share <= 1) {
		return nil, errors.New("the share of traced requests must be above 0 and at most 1")
	}
	var to []otlptracehttp.Option
	if opt.Collector != "" {
		u, err := url.Parse(opt.Collector)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, errors.New("write the collector's URL like http://127.0.0.1:4318")
		}
		to = append(to, otlptracehttp.WithEndpointURL(strings.TrimSuffix(opt.Collector, "/")+"/v1/traces"))
	}
	exporter, err := otlptracehttp.New(ctx, to...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "quire"), attribute.String("service.version", opt.Version)),
		resource.WithFromEnv()) // last: OTEL_SERVICE_NAME outweighs the name above
	if err != nil {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(&quiet{log: opt.Logger})
	share := trace.TraceIDRatioBased(opt.Share)
	p := trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithResource(about),
		// Whoever sends a request may name its trace, but not make more be recorded
		// than is to be.
		trace.WithSampler(trace.ParentBased(share, trace.WithRemoteParentSampled(share))),
	)
	return &Traces{provider: p, tracer: p.Tracer("github.com/quire-docs/quire")}, nil
}

// Close sends what is left, until ctx ends.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Request is the span of a request that is being answered.
type Request struct {
	span api.Span
	verb string
}

// Begin begins the span of a request, in the context that is returned with it. A
// trusted sender's traceparent header (W3C Trace Context) makes it part of that
// trace; others begin one of their own, since anybody can write such a header.
func (t *Traces) Begin(r *http.Request, trusted bool) (context.Context, *Request) {
	ctx := r.Context()
	if trusted {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	verb := "OTHER"
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		verb = r.Method
	}
	ctx, span := t.tracer.Start(ctx, verb, api.WithSpanKind(api.SpanKindServer))
	return ctx, &Request{span, verb}
}

// ID is the trace's id, in hex.
func (r *Request) ID() string { return r.span.SpanContext().TraceID().String() }

// End ends the span: operation is what the request asked for, out of a short list;
// request its id; in and out are the bytes of both bodies.
func (r *Request) End(operation, request string, status int, in, out int64) {
	if r.span.IsRecording() {
		if operation != "" {
			r.span.SetName(r.verb + " " + operation)
		}
		r.span.SetAttributes(
			attribute.String("http.request.method", r.verb), attribute.Int("http.response.status_code", status),
			attribute.Int64("http.request.body.size", in), attribute.Int64("http.response.body.size", out),
			attribute.String("quire.request", request))
		if status >= 500 {
			r.span.SetStatus(codes.Error, "")
		}
	}
	r.span.End()
}

// Done adds a span of something that has just ended, to the request that ctx is
// of; background work is not traced. Failed marks it.
func (t *Traces) Done(ctx context.Context, name string, took time.Duration, failed bool, count string, n int64) {
	if t == nil || !api.SpanFromContext(ctx).IsRecording() {
		return
	}
	now := time.Now()
	_, span := t.tracer.Start(ctx, name, api.WithTimestamp(now.Add(-took)), api.WithSpanKind(api.SpanKindClient), api.WithAttributes(attribute.Int64(count, n)))
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End(api.WithTimestamp(now))
}

// quiet logs the exporter's errors, seldom.
type quiet struct {
	log *slog.Logger

	mu   sync.Mutex // guards last
	last time.Time
}

// Handle implements otel.ErrorHandler.
func (q *quiet) Handle(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.last) < time.Minute {
		return
	}
	q.last = time.Now()
	q.log.Warn("traces are lost: see that the collector runs", "error", err)
}
