package accounting

import "math"

const (
	// numericalShare is the part of delta that is set aside for rounding: epsilon is read off at 99% of delta.
	numericalShare = 0.01

	// truncationShare is the part of delta that may go to infinite loss by cutting the tails of a step.
	truncationShare = 1e-5

	// aliasing is the tilted probability that may lie beyond the transform's window on either side.
	aliasing = 1e-12

	// stepDoubt is the relative error of one step's cumulant: a sum of positive terms, by blocks, of weights that drift by at most
	// 64 ulps.
	stepDoubt = 0x1p-44

	// maxExponent keeps exponentials of losses inside float64.
	maxExponent = 600
)

// doubtAt bounds, in units of delta, what rounding can have done to delta at eps, where chernoff is exp(cumulant - order*eps)/delta:
//
//   - every entry of mass may be off by floor, and counts there at most chernoff * max over t > 0 of (1-e^-t)*e^(-order*t);
//   - the steps' masses may be off by what fold has summed;
//   - cumulant and order*loss may be off, which scales everything.
func (c *composed) doubtAt(eps, chernoff float64) float64 {
	n := float64(len(c.mass))
	peak := math.Exp(c.order*math.Log(c.order) - (1+c.order)*math.Log1p(c.order))
	scale := 0x1p-50 * (math.Abs(c.cumulant) + c.order*math.Abs(eps))
	return chernoff*(n*c.floor*peak+c.doubt) + scale
}

// certified says whether rounding stays within the share set aside for it. PRIVACY: what is not certified is never reported.
func certified(doubt, steps float64) bool {
	return doubt+steps*stepDoubt <= numericalShare // false for NaN
}
