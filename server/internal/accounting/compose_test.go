package accounting

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/dsp/fourier"
)

// convolved is the obviously right composition: every pair of losses, one step at a time, without tilt, transform or window.
func convolved(c composition) (first int64, mass []float64, finite float64) {
	mass, finite = []float64{1}, 1
	for _, p := range c {
		for range int(p.count) {
			next := make([]float64, len(mass)+len(p.mass)-1)
			for i, a := range mass {
				for j, b := range p.mass {
					next[i+j] += a * b
				}
			}
			first, mass, finite = first+p.first, next, finite*(1-p.infinite)
		}
	}
	return first, mass, finite
}

func TestComposeEqualsPlainConvolution(t *testing.T) {
	plans := map[string][]Steps{
		"one step":           {{0.1, 1, 1}},
		"equal steps":        {{0.05, 0.8, 5}},
		"full batches":       {{1, 3, 4}},
		"different steps":    {{0.01, 0.7, 2}, {0.2, 2, 3}, {1, 6, 1}},
		"rare, large losses": {{0.001, 0.5, 4}},
	}
	const step = 0.02
	for name, plan := range plans {
		for i := range 4 {
			dir, z := direction(i%2), []float64{3, 8}[i/2] // at z = 3 a good deal of loss is infinite
			c, ok := onGrid(plan, dir, step, z)
			if !ok {
				t.Fatal("no grid")
			}
			first, mass, finite := convolved(c)
			for _, eps := range []float64{0.1, 0.5, 1.5} {
				exact := 1 - finite
				for i, p := range mass {
					if loss := float64(first+int64(i)) * step; loss > eps {
						exact += p * -math.Expm1(eps-loss)
					}
				}
				if exact-(1-finite) < 1e-2*exact || exact < 1e-14 {
					continue // hardly any finite loss lies above: delta says little about eps there
				}
				// Read back: at that delta, with nothing set aside, epsilon is eps again.
				order := c.orderAt(eps, exact, usualAmplified)
				low, high := c.indices(order)
				sum := c.compose(order, low, high, aliasing)
				found, ok := sum.epsilon(exact, 0)
				if !ok || math.Abs(found.eps-eps) > 1e-6 {
					t.Errorf("%s, direction %d: eps %.9f, want %.9f", name, dir, found.eps, eps)
				}
			}
		}
	}
}

func TestTheGridKeepsBothMasses(t *testing.T) {
	for _, m := range []mechanism{{0.001, 0.5}, {0.01, 1}, {0.2, 8}, {1, 2}, {1e-6, 3}, {0.01, 1e4}} {
		for _, dir := range []direction{removal, addition} {
			low, high := m.support(9)
			cut, ok := m.discretise(dir, (high-low)/1000, 2)
			if sum := total(cut); !ok || math.Abs(sum-1) > 1e-12 {
				t.Errorf("%v direction %d: cut at two deviations, P sums to 1%+.1e", m, dir, sum-1)
			}
			d, ok := m.discretise(dir, (high-low)/1000, 9)
			if !ok {
				t.Fatal("no grid")
			}
			p, q := total(d), 0.0
			for i, mass := range d.mass {
				if mass < 0 || math.IsNaN(mass) {
					t.Fatalf("%v: mass %v", m, mass)
				}
				q += mass * math.Exp(-float64(d.first+int64(i))*d.step)
			}
			if math.Abs(p-1) > 1e-12 || math.Abs(q-1) > 1e-10 {
				t.Errorf("%v direction %d: P sums to 1%+.1e, Q to 1%+.1e", m, dir, p-1, q-1)
			}
		}
	}
}

func total(d distribution) float64 {
	sum := d.infinite
	for _, mass := range d.mass {
		sum += mass
	}
	return sum
}

func TestTransformErrorBound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{64, 270, 486, 1000, 1024, 3000} {
		input := make([]float64, n)
		for i := range input {
			input[i] = random.ExpFloat64()
		}
		found := fourier.NewFFT(n).Coefficients(nil, input)
		square := 0.0
		for k := range found {
			exact := complex(0, 0)
			for i, x := range input {
				exact += cmplx.Rect(x, -2*math.Pi*float64(i*k%n)/float64(n))
			}
			square += real((found[k] - exact) * cmplx.Conj(found[k]-exact))
		}
		rms := math.Sqrt(square / float64(len(found)))
		if bound := transformError * math.Log2(float64(n)) * norm(input); rms > bound {
			t.Errorf("length %d: error %.2e, bound %.2e", n, rms, bound)
		}
	}
}

func TestHowAnErrorGrows(t *testing.T) {
	for _, times := range []float64{1, 2, 3, 17, 1000, 1e6, 1e9, 1e12} {
		for _, p := range []float64{0, 0.1, 0.4, 0.5, 0.6, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9, 1} {
			const x = 1e-14
			// (p+x)^T - p^T, of which the difference would lose all digits.
			exact := x
			if p > 0 {
				exact = math.Exp(times*math.Log(p)) * math.Expm1(times*math.Log1p(x/p))
			} else if times > 1 {
				exact = 0
			}
			if bound := (grown(times)*math.Pow(p, times) + 1.1) * x; exact > bound {
				t.Errorf("%v to the power of %v: %v, bound %v", p, times, exact, bound)
			}
		}
	}
}

func TestFastLength(t *testing.T) {
	for least, want := range map[int]int{1: 64, 64: 64, 65: 72, 101: 108, 1025: 1080, 999999: 1000000} {
		if got := fastLength(least); got != want {
			t.Errorf("fastLength(%d) = %d, want %d", least, got, want)
		}
	}
}
