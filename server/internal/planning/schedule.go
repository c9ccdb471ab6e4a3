package planning

import (
	"math/big"
	"strconv"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// MaxSteps bounds a run. At a millisecond a step it lasts more than a day.
const MaxSteps = 100_000_000

// schedule is how often and how often in part the records are seen.
type schedule struct {
	batchSize  int64
	steps      int64
	sampleRate float64
}

// scheduleOf is ceil(epochs * declared / batchSize) steps. nothing in it depends on how many slots are filled.
func (r Request) scheduleOf(batchSize int64) (schedule, error) {
	steps, ok := ceilQuotient(r.slotsSeen(), batchSize)
	if !ok || steps > MaxSteps {
		return schedule{}, refusal.New(refusal.InvalidArgument, "give fewer epochs or a larger batch_size", "the run would take more than %d steps", MaxSteps)
	}
	return schedule{batchSize, steps, float64(batchSize) / float64(r.Declared)}, nil
}

// slotsSeen is epochs * declared exactly, with epochs read as the decimal that was written: 0.1 epochs of 30 slots are 3, not a little more.
func (r Request) slotsSeen() *big.Rat {
	epochs, ok := new(big.Rat).SetString(strconv.FormatFloat(r.Epochs, 'g', -1, 64))
	if !ok {
		return new(big.Rat) // check has refused what is no number
	}
	return epochs.Mul(epochs, new(big.Rat).SetInt64(r.Declared))
}

// ceilQuotient is ceil(a/b); false if it does not fit.
func ceilQuotient(a *big.Rat, b int64) (int64, bool) {
	denominator := new(big.Int).Mul(a.Denom(), big.NewInt(b))
	quotient, rest := new(big.Int).QuoRem(a.Num(), denominator, new(big.Int))
	if rest.Sign() > 0 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return quotient.Int64(), quotient.IsInt64()
}
