package accounting

import (
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
)

// composed is the tilted law of the sum of all losses, on the grid indices first, first+1, ...:
//
//	mass[i] = exp(order*loss - cumulant) * P(sum of losses = loss),   loss = (first+i)*step
type composed struct {
	step     float64
	first    int64
	mass     []float64
	order    float64
	cumulant float64
	infinite float64 // probability that any step's loss is infinite
	above    float64 // bound on the tilted probability of losses above the window
	floor    float64 // bound on what rounding in the transforms can have done to each entry of mass
	doubt    float64 // bound on what rounding in the steps' masses can have done, in units of exp(cumulant - order*eps)
}

// transformError times log2(n) bounds the error of a transform of length n, in root mean square and relative to its input's norm.
const transformError = 4 * 0x1p-53

// compose convolves all steps by characteristic functions, circularly on n >= high-low+1 points: low and high are grid indices that
// hold all but a probability tail of the tilted sum on either side.
//
// What wraps around is added to entries of the window, which only makes losses look larger or leaves them.
func (c composition) compose(order float64, low, high int64, tail float64) composed {
	n := fastLength(int(high - low + 1))
	transform := fourier.NewFFT(n)
	logSize, angle := make([]float64, n/2+1), make([]float64, n/2+1)
	folded, spectrum := make([]float64, n), make([]complex128, n/2+1)
	out := composed{step: c[0].step, first: low, order: order, above: tail}
	ulps := transformError * math.Log2(float64(n))
	finite, once, often := 0.0, ulps, ulps // the inverse transform's own error to begin with
	for i := range c {
		k, _ := c[i].cumulant(order)
		out.cumulant += c[i].count * k
		out.doubt += c[i].count * c[i].fold(folded, order, k)
		finite += c[i].count * math.Log1p(-c[i].infinite)
		error := ulps * norm(folded)
		once, often = once+1.1*error, often+grown(c[i].count)*error
		spectrum = transform.Coefficients(spectrum, folded)
		for j, value := range spectrum {
			re, im := real(value), imag(value)
			logSize[j] += c[i].count * 0.5 * math.Log(re*re+im*im)
			angle[j] += c[i].count * math.Atan2(im, re)
		}
	}
	out.infinite = -math.Expm1(finite)
	for j := range spectrum {
		r := math.Exp(logSize[j])
		sin, cos := math.Sincos(angle[j])
		spectrum[j] = complex(r*cos, r*sin)
	}
	circular := transform.Sequence(folded, spectrum)
	lowest := 0.0
	out.mass = make([]float64, n)
	at := int(modulo(low, int64(n)))
	for i := range out.mass {
		out.mass[i] = circular[at] / float64(n)
		lowest = min(lowest, out.mass[i])
		if at++; at == n {
			at = 0
		}
	}
	// Two views of the same error, of which the larger counts. What is negative shows it, since the true value is not. And by norms: see grown;
	// root mean squares carry over to the inverse.
	out.floor = max(-lowest, once+often*norm(out.mass))
	return out
}

// grown is the g with which an error x of a coefficient p, |p| <= 1, becomes at most (g*|p|^T + 1.1)*x in p^T.
//
// With r = T^(1/(T-1)), at most 2: where |p| is at least 1/r, T*|p|^(T-1) <= T*r*|p|^T, and elsewhere it is below T*r^(1-T) = 1. What is
// beyond first order is a factor of at most exp(T*x*r), with x below 1e-14 times the root of the length: 1.1 covers that up to 1e9 steps.
func grown(times float64) float64 {
	switch {
	case times == 1:
		return 0 // x remains x
	case times > 1e9:
		return 2 * times
	default:
		return 1.1 * times * math.Pow(times, 1/(times-1))
	}
}

// fold writes the tilted law of one step into folded, circularly, and returns what rounding in its masses can amount to.
//
// That bound: a probability v moved from loss e to e+h changes delta(eps) by at most h*exp(cumulant of the other steps)*exp(-order*(eps-e-h)),
// because the slope of delta at u is at most exp(cumulant - order*u) in size.
func (p *phase) fold(folded []float64, order, cumulant float64) (doubt float64) {
	clear(folded)
	var buffer [blockSize]float64
	n := len(folded)
	at := int(modulo(p.first, int64(n)))
	for start := 0; start < len(p.mass); start += blockSize {
		weights := buffer[:min(blockSize, len(p.mass)-start)]
		exponentials(weights, order*p.step, order*p.step*(float64(p.first)+float64(start))-cumulant)
		for j, weight := range weights {
			folded[at] += p.mass[start+j] * weight
			if start+j > 0 {
				doubt += p.doubt[start+j-1] * weight * p.step
			}
			if at++; at == n {
				at = 0
			}
		}
	}
	return doubt
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

func modulo(k, n int64) int64 { return ((k % n) + n) % n }

// fastLength is the next even length, from 64 on, whose prime factors the transform has fast passes for.
func fastLength(least int) int {
	for n := max(least+least%2, 64); ; n += 2 {
		rest := n
		for _, factor := range [...]int{2, 3, 5} {
			for rest%factor == 0 {
				rest /= factor
			}
		}
		if rest == 1 {
			return n
		}
	}
}
