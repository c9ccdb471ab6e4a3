package accounting

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Epsilon is a privacy loss in units of 1e-9, so that budgets add and compare exactly.
type Epsilon int64

const (
	epsilonDigits = 9

	// MaxEpsilon bounds what can be asked for. Beyond it nothing is protected, and below it a thousand million runs cannot overflow a sum.
	MaxEpsilon = 1e6
)

// NewEpsilon reads v as the decimal that a person wrote (see decimalUnits) and rounds it down to 1e-9. It refuses what is not a
// number of at least 1e-9 and at most MaxEpsilon.
func NewEpsilon(v float64) (Epsilon, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) || v <= 0 || v > MaxEpsilon {
		return 0, refusal.New(refusal.InvalidArgument, "give an eps above 0 and at most 1e6", "eps must be a positive finite number, got %v", v)
	}
	// PRIVACY: rounded down before anything is solved for, so that what is charged is never less than what noise was made for.
	units := decimalUnits(v, epsilonDigits)
	if units.Sign() <= 0 {
		return 0, refusal.New(refusal.InvalidArgument, "give an eps of at least 1e-9", "eps %v is below the smallest unit of 1e-9", v)
	}
	return Epsilon(units.Int64()), nil
}

// Float is the float nearest to e. NewEpsilon(v).Float() never exceeds v.
func (e Epsilon) Float() float64 { return nearestFloat(int64(e), epsilonDigits) }

// String shows e as a decimal without trailing zeros.
func (e Epsilon) String() string { return decimalString(int64(e), epsilonDigits) }
