package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

const (
	exportTime = 5 * time.Second // of one batch
	maxSpans   = 2048            // that wait for the collector; more are dropped
	// complainEvery is how often a collector that does not take spans is logged.
	complainEvery = 10 * time.Minute
)

// Traces sends a span of each call to a collector: method, outcome, begin and end.
// PRIVACY: a span has no parent and no attribute of the caller's; what a caller says of a trace of its own is not read. The calls whose length
// is not told in the metrics have no span.
type Traces struct {
	words    words
	provider *trace.TracerProvider
	tracer   oteltrace.Tracer
}

// OpenTraces makes traces to an OTLP endpoint over HTTP. It does not look whether anybody answers there: a collector may come later, and calls
// never wait for it.
func OpenTraces(ctx context.Context, endpoint, version string, w Words, log *slog.Logger) (*Traces, error) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithTimeout(exportTime))
	if err != nil {
		return nil, fmt.Errorf("prepare traces: %w", err)
	}
	// The library has one place for what goes wrong behind it, for the whole process.
	otel.SetErrorHandler(newComplaints(log))
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter, trace.WithMaxQueueSize(maxSpans), trace.WithExportTimeout(exportTime)),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", namespace), attribute.String("service.version", version))),
	)
	return &Traces{wordsOf(w), provider, provider.Tracer(namespace)}, nil
}

// Called sends a span of a call that has ended.
func (t *Traces) Called(action, outcome string, began time.Time) {
	action = known(t.words.actions, action)
	if !t.words.timed(action) {
		return
	}
	outcome = known(t.words.outcomes, outcome)
	_, span := t.tracer.Start(context.Background(), action, oteltrace.WithNewRoot(), oteltrace.WithTimestamp(began), oteltrace.WithSpanKind(oteltrace.SpanKindServer),
		oteltrace.WithAttributes(attribute.String("outcome", outcome)))
	if outcome == "internal" {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// Limited sends nothing: a call that a limit refused has a span of its own.
func (t *Traces) Limited(string) {}

// Close sends what waits, until ctx is done.
func (t *Traces) Close(ctx context.Context) { _ = t.provider.Shutdown(ctx) }

// complaints logs failures of the collector, and not each of them.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64
}

func newComplaints(log *slog.Logger) *complaints { return &complaints{log: log} }

// Handle is called by the library.
func (c *complaints) Handle(err error) {
	now := time.Now().UnixNano()
	if last := c.last.Load(); now-last > int64(complainEvery) && c.last.CompareAndSwap(last, now) {
		c.log.Warn("traces cannot be sent; calls are not affected, and this is not said again for a while", "error", err)
	}
}
