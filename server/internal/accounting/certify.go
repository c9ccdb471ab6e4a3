package accounting

import "math"

const (
	// truncationShare is the part of delta that may go to infinite loss by cutting the tails of a step.
	truncationShare = 1e-5

	// shareTolerance is how much of epsilon the share set aside for rounding should cost at most: a share costs share/order.
	shareTolerance = 4e-4

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
//   - every entry of mass may be off by floor; that at loss eps+t counts chernoff * (1-e^-t)*e^(-order*t), and those add up to two
//     geometric series;
//   - the steps' masses may be off by what fold has summed;
//   - cumulant and order*loss may be off, which scales everything.
func (c *composed) doubtAt(eps, chernoff float64) float64 {
	entries := 1 - 1/math.Expm1(-c.order*c.step) - (1 - 1/math.Expm1(-(c.order+1)*c.step))
	scale := 0x1p-50 * (math.Abs(c.cumulant) + c.order*math.Abs(eps))
	return chernoff*(entries*c.floor+c.doubt) + scale
}

const (
	// usualShare of delta is set aside for rounding as a rule: epsilon is read off at 99% of delta. More is, up to largestShare, for deltas
	// that lie past a knee of the curve, where it still costs little.
	usualShare   = 0.01
	largestShare = 0.5
)

// certified reads epsilon with a share set aside that covers what rounding can have done. If none does, certain is false and the reading
// is good for choosing a better grid only. PRIVACY: no other reading is ever reported.
func (c *composed) certified(delta, steps float64) (found reading, certain bool) {
	for share, last := usualShare, 0.0; share > last; {
		read, ok := c.epsilon(delta, share)
		if !ok {
			break // less of delta is left for the next share
		}
		found = read
		if covered(found, steps, share) {
			return c.frugal(found, delta, steps), true
		}
		// A tenth more than is needed here, since the doubt changes with where epsilon is read.
		share, last = min(1.1*(found.doubt+steps*stepDoubt), largestShare), share
	}
	return found, false
}

// frugal reads again with a smaller share where 1% of delta costs much of epsilon, which it does for an epsilon of few times 1/order.
func (c *composed) frugal(found reading, delta, steps float64) reading {
	share := max(shareTolerance*found.order*found.eps, 1e-4)
	if share >= found.share {
		return found
	}
	if read, ok := c.epsilon(delta, share); ok && covered(read, steps, share) {
		return read
	}
	return found
}

func covered(found reading, steps, share float64) bool {
	return found.doubt+steps*stepDoubt <= share // false for NaN
}
