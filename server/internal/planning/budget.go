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

// price is what a run is charged.
type price struct {
	epsilon        accounting.Epsilon
	delta          accounting.Delta
	remainingAfter accounting.Epsilon
}

// price reads eps and delta, and refuses a run that the account cannot pay.
func (r Request) price() (price, error) {
	if math.IsNaN(*r.Epsilon) || *r.Epsilon < 0 {
		return price{}, refusal.New(refusal.InvalidArgument, "give an eps above 0", "eps must be a positive finite number, got %v", *r.Epsilon)
	}
	if r.Limit > 0 && *r.Epsilon > accounting.MaxEpsilon {
		return price{}, r.exceeded(math.MaxInt64)
	}
	epsilon, err := accounting.NewEpsilon(*r.Epsilon)
	if err != nil {
		return price{}, err
	}
	if epsilon < MinEpsilon {
		return price{}, refusal.New(refusal.InvalidArgument, "give an eps of at least "+MinEpsilon.String(), "eps %s is below %s", epsilon, MinEpsilon)
	}
	if r.Limit > 0 && epsilon > r.unspent() {
		return price{}, r.exceeded(epsilon)
	}
	delta, err := r.runDelta(epsilon)
	if err != nil {
		return price{}, err
	}
	priced := price{epsilon: epsilon, delta: delta}
	if r.Limit > 0 {
		priced.remainingAfter = accounting.Remaining(r.Limit, r.Spent+epsilon, r.DatasetDelta, r.SpentDelta+delta)
	}
	return priced, nil
}

// remaining is what any plan is sure to get of a limited dataset: the ledger says the same.
func (r Request) remaining() accounting.Epsilon {
	if r.Infinite {
		return 0
	}
	return accounting.Remaining(r.Limit, r.Spent, r.DatasetDelta, r.SpentDelta)
}

// unspent is what the limit leaves, whatever is left of delta.
func (r Request) unspent() accounting.Epsilon {
	if r.Infinite || r.Spent >= r.Limit || r.Spent < 0 {
		return 0
	}
	return r.Limit - r.Spent
}

func (r Request) exceeded(requested accounting.Epsilon) error {
	remaining := r.remaining()
	text, spent := requested.String(), r.Spent.String()
	if requested == math.MaxInt64 {
		text = fmt.Sprint(*r.Epsilon)
	}
	if r.Infinite {
		spent = "inf" // trained without noise once
	}
	return r.refuse(requested, r.wouldFit(), fmt.Sprintf("eps %s exceeds what remains: %s of %s (%s is spent)", text, remaining, r.Limit, spent))
}

// exceededDelta refuses a run whose eps fits and whose delta does not.
func (r Request) exceededDelta(requested accounting.Epsilon, delta accounting.Delta) error {
	return r.refuse(requested, r.wouldFit(), fmt.Sprintf("eps %s is within the limit of %s (%s is spent), but earlier runs left only %s of the dataset's delta, and this run's is %s",
		requested, r.Limit, r.Spent, r.unspentDelta(), delta))
}

func (r Request) refuse(requested accounting.Epsilon, next, what string) error {
	refused := refusal.New(refusal.BudgetExceeded, next, "%s", what)
	refused.Budget = &refusal.Budget{LimitNano: int64(r.Limit), SpentNano: int64(r.Spent), RequestedNano: int64(requested), RemainingNano: int64(r.remaining())}
	return refused
}

func (r Request) unspentDelta() accounting.Delta { return max(r.DatasetDelta/2-r.SpentDelta, 0) }

// wouldFit says what the account still takes: with the ordinary share of delta, or with as little as is left.
func (r Request) wouldFit() string {
	var ways []string
	if remaining := r.remaining(); remaining >= MinEpsilon {
		ways = append(ways, fmt.Sprintf("a run of eps %s or less would fit", remaining))
	}
	if r.unspent() >= MinEpsilon && r.unspent() > r.remaining() && r.unspentDelta() > 0 {
		ways = append(ways, fmt.Sprintf("with a delta of %s or less given, a run of eps %s or less would fit", r.unspentDelta(), r.unspent()))
	}
	if len(ways) == 0 {
		return "nothing is left that a run could use: this dataset cannot be trained on any more"
	}
	return strings.Join(ways, "; ")
}

// runDelta is the run's share of the dataset's delta, or the smaller one that was asked for.
func (r Request) runDelta(epsilon accounting.Epsilon) (accounting.Delta, error) {
	share := r.share(epsilon)
	if share <= 0 {
		return 0, refusal.New(refusal.InvalidArgument, "ask for a larger eps", "eps %s is a share of delta below 1e-18", epsilon)
	}
	delta := share
	if r.Delta != nil {
		asked, err := accounting.NewDelta(*r.Delta)
		if err != nil {
			return 0, err
		}
		if asked > share {
			return 0, refusal.New(refusal.InvalidArgument, "leave delta out, or give "+share.String()+" or less",
				"delta %s exceeds this run's share of the dataset's, which is %s", asked, share)
		}
		delta = asked
	}
	// PRIVACY: shares of runs within the limit always fit (see accounting.Delta.Share) unless runs came before the limit.
	if r.Limit > 0 && delta > r.DatasetDelta/2-r.SpentDelta {
		return 0, r.exceededDelta(epsilon, delta)
	}
	return delta, nil
}

func (r Request) share(epsilon accounting.Epsilon) accounting.Delta {
	if r.Limit > 0 {
		return r.DatasetDelta.Share(epsilon, r.Limit)
	}
	of := r.DatasetDelta
	if of == 0 {
		of = accounting.DefaultDelta(r.Declared)
	}
	return of.ShareWithoutLimit(epsilon)
}
