package main

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	span "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp is an OpenTelemetry collector that keeps what it gets.
type otlp struct {
	mu    sync.Mutex // guards the rest
	spans []*span.Span
	names []string // of services
	raw   bytes.Buffer
}

func (o *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &in)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
		http.Error(w, "no traces", http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.raw.Write(b)
	for _, res := range in.ResourceSpans {
		for _, a := range res.Resource.Attributes {
			if a.Key == "service.name" {
				o.names = append(o.names, a.Value.GetStringValue())
			}
		}
		for _, scope := range res.ScopeSpans {
			o.spans = append(o.spans, scope.Spans...)
		}
	}
	out, err := proto.Marshal(&collector.ExportTraceServiceResponse{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(out)
}

// of returns the spans of a trace by their names, and its root's.
func (o *otlp) of(trace string) (byName map[string][]*span.Span, root *span.Span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	byName = make(map[string][]*span.Span)
	for _, s := range o.spans {
		if hex.EncodeToString(s.TraceId) == trace {
			byName[s.Name] = append(byName[s.Name], s)
			if s.Kind == span.Span_SPAN_KIND_SERVER {
				root = s
			}
		}
	}
	return byName, root
}

const (
	theirTrace = "0af7651916cd43dd8448eb211c80319c"
	theirSpan  = "b7ad6b7169203331"
)

// TestTraces: requests, and what the stores do for them, arrive at a collector;
// a trace goes on only for senders that are trusted; nothing that users store or
// send is told.
func TestTraces(t *testing.T) {
	for _, test := range []struct {
		name, variable string
		args           []string
		goesOn         bool
	}{
		{"the setting and a trusted proxy", "QUIRE_TRACES=", []string{"--trusted-proxies", "127.0.0.1"}, true},
		{"the standard variable and anybody", "OTEL_EXPORTER_OTLP_ENDPOINT=", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := new(otlp)
			at := serveOn(t, &http.Server{Handler: o})
			data := t.TempDir()
			s, err := launchWith([]string{test.variable + at, "QUIRE_LOG_LEVEL=info", "QUIRE_LOG_FORMAT=json"}, data, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			defer s.kill()
			token := quireOutput(t, data, "token", "create", "--user", "admin")
			resp, text := ask(t, "PUT", s.url+"/api/v1/file/put?path=/secret-name.bin", token, strings.Repeat("secret", 20_000), "traceparent", "00-"+theirTrace+"-"+theirSpan+"-01")
			if resp.StatusCode >= 300 {
				t.Fatalf("%d %s", resp.StatusCode, text)
			}
			ask(t, "GET", s.url+"/api/v1/file/get?path=/secret-name.bin", token, "", "traceparent", "00-"+strings.Repeat("1", 32)+"-"+theirSpan+"-00")
			ask(t, "GET", s.url+"/healthz", "", "")
			s.stop(t)

			// The log names the trace.
			var trace string
			for line := range strings.Lines(s.log.String()) {
				var entry struct{ Operation, Trace string }
				if decode(line, &entry) == nil && entry.Operation == "file/put" {
					trace = entry.Trace
				}
			}
			if (trace == theirTrace) != test.goesOn || len(trace) != 32 {
				t.Fatalf("the trace in the log is %q:\n%s", trace, s.log)
			}
			spans, root := o.of(trace)
			if root == nil || root.Name != "PUT file/put" || (hex.EncodeToString(root.ParentSpanId) == theirSpan) != test.goesOn {
				t.Fatalf("the request's span is %v", root)
			}
			for _, name := range []string{"catalog view", "catalog update", "blob put"} {
				if len(spans[name]) == 0 {
					t.Errorf("there is no span %q", name)
				}
				for _, c := range spans[name] {
					if !bytes.Equal(c.ParentSpanId, root.SpanId) || c.EndTimeUnixNano < c.StartTimeUnixNano || c.StartTimeUnixNano < root.StartTimeUnixNano-1e6 {
						t.Errorf("%s is not in the request: %v", name, c)
					}
				}
			}
			var get *span.Span
			for _, s := range o.spans {
				if s.Name == "GET file/get" {
					get = s
				}
				if strings.Contains(s.Name, "health") {
					t.Error("health probes are traced")
				}
			}
			// What a trusted sender does not trace, we do not.
			if (get == nil) != test.goesOn {
				t.Errorf("the request that its sender does not trace: %v", get)
			}
			for _, secret := range []string{"secret", token} {
				if bytes.Contains(o.raw.Bytes(), []byte(secret)) {
					t.Errorf("traces tell %q", secret)
				}
			}
			if len(o.names) == 0 || o.names[0] != "quire" {
				t.Errorf("the service is %v", o.names)
			}
		})
	}
}

// TestTracesLost: a collector that does not answer costs nothing but traces.
func TestTracesLost(t *testing.T) {
	data := t.TempDir()
	s, err := launchWith([]string{"QUIRE_TRACES=http://127.0.0.1:1", "QUIRE_LOG_LEVEL=info"}, data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.kill()
	if resp, _ := ask(t, "GET", s.url+"/api/v1/account", "", ""); resp.StatusCode != 401 {
		t.Errorf("%d", resp.StatusCode)
	}
	s.stop(t)
	if !strings.Contains(s.log.String(), "traces") {
		t.Errorf("nothing tells that traces are lost:\n%s", s.log)
	}
}

func TestTraceSettings(t *testing.T) {
	bin, err := exec.LookPath("quire")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--traces", "collector:4318"}, {"--traces", "ftp://x"}, {"--traces", "http://x?y"},
		{"--trace-share", "0"}, {"--trace-share", "1.5"}, {"--traces", "http://127.0.0.1:1", "--trace-share", "NaN"},
	} {
		out, err := exec.Command(bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "trace") {
			t.Errorf("%v: %v %s", args, err, out)
		}
	}
}
