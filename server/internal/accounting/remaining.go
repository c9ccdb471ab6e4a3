package accounting

import "math/big"

// Remaining is the largest eps that a run with its ordinary share of delta is sure to get on a dataset with this limit and delta: within the limit
// less what is spent, and with a share that fits in what is left of delta/2. It is 0 where the limit was lowered below what is
// spent, and may be below what the limit leaves where earlier runs took more of delta than their shares of the limit as it is now.
func Remaining(limit, spent Epsilon, delta, spentDelta Delta) Epsilon {
	left := delta/2 - spentDelta
	if limit <= 0 || spent < 0 || spent >= limit || delta <= 0 || left < 0 {
		return 0
	}
	// The largest e with floor(delta*e / (2*limit)) <= left is the one below (left+1) * 2*limit / delta.
	bound := new(big.Int).Mul(big.NewInt(int64(left)+1), new(big.Int).Lsh(big.NewInt(int64(limit)), 1))
	bound.Sub(bound, big.NewInt(1))
	bound.Quo(bound, big.NewInt(int64(delta)))
	if bound.IsInt64() {
		return min(limit-spent, Epsilon(bound.Int64()))
	}
	return limit - spent
}

// AssumedLimit stands for the limit of a dataset that has none, where a run's share of delta is asked for.
const AssumedLimit = Epsilon(10_000_000_000)

// ShareWithoutLimit is the delta of a run of eps on a dataset without a limit: what it would be under the assumed one, and for an eps above that
// the whole half of delta that runs have.
//
// PRIVACY: any share keeps the run's own promise. This one keeps a limit that comes later usable: under a limit up to the assumed one, runs
// so far have taken no more of delta than their eps take of the limit, so that what the limit leaves can be had.
func (d Delta) ShareWithoutLimit(eps Epsilon) Delta {
	return d.Share(min(eps, AssumedLimit), AssumedLimit)
}
