package accounting

import "math"

// Filter is the rule by which an account stops: one basic filter, which adds up the runs' epsilons and deltas, and one counting filter per Renyi order,
// which adds up divergences. docs/composition.md has the proof that what at least one of them admits stays within (Limit, Delta),
// however runs are chosen.
//
// A Limit of 0 stands for no limit; what to admit then is the caller's to say, and here nothing that costs anything is. Orders are fixed when an
// account is registered: a lowered limit keeps them and moves their bounds only.
type Filter struct {
	Limit  Epsilon
	Delta  Delta
	Orders []int64
}

// deltaReserve is the part of a counting filter's delta that is set aside for what the noise sampler lacks (docs/composition.md, section
// "The sampler").
const deltaReserve = 0x1p-9

// Admits says whether at least one filter admits the whole history: total includes the run under judgement.
func (f Filter) Admits(total Cost) bool {
	if f.basicAdmits(total) {
		return true
	}
	for i := range f.Orders {
		if f.countingAdmits(i, total.renyi(i)) {
			return true
		}
	}
	return false
}

// basicAdmits is the filter of basic composition, with half of delta.
func (f Filter) basicAdmits(total Cost) bool {
	if total.Epsilon < 0 || total.Delta < 0 {
		return false
	}
	return total.Epsilon <= f.Limit && total.Delta <= f.Delta/2 // PRIVACY: in integers, so that nothing is rounded
}

// countingAdmits is the filter of the order with that index, with its share of the other half.
func (f Filter) countingAdmits(i int, total Renyi) bool {
	// PRIVACY: what is negative or saturated is no sum of costs.
	return total >= 0 && total < MaxRenyi && total <= f.bound(i)
}

// bound is the divergence of the order a with that index that the filter admits, rounded down:
//
//	limit - ln(1-1/a) + (ln(w*delta) + ln(a)) / (a-1),   w = 1/(2*len(Orders))
//
// (Canonne, Kamath and Steinke, 2004.00010, Prop. 12, solved for the divergence). -1, which admits nothing, where it is not positive.
func (f Filter) bound(i int) Renyi {
	price, ok := f.price(i)
	if !ok || f.Limit <= 0 {
		return -1
	}
	limit := Renyi(min(f.Limit, mostEpsilon)) * renyiPerEpsilon
	if limit <= price {
		return -1
	}
	return limit - price
}

// price is what the order with that index adds to a divergence to make an epsilon of it, rounded up: small for large orders, negative for hardly any.
// false: it is no order, or delta is no delta.
func (f Filter) price(i int) (Renyi, bool) {
	order := f.Orders[i]
	if order < 2 || order > maxOrder || f.Delta <= 0 || f.Delta >= wholeDelta {
		return 0, false
	}
	a := float64(order)
	share := f.Delta.Float() * (1 - deltaReserve) / float64(2*len(f.Orders))
	price := math.Log1p(-1/a) - (math.Log(share)+math.Log(a))/(a-1)
	// PRIVACY: the logarithms are below 70 in size, so their rounding stays far below a unit, which is added.
	return Renyi(math.Ceil(price*renyiUnit)) + 1, true
}

const (
	renyiPerEpsilon = 1000 // units of 1e-12 in one of 1e-9
	mostEpsilon     = Epsilon(MaxEpsilon * 1e9)
	wholeDelta      = Delta(1e18)
)

// Spent is what total amounts to: the least of the sum of epsilons, where the deltas fit in their half, and of every counting filter's epsilon at its
// own share of delta, rounded up. The largest integer stands for no finite bound. It is informative: what is proved for runs chosen by
// earlier outputs is the limit, and at most Limit is spent exactly where Admits says yes.
func (f Filter) Spent(total Cost) Epsilon {
	least := Epsilon(math.MaxInt64)
	if total.Epsilon >= 0 && total.Delta >= 0 && total.Delta <= f.Delta/2 {
		least = total.Epsilon
	}
	for i := range f.Orders {
		price, ok := f.price(i)
		divergence := total.renyi(i)
		if !ok || divergence < 0 || divergence >= MaxRenyi {
			continue
		}
		spent := max(divergence+price, 0) // far below overflow: 1e18 and a price of 1e14 at most
		least = min(least, Epsilon((spent+renyiPerEpsilon-1)/renyiPerEpsilon))
	}
	return least
}
