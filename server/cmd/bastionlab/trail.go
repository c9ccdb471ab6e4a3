package main

import (
	"context"

	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// trail is the audit log, as each may see it.
type trail struct {
	*audit.Log
	ledger  *ledger.Ledger
	store   *storage.Store
	seesAll func(user string) bool // an operator's
}

// Record also says which dataset a run is on: who takes weights home names the run only, and its dataset's owner is to find it.
func (t trail) Record(entry audit.Entry, change bool) error {
	if entry.Run != "" && entry.Dataset == "" {
		if row, err := t.store.Run(context.Background(), entry.Run); err == nil {
			entry.Dataset = row.DatasetID
		}
	}
	return t.Log.Record(entry, change)
}

// List tells an owner what concerns their datasets, deleted ones too: they stay on their accounts.
func (t trail) List(ctx context.Context, user, dataset string, after int64, most int) ([]audit.Line, bool, error) {
	q := audit.Query{After: after, All: t.seesAll(user), User: user, Datasets: map[string]bool{}, Dataset: dataset, Most: most}
	if !q.All {
		for _, account := range t.ledger.AccountsOf(user) {
			for _, owned := range account.Datasets {
				q.Datasets[owned] = true
			}
		}
	}
	return t.Log.List(ctx, q)
}
