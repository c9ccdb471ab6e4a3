package dataset

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// Budget returns a dataset's account as it is told to people. The owner still sees that of a deleted dataset.
func (c *Catalogue) Budget(ctx context.Context, user, id string) (*bastionlabv1.Budget, error) {
	account, err := c.ledger.Account(id)
	if err != nil {
		return nil, notFound()
	}
	_, err = c.store.Dataset(ctx, id)
	if errors.Is(err, storage.ErrNoRow) && account.Owner != user {
		return nil, notFound()
	}
	if err != nil && !errors.Is(err, storage.ErrNoRow) {
		return nil, err
	}
	return budgetOf(account), nil
}

// LowerLimit lowers the limit of one of the caller's datasets.
func (c *Catalogue) LowerLimit(ctx context.Context, user, id string, limit float64) (*bastionlabv1.Budget, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	row, err := c.row(ctx, id)
	if err != nil {
		return nil, err
	}
	if row.Owner != user {
		return nil, notOwner("lower its limit")
	}
	eps, err := checkLimit(&limit)
	if err != nil {
		return nil, err
	}
	if err := c.ledger.LowerLimit(id, eps); err != nil {
		return nil, err
	}
	return c.Budget(ctx, user, id)
}

// maxListedEntries bounds what a budget tells of single runs: it is one message. The sums are of all of them.
const maxListedEntries = 100_000

// budgetOf says what an account holds. Epsilons are sums of what was charged.
func budgetOf(a ledger.Account) *bastionlabv1.Budget {
	budget := &bastionlabv1.Budget{
		DatasetId: a.Dataset, SpentNano: int64(a.Spent), SpentInfinite: a.Infinite, RemainingNano: int64(a.Remaining()), DeltaAtto: int64(a.Delta),
	}
	if a.Limit != 0 {
		budget.LimitNano = proto.Int64(int64(a.Limit))
	}
	for _, e := range a.Entries[max(len(a.Entries)-maxListedEntries, 0):] {
		entry := &bastionlabv1.BudgetEntry{RunId: e.Run, Status: statusOf(e), CreatedUnixMs: e.ReservedUnixMS}
		if e.Charged() {
			entry.EpsilonNano, entry.DeltaAtto, entry.Infinite = int64(e.Epsilon), int64(e.Delta), e.Infinite
		}
		budget.Runs = append(budget.Runs, entry)
	}
	return budget
}

// statusOf names where an entry stands in the words of runs; "released" is a charge that was given back.
func statusOf(e ledger.Entry) string {
	switch {
	case e.Outcome != "":
		return e.Outcome
	case e.DataGiven:
		return "running"
	}
	return "queued"
}
