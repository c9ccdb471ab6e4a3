package accounting_test

import (
	"math"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// hockeyStick is delta(eps) of one step in closed form, the larger of both directions.
func hockeyStick(q, sigma, eps float64) float64 {
	tail := func(x float64) float64 { return 0.5 * math.Erfc(x/math.Sqrt2) }
	at := func(v float64) float64 { return sigma*sigma*math.Log1p(math.Expm1(v)/q) + 0.5 } // where the loss is v
	x := at(eps)
	removal := (1-q)*tail(x/sigma) + q*tail((x-1)/sigma) - math.Exp(eps)*tail(x/sigma)
	addition := 0.0
	if math.Expm1(-eps) > -q {
		x = at(-eps)
		addition = tail(-x/sigma) - math.Exp(eps)*((1-q)*tail(-x/sigma)+q*tail((1-x)/sigma))
	}
	return max(removal, addition)
}

// gaussianDelta is delta(eps) of Gaussian mechanisms that compose to mu (Balle and Wang 2018, Thm 8).
func gaussianDelta(mu, eps float64) float64 {
	tail := func(x float64) float64 { return 0.5 * math.Erfc(x/math.Sqrt2) }
	second := tail(eps/mu + mu/2)
	if second == 0 {
		return tail(eps/mu - mu/2)
	}
	return tail(eps/mu-mu/2) - math.Exp(eps+math.Log(second))
}

// inverse is the eps at which a falling delta reaches the target.
func inverse(delta func(eps float64) float64, target float64) float64 {
	low, high := 0.0, 1.0
	if delta(low) <= target {
		return 0
	}
	for delta(high) > target {
		high *= 2
	}
	for range 200 {
		if middle := (low + high) / 2; delta(middle) > target {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// within allows what the grid (0.1% at the very most) and the share of delta set aside (0.05%) may add, and nothing below.
func within(t *testing.T, name string, eps, exact, delta float64) {
	t.Helper()
	slack := 1.5e-3*exact + 2e-6
	if eps < exact*(1-1e-12) {
		t.Errorf("%s: eps %.9f is below the true %.9f", name, eps, exact)
	}
	if eps > exact+slack {
		t.Errorf("%s: eps %.9f is above the true %.9f by %.2g, delta %g", name, eps, exact, eps/exact-1, delta)
	}
}

func TestOneStepAgreesWithItsClosedForm(t *testing.T) {
	for _, q := range []float64{1e-4, 0.003, 0.05, 0.5, 0.99, 1} {
		for _, sigma := range []float64{0.3, 0.7, 1, 2.5, 10, 300} {
			for _, delta := range []float64{1e-4, 1e-6, 1e-9, 1e-12} {
				exact := inverse(func(eps float64) float64 { return hockeyStick(q, sigma, eps) }, delta)
				bound, err := accounting.Evaluate([]accounting.Steps{{SampleRate: q, NoiseMultiplier: sigma, Count: 1}}, delta)
				if err != nil {
					t.Fatal(err)
				}
				if bound.Epsilon < exact*(1-1e-12) || bound.Method != accounting.PLD {
					t.Errorf("q %v sigma %v delta %v: eps %v by %s, the true one is %v", q, sigma, delta, bound.Epsilon, bound.Method, exact)
				}
				if delta < 1e-10 {
					continue // past the knee more than 1% is set aside: safe, and less tight
				}
				within(t, "one step", bound.Epsilon, exact, delta)
			}
		}
	}
}

func TestFullBatchesAgreeWithTheAnalyticGaussian(t *testing.T) {
	for _, sigma := range []float64{0.5, 1, 5, 40, 1000} {
		for _, count := range []int64{1, 7, 100, 10000} {
			for _, delta := range []float64{1e-3, 1e-5, 1e-10, 1e-16} {
				mu := math.Sqrt(float64(count)) / sigma
				if mu > 25 { // the closed form itself gives out in float64
					continue
				}
				exact := inverse(func(eps float64) float64 { return gaussianDelta(mu, eps) }, delta)
				if exact < 1e-6 {
					continue
				}
				eps, err := accounting.EpsilonOf([]accounting.Steps{{SampleRate: 1, NoiseMultiplier: sigma, Count: count}}, delta)
				if err != nil {
					t.Fatal(err)
				}
				within(t, "full batch", eps, exact, delta)
			}
		}
	}
}

func TestFullBatchesOfDifferentNoiseAddTheirSquares(t *testing.T) {
	plan := []accounting.Steps{{SampleRate: 1, NoiseMultiplier: 3, Count: 4}, {SampleRate: 1, NoiseMultiplier: 8, Count: 16}, {SampleRate: 1, NoiseMultiplier: 20, Count: 100}}
	mu := math.Sqrt(4.0/9 + 16.0/64 + 100.0/400)
	for _, delta := range []float64{1e-5, 1e-9} {
		eps, err := accounting.EpsilonOf(plan, delta)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "sum of squares", eps, inverse(func(eps float64) float64 { return gaussianDelta(mu, eps) }, delta), delta)
	}
}

func TestNoiseForOneGaussianIsTheAnalyticOne(t *testing.T) {
	for _, eps := range []float64{1e-3, 0.1, 1, 8, 40, 300} {
		for _, delta := range []float64{1e-5, 1e-9} {
			sigma, err := accounting.NoiseFor(1, 1, eps, delta)
			if err != nil {
				t.Fatal(err)
			}
			low, high := 1e-3, 1e6
			for range 200 {
				if middle := math.Sqrt(low * high); gaussianDelta(1/middle, eps) > delta {
					low = middle
				} else {
					high = middle
				}
			}
			if sigma < high || sigma > 1.001*high {
				t.Errorf("eps %v delta %v: noise %v, want %v and little more (%.3f%%)", eps, delta, sigma, high, 100*(sigma/high-1))
			}
		}
	}
}
