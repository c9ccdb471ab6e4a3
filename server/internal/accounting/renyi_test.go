package accounting

import (
	"math"
	"slices"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestRenyiOfIsTheMomentRoundedUp(t *testing.T) {
	for _, s := range []Steps{{0.01, 10, 1000}, {1e-5, 3, 1}, {0.3, 800, 50000}, {1, 50, 10}, {1, 1e12, 1e12}} {
		for _, order := range []int64{2, 3, 8, 30, 300, 4096} {
			costs, err := RenyiOf([]Steps{s}, []int64{order})
			if err != nil {
				t.Fatal(err)
			}
			a := float64(order)
			plain := 1e12 * float64(s.Count) * plainMoment(s, a) / (a - 1)
			if cost := float64(costs[0]); cost < plain*(1-1e-10) || cost > plain*(1+1e-8)+2 {
				t.Errorf("%v order %d: %v units, want %v and little more", s, order, cost, plain)
			}
		}
	}
}

// plainMoment adds the terms up as they are written, from the largest k down.
func plainMoment(s Steps, order float64) float64 {
	if s.SampleRate == 1 {
		return order * (order - 1) / (2 * s.NoiseMultiplier * s.NoiseMultiplier)
	}
	logFactorial := func(n float64) float64 { v, _ := math.Lgamma(n + 1); return v }
	most, terms := math.Inf(-1), []float64{}
	for k := order; k >= 2; k-- {
		x := k * (k - 1) / (2 * s.NoiseMultiplier * s.NoiseMultiplier)
		term := logFactorial(order) - logFactorial(k) - logFactorial(order-k) + (order-k)*math.Log1p(-s.SampleRate) + k*math.Log(s.SampleRate) +
			x + math.Log(-math.Expm1(-x))
		most, terms = max(most, term), append(terms, term)
	}
	sum := 0.0
	for _, term := range terms {
		sum += math.Exp(term - most)
	}
	if excess := most + math.Log(sum); excess < 0 {
		return math.Log1p(math.Exp(excess))
	} else {
		return excess + math.Log1p(math.Exp(-excess))
	}
}

func TestOrderOfStepsDoesNotChangeAUnit(t *testing.T) {
	a, b, half := Steps{0.01, 1, 300}, Steps{0.02, 1.5, 100}, Steps{0.01, 1, 150}
	orders := []int64{20, 8, 2}
	want, err := RenyiOf([]Steps{a, b}, orders)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range [][]Steps{{b, a}, {half, b, half}} {
		if got, err := RenyiOf(plan, orders); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v, %v; want %v", plan, got, err, want)
		}
	}
}

func TestRenyiGrowsWithWhatCostsMore(t *testing.T) {
	orders := []int64{5000, 300, 20, 5, 2}
	base := Steps{0.01, 1.2, 500}
	want, _ := RenyiOf([]Steps{base}, orders)
	for name, cheaper := range map[string]Steps{"more noise": {0.01, 1.21, 500}, "rarer": {0.0099, 1.2, 500}, "fewer steps": {0.01, 1.2, 499}} {
		got, _ := RenyiOf([]Steps{cheaper}, orders)
		for i := range orders {
			if got[i] >= want[i] {
				t.Errorf("%s, order %d: %d units, not below %d", name, orders[i], got[i], want[i])
			}
		}
	}
	for i := 1; i < len(orders); i++ {
		if want[i] >= want[i-1] {
			t.Errorf("order %d costs %d units, order %d only %d", orders[i], want[i], orders[i-1], want[i-1])
		}
	}
}

func TestRemovalHasTheLargerDivergence(t *testing.T) {
	for _, q := range []float64{0.001, 0.1, 0.9} {
		for _, sigma := range []float64{0.7, 2} {
			for _, order := range []float64{2, 5, 12} {
				m, added := mechanism{q, sigma}, 0.0
				for x := -25 * sigma; x < 25*sigma+1; x += 0.005 { // E_B[(B/A)^(order-1)]
					added += 0.005 * math.Exp(-(order-1)*m.loss(x)-x*x/(2*sigma*sigma)) / (sigma * math.Sqrt(2*math.Pi))
				}
				if removed := logMoment(q, sigma, order); math.Log(added) > removed+1e-9 {
					t.Errorf("q %v sigma %v order %v: addition %v, removal %v", q, sigma, order, math.Log(added), removed)
				}
			}
		}
	}
}

func TestRenyiSaturates(t *testing.T) {
	for name, c := range map[string]struct {
		steps Steps
		order int64
	}{
		"hardly any noise": {Steps{1, 1e-3, 1e11}, 20},
		"no noise":         {Steps{0.5, 1e-200, 1}, 2},
		"tiny":             {Steps{0.5, 5e-324, 1}, 2},
		"order zero":       {Steps{0.01, 1, 1}, 0},
		"order one":        {Steps{0.01, 1, 1}, 1},
		"order negative":   {Steps{0.01, 1, 1}, -7},
		"order too large":  {Steps{0.01, 1, 1}, math.MaxInt64},
	} {
		costs, err := RenyiOf([]Steps{c.steps, {0.01, 1, 1}}, []int64{c.order})
		if err != nil || costs[0] != MaxRenyi {
			t.Errorf("%s: %v, %v", name, costs, err)
		}
	}
	for _, s := range []Steps{{5e-324, 1e5, 1}, {0.01, math.MaxFloat64, 1}, {1, math.MaxFloat64, 1e12}} {
		if costs, err := RenyiOf([]Steps{s}, []int64{2, 4096, 5000}); err != nil || slices.Min(costs) < 1 || slices.Max(costs) > 10 {
			t.Errorf("%v: %v, %v; want a unit or two", s, costs, err)
		}
	}
}

func TestRenyiRefusesWhatIsNoPlan(t *testing.T) {
	for _, plan := range [][]Steps{nil, {{math.NaN(), 1, 1}}, {{0.1, math.NaN(), 1}}, {{0.1, math.Inf(1), 1}}, {{0.1, 0, 1}}, {{0.1, 1, 0}}, {{0.1, 1, -3}}, {{2, 1, 1}}} {
		if costs, err := RenyiOf(plan, []int64{2}); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%v: %v, %v", plan, costs, err)
		}
	}
}
