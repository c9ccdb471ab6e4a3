package accounting

import "math"

// mechanism is one step, seen from one record.
type mechanism struct{ q, sigma float64 }

// loss is ln(A(x)/B(x)) = ln(1 - q + q*exp(t)) with t = (x - 1/2)/sigma^2: increasing in x, and above ln(1-q).
func (m mechanism) loss(x float64) float64 {
	t := (x - 0.5) / (m.sigma * m.sigma)
	switch {
	case m.q == 1:
		return t
	case t > 30: // exp(t) would overflow far out
		return math.Log(m.q) + t + math.Log1p((1-m.q)/m.q*math.Exp(-t))
	default:
		return math.Log1p(m.q * math.Expm1(t))
	}
}

// at is the x with loss(x) = value; -Inf where every loss is larger.
func (m mechanism) at(value float64) float64 {
	t := value
	if m.q < 1 {
		excess := math.Expm1(value) / m.q // exp(t) - 1
		if excess <= -1 {
			return math.Inf(-1)
		}
		t = math.Log1p(excess)
	}
	return m.sigma*m.sigma*t + 0.5
}

// edge is a point of the line as a Gaussian sees it. The smaller tail is kept, because it has full relative precision.
type edge struct {
	x       float64 // standardised
	outside float64 // probability of the smaller tail
}

func newEdge(x float64) edge { return edge{x, 0.5 * math.Erfc(math.Abs(x)/math.Sqrt2)} }

func (e edge) below() float64 {
	if e.x <= 0 {
		return e.outside
	}
	return 1 - e.outside
}

func (e edge) above() float64 {
	if e.x >= 0 {
		return e.outside
	}
	return 1 - e.outside
}

// massBetween is the probability of (a, b], a <= b, and a bound on its rounding error.
//
// The bound: math.Erfc is good to 1 ulp; its argument carries an ulp or two, to which a tail at x answers with relative error x^2+1; the
// subtraction adds one ulp more. 2^-50 is eight half-ulps.
func massBetween(a, b edge) (mass, doubt float64) {
	switch {
	case a.x >= 0:
		mass = a.outside - b.outside
	case b.x <= 0:
		mass = b.outside - a.outside
	default:
		return 1 - a.outside - b.outside, 0x1p-50
	}
	near, x := a.outside, a.x
	if b.outside > near {
		near, x = b.outside, b.x
	}
	if near == 0 {
		return 0, 0
	}
	return max(mass, 0), near * (1 + x*x) * 0x1p-50
}
