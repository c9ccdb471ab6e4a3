package accounting

import "math"

const (
	// gridTolerance is how much the grid may add to epsilon, relative to it.
	gridTolerance = 2e-4

	// surveyFactor is by how much the first grid is coarser than the one that its tolerance asks for.
	surveyFactor = 4

	coarseBins = 4096
	fewestBins = 64
	maxBins    = 1 << 19
	maxPoints  = 1 << 20
	maxPasses  = 6
)

// epsilonInDirection computes epsilon by the loss distribution; false where rounding cannot be certified or losses are too large. An
// epsilon of at most enough is not refined further.
//
// How fine the grid must be depends on epsilon, so the first passes are surveys. What a grid adds is on the safe side whatever its step
// is: only tightness and time depend on the choice.
func epsilonInDirection(plan []Steps, delta float64, dir direction, enough float64) (float64, bool) {
	total := totalCount(plan)
	z := math.Sqrt(2 * math.Log(total/(truncationShare*delta)))
	order, eps, widest, ok := survey(plan, delta, dir, z)
	if !ok {
		return 0, false
	}
	finest, coarsest := widest/(maxBins-2), widest/fewestBins
	step := min(max(surveyFactor*stepFor(eps, order, total), finest), coarsest)
	for range maxPasses {
		c, ok := onGrid(plan, dir, step, z)
		if !ok {
			return 0, false
		}
		low, high := c.indices(order)
		if points := float64(high - low + 1); points > maxPoints {
			step *= 1.1 * points / maxPoints
			finest = step // the transform, not the tolerance, decides from here on
			continue
		}
		sum := c.compose(order, low, high, aliasing)
		found, ok := sum.epsilon(delta)
		if !ok || !certified(found.doubt, total) {
			return 0, false
		}
		wanted := max(stepFor(found.eps, found.order, total), finest)
		if found.eps <= enough || step <= 1.25*wanted {
			return found.eps, true
		}
		step = wanted
		order = c.saddle(found.eps, order)
	}
	return 0, false
}

// stepFor is the grid's step for an epsilon and the order -d(ln delta)/d(eps) at it. A step of h adds at most h^2/4 to the variance of each
// of the losses, hence about (order+1)/2 * count * h^2/4 to epsilon.
func stepFor(eps, order, count float64) float64 {
	// Epsilon means little below 1/order: a shift by that changes delta by a factor of e only.
	return math.Sqrt(8 * gridTolerance * max(eps, 1/order) / ((order + 1) * count))
}

// survey learns order and epsilon from Chernoff's bound alone, each phase on a coarse grid of its own.
func survey(plan []Steps, delta float64, dir direction, z float64) (order, eps, widest float64, ok bool) {
	c := make(composition, len(plan))
	for i, steps := range plan {
		m := mechanism{steps.SampleRate, steps.NoiseMultiplier}
		low, high := m.support(z)
		widest = max(widest, high-low)
		d, ok := m.discretise(dir, (high-low)/coarseBins, z)
		if !ok {
			return 0, 0, 0, false
		}
		c[i] = phase{d, float64(steps.Count)}
	}
	order, eps = c.chernoff(delta, 1)
	return order, eps, widest, true
}

func onGrid(plan []Steps, dir direction, step, z float64) (composition, bool) {
	c := make(composition, len(plan))
	for i, steps := range plan {
		d, ok := mechanism{steps.SampleRate, steps.NoiseMultiplier}.discretise(dir, step, z)
		if !ok {
			return nil, false
		}
		c[i] = phase{d, float64(steps.Count)}
	}
	return c, true
}

// indices is the window in grid indices, no wider than the sum's support.
func (c composition) indices(order float64) (low, high int64) {
	for _, p := range c {
		low += int64(p.count) * p.first
		high += int64(p.count) * (p.first + int64(len(p.mass)-1))
	}
	lowLoss, highLoss := c.window(order, aliasing)
	low = max(low, int64(math.Floor(max(lowLoss/c[0].step, -0x1p62))))
	high = min(high, int64(math.Ceil(min(highLoss/c[0].step, 0x1p62))))
	return low, high
}
