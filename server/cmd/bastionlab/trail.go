package main

import (
	"context"
	"errors"

	"github.com/bastionlab/bastionlab/server/internal/audit"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/training"
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
	err := t.Log.Record(entry, change)
	if from := t.usedFrom(entry); from != "" {
		entry.Dataset = from
		err = errors.Join(err, t.Log.Record(entry, change))
	}
	return err
}

// usedFrom is the dataset of the run whose weights a call uses on another one, or was refused to use; empty where it uses none of another.
// PRIVACY: weights that are used elsewhere have left, as those that were taken home, and their dataset's owner is to find it. The two lines have room: what is
// reserved for one is more than twice what it takes.
func (t trail) usedFrom(entry audit.Entry) string {
	weightsOf, uses := usesWeights[entry.Action]
	if !uses || entry.Run == "" {
		return ""
	}
	from := entry.Run // where it was refused, the request's
	if entry.Allowed {
		row, err := t.store.Run(context.Background(), entry.Run)
		if err != nil {
			return ""
		}
		if from, err = weightsOf(row); err != nil || from == "" {
			return ""
		}
	}
	row, err := t.store.Run(context.Background(), from)
	if err != nil || row.DatasetID == entry.Dataset {
		return ""
	}
	return row.DatasetID
}

var usesWeights = map[string]func(storage.RunRow) (run string, err error){
	"TrainingService.StartTraining": training.WeightsFrom, "TrainingService.StartTest": training.WeightsTested,
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
