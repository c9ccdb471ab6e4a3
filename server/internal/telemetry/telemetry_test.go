package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
)

const marker = "MARKER-7f3a"

func testWords() Words {
	return Words{
		Actions: []string{"unknown", "DatasetService.UploadDataset", "DatasetService.ListDatasets"}, Outcomes: []string{"ok", "internal", "not_found"},
		Limits: []string{"uploads"}, Tasks: []string{"judging"}, Reasons: []string{"died"}, Untimed: []string{"DatasetService.UploadDataset"},
	}
}

func testMetrics(f Figures) *Metrics {
	return New(Config{Version: "1.0.0", Words: testWords(), Figures: func() (Figures, error) { return f, nil }})
}

// Whatever comes in as a label, words of the sets go out.
func TestLabelsAreOfFixedSets(t *testing.T) {
	m := testMetrics(Figures{Runs: map[string]int{"queued": 1}, Budgets: []Budget{{Dataset: "0123", Limit: 6, Spent: 2}}})
	for range 3 {
		m.Called(marker, marker, time.Now())
		m.Called("DatasetService.ListDatasets", "ok", time.Now())
		m.Limited(marker)
		m.TrainerFailed(marker, marker)
	}
	m.LedgerWritten(time.Millisecond, errors.New(marker))
	m.Reported(time.Millisecond, errors.New(marker))
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"1.0.0": true, "queued": true, "0123": true, other: true}
	for _, words := range [][]string{testWords().Actions, testWords().Outcomes, testWords().Limits, testWords().Tasks, testWords().Reasons} {
		for _, word := range words {
			allowed[word] = true
		}
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if !allowed[label.GetValue()] {
					t.Errorf("%s has the label %s=%q", family.GetName(), label.GetName(), label.GetValue())
				}
			}
		}
	}
	if text := page(t, m, nil, "/metrics"); strings.Contains(text, marker) || !strings.Contains(text, `bastionlab_dataset_spent_epsilon{dataset="0123"} 2`) {
		t.Errorf("the page is\n%s", text)
	}
}

// PRIVACY: none of this package's figures follows how many records there are.
func TestWhatRecordsMakeIsNotTold(t *testing.T) {
	m := testMetrics(Figures{})
	m.Called("DatasetService.UploadDataset", "ok", time.Now().Add(-time.Hour))
	text := page(t, m, nil, "/metrics")
	if !strings.Contains(text, `bastionlab_calls_total{method="DatasetService.UploadDataset",outcome="ok"} 1`) {
		t.Error("an upload is not counted")
	}
	if strings.Contains(text, "call_seconds_count") {
		t.Error("an upload is timed")
	}
	for _, name := range []string{"bytes", "memory", "cpu", "_fds", "go_", "loss", "norm", "records", "restart", "interrupt"} {
		for _, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, "#") && strings.Contains(line, name) {
				t.Errorf("there is a figure %q", line)
			}
		}
	}
}

func page(t *testing.T, m *Metrics, notReady error, path string) string {
	t.Helper()
	server := httptest.NewServer(Pages(m, func() error { return notReady }, slog.New(slog.DiscardHandler)))
	defer server.Close()
	answer, err := http.Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status + "\n" + string(content)
}

func TestReadiness(t *testing.T) {
	m := testMetrics(Figures{})
	if got := page(t, m, nil, "/readyz"); !strings.HasPrefix(got, "200") {
		t.Errorf("ready: %s", got)
	}
	if got := page(t, m, errors.New("the disk is gone"), "/readyz"); !strings.HasPrefix(got, "503") || !strings.Contains(got, "the disk is gone") {
		t.Errorf("not ready: %s", got)
	}
	if got := page(t, m, errors.New("x"), "/healthz"); !strings.HasPrefix(got, "200") {
		t.Errorf("alive: %s", got)
	}
}

// Before and after there is something to see, the page says only that it is not ready.
func TestAClosedServerTellsNothing(t *testing.T) {
	if text := page(t, testMetrics(Figures{Closed: true}), nil, "/metrics"); !strings.Contains(text, "bastionlab_ready 0") || strings.Contains(text, "ledger_writable") {
		t.Errorf("it tells\n%s", text)
	}
}

func TestSpansReachACollector(t *testing.T) {
	got := make(chan *collector.ExportTraceServiceRequest, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		request := &collector.ExportTraceServiceRequest{}
		if err := proto.Unmarshal(content, request); err != nil {
			t.Error(err)
		}
		got <- request
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer server.Close()
	traces, err := OpenTraces(t.Context(), server.URL+"/v1/traces", "1.0.0", testWords(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Second)
	traces.Called("DatasetService.ListDatasets", "ok", began)
	traces.Called("DatasetService.UploadDataset", "ok", began) // PRIVACY: as long as its records make it
	traces.Called(marker, marker, began)
	traces.Close(t.Context())
	spans := (<-got).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
	if len(spans) != 2 || spans[0].GetName() != "DatasetService.ListDatasets" || spans[1].GetName() != other || spans[0].GetStartTimeUnixNano() != uint64(began.UnixNano()) {
		t.Fatalf("spans %v", spans)
	}
	for _, span := range spans {
		if len(span.GetAttributes()) != 1 || span.GetAttributes()[0].GetKey() != "outcome" || strings.Contains(span.String(), marker) || len(span.GetParentSpanId()) != 0 {
			t.Errorf("a span tells %v", span)
		}
	}
}

// A collector that does not answer keeps nobody waiting, and what it is sent does not pile up.
func TestADeadCollectorHarmsNobody(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	traces, err := OpenTraces(t.Context(), server.URL, "1.0.0", testWords(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 4 * maxSpans {
		traces.Called("DatasetService.ListDatasets", "ok", began)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%d calls waited %s", 4*maxSpans, took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began = time.Now()
	traces.Close(ctx)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the end waited %s", took)
	}
}
