package ledger

import (
	"errors"
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func (a *account) checkReserve(m receipt.Body) error {
	switch {
	case len(m.Run) == 0 || len(m.Run) > maxIDBytes || len(m.Scientist) > maxIDBytes || len(m.Charge) > MaxChargeBytes:
		return errors.New("a charge without a proper run or scientist, or too long")
	case a.entry(m.Run) != nil:
		return errors.New("the run was charged before")
	case m.Epsilon < 0 || m.RunDelta < 0 || negative(m.Renyi) != nil:
		return errors.New("a negative charge")
	case m.Infinite && (m.Epsilon != 0 || m.RunDelta != 0 || len(m.Renyi) != 0):
		return errors.New("a charge both infinite and not")
	case !m.Infinite && m.Epsilon == 0:
		return errors.New("a charge of nothing")
	case !m.Infinite && len(m.Renyi) != len(a.Orders):
		return errors.New("a charge at other orders than the account's")
	case m.Infinite && a.Limit != 0:
		return refusal.New(refusal.InvalidArgument, "give eps", "a dataset with a privacy limit is not trained on without noise")
	case a.Frozen != "":
		return a.CheckFrozen()
	}
	if err := a.checkScientist(m); err != nil {
		return err
	}
	if m.Infinite || a.Admits(entryOf(m).Cost) {
		return nil
	}
	return a.exceeded(m.Epsilon)
}

// checkScientist holds a scientist to the owner's limit for them, which counts the sum of eps.
func (a *account) checkScientist(m receipt.Body) error {
	limit, limited := a.Scientists[m.Scientist]
	if !limited {
		return nil
	}
	spent := a.by[m.Scientist]
	if !m.Infinite && spent <= limit && m.Epsilon <= limit-spent {
		return nil
	}
	remaining := max(limit-spent, 0)
	return overBudget(limit, spent, m.Epsilon, remaining, "ask the dataset's owner, or for an eps of at most "+remaining.String(),
		"eps %s is over the limit of %s that the owner set for you: %s are spent, %s remain", m.Epsilon, limit, spent, remaining)
}

// exceeded refuses a charge that no filter admits, with figures.
func (a *account) exceeded(requested accounting.Epsilon) error {
	remaining, spent := a.Remaining(), a.SpentAtMost()
	next := "plan again: the plan says what a run of its shape can still get"
	if remaining > 0 {
		next = fmt.Sprintf("ask for an eps of at most %s", remaining)
	}
	switch {
	case a.Infinite:
		return overBudget(a.Limit, spent, requested, remaining, next,
			"eps %s is over the privacy limit of %s: the dataset was trained on without noise before it had a limit", requested, a.Limit)
	case a.Spent <= a.Limit && requested <= a.Limit-a.Spent:
		return overBudget(a.Limit, spent, requested, remaining, next,
			"eps %s fits in the privacy limit of %s, but the run's delta does not fit in what is left of the dataset's", requested, a.Limit)
	}
	return overBudget(a.Limit, spent, requested, remaining, next,
		"eps %s is over the privacy limit: %s of %s are spent, %s remain", requested, spent, a.Limit, remaining)
}

func overBudget(limit, spent, requested, remaining accounting.Epsilon, next, what string, args ...any) error {
	refused := refusal.New(refusal.BudgetExceeded, next, what, args...)
	refused.Budget = &refusal.Budget{
		LimitNano: int64(limit), SpentNano: int64(spent), RequestedNano: int64(requested), RemainingNano: int64(remaining),
	}
	return refused
}

// CheckFrozen refuses whatever would draw on a frozen account.
func (a Account) CheckFrozen() error {
	if a.Frozen == "" {
		return nil
	}
	refused := refusal.New(refusal.Attestation, "ask the server's operator to put the newest copy of its data directory back",
		"the dataset's account is frozen: %s", a.Frozen)
	refused.Check = &refusal.Check{Name: "ledger", Expected: "every receipt that the server signed", Seen: a.Frozen}
	return fmt.Errorf("%w: %w", ErrFrozen, refused)
}
