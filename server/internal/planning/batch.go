package planning

import (
	"math"
	"math/big"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

const (
	mostStartingSteps = 100

	// keptSignal is the part of the signal-to-noise ratio of the fewest steps that more and smaller steps must keep.
	keptSignal = 0.8
)

// schedule is the one that was asked for, or else the chosen one.
//
// Candidates are T_k = ceil(T_0 * 2^(k/2)) steps, T_0 being min(100, what passes of the largest size take). More steps let an optimizer get
// further; with the number of epochs fixed, the ratio q*sqrt(T)/sigma of signal to noise stays nearly the same up to a point, beyond
// which small batches are paid for dearly. Chosen is the last of those that keep 0.8 of the first one's ratio. The ratio falls from one
// candidate to the next, so the first that misses ends the search.
func (r Request) schedule(eps, delta float64) (schedule, error) {
	if r.BatchSize != nil {
		return r.scheduleOf(*r.BatchSize)
	}
	slots := r.slotsSeen()
	starting, ok := ceilQuotient(slots, r.MaxBatchSize)
	if !ok || starting > mostStartingSteps {
		starting = mostStartingSteps
	}
	chosen, err := r.candidate(starting)
	if err != nil {
		return schedule{}, err
	}
	first, err := r.accountant().Calibrate(chosen.sampleRate, chosen.steps, eps, delta)
	if err != nil {
		return schedule{}, err
	}
	wanted := keptSignal * chosen.signal() / first.NoiseMultiplier
	for k := 1; chosen.batchSize > 1; k++ {
		next, err := r.candidate(raised(starting, k))
		if err != nil {
			break // more steps than a run may have
		}
		if next.batchSize == chosen.batchSize {
			continue
		}
		// Its noise is at most signal/wanted if and only if that much noise suffices: one evaluation instead of a calibration.
		bound, err := r.accountant().EpsilonOf([]accounting.Steps{{SampleRate: next.sampleRate, NoiseMultiplier: next.signal() / wanted, Count: next.steps}}, delta)
		if err != nil || bound > eps {
			break
		}
		chosen = next
	}
	return chosen, nil
}

func (s schedule) signal() float64 { return s.sampleRate * math.Sqrt(float64(s.steps)) }

// candidate is the schedule of about that many steps.
func (r Request) candidate(steps int64) (schedule, error) {
	batchSize, ok := ceilQuotient(r.slotsSeen(), steps)
	if !ok {
		batchSize = r.Declared
	}
	return r.scheduleOf(min(max(batchSize, 1), r.Declared))
}

// raised is ceil(steps * 2^(k/2)), exactly.
func raised(steps int64, k int) int64 {
	square := new(big.Int).Lsh(new(big.Int).Mul(big.NewInt(steps), big.NewInt(steps)), uint(k))
	root := new(big.Int).Sqrt(square)
	if new(big.Int).Mul(root, root).Cmp(square) < 0 {
		root.Add(root, big.NewInt(1))
	}
	if !root.IsInt64() {
		return math.MaxInt64
	}
	return root.Int64()
}
