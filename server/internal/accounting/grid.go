package accounting

import "math"

const (
	// gridTolerance is how much a grid may at most add to epsilon, relative to it.
	gridTolerance = 2e-4

	// usualStep is the step that accountants in use have as their default. For the epsilons that they are used for, a finer one is taken
	// only if it could add more than usualTolerance: so the figures are those that others compute, where those are good.
	usualStep      = 1e-4
	usualTolerance = 1e-3
	usualEpsilon   = 0.05

	// surveyFactor is by how much the first grid is coarser than the one that its tolerance asks for.
	surveyFactor = 4

	// usualAmplified is by how much the tilt may let rounding grow; 1 stands for as little as can be.
	usualAmplified = 1e5

	coarseBins = 4096
	fewestBins = 64
	maxBins    = 1 << 19
	maxPoints  = 1 << 20
	maxPasses  = 6
)

// epsilonInDirection computes epsilon by the loss distribution; false where rounding cannot be certified or losses are too large. An
// epsilon of at most enough is not refined further. slack multiplies the grid's tolerance.
//
// How fine the grid must be depends on epsilon, so the first passes are surveys. What a grid adds is on the safe side whatever its step
// is: only tightness and time depend on the choice.
func epsilonInDirection(plan []Steps, delta float64, dir direction, enough, slack float64) (float64, bool) {
	total := totalCount(plan)
	z := math.Sqrt(2 * math.Log(total/(truncationShare*delta)))
	order, eps, widest, ok := survey(plan, delta, dir, z)
	if !ok {
		return 0, false
	}
	finest, coarsest := widest/(maxBins-2), widest/fewestBins
	step := min(max(surveyFactor*stepFor(eps, order, total, slack), finest), coarsest)
	amplified, best := float64(usualAmplified), math.Inf(1)
	for range maxPasses {
		c, ok := onGrid(plan, dir, step, z)
		if !ok {
			break
		}
		tilt := c.orderAt(max(eps, 1/order), delta, amplified) // for an epsilon of about zero, stay near it on the safe side
		low, high := c.indices(tilt)
		if points := float64(high - low + 1); points > maxPoints {
			step *= 1.1 * points / maxPoints
			finest = step // the transform, not the tolerance, decides from here on
			continue
		}
		sum := c.compose(tilt, low, high, aliasing)
		found, certain := sum.certified(delta, total)
		if found.order == 0 {
			break // nothing could be read
		}
		if certain {
			best = min(best, found.eps) // each certified reading bounds the same fixed plan
		}
		wanted := max(stepFor(found.eps, found.order, total, slack), finest)
		switch {
		case best <= enough:
			return best, true
		case step > 1.25*wanted:
			step = wanted
		case amplified > 1 && !(certain && found.share <= usualShare):
			amplified = 1 // rounding costs too much, or cannot be certified
		default:
			return best, !math.IsInf(best, 1)
		}
		eps, order = found.eps, found.order
	}
	return best, !math.IsInf(best, 1)
}

// stepFor is the grid's step for an epsilon and the order -d(ln delta)/d(eps) at it. A step of h adds at most h^2/4 to the variance of each
// of the losses, hence about (order+1)/2 * count * h^2/4 to epsilon; half to two thirds of that is usual.
func stepFor(eps, order, count, slack float64) float64 {
	// Epsilon means little below 1/order: a shift by that changes delta by a factor of e only.
	square := 8 * slack * max(eps, 1/order) / ((order + 1) * count)
	step := math.Sqrt(gridTolerance * square)
	if eps >= usualEpsilon {
		step = max(step, min(usualStep, math.Sqrt(usualTolerance*square)))
	}
	return step
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
	order, eps = c.chernoff(delta)
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
	if bound := math.Floor(lowLoss / c[0].step); bound > float64(low) { // false for NaN and -Inf
		low = int64(bound)
	}
	if bound := math.Ceil(highLoss / c[0].step); bound < float64(high) {
		high = int64(bound)
	}
	return low, high
}
