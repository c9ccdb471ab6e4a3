package accounting

import (
	"math"
	"slices"
	"testing"
)

const one = Epsilon(1e9)

func filterOf(limit Epsilon, delta Delta) Filter {
	return Filter{Limit: limit, Delta: delta, Orders: FilterOrders(limit, delta)}
}

// costOf is what a run draws: an epsilon of its own at a share of delta, and its moments.
func costOf(t *testing.T, f Filter, plan []Steps, share Delta) Cost {
	t.Helper()
	eps, err := EpsilonOf(plan, share.Float())
	if err != nil {
		t.Fatal(err)
	}
	costs, err := RenyiOf(plan, f.Orders)
	if err != nil {
		t.Fatal(err)
	}
	return Cost{Epsilon: Epsilon(math.Ceil(eps * 1e9)), Delta: share, Renyi: costs}
}

func nothing(f Filter) Cost { return Cost{Renyi: make([]Renyi, len(f.Orders))} }

func TestAdmitsIsMonotoneInEveryPart(t *testing.T) {
	f := filterOf(2*one, 1e12)
	for i := range f.Orders {
		bound := f.bound(i)
		total := Cost{math.MaxInt64, math.MaxInt64, slices.Repeat([]Renyi{MaxRenyi}, len(f.Orders))}
		if bound < 0 {
			continue // delta alone costs more than the limit at so small an order
		}
		total.Renyi[i] = bound
		if !f.Admits(total) {
			t.Errorf("order %d: its bound %d is not admitted", f.Orders[i], bound)
		}
		if total.Renyi[i]++; f.Admits(total) {
			t.Errorf("order %d: a unit more than its bound %d is admitted", f.Orders[i], bound)
		}
	}
	full := slices.Repeat([]Renyi{MaxRenyi}, len(f.Orders))
	for _, c := range []struct {
		eps   Epsilon
		delta Delta
		want  bool
	}{{2 * one, 5e11, true}, {2*one + 1, 5e11, false}, {2 * one, 5e11 + 1, false}, {-1, 0, false}, {0, -1, false}} {
		if got := f.Admits(Cost{c.eps, c.delta, full}); got != c.want {
			t.Errorf("eps %d delta %d: %v", c.eps, c.delta, got)
		}
	}
}

func TestABoundConvertsToItsLimit(t *testing.T) {
	for _, limit := range []Epsilon{one / 10, one, 6 * one, 50 * one} {
		f := filterOf(limit, 1e12)
		for i, order := range f.Orders {
			a, divergence := float64(order), float64(f.bound(i))/1e12
			if f.bound(i) < 0 {
				continue
			}
			share := 1e-6 / float64(2*len(f.Orders))
			eps := divergence + math.Log1p(-1/a) - (math.Log(share)+math.Log(a))/(a-1)
			// ln(1-2^-9) is -1.955e-3: what is set aside for the sampler.
			if below := (limit.Float() - eps) * (a - 1); below < 1.95e-3 || below > 1.96e-3+1e-9*a {
				t.Errorf("limit %v order %d: the bound converts to %v", limit, order, eps)
			}
		}
	}
}

func TestALoweredLimitMovesTheBoundsOnly(t *testing.T) {
	f := filterOf(6*one, 1e12)
	lowered := f
	lowered.Limit = 4 * one
	for i := range f.Orders {
		if f.bound(i)-lowered.bound(i) != 2e12 && lowered.bound(i) >= 0 {
			t.Errorf("order %d: from %d to %d", f.Orders[i], f.bound(i), lowered.bound(i))
		}
	}
}

func TestHostileFilters(t *testing.T) {
	cheap := Cost{math.MaxInt64, math.MaxInt64, []Renyi{0, 0, 0, 0}}
	for name, f := range map[string]Filter{
		"orders that are none": {one, 1e12, []int64{0, 1, -1, math.MinInt64}},
		"orders too large":     {one, 1e12, []int64{math.MaxInt64}},
		"no delta":             {one, 0, []int64{2, 30}},
		"delta negative":       {one, -5, []int64{2, 30}},
		"delta above one":      {one, 2e18, []int64{2, 30}},
		"no limit":             {0, 1e12, []int64{30}},
		"limit negative":       {math.MinInt64, 1e12, []int64{30}},
		"limit too low":        {one / 1000, 1e12, []int64{2, 30}},
	} {
		if f.Admits(cheap) {
			t.Errorf("%s: admitted", name)
		}
	}
	f := Filter{math.MaxInt64, 1e12, []int64{2, 30}}
	if f.Admits(Cost{0, math.MaxInt64, []Renyi{MaxRenyi, -1}}) || f.Admits(Cost{-1, 0, nil}) || f.Admits(Cost{0, -1, []Renyi{math.MaxInt64}}) {
		t.Error("saturated and negative costs are admitted")
	}
	// So large a delta makes an epsilon smaller than its divergence, and the bound larger than anything.
	if f := (Filter{mostEpsilon, 9e17, []int64{2}}); f.Admits(Cost{math.MaxInt64, math.MaxInt64, []Renyi{MaxRenyi}}) {
		t.Error("a saturated cost is admitted")
	}
}
