package ledger

import (
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// Account is what is known of one budget: that of a dataset, and of every other upload of the same records.
type Account struct {
	ID         string   // the identifier of its first dataset
	Datasets   []string // all that draw on it, in the order in which they came, deleted ones included
	Partners   []string // the accounts of the other sets of the same uploads: of a training set, of its test set
	Owner      string
	Limit      accounting.Epsilon // 0: none
	Delta      accounting.Delta
	Orders     []int64            // of the counting filters; they never change
	Spent      accounting.Epsilon // the sum over charged entries; it can exceed the limit where a counting filter admits more, or the limit was lowered
	SpentDelta accounting.Delta
	Renyi      []accounting.Renyi // the same at the counting filters' orders
	Infinite   bool               // trained on without noise
	Frozen     string             // why nothing is charged any more; empty: it is
	Scientists map[string]accounting.Epsilon
	Entries    []Entry
}

// Outcomes of a run. An entry whose Outcome is empty is under way.
const (
	OutcomeCompleted = "completed"
	OutcomeFailed    = "failed"
	OutcomeCancelled = "cancelled"
	OutcomeReleased  = "released" // given back; it counts for nothing
)

// Entry is one run's charge.
type Entry struct {
	Run       string
	Dataset   string
	Scientist string
	Price
	DataGiven      bool
	Outcome        string
	ReservedUnixMS int64

	receipts []place
}

// Price is what a run is charged.
type Price struct {
	accounting.Cost
	Orders   []int64 // that its Renyi divergences are at
	Infinite bool    // without noise: the account counts as spent, whatever its limit will be
	Charge   []byte  // the bytes of bastionlab.v1.Charge that were authorised; not to be changed
}

// Charged says whether the entry counts.
func (e Entry) Charged() bool { return e.Outcome != OutcomeReleased }

// Filter is the rule by which the account stops.
func (a Account) Filter() accounting.Filter {
	return accounting.Filter{Limit: a.Limit, Delta: a.Delta, Orders: a.Orders}
}

// Total is what all charged entries draw together.
func (a Account) Total() accounting.Cost {
	return accounting.Cost{Epsilon: a.Spent, Delta: a.SpentDelta, Renyi: a.Renyi}
}

// Admits says whether the account takes a cost on top of what is charged.
// PRIVACY: the rule of the account; docs/composition.md has its proof. What ran without noise is beyond every limit.
func (a Account) Admits(cost accounting.Cost) bool {
	return a.Limit == 0 || (!a.Infinite && a.Filter().Admits(a.Total().Plus(cost)))
}

// OverLimit says whether more is charged than the limit allows, which only lowering it, or joining accounts, can bring about.
// PRIVACY: what a limit promises holds for every record given from then on. Charges whose runs still wait count too: which of them will
// get the data is not known yet.
func (a Account) OverLimit() bool {
	return a.Limit != 0 && (a.Infinite || !a.Filter().Admits(a.Total()))
}

// SpentAtMost is the least that is known to cover what was charged: the sum of eps, or what a counting filter makes of it. It is told to people;
// what decides is the filters.
func (a Account) SpentAtMost() accounting.Epsilon {
	if a.Limit == 0 {
		return a.Spent
	}
	return min(a.Spent, a.Filter().Spent(a.Total()))
}

// Remaining is what a run with its ordinary share of delta is sure to get: see accounting.Remaining. It is 0 without a limit, and after
// training without noise. A counting filter may admit more.
func (a Account) Remaining() accounting.Epsilon {
	if a.Limit == 0 || a.Infinite || a.Frozen != "" {
		return 0
	}
	return accounting.Remaining(a.Limit, a.Spent, a.Delta, a.SpentDelta)
}

// SpentBy is what the charged runs of one scientist draw together.
func (a Account) SpentBy(scientist string) (spent accounting.Epsilon) {
	for _, e := range a.Entries {
		if e.Charged() && e.Scientist == scientist {
			spent = addUpTo(spent, e.Epsilon)
		}
	}
	return spent
}

// after is how a receipt tells it.
func (a Account) after() receipt.After {
	return receipt.After{
		Limit: a.Limit, Delta: a.Delta, Spent: a.Spent, SpentDelta: a.SpentDelta, Infinite: a.Infinite, Frozen: a.Frozen != "",
	}
}

// count sums up anew what is charged: base is what joined accounts brought along at the orders of this one.
func (a *Account) count(base []accounting.Renyi) {
	a.Spent, a.SpentDelta, a.Infinite = 0, 0, false
	a.Renyi = make([]accounting.Renyi, len(a.Orders))
	copy(a.Renyi, base)
	for _, e := range a.Entries {
		a.add(e)
	}
}

func (a *Account) add(e Entry) {
	if !e.Charged() {
		return
	}
	a.Spent = addUpTo(a.Spent, e.Epsilon)
	a.SpentDelta = addUpTo(a.SpentDelta, e.Delta)
	for i, drawn := range e.Renyi {
		a.Renyi[i] = addUpTo(a.Renyi[i], drawn)
	}
	a.Infinite = a.Infinite || e.Infinite
}
