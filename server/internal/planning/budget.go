package planning

import (
	"fmt"
	"math"

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
	if r.Limit > 0 && epsilon > r.remaining() {
		return price{}, r.exceeded(epsilon)
	}
	delta, err := r.runDelta(epsilon)
	if err != nil {
		return price{}, err
	}
	priced := price{epsilon: epsilon, delta: delta}
	if r.Limit > 0 {
		priced.remainingAfter = r.remaining() - epsilon
	}
	return priced, nil
}

// remaining is what any plan is sure to get of a limited dataset.
func (r Request) remaining() accounting.Epsilon {
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
	next := fmt.Sprintf("a run of eps %s or less would fit", remaining)
	if remaining < MinEpsilon {
		next = "nothing is left that a run could use: this dataset cannot be trained on any more"
	}
	refused := refusal.New(refusal.BudgetExceeded, next, "eps %s exceeds what remains: %s of %s (%s is spent)", text, remaining, r.Limit, spent)
	refused.Budget = &refusal.Budget{LimitNano: int64(r.Limit), SpentNano: int64(r.Spent), RequestedNano: int64(requested), RemainingNano: int64(remaining)}
	return refused
}

// runDelta is the run's share of the dataset's delta, or the smaller one that was asked for.
func (r Request) runDelta(epsilon accounting.Epsilon) (accounting.Delta, error) {
	share := r.DatasetDelta
	switch {
	case r.Limit > 0:
		share = r.DatasetDelta.Share(epsilon, r.Limit)
	case share == 0:
		share = accounting.DefaultDelta(r.Declared)
	}
	if share <= 0 {
		return 0, refusal.New(refusal.InvalidArgument, "ask for a larger eps", "eps %s of %s is a share of delta below 1e-18", epsilon, r.Limit)
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
	// PRIVACY: shares of runs within the limit always fit (see accounting.Delta.Share); an account that says otherwise is not argued with.
	if r.Limit > 0 && delta > r.DatasetDelta/2-r.SpentDelta {
		refused := refusal.New(refusal.BudgetExceeded, "give a smaller delta", "delta %s exceeds what remains of the dataset's, which is %s", delta, max(r.DatasetDelta/2-r.SpentDelta, 0))
		refused.Budget = &refusal.Budget{LimitNano: int64(r.Limit), SpentNano: int64(r.Spent), RequestedNano: int64(epsilon), RemainingNano: int64(r.remaining())}
		return 0, refused
	}
	return delta, nil
}
