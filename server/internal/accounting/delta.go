package accounting

import (
	"math"
	"math/big"
	"strconv"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Delta is a failure probability in units of 1e-18, so that the runs' shares add and compare exactly.
type Delta int64

const deltaDigits = 18

// NewDelta reads v as the decimal that a person wrote (see decimalUnits) and rounds it down to 1e-18.
func NewDelta(v float64) (Delta, error) {
	if math.IsNaN(v) || v <= 0 || v >= 1 {
		return 0, refusal.New(refusal.InvalidArgument, "give a delta above 0 and far below 1/(number of records)",
			"delta must be a number between 0 and 1, got %v", v)
	}
	units := decimalUnits(v, deltaDigits)
	if units.Sign() <= 0 {
		return 0, refusal.New(refusal.InvalidArgument, "give a delta of at least 1e-18", "delta %v is below the smallest unit of 1e-18", v)
	}
	return Delta(units.Int64()), nil
}

// DefaultDelta is the largest power of ten that is at most 1/(10*declared), where declared is the number of a dataset's slots. It is
// zero, which no run can use, if there is no such power of at least 1e-18 or if declared is not positive.
func DefaultDelta(declared int64) Delta {
	if declared <= 0 {
		return 0
	}
	units := int64(1e17) / declared // 1/(10*declared); cutting the fraction off cannot reach the next power of ten
	power := int64(0)
	for next := int64(1); next <= units; next *= 10 {
		power = next
	}
	return Delta(power)
}

// CheckDelta refuses the delta of a dataset of declared slots that is not below 1/declared: with it, publishing a record outright
// would count as private.
func CheckDelta(d Delta, declared int64) error {
	// d*1e-18 >= 1/declared, in integers.
	product := new(big.Int).Mul(big.NewInt(int64(d)), big.NewInt(declared))
	if d > 0 && declared > 0 && product.Cmp(tenTo(deltaDigits)) < 0 {
		return nil
	}
	return refusal.New(refusal.InvalidArgument, "leave delta out, or give "+DefaultDelta(declared).String()+" or less",
		"delta %s is not below 1/%d, one over the number of declared samples", d, declared)
}

// Share is the delta of a run of eps on a dataset with this delta and that limit: floor(delta/2 * eps/limit), in integers. It is zero
// where eps is not in (0, limit].
//
// PRIVACY: shares of runs whose eps add up to at most the limit add up to at most delta/2, each being rounded down. That also holds
// across a lowered limit: what was spent before took at most delta/2 * spent/old <= delta/2 * spent/new, and what can come after
// takes at most delta/2 * (new-spent)/new.
func (d Delta) Share(eps, limit Epsilon) Delta {
	if d <= 0 || eps <= 0 || eps > limit {
		return 0
	}
	share := new(big.Int).Mul(big.NewInt(int64(d)), big.NewInt(int64(eps)))
	share.Quo(share, new(big.Int).Mul(big.NewInt(2), big.NewInt(int64(limit))))
	return Delta(share.Int64())
}

// Float is the float nearest to d. NewDelta(v).Float() never exceeds v.
func (d Delta) Float() float64 { return nearestFloat(int64(d), deltaDigits) }

// String shows d in scientific notation, as deltas are read.
func (d Delta) String() string { return strconv.FormatFloat(d.Float(), 'g', -1, 64) }
