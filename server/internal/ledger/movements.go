package ledger

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// ErrDataGiven is wrapped by the refusal to release a charge whose trainer may have had the data.
var ErrDataGiven = errors.New("the run was given the data: its charge stays")

// ErrLimited is wrapped by the refusal to give data to a run that the dataset's limit, lowered or set since the run was charged, does not
// allow. Its charge can still be released.
var ErrLimited = errors.New("the dataset's privacy limit was lowered: the run is not given its data")

func noAccount() error {
	return refusal.New(refusal.NotFound, "list the datasets there are", "there is no budget account for this dataset")
}

// OpenAccount begins the account of a dataset. limit 0 means none; delta must be below 1/declared either way.
func (l *Ledger) OpenAccount(dataset, owner string, limit accounting.Epsilon, delta accounting.Delta, declared int64, blobSHA256 []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	err := l.append(record{
		Type: typeAccount, Dataset: dataset, Owner: owner, Limit: limit, Delta: delta, Declared: declared, Blob: hex.EncodeToString(blobSHA256),
	})
	return wrap("open account", err)
}

// LowerLimit lowers a dataset's limit, or gives one to a dataset that had none. A limit below what is spent is allowed - an owner who
// wants no more of it should not have to compute - and leaves nothing. The limit that already holds is accepted and changes nothing.
func (l *Ledger) LowerLimit(dataset string, limit accounting.Epsilon) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if a, ok := l.books.accounts[dataset]; ok && limit > 0 && a.Limit == limit {
		return nil
	}
	return wrap("lower limit", l.append(record{Type: typeLimit, Dataset: dataset, Limit: limit}))
}

func (a *account) checkLimit(r record) error {
	if r.Limit <= 0 {
		return refusal.New(refusal.InvalidArgument, "give a limit above 0", "a privacy limit must be positive")
	}
	// PRIVACY: the limit is a promise about records that are already here; it may become stricter only.
	if a.Limit != 0 && r.Limit >= a.Limit {
		return refusal.New(refusal.InvalidArgument, fmt.Sprintf("give a limit below %s", a.Limit),
			"a privacy limit can only be lowered: it is %s, and %s was asked for", a.Limit, r.Limit)
	}
	return nil
}

// Reserve charges a run in full. infinite is training without noise, on datasets without a limit only. A refusal for want of budget is
// a BudgetExceeded with the figures.
func (l *Ledger) Reserve(dataset, run string, charge []byte, eps accounting.Epsilon, delta accounting.Delta, infinite bool) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return wrap("charge", l.append(record{
		Type: typeReserve, Dataset: dataset, Run: run, Epsilon: eps, Delta: delta, Infinite: infinite, Charge: charge,
	}))
}

func (a *account) checkReserve(r record) error {
	switch {
	case r.Epsilon < 0 || r.Delta < 0:
		return errors.New("a negative charge")
	case r.Infinite && (r.Epsilon != 0 || r.Delta != 0):
		return errors.New("a charge both infinite and not")
	case r.Infinite && a.Limit != 0:
		return refusal.New(refusal.InvalidArgument, "give eps", "a dataset with a privacy limit is not trained on without noise")
	case !r.Infinite && r.Epsilon == 0:
		return errors.New("a charge of nothing")
	}
	if a.Limit == 0 {
		return nil
	}
	// PRIVACY: the rule of the account, in integers, with <=. Half of delta belongs to the runs' shares. Written as subtractions, which
	// cannot overflow: limits, sums and charges are not negative.
	if !a.Infinite && r.Epsilon <= a.Limit-a.Spent && r.Delta <= a.Delta/2-a.SpentDelta {
		return nil
	}
	return a.exceeded(r.Epsilon)
}

// exceeded refuses a charge, with figures.
func (a *account) exceeded(requested accounting.Epsilon) error {
	remaining := a.Remaining()
	next := "train on another dataset: only its owner could have granted more, and a limit never rises"
	if remaining > 0 {
		next = fmt.Sprintf("ask for an eps of at most %s", remaining)
	}
	var what string
	switch {
	case a.Infinite:
		what = fmt.Sprintf("eps %s is over the privacy limit of %s: the dataset was trained on without noise before it had a limit", requested, a.Limit)
	case requested <= a.Limit-a.Spent:
		what = fmt.Sprintf("eps %s fits in the privacy limit of %s, but the run's delta does not fit in what is left of the dataset's", requested, a.Limit)
	default:
		what = fmt.Sprintf("eps %s is over the privacy limit: %s of %s are spent, %s remain", requested, a.Spent, a.Limit, remaining)
	}
	refused := refusal.New(refusal.BudgetExceeded, next, "%s", what)
	refused.Budget = &refusal.Budget{
		LimitNano: int64(a.Limit), SpentNano: int64(a.Spent), RequestedNano: int64(requested), RemainingNano: int64(remaining),
	}
	return refused
}

// DataGiven notes that the trainer is about to get the data. The descriptor may be sent only after it returned nil; from then on the
// charge stays. A run whose account is over a limit that was lowered since gets ErrLimited, and its release makes room for the next.
func (l *Ledger) DataGiven(dataset, run string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	given := record{Type: typeData, Dataset: dataset, Run: run}
	err := l.books.check(given) // first: what can never be given data is told so, whatever the limit
	if err == nil && l.books.accounts[dataset].OverLimit() {
		err = ErrLimited
	}
	if err == nil {
		err = l.append(given)
	}
	return wrap("note that data is given", err)
}

// Release gives a charge back. It is refused with ErrDataGiven after DataGiven. A second release changes nothing.
func (l *Ledger) Release(dataset, run string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.ended(dataset, run, OutcomeReleased) {
		return nil
	}
	return wrap("release charge", l.append(record{Type: typeRelease, Dataset: dataset, Run: run}))
}

// Settle notes how a run that was given the data ended; the charge stays in full. Weights may leave only after a Settle of OutcomeCompleted
// returned nil. The same outcome again changes nothing.
func (l *Ledger) Settle(dataset, run, outcome string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if outcome != OutcomeReleased && l.ended(dataset, run, outcome) {
		return nil
	}
	return wrap("settle run", l.append(record{Type: typeSettle, Dataset: dataset, Run: run, Outcome: outcome}))
}

// ended says whether the run ended with just this outcome. The caller holds l.writing.
func (l *Ledger) ended(dataset, run, outcome string) bool {
	a, ok := l.books.accounts[dataset]
	if !ok {
		return false
	}
	entry, err := a.entry(run)
	return err == nil && entry.Outcome != "" && entry.Outcome == outcome
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
