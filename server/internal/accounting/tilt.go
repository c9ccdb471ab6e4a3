package accounting

import "math"

// phase is count equal steps.
type phase struct {
	distribution
	count float64
}

// composition is the sum of all steps' losses: a plan in one direction.
type composition []phase

// resync is after how many bins a geometric sequence of weights is computed anew: products drift by an ulp each.
const resync = 64

// cumulant returns ln E[exp(order*loss); loss finite], and its derivative, the mean loss under the tilted law.
func (d *distribution) cumulant(order float64) (value, mean float64) {
	ratio := math.Exp(order * d.step)
	var total, moment float64
	for start := 0; start < len(d.mass); start += resync {
		block := d.mass[start:min(start+resync, len(d.mass))]
		base := float64(d.first) + float64(start)
		weight := math.Exp(order * d.step * base)
		var sum, offset float64
		for j, p := range block {
			weighted := p * weight
			sum += weighted
			offset += weighted * float64(j)
			weight *= ratio
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

// highestOrder keeps exp(order*loss) finite over the grid.
func (c composition) highestOrder() float64 {
	widest := 0.0
	for _, p := range c {
		last := p.first + int64(len(p.mass)-1)
		widest = max(widest, float64(max(-p.first, last))*p.step)
	}
	return maxExponent / widest
}

// chernoff chooses the order for delta: it minimises, over the order, the epsilon for which
//
//	delta(eps) <= exp(K(order) - order*eps) * order^order / (1+order)^(1+order)
//
// equals delta (the best exponential bound on (1-e^(eps-loss))+; Canonne, Kamath and Steinke, 2004.00010, Prop. 12). Tilted by that order the mean loss is
// close to epsilon, which is where the transform's precision is wanted.
func (c composition) chernoff(delta, guess float64) (order, eps float64) {
	target := math.Log(1 / delta)
	bound := func(order float64) (value, slope float64) {
		k, mean := c.cumulant(order)
		return k + order*math.Log(order) - (1+order)*math.Log1p(order), mean + math.Log(order/(1+order))
	}
	order = flattestSlope(bound, target, guess, c.highestOrder())
	value, _ := bound(order)
	return order, (value + target) / order
}

// saddle is the order, at most highest, under whose tilt the mean loss is eps: there exp(cumulant - order*eps) is least. Chernoff's bound
// on heavy tails puts epsilon, and so the first order, too high.
func (c composition) saddle(eps, highest float64) float64 {
	low, high := highest*0x1p-20, highest
	for high > low*1.04 {
		middle := math.Sqrt(low * high)
		if _, mean := c.cumulant(middle); mean < eps {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// window bounds the loss under the law tilted by order: outside of [low, high] lies at most probability tail on either side.
// The bounds are Chernoff's, with orders of their own.
func (c composition) window(order, tail float64) (low, high float64) {
	at, _ := c.cumulant(order)
	target, limit := math.Log(1/tail), c.highestOrder()
	above := func(s float64) (value, slope float64) {
		k, mean := c.cumulant(order + s)
		return k - at, mean
	}
	below := func(s float64) (value, slope float64) {
		k, mean := c.cumulant(order - s)
		return k - at, -mean
	}
	high, low = math.Inf(1), math.Inf(-1)
	if room := limit - order; room > 0 {
		s := flattestSlope(above, target, min(order, room), room)
		value, _ := above(s)
		high = (value + target) / s
	}
	s := flattestSlope(below, target, order, limit+order)
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
	for high > low*1.04 {
		middle := math.Sqrt(low * high)
		if excess(middle) < 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Sqrt(low * high)
}
