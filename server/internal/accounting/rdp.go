package accounting

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// renyiBound is the coarser bound: the best epsilon over Renyi orders, each order's divergence added up over the plan.
//
// Order a: ln E_Q[(P/Q)^a] of one step, then eps = (sum of them + ln(1/delta) + (a-1)*ln(1-1/a) - ln(a)) / (a-1) (Canonne, Kamath and Steinke,
// 2004.00010, Prop. 12; Balle et al., 1905.09982). Removal has the larger divergence (Mironov, Talwar and Zhang, 1908.10530).
// As many orders as there are give as many valid bounds of one fixed plan, so the least is valid.
func renyiBound(plan []Steps, delta float64) (Bound, error) {
	best := math.Inf(1)
	for _, order := range renyiOrders() {
		sum := 0.0
		for _, steps := range plan {
			sum += float64(steps.Count) * logMoment(steps.SampleRate, steps.NoiseMultiplier, order)
		}
		eps := (sum-math.Log(delta)-math.Log(order))/(order-1) + math.Log1p(-1/order)
		if eps < best { // false for NaN
			best = eps
		}
	}
	if math.IsInf(best, 1) {
		return Bound{}, refusal.New(refusal.InvalidArgument, "give a larger noise multiplier", "with so little noise no finite eps can be shown")
	}
	return Bound{max(best, 0), RDP}, nil
}

// renyiOrders are integers, where the moment is a finite sum, and reals near 1 and far out, where a closed bound serves.
func renyiOrders() []float64 {
	var orders []float64
	for order := 0x1p-20; order < 1; order *= math.Sqrt2 {
		orders = append(orders, 1+order)
	}
	for order := 2.0; order <= 64; order++ {
		orders = append(orders, order)
	}
	for order := 64.0; order < 2048; {
		order = math.Ceil(order * 1.15)
		orders = append(orders, order)
	}
	for order := 4096.0; order < 1e12; order *= 1.5 {
		orders = append(orders, order)
	}
	return orders
}
