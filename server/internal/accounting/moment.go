package accounting

import "math"

// largestSummed is the largest order whose moment is summed up; a closed bound serves beyond.
const largestSummed = 4096

// logMoment bounds ln E_B[(A/B)^order] of one step from above. At integer orders up to largestSummed it is exact but for rounding, which counts
// in full: there the moment is 1 plus
//
//	sum over k >= 2 of C(order, k) * (1-q)^(order-k) * q^k * (exp(k*(k-1)/(2*sigma^2)) - 1)
//
// (Mironov, Talwar and Zhang, 1908.10530, section 3.3, less the sum of the binomial weights, which is 1: nothing cancels, so small moments
// keep their digits). At any other order it is at most 1 + q*(exp(order*(order-1)/(2*sigma^2)) - 1), since x -> x^order is convex and A a
// mixture of B and N(1, sigma^2). What is below 1e-290 may underflow to zero.
func logMoment(q, sigma, order float64) float64 {
	shift := gaussianMoment(order, sigma)
	if q == 1 || math.IsInf(shift, 1) {
		return shift * (1 + 0x1p-49)
	}
	var excess logTerm // ln(moment - 1)
	if order == math.Trunc(order) && order <= largestSummed {
		excess = summedExcess(q, sigma, order)
	} else {
		excess = logTerm{}.plus(math.Log(q)).plus(logExpm1(shift))
	}
	// PRIVACY: an error of d in excess is one of at most a factor of exp(d) in ln(1+exp(excess)).
	return softplus(excess.value+excess.doubt()) * (1 + 0x1p-49)
}

// summedExcess adds the terms up beside the largest one.
func summedExcess(q, sigma, order float64) logTerm {
	terms := make([]float64, 0, int(order))
	most := logTerm{value: math.Inf(-1)}
	logChoose, logIn, logOut := math.Log(order), math.Log(q), math.Log1p(-q)
	size := 0.0
	for k := 2.0; k <= order; k++ {
		logChoose += math.Log((order - k + 1) / k)
		term := logTerm{}.plus(logChoose).plus((order - k) * logOut).plus(k * logIn).plus(logExpm1(gaussianMoment(k, sigma)))
		if math.IsInf(term.value, -1) {
			continue // underflowed
		}
		terms, size = append(terms, term.value), max(size, term.size)
		if term.value > most.value {
			most = term
		}
	}
	if math.IsInf(most.value, -1) {
		return most
	}
	sum := 0.0
	for _, term := range terms {
		sum += math.Exp(term - most.value)
	}
	return logTerm{value: most.value + math.Log(sum), size: size, orders: order}
}

// logTerm is a logarithm that was added up of parts. size is the sum of their absolute values; orders, if not zero, how many binomial
// coefficients were multiplied up.
type logTerm struct{ value, size, orders float64 }

func (t logTerm) plus(part float64) logTerm {
	return logTerm{value: t.value + part, size: t.size + math.Abs(part)}
}

// doubt bounds the rounding error, with u = 2^-53. A part is a logarithm, good to an ulp (2u), times an integer: 3u of its size. ln(exp(x)-1) answers to
// x's three roundings with 3*(x+1)*u, where x is at most its own size + 0.7: 5u of its size and 8u. Adding parts up costs 3u of their size, and
// ln of the sum beside the largest term u of it and 17u: so far below 10u*size + 25u, of which 32u*(size+1) are counted. The binomial coefficients have
// a logarithm of at most ln(4096) and a sum of at most 0.7*order per factor: order*(0.7*order+18)*u; exponentials and their sum, all positive,
// at most order*1.4*u + 5u.
func (t logTerm) doubt() float64 {
	if math.IsInf(t.size, 1) {
		return 0 // the value is infinite itself
	}
	return 0x1p-48*(t.size+1) + 0x1p-52*t.orders*(t.orders+25)
}

// gaussianMoment is the exponent of one Gaussian's moment of that order.
func gaussianMoment(order, sigma float64) float64 { return order / sigma * ((order - 1) / sigma) / 2 }

// logExpm1 is ln(exp(x) - 1).
func logExpm1(x float64) float64 {
	if x > 40 { // exp(x) would overflow far out
		return x + math.Log1p(-math.Exp(-x))
	}
	return math.Log(math.Expm1(x))
}

// softplus is ln(1 + exp(x)).
func softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}
