package dataset

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/permission"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Budget returns a dataset's account as it is told to people. The owner still sees that of a deleted dataset.
func (c *Catalogue) Budget(ctx context.Context, user, id string) (*bastionlabv1.Budget, error) {
	account, err := c.ledger.Account(id)
	if err != nil {
		return nil, notFound()
	}
	if account.Owner != user {
		if _, _, err := c.permitted(ctx, user, id, permission.Wish{Action: permission.See}); err != nil {
			return nil, err
		}
	}
	return budgetOf(account, id, user), nil
}

// LowerLimit lowers the limit of one of the caller's datasets, for all or, where one is named, for a scientist.
func (c *Catalogue) LowerLimit(ctx context.Context, user, id string, limit float64, scientist string) (*bastionlabv1.Budget, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if _, _, err := c.owned(ctx, user, id, "lower its limit"); err != nil {
		return nil, err
	}
	eps, err := checkLimit(&limit)
	if err != nil {
		return nil, err
	}
	if scientist == "" {
		err = c.ledger.LowerLimit(id, eps)
	} else {
		err = c.limitScientist(id, scientist, eps)
	}
	if err != nil {
		return nil, err
	}
	return c.Budget(ctx, user, id)
}

// maxListedEntries bounds what a budget tells of single runs: it is one message. The sums are of all of them.
const maxListedEntries = 100_000

// budgetOf says what an account holds, as one of those who may see a dataset on it is told.
func budgetOf(a ledger.Account, dataset, user string) *bastionlabv1.Budget {
	budget := &bastionlabv1.Budget{
		DatasetId: dataset, SpentNano: int64(a.SpentAtMost()), SpentInfinite: a.Infinite, RemainingNano: int64(a.Remaining()), DeltaAtto: int64(a.Delta), Frozen: a.Frozen,
	}
	if a.Limit != 0 {
		budget.LimitNano = proto.Int64(int64(a.Limit))
	}
	for _, e := range toldTo(user, a, dataset) {
		entry := &bastionlabv1.BudgetEntry{RunId: e.Run, Status: statusOf(e), CreatedUnixMs: e.ReservedUnixMS}
		if e.Charged() {
			entry.EpsilonNano, entry.DeltaAtto, entry.Infinite = int64(e.Epsilon), int64(e.Delta), e.Infinite
		}
		budget.Runs = append(budget.Runs, entry)
	}
	if a.Owner == user {
		budget.Datasets = a.Datasets
	}
	for _, scientist := range slices.Sorted(maps.Keys(a.Scientists)) {
		if a.Owner == user || scientist == user {
			budget.Scientists = append(budget.Scientists, &bastionlabv1.ScientistLimit{
				Scientist: scientist, LimitNano: int64(a.Scientists[scientist]), SpentNano: int64(a.SpentBy(scientist)),
			})
		}
	}
	return budget
}

// toldTo are the entries that somebody is told of: the owner all, others those of this dataset and their own. What is spent, and so that there is more
// on the account, everybody sees.
func toldTo(user string, a ledger.Account, dataset string) []ledger.Entry {
	told := a.Entries
	if a.Owner != user && len(a.Datasets) > 1 {
		told = slices.DeleteFunc(slices.Clone(told), func(e ledger.Entry) bool { return e.Dataset != dataset && e.Scientist != user })
	}
	return told[max(len(told)-maxListedEntries, 0):]
}

// maxScientists bounds how many scientists an owner can limit one by one on an account.
const maxScientists = 1000

func (c *Catalogue) limitScientist(id, scientist string, limit accounting.Epsilon) error {
	// SECURITY: in another form than the one identifiers have it would limit nobody.
	if err := permission.CheckUser(scientist); err != nil || scientist == permission.Everybody {
		return refusal.New(refusal.InvalidArgument, "give the SHA-256 of the scientist's public key in hex, as the scientist's client.user tells it", "%.80q names no scientist", scientist)
	}
	account, err := c.ledger.Account(id)
	if err != nil {
		return err
	}
	if _, known := account.Scientists[scientist]; !known && len(account.Scientists) >= maxScientists {
		return refusal.New(refusal.InvalidArgument, "lower the limit for all", "%d scientists have limits of their own on this account, and no more can", maxScientists)
	}
	return c.ledger.LimitScientist(id, scientist, limit)
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
