package accounting

import (
	"math"
	"testing"
)

func TestTheCoarserBoundIsNeverTheTighterOne(t *testing.T) {
	for _, q := range []float64{1e-3, 0.01, 0.2, 1} {
		for _, sigma := range []float64{0.4, 1, 5, 60} {
			for _, count := range []int64{1, 30, 3000} {
				for _, delta := range []float64{1e-4, 1e-8} {
					plan := []Steps{{q, sigma, count}}
					tight, err := evaluate(plan, delta, 1)
					if err != nil || tight.Method != PLD {
						t.Fatalf("%v: %v %v", plan, tight, err)
					}
					coarse, err := renyiBound(plan, delta)
					if err != nil || coarse.Epsilon < tight.Epsilon && tight.Epsilon > 1e-4 {
						t.Errorf("%v delta %v: rdp %v is below pld %v (%v)", plan, delta, coarse.Epsilon, tight.Epsilon, err)
					}
				}
			}
		}
	}
}

func TestMomentsAgreeWithTheirIntegral(t *testing.T) {
	for _, q := range []float64{0.001, 0.05, 0.7} {
		for _, sigma := range []float64{0.8, 1, 4} {
			for _, order := range []float64{1.25, 1.5, 2, 3, 7, 20} {
				// ln of the integral of B(x) * (A(x)/B(x))^order, by the trapezium rule, which is exact to rounding for such functions.
				m, sum := mechanism{q, sigma}, 0.0
				const width = 0.01
				for x := -15 * sigma; x < order+15*sigma; x += width {
					sum += width * math.Exp(order*m.loss(x)-x*x/(2*sigma*sigma)) / (sigma * math.Sqrt(2*math.Pi))
				}
				exact, bound := math.Log(sum), logMoment(q, sigma, order)
				if order == math.Trunc(order) && math.Abs(bound-exact) > 1e-9*(1+math.Abs(exact)) {
					t.Errorf("q %v sigma %v order %v: %v, want %v", q, sigma, order, bound, exact)
				}
				if bound < exact-1e-12 {
					t.Errorf("q %v sigma %v order %v: %v is below %v", q, sigma, order, bound, exact)
				}
			}
		}
	}
}
