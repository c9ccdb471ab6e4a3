package accounting

import (
	"math"
	"testing"
)

func TestTheDistributionHasTheSameMoments(t *testing.T) {
	for _, q := range []float64{1e-4, 0.001, 0.01, 0.1, 0.5, 1} {
		for _, sigma := range []float64{0.6, 1, 2, 10, 80} {
			for _, order := range []int64{2, 3, 5, 13, 40} {
				moment, ok := RenyiByDistribution(q, sigma, order)
				exact := logMoment(q, sigma, float64(order))
				if !ok {
					// Only where a single step's moment is beyond any limit.
					if exact < 50 {
						t.Errorf("q %v sigma %v order %d: no moment, want %v", q, sigma, order, exact)
					}
					continue
				}
				if moment < exact*(1-1e-9)-1e-12 || moment > 1.01*exact+1e-9 {
					t.Errorf("q %v sigma %v order %d: %v by the distribution, %v by the sum", q, sigma, order, moment, exact)
				}
			}
		}
	}
}

func TestNoMomentWithoutAGrid(t *testing.T) {
	for name, c := range map[string]struct {
		q, sigma float64
		order    int64
	}{
		"rate": {1.5, 1, 2}, "rate not a number": {math.NaN(), 1, 2}, "noise zero": {0.1, 0, 2}, "noise not a number": {0.1, math.NaN(), 2},
		"noise infinite": {0.1, math.Inf(1), 2}, "order one": {0.1, 1, 1}, "order negative": {0.1, 1, -5}, "order too large": {0.1, 1, math.MaxInt64},
		"hardly any noise": {0.1, 1e-3, 2}, "losses beyond a grid": {0.1, 0.5, 1 << 40},
	} {
		if moment, ok := RenyiByDistribution(c.q, c.sigma, c.order); ok {
			t.Errorf("%s: %v", name, moment)
		}
	}
}
