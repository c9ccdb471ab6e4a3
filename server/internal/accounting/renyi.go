package accounting

import (
	"math"
	"math/bits"
)

// Renyi is a Renyi divergence (times steps) in units of 1e-12, rounded up, so that sums are exact and err to the safe side.
type Renyi int64

const (
	// MaxRenyi stands for what is as large, larger or not finite. No filter admits it.
	MaxRenyi Renyi = 1e18

	renyiUnit = 1e12 // units in 1

	// maxOrder keeps orders exact as floats.
	maxOrder = int64(1) << 50
)

// RenyiOf is the cost of a whole plan at each order. It refuses the plans that Evaluate refuses. At what is no order of a filter, below 2, any
// plan costs MaxRenyi.
func RenyiOf(plan []Steps, orders []int64) ([]Renyi, error) {
	plan, err := canonical(plan)
	if err != nil {
		return nil, err
	}
	costs := make([]Renyi, len(orders))
	for i, order := range orders {
		for _, steps := range plan {
			costs[i] = costs[i].plus(steps.renyi(order))
		}
	}
	return costs, nil
}

// renyi is the divergence of equal steps: their number times that of one, which is the moment's logarithm over order-1.
func (s Steps) renyi(order int64) Renyi {
	if order < 2 || order > maxOrder {
		return MaxRenyi
	}
	a := float64(order)
	units := renyiUnit * float64(s.Count) * logMoment(s.SampleRate, s.NoiseMultiplier, a) / (a - 1)
	// PRIVACY: three roundings of half an ulp are less than 2^-49, and a unit is more than any moment that underflows.
	units = math.Ceil(units*(1+0x1p-49)) + 1
	if !(units < float64(MaxRenyi)) { // so that NaN is never admitted
		return MaxRenyi
	}
	return Renyi(units)
}

// PartOf is the cost of the first done of so many equal steps that cost whole together, rounded up. It is for what grows with the steps alone:
// what a run costs besides, however few of its steps were made, is not to be in whole.
func PartOf(whole []Renyi, done, steps int64) []Renyi {
	part := make([]Renyi, len(whole))
	for i, cost := range whole {
		part[i] = cost.part(done, steps)
	}
	return part
}

// part is ceil(r*done/steps). PRIVACY: what is saturated or makes no sense is not divided, since its true value is not known.
func (r Renyi) part(done, steps int64) Renyi {
	switch {
	case r < 0 || r >= MaxRenyi || done < 0:
		return MaxRenyi
	case done == 0:
		return 0
	case steps <= done:
		return r
	}
	high, low := bits.Mul64(uint64(r), uint64(done))
	quotient, rest := bits.Div64(high, low, uint64(steps)) // the quotient is below r, since done is below steps
	if rest > 0 {
		quotient++
	}
	return Renyi(quotient)
}

// plus saturates. PRIVACY: a negative cost, which there is none of, would make room.
func (r Renyi) plus(other Renyi) Renyi {
	if r < 0 || other < 0 || r >= MaxRenyi || other >= MaxRenyi {
		return MaxRenyi
	}
	return min(r+other, MaxRenyi)
}
