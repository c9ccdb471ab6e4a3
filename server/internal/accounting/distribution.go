package accounting

import "math"

// RenyiByDistribution is ln E_B[(A/B)^order] of one step, as logMoment is, but computed from the discretised loss distribution of a record's
// removal, which has nothing in common with the sum in moment.go: a check on what is charged. (RenyiOf charges this over order-1, times the
// steps.) It is never below the true one but for rounding, about 1e-12, since the grid dominates; false where losses are too large for a grid, or too
// small for one to be fine enough: a bound that is far above the true one checks nothing.
//
// Infinite loss has no finite moment, and yet the part of the line beyond the grid, from x = top on, has one. There, with t = (top-1/2)/sigma^2,
// both A/B and A/N(1, sigma^2) are at most (q + (1-q)*exp(-t)) times what they are for q = 1, so that it has at most
//
//	(q + (1-q)*exp(-t))^order * exp(order*(order-1)/(2*sigma^2)) * P[N(order, sigma^2) > top]
//
// which is added in place of the infinite mass.
func RenyiByDistribution(sampleRate, noise float64, order int64) (float64, bool) {
	if checkSampleRate(sampleRate) != nil || !(noise > 0) || math.IsInf(noise, 0) || order < 2 || order > maxOrder {
		return 0, false
	}
	m, a := mechanism{sampleRate, noise}, float64(order)
	z := m.momentReach(a)
	step := m.momentStep(a, z)
	if step > 2*m.finestMomentStep(a) {
		return 0, false
	}
	d, ok := m.discretise(removal, step, z)
	if !ok {
		return 0, false
	}
	within, _ := d.cumulant(a - 1)
	_, highest := composition{{d, 1}}.orders()
	if a-1 > highest {
		return 0, false // exp(loss*(order-1)) overflows
	}
	moment := within + softplus(m.momentBeyond(a, z)-within)
	return moment, !math.IsNaN(moment) && !math.IsInf(moment, 0)
}

// momentBeyond is the logarithm of what the moment has beyond z deviations at most.
func (m mechanism) momentBeyond(order, z float64) float64 {
	top := 1 + z*m.sigma
	factor := math.Log(m.q + (1-m.q)*math.Exp(-(top-0.5)/(m.sigma*m.sigma)))
	return order*factor + gaussianMoment(order, m.sigma) + math.Log(newEdge((top-order)/m.sigma).above())
}

// momentReach is how many deviations the grid is to cover: until what is beyond is small against about the moment, or, where the moment's mass is around
// x = order, well beyond that.
func (m mechanism) momentReach(order float64) float64 {
	most := (order-1)/m.sigma + 12
	for z := 8.0; z < most; z *= 1.1 {
		if m.momentBeyond(order, z) < math.Log(1e-5*order*(order-1))+2*math.Log(m.spread()) {
			return z
		}
	}
	return most
}

// spread is the loss's deviation where losses are small.
func (m mechanism) spread() float64 {
	return m.q * math.Sqrt(math.Expm1(min(1/(m.sigma*m.sigma), maxExponent)))
}

// momentStep is a grid's step that adds little to the moment. It adds about h^2/4 to the loss's variance, and bends exp(order*loss) by a part of
// (order*h)^2/8 between two points.
func (m mechanism) momentStep(order, z float64) float64 {
	low, high := m.support(z)
	return min(max(m.finestMomentStep(order), (high-low)/(1<<18)), (high-low)/coarseBins)
}

func (m mechanism) finestMomentStep(order float64) float64 { return min(0.1*m.spread(), 0.1/order) }
