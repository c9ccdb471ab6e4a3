package accounting

import (
	"cmp"
	"math"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Steps is a run of equal steps: every record is sampled with probability SampleRate, and the noise has NoiseMultiplier times the
// clipping norm as its standard deviation.
type Steps struct {
	SampleRate      float64
	NoiseMultiplier float64
	Count           int64
}

// maxSteps bounds a plan's total, so that sums of counts and of grid indices stay far inside int64.
const maxSteps = int64(1e12)

// canonical checks a plan and returns it with equal steps merged, in one order: the order of steps does not change what they cost, so
// it must not change a bit of the answer.
func canonical(plan []Steps) ([]Steps, error) {
	if len(plan) == 0 {
		return nil, refusal.New(refusal.InvalidArgument, "give at least one [sample rate, noise multiplier, steps]", "the plan is empty")
	}
	total := int64(0)
	for _, steps := range plan {
		if err := checkSampleRate(steps.SampleRate); err != nil {
			return nil, err
		}
		if !(steps.NoiseMultiplier > 0) || math.IsInf(steps.NoiseMultiplier, 0) {
			return nil, refusal.New(refusal.InvalidArgument, "give a noise multiplier above 0",
				"the noise multiplier must be a positive finite number, got %v", steps.NoiseMultiplier)
		}
		if err := checkCount(steps.Count); err != nil {
			return nil, err
		}
		if total += steps.Count; total > maxSteps {
			return nil, checkCount(total)
		}
	}
	sorted := slices.Clone(plan)
	slices.SortFunc(sorted, func(a, b Steps) int {
		return cmp.Or(cmp.Compare(a.SampleRate, b.SampleRate), cmp.Compare(a.NoiseMultiplier, b.NoiseMultiplier))
	})
	merged := sorted[:1]
	for _, steps := range sorted[1:] {
		last := &merged[len(merged)-1]
		if last.SampleRate == steps.SampleRate && last.NoiseMultiplier == steps.NoiseMultiplier {
			last.Count += steps.Count
		} else {
			merged = append(merged, steps)
		}
	}
	return merged, nil
}

func checkSampleRate(q float64) error {
	if q > 0 && q <= 1 {
		return nil
	}
	return refusal.New(refusal.InvalidArgument, "give batch_size / declared samples", "the sample rate must be above 0 and at most 1, got %v", q)
}

func checkCount(count int64) error {
	if count > 0 && count <= maxSteps {
		return nil
	}
	return refusal.New(refusal.InvalidArgument, "give between 1 and 1e12 steps", "the number of steps must be between 1 and 1e12, got %d", count)
}

func checkDelta(delta float64) error {
	if delta > 0 && delta < 1 {
		return nil
	}
	return refusal.New(refusal.InvalidArgument, "give a delta far below 1/(number of records)", "delta must be between 0 and 1, got %v", delta)
}

func totalCount(plan []Steps) float64 {
	total := int64(0)
	for _, steps := range plan {
		total += steps.Count
	}
	return float64(total)
}
