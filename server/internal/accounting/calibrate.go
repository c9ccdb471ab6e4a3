package accounting

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// Calibration is the noise for an epsilon, and the bound by which it is known to suffice.
type Calibration struct {
	NoiseMultiplier float64
	Bound           Bound
}

// NoiseFor is the noise multiplier with which steps of the sample rate stay within (eps, delta): never below what is needed, and at most
// 0.1% above it where the loss distribution serves.
func NoiseFor(sampleRate float64, steps int64, eps, delta float64) (float64, error) {
	found, err := Calibrate(sampleRate, steps, eps, delta)
	return found.NoiseMultiplier, err
}

// Calibrate is NoiseFor, and says what was shown for the noise found.
//
// The answer is a decimal of five significant digits, found by bisection over those: rounded up by its nature, the same on
// every machine, and readable. PRIVACY: what is returned was itself evaluated and met eps; that epsilon falls with the noise only
// decides how small it is.
func Calibrate(sampleRate float64, steps int64, eps, delta float64) (Calibration, error) {
	if err := checkTarget(sampleRate, steps, eps, delta); err != nil {
		return Calibration{}, err
	}
	search := noiseSearch{sampleRate: sampleRate, steps: steps, eps: eps, delta: delta}
	// The first search is quick and ends close by. Its bound is coarse, so the noise it finds is a little too large as a rule.
	search.slack, search.width = roughSlack, roughWidth
	if err := search.run(gradeOf(guessNoise(sampleRate, steps, eps, delta)), 2000); err != nil {
		return Calibration{}, err
	}
	rough := search.enough
	search.slack, search.width = 1, 1
	if err := search.run(rough-roughWidth/4, roughWidth/4); err != nil {
		return Calibration{}, err
	}
	return Calibration{noiseOf(search.enough), search.met}, nil
}

const (
	roughSlack = 50
	roughWidth = 100 // grades
)

func checkTarget(sampleRate float64, steps int64, eps, delta float64) error {
	if err := checkSampleRate(sampleRate); err != nil {
		return err
	}
	if err := checkCount(steps); err != nil {
		return err
	}
	if !(eps > 0 && eps <= MaxEpsilon) {
		return refusal.New(refusal.InvalidArgument, "give an eps above 0 and at most 1e6", "eps must be a positive finite number, got %v", eps)
	}
	return checkDelta(delta)
}

// guessNoise treats the plan as one Gaussian: with mu = q*sqrt(T*(exp(1/sigma^2)-1)), which is its limit for many steps (Bu et al., 1911.11607).
func guessNoise(q float64, steps int64, eps, delta float64) float64 {
	tail := math.Log(1 / delta)
	mu := math.Sqrt2 * (math.Sqrt(tail+eps) - math.Sqrt(tail))
	spread := mu * mu / (q * q * float64(steps))
	return 1 / math.Sqrt(math.Log1p(spread))
}
