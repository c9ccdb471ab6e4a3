package accounting

import "math"

// direction says whose law is P and whose is Q.
type direction int

const (
	removal  direction = iota // P = A, Q = B
	addition                  // P = B, Q = A
)

// distribution is a privacy loss distribution on the grid: loss (first+i)*step has probability mass[i], infinite loss the rest.
type distribution struct {
	step     float64
	first    int64
	mass     []float64
	doubt    []float64 // bound on how much rounding may have moved between mass[i] and mass[i+1]
	infinite float64
}

// support is the range of losses that the grid has to cover if a probability of exp(-z^2/2) may be left out on either side.
func (m mechanism) support(z float64) (low, high float64) {
	return m.loss(-z * m.sigma), m.loss(1 + z*m.sigma)
}

// discretise puts the loss on the grid of the given step, such that the result dominates the pair in that direction.
//
// Connect the dots (Doroshenko et al., 2207.04380) in the form of bins. Let a bin hold the outcomes with loss in (e, e+h], of mass p
// under P and r under Q. They become two outcomes of loss e and e+h, with masses u and v such that both sums are kept:
//
//	u + v = p,   u*exp(-e) + v*exp(-e-h) = r   =>   v = (p - exp(e)*r) / (1 - exp(-h))
//
// The hockey-stick curve then is exact at the grid's points and is its chord in exp(eps) in between; as the true curve is convex
// there, the new pair dominates. Below the grid losses move up to its first point, above it to infinity.
//
// For removal p - exp(e)*r = q*a - (exp(e)-1+q)*b with a and b the masses of the bin under N(1) and N(0), and for addition,
// where the bin of the record's loss is mirrored, exp(-e')*((exp(e')-1+q)*b - q*a) with e' its upper end: free of the common part of
// p and r, whose cancellation would cost digits at small q.
func (m mechanism) discretise(dir direction, step, z float64) (distribution, bool) {
	low, high := m.support(z)
	first, last := math.Floor(low/step), math.Ceil(high/step)
	bins := last - first
	if !(bins >= 1 && bins <= maxBins) || !(math.Max(-first, last)*step <= maxExponent) {
		return distribution{}, false
	}
	n := int(bins)
	d := distribution{step: step, first: int64(first), mass: make([]float64, n+1), doubt: make([]float64, n)}
	if dir == addition {
		d.first = -int64(last)
	}
	unit := -math.Expm1(-step)
	edgeAt := func(k int) (b, a edge) {
		x := m.at((first + float64(k)) * step)
		return newEdge(x / m.sigma), newEdge((x - 1) / m.sigma)
	}
	b0, a0 := edgeAt(0)
	if dir == removal {
		d.mass[0] = (1-m.q)*b0.below() + m.q*a0.below()
	} else {
		d.infinite = b0.below() // PRIVACY: what the grid does not reach counts as infinite loss
	}
	for k := range n {
		b1, a1 := edgeAt(k + 1)
		b, bDoubt := massBetween(b0, b1)
		a, aDoubt := massBetween(a0, a1)
		if dir == removal {
			ratio := math.Expm1((first+float64(k))*step) + m.q
			p := (1-m.q)*b + m.q*a
			v := min(max((m.q*a-ratio*b)/unit, 0), p) // PRIVACY: in exact arithmetic it is in [0, p]; doubt covers the rest
			d.mass[k] += p - v
			d.mass[k+1] += v
			d.doubt[k] = (m.q*aDoubt + math.Abs(ratio)*bDoubt) / unit
		} else {
			upper := (first + float64(k+1)) * step
			ratio, scale := math.Expm1(upper)+m.q, math.Exp(-upper)/unit
			v := min(max((ratio*b-m.q*a)*scale, 0), b)
			i := n - 1 - k // the mirrored bin
			d.mass[i] += b - v
			d.mass[i+1] += v
			d.doubt[i] = (m.q*aDoubt + math.Abs(ratio)*bDoubt) * scale
		}
		b0, a0 = b1, a1
	}
	if dir == removal {
		d.infinite = (1-m.q)*b0.above() + m.q*a0.above()
	} else {
		d.mass[0] += b0.above()
	}
	return d, true
}
