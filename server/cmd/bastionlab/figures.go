package main

import (
	"context"
	"errors"
	"slices"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/telemetry"
)

// figures asks all who know.
// PRIVACY: what is told, and what not, stands with its reasons in the package telemetry.
func (w *station) figures() (telemetry.Figures, error) {
	seen := w.shown.Load()
	if seen == nil {
		return telemetry.Figures{Closed: true}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), figuresTime)
	defer cancel()
	d, front := seen.domain, seen.front.Figures()
	runs, books, log := d.runs.Figures(), d.ledger.Figures(), d.audit.Figures()
	f := telemetry.Figures{
		Ready: w.ready() == nil, Development: d.registry.Development(),
		Calls: front.Calls, Connections: front.Connections,
		Uploads:   map[string]int{"streaming": front.Uploads - front.Resting, "resting": front.Resting},
		Runs:      map[string]int{"queued": runs.Queued, "running": runs.Running, "waiting": runs.Waiting},
		EndedRuns: map[string]int64{}, QueuePlaces: runs.Places, OldestQueued: runs.OldestQueued,
		Accounts:     map[string]int{"open": books.Accounts - books.Frozen, "frozen": books.Frozen},
		LedgerBroken: books.Broken, AuditLines: log.Lines, AuditBroken: log.Broken, FreeHundredths: -1,
	}
	for _, ended := range endedStatuses {
		f.EndedRuns[runStatusWord(ended)] = 0
	}
	counts, err := d.store.CountEndedRuns(ctx)
	for _, c := range counts {
		f.EndedRuns[runStatusWord(bastionlabv1.RunStatus(c.Status))] = c.Runs
	}
	// PRIVACY: no finer: what an upload took tells how many records it has.
	if free, total, failed := d.store.FreeRoom(); failed == nil && total > 0 {
		f.FreeHundredths = int(100 * free / total)
	}
	known, failed := d.store.Datasets(ctx)
	f.Datasets = len(known)
	if w.budgets {
		for _, each := range known {
			if account, err := d.ledger.Account(each.ID); err == nil {
				f.Budgets = append(f.Budgets, telemetry.Budget{Dataset: each.ID, Limit: account.Limit.Float(), Spent: account.SpentAtMost().Float()})
			}
		}
	}
	return f, errors.Join(err, failed)
}

// figuresTime bounds how long the database may take to answer.
const figuresTime = 5 * time.Second

var endedStatuses = []bastionlabv1.RunStatus{
	bastionlabv1.RunStatus_RUN_STATUS_COMPLETED, bastionlabv1.RunStatus_RUN_STATUS_FAILED, bastionlabv1.RunStatus_RUN_STATUS_CANCELLED,
}

func runStatusWord(status bastionlabv1.RunStatus) string {
	if !slices.Contains(endedStatuses, status) {
		return "other"
	}
	return runStatus(&bastionlabv1.Run{Status: status})
}
