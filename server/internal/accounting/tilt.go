package accounting

import "math"

// phase is count equal steps.
type phase struct {
	distribution
	count float64
}

// composition is the sum of all steps' losses: a plan in one direction.
type composition []phase

// blockSize is after how many bins a geometric sequence of weights is computed anew: products drift by an ulp each.
const blockSize = 64

// exponentials fills weights with exp(slope*i + start). It begins at the largest, so that what underflows is negligible beside it.
func exponentials(weights []float64, slope, start float64) {
	last := len(weights) - 1
	if slope > 0 {
		weight, ratio := math.Exp(slope*float64(last)+start), math.Exp(-slope)
		for i := last; i >= 0; i-- {
			weights[i] = weight
			weight *= ratio
		}
		return
	}
	weight, ratio := math.Exp(start), math.Exp(slope)
	for i := range weights {
		weights[i] = weight
		weight *= ratio
	}
}

// cumulant returns ln E[exp(order*loss); loss finite], and its derivative, the mean loss under the tilted law.
func (d *distribution) cumulant(order float64) (value, mean float64) {
	var buffer [blockSize]float64
	var total, moment float64
	for start := 0; start < len(d.mass); start += blockSize {
		block := d.mass[start:min(start+blockSize, len(d.mass))]
		weights := buffer[:len(block)]
		base := float64(d.first) + float64(start)
		exponentials(weights, order*d.step, order*d.step*base)
		var sum, offset float64
		for j, p := range block {
			weighted := p * weights[j]
			sum += weighted
			offset += weighted * float64(j)
		}
		total += sum
		moment += sum*base + offset
	}
	return math.Log(total), d.step * moment / total
}

// cumulant of a sum of independent losses is the sum of theirs.
func (c composition) cumulant(order float64) (value, mean float64) {
	for i := range c {
		v, m := c[i].cumulant(order)
		value += c[i].count * v
		mean += c[i].count * m
	}
	return value, mean
}

// orders is the range of orders in which exp(order*loss) stays finite over the grid. What underflows instead is no part of a sum.
func (c composition) orders() (lowest, highest float64) {
	most, least := 0.0, 0.0
	for _, p := range c {
		most = max(most, float64(p.first+int64(len(p.mass)-1))*p.step)
		least = min(least, float64(p.first)*p.step)
	}
	return maxExponent / least, maxExponent / most // a grid has a step on either side of zero
}

// chernoff chooses the order for delta: it minimises, over the order, the epsilon for which
//
//	delta(eps) <= exp(K(order) - order*eps) * order^order / (1+order)^(1+order)
//
// equals delta (the best exponential bound on (1-e^(eps-loss))+; Canonne, Kamath and Steinke, 2004.00010, Prop. 12). Tilted by that order the mean loss is
// close to epsilon, which is where the transform's precision is wanted.
func (c composition) chernoff(delta float64) (order, eps float64) {
	target := math.Log(1 / delta)
	bound := func(order float64) (value, slope float64) {
		k, mean := c.cumulant(order)
		return k + order*math.Log(order) - (1+order)*math.Log1p(order), mean + math.Log(order/(1+order))
	}
	_, highest := c.orders()
	order = flattestSlope(bound, target, 1, highest)
	value, _ := bound(order)
	return order, (value + target) / order
}

// orderAt is the order to tilt by in order to read delta at eps.
//
// Rounding is multiplied by exp(cumulant - order*eps)/delta, which is least at the saddle, where the tilted mean is eps. But the less
// the tilt, the thinner the tail of rare large losses and the shorter the transform: so the least order is taken that keeps the factor at amplified.
func (c composition) orderAt(eps, delta, amplified float64) float64 {
	_, highest := c.orders()
	saddle := bisect(highest*0x1p-40, highest, func(order float64) bool {
		_, mean := c.cumulant(order)
		return mean < eps
	})
	return bisect(saddle*0x1p-6, saddle, func(order float64) bool {
		k, _ := c.cumulant(order)
		return k-order*eps-math.Log(delta) > math.Log(amplified)
	})
}

// window bounds the loss under the law tilted by order: outside of [low, high] lies at most probability tail on either side.
// The bounds are Chernoff's, with orders of their own.
func (c composition) window(order, tail float64) (low, high float64) {
	at, _ := c.cumulant(order)
	target := math.Log(1 / tail)
	lowest, highest := c.orders()
	above := func(s float64) (value, slope float64) {
		k, mean := c.cumulant(order + s)
		return k - at, mean
	}
	below := func(s float64) (value, slope float64) {
		k, mean := c.cumulant(order - s)
		return k - at, -mean
	}
	high = math.Inf(1)
	if room := highest - order; room > 0 {
		s := flattestSlope(above, target, min(order, room), room)
		value, _ := above(s)
		high = (value + target) / s
	}
	s := flattestSlope(below, target, order, order-lowest)
	value, _ := below(s)
	low = -(value + target) / s
	return low, high
}

// flattestSlope approximates the s in (0, limit] that minimises (g(s)+height)/s for a convex g with g(0) = 0, given g and its derivative.
// The minimum is where s*g'(s) - g(s) = height, whose left side increases. Any s gives a valid bound; a few percent off the best one
// change it in the fourth digit.
func flattestSlope(g func(float64) (value, slope float64), height, guess, limit float64) float64 {
	excess := func(s float64) float64 {
		value, slope := g(s)
		return s*slope - value - height
	}
	s := min(guess, limit)
	low, high := s, s
	if excess(s) < 0 {
		for high < limit {
			low, high = high, min(2*high, limit)
			if !(excess(high) < 0) {
				break
			}
		}
	} else {
		for low > limit*0x1p-60 {
			low, high = low/2, low
			if excess(low) < 0 {
				break
			}
		}
	}
	return bisect(low, high, func(s float64) bool { return excess(s) < 0 })
}

// bisect finds, to a few percent, the upper end of those in [low, high] that are too low; high, if all are.
func bisect(low, high float64, tooLow func(float64) bool) float64 {
	for high > low*1.04 {
		middle := math.Sqrt(low * high)
		if tooLow(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
