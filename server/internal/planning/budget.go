package planning

import (
	"fmt"
	"math"
	"strings"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// MinEpsilon is the smallest eps that a run may have. Below it the noise drowns everything, and shares of delta vanish.
const MinEpsilon = accounting.Epsilon(1_000_000)

// asked is what a run asks of an account.
type asked struct {
	epsilon, delta *float64
	declared       int64
}

// price is what a run is charged.
type price struct {
	epsilon        accounting.Epsilon
	delta          accounting.Delta
	remainingAfter accounting.Epsilon
}

// price reads eps and delta, and refuses what no filter of the account could admit, whatever the noise.
func (a Account) price(r asked) (price, error) {
	if math.IsNaN(*r.epsilon) || *r.epsilon < 0 {
		return price{}, refusal.New(refusal.InvalidArgument, "give an eps above 0", "eps must be a positive finite number, got %v", *r.epsilon)
	}
	if a.Limit > 0 && *r.epsilon > accounting.MaxEpsilon {
		return price{}, a.exceeded(math.MaxInt64, fmt.Sprint(*r.epsilon), a.wouldFit(0, 0))
	}
	epsilon, err := accounting.NewEpsilon(*r.epsilon)
	if err != nil {
		return price{}, err
	}
	if epsilon < MinEpsilon {
		return price{}, refusal.New(refusal.InvalidArgument, "give an eps of at least "+MinEpsilon.String(), "eps %s is below %s", epsilon, MinEpsilon)
	}
	if a.Own != nil && epsilon > a.Own.left() {
		return price{}, a.Own.exceeded(epsilon)
	}
	if a.Limit > 0 && (epsilon > a.Limit || a.Infinite) {
		return price{}, a.exceeded(epsilon, epsilon.String(), a.wouldFit(0, 0))
	}
	delta, err := a.runDelta(epsilon, r)
	if err != nil {
		return price{}, err
	}
	priced := price{epsilon: epsilon, delta: delta}
	if a.Limit > 0 {
		after := a.spent().Plus(accounting.Cost{Epsilon: epsilon, Delta: delta})
		priced.remainingAfter = accounting.Remaining(a.Limit, after.Epsilon, a.DatasetDelta, after.Delta)
		if a.Own != nil {
			priced.remainingAfter = min(priced.remainingAfter, a.Own.left()-epsilon)
		}
	}
	return priced, nil
}

// exceeded refuses what the owner does not allow this scientist. The ledger refuses it in the same words.
func (o Allowance) exceeded(requested accounting.Epsilon) error {
	refused := refusal.New(refusal.BudgetExceeded, "ask the dataset's owner, or for an eps of at most "+o.left().String(),
		"eps %s is over the limit of %s that the owner set for you: %s are spent, %s remain", requested, o.Limit, o.Spent, o.left())
	refused.Budget = &refusal.Budget{LimitNano: int64(o.Limit), SpentNano: int64(o.Spent), RequestedNano: int64(requested), RemainingNano: int64(o.left())}
	return refused
}

// remaining is what any plan is sure to get of a limited dataset: the ledger says the same.
func (a Account) remaining() accounting.Epsilon {
	if a.Infinite {
		return 0
	}
	return a.within(accounting.Remaining(a.Limit, a.Spent, a.DatasetDelta, a.SpentDelta))
}

// unspent is what the sum of eps leaves of the limit, whatever is left of delta.
func (a Account) unspent() accounting.Epsilon {
	if a.Infinite || a.Spent >= a.Limit || a.Spent < 0 {
		return 0
	}
	return a.Limit - a.Spent
}

// refuse says why no filter admits a plan, and what would fit.
func (a Account) refuse(p Plan, obtainable accounting.Epsilon) error {
	next := a.wouldFit(obtainable, p.BatchSize)
	if p.Epsilon > a.unspent() {
		return a.exceeded(p.Epsilon, p.Epsilon.String(), next)
	}
	return a.overBudget(p.Epsilon, next, fmt.Sprintf("eps %s is within the limit of %s (%s is spent), but earlier runs left only %s of the dataset's delta, and this run's is %s",
		p.Epsilon, a.Limit, a.spentAtMost(), a.unspentDelta(), p.Delta))
}

func (a Account) exceeded(requested accounting.Epsilon, text, next string) error {
	spent := a.spentAtMost().String()
	if a.Infinite {
		spent = "inf" // trained without noise once
	}
	return a.overBudget(requested, next, fmt.Sprintf("eps %s exceeds what remains: %s of %s (%s is spent)", text, a.remaining(), a.Limit, spent))
}

func (a Account) overBudget(requested accounting.Epsilon, next, what string) error {
	refused := refusal.New(refusal.BudgetExceeded, next, "%s", what)
	refused.Budget = &refusal.Budget{LimitNano: int64(a.Limit), SpentNano: int64(a.spentAtMost()), RequestedNano: int64(requested), RemainingNano: int64(a.remaining())}
	return refused
}

func (a Account) unspentDelta() accounting.Delta { return max(a.DatasetDelta/2-a.SpentDelta, 0) }

// wouldFit says what the account still takes: of any run, of one with as little delta as is left, and of one of this shape.
func (a Account) wouldFit(obtainable accounting.Epsilon, batchSize int64) string {
	var ways []string
	if remaining := a.remaining(); remaining >= MinEpsilon {
		ways = append(ways, fmt.Sprintf("a run of eps %s or less would fit", remaining))
	}
	if a.unspent() >= MinEpsilon && a.unspent() > a.remaining() && a.unspentDelta() > 0 {
		ways = append(ways, fmt.Sprintf("with a delta of %s or less given, a run of eps %s or less would fit", a.unspentDelta(), a.unspent()))
	}
	if obtainable >= MinEpsilon && obtainable > a.remaining() {
		ways = append(ways, fmt.Sprintf("with batch_size=%d and the same nb_epochs, a run of eps %s or less would fit", batchSize, obtainable))
	}
	if len(ways) == 0 {
		return "nothing is left that a run could use: this dataset cannot be trained on any more"
	}
	return strings.Join(ways, "; ")
}

// runDelta is the run's share of the dataset's delta, or the smaller one that was asked for.
func (a Account) runDelta(epsilon accounting.Epsilon, r asked) (accounting.Delta, error) {
	share := a.share(epsilon, r.declared)
	if share <= 0 {
		return 0, refusal.New(refusal.InvalidArgument, "ask for a larger eps", "eps %s is a share of delta below 1e-18", epsilon)
	}
	delta := share
	if r.delta != nil {
		asked, err := accounting.NewDelta(*r.delta)
		if err != nil {
			return 0, err
		}
		if asked > share {
			return 0, refusal.New(refusal.InvalidArgument, "leave delta out, or give "+share.String()+" or less",
				"delta %s exceeds this run's share of the dataset's, which is %s", asked, share)
		}
		delta = asked
	}
	return delta, nil
}

func (a Account) share(epsilon accounting.Epsilon, declared int64) accounting.Delta {
	if a.Limit > 0 {
		// PRIVACY: shares of runs within the limit always fit (see accounting.Delta.Share) unless runs came before the limit.
		return a.DatasetDelta.Share(epsilon, a.Limit)
	}
	of := a.DatasetDelta
	if of == 0 {
		of = accounting.DefaultDelta(declared)
	}
	return of.ShareWithoutLimit(epsilon)
}
