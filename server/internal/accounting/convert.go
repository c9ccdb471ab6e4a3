package accounting

import "math"

// reading is what a composed law says about one delta.
type reading struct {
	eps   float64 // the smallest loss, at least 0, whose delta is at most the given one
	order float64 // -d(ln delta)/d(eps) there
	doubt float64 // bound on what rounding can have done there, in units of delta; certify.go judges it
	share float64 // part of delta that was set aside for it
}

// epsilon reads the law at delta, less the share set aside for rounding. false: no loss within the window will do.
//
// From the top, with w = mass*exp(cumulant - order*loss) the untilted masses and R the sum over losses e' >= e of w*exp(e - e'):
//
//	delta(e - h) = delta(e) + (1 - exp(-h)) * R(e),   R(e - h) = w(e-h) + exp(-h) * R(e)
//
// and within a cell delta(eps) = delta(e) + (1 - exp(eps - e)) * R(e). Every term is positive, so nothing cancels. All is in units of delta, so nothing underflows.
func (c *composed) epsilon(delta, share float64) (reading, bool) {
	logDelta := math.Log(delta)
	loss := func(i int) float64 { return float64(c.first+int64(i)) * c.step }
	chernoff := func(loss float64) float64 { return math.Exp(c.cumulant - c.order*loss - logDelta) }

	last := len(c.mass) - 1
	beyond := c.infinite/delta + c.above*chernoff(loss(last))
	target := 1 - share // PRIVACY: what rounding can have done is to fit into share
	if !(beyond <= target) {
		return reading{}, false
	}
	unit, decay := -math.Expm1(-c.step), math.Exp(-c.step)
	reached, rest := beyond, 0.0
	eps, order := loss(0), c.order // if even the window's first point meets the target
	var buffer [blockSize]float64
scan:
	for end := last + 1; end > 0; end -= blockSize {
		weights := buffer[:min(blockSize, end)]
		start := end - len(weights)
		exponentials(weights, -c.order*c.step, c.cumulant-c.order*loss(start)-logDelta)
		for i := end - 1; i >= start; i-- {
			// What is negative is rounding; it is in floor, which is judged, and zero is the larger value.
			rest = max(c.mass[i], 0)*weights[i-start] + decay*rest
			next := reached + unit*rest
			if !(next <= target) { // so that NaN, which judges nothing, ends here too
				eps = loss(i) + math.Log1p(-(target-reached)/rest)
				order = (rest - (target - reached)) / target
				break scan
			}
			reached = next
		}
	}
	if math.IsNaN(eps) {
		return reading{}, false
	}
	eps = max(eps, 0)
	return reading{eps, order, c.doubtAt(eps, chernoff(eps)), share}, true
}
