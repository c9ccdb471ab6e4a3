package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/server"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
	"github.com/bastionlab/bastionlab/server/internal/telemetry"
	"github.com/bastionlab/bastionlab/server/internal/version"
)

// station is where the server is watched from: its metrics and traces, as far as settings ask for them. Without any, nothing is counted.
type station struct {
	metrics *telemetry.Metrics
	traces  *telemetry.Traces
	end     func() // of the listener
	shown   atomic.Pointer[view]
	budgets bool // of datasets are told
}

// view is what there is to see between the end of the start and the end of the last run.
type view struct {
	domain *domain
	front  *server.Server
}

// openStation begins to answer: before there is anything to see, so that a start that takes long can be told from one that failed.
func openStation(ctx context.Context, s settings, log *slog.Logger) (w *station, err error) {
	w = &station{end: func() {}, budgets: s.metricsDatasets}
	if s.traceEndpoint != "" {
		if w.traces, err = telemetry.OpenTraces(ctx, s.traceEndpoint, version.Number, words(), log); err != nil {
			return nil, err
		}
		log.InfoContext(ctx, "traces are sent", "endpoint", s.traceEndpoint)
		if inTheClear(s.traceEndpoint) {
			log.WarnContext(ctx, "traces leave this machine in the clear: name the collector with https", "endpoint", s.traceEndpoint)
		}
	}
	if s.metricsListen == "" {
		return w, nil
	}
	_, beyondLoopback, err := addresses(s.metricsListen)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.metricsListen)
	if err != nil {
		w.close(ctx)
		return nil, cannotListen(s.metricsListen, err, "--metrics-listen")
	}
	if beyondLoopback {
		log.WarnContext(ctx, "metrics are told in plain HTTP beyond this machine, to everybody who asks", "metrics", listener.Addr().String())
	}
	log.InfoContext(ctx, "metrics", "metrics", listener.Addr().String(), "datasets", s.metricsDatasets)
	w.metrics = telemetry.New(telemetry.Config{Version: version.Number, Words: words(), Figures: w.figures})
	pages := telemetry.Pages(w.metrics, w.ready, log)
	w.end = alongside(ctx, func(ctx context.Context) { telemetry.Serve(ctx, listener, pages) })
	return w, nil
}

// inTheClear says whether others can read what is sent to a URL.
func inTheClear(endpoint string) bool {
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Scheme == "https" {
		return false
	}
	_, beyondLoopback, err := addresses(net.JoinHostPort(parsed.Hostname(), "0"))
	return err != nil || beyondLoopback
}

// close ends the listener, and gives a collector a moment for what it has not been sent yet.
func (w *station) close(ctx context.Context) {
	w.end()
	if w.traces != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpansTime)
		defer cancel()
		w.traces.Close(ctx)
	}
}

// lastSpansTime is a part of the time that a stop takes.
const lastSpansTime = time.Second

func words() telemetry.Words {
	return telemetry.Words{
		Actions: server.Actions(), Outcomes: server.Outcomes(), Limits: server.Limits(), Tasks: supervisor.Tasks(), Reasons: supervisor.Reasons(),
		Untimed: []string{"DatasetService.UploadDataset", "DatasetService.GetUpload", "ModelService.UploadModel", "TrainingService.WatchRun", "TrainingService.DownloadWeights"},
	}
}

// show lets figures be read, until hide is called: what they are read from must be open.
func (w *station) show(d *domain, front *server.Server) (hide func()) {
	w.shown.Store(&view{d, front})
	return func() { w.shown.Store(nil) }
}

// ready says why the server cannot do all that it is for.
func (w *station) ready() error {
	seen := w.shown.Load()
	if seen == nil {
		return errors.New("the server starts, or has stopped")
	}
	return readiness(seen.front.Figures().Ready, seen.domain.ledger.Figures().Broken, seen.domain.audit.Figures().Broken)
}

func readiness(takesCalls, ledgerBroken, auditBroken bool) error {
	switch {
	case !takesCalls:
		return errors.New("the server takes no calls: it starts or stops")
	case ledgerBroken:
		return errors.New("the budget ledger cannot be written: look at the disk, then restart the server")
	case auditBroken:
		return errors.New("the audit log cannot be written: look at the disk, then restart the server")
	}
	return nil
}

// Called is heard by all that there is.
func (w *station) Called(action, outcome string, began time.Time) {
	if w.metrics != nil {
		w.metrics.Called(action, outcome, began)
	}
	if w.traces != nil {
		w.traces.Called(action, outcome, began)
	}
}

// Limited is counted.
func (w *station) Limited(limit string) {
	if w.metrics != nil {
		w.metrics.Limited(limit)
	}
}

func (w *station) ledgerWritten(took time.Duration, err error) {
	if w.metrics != nil {
		w.metrics.LedgerWritten(took, err)
	}
}

func (w *station) trainerFailed(task, reason string) {
	if w.metrics != nil {
		w.metrics.TrainerFailed(task, reason)
	}
}

func (w *station) reported(took time.Duration, err error) {
	if w.metrics != nil {
		w.metrics.Reported(took, err)
	}
}
