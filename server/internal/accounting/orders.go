package accounting

import (
	"math"
	"slices"
)

// orderFactors spread the filters' orders below the one that suits a limit spent on a single Gaussian. The fewer there are, the more of delta
// each has; but plans of rare large losses, and plans between two integers, need others than the first. Without a fifth factor of 0.25 none of
// 500 random histories was worse off; without another one of these some were. filter_ratio.csv holds what these achieve.
var orderFactors = [...]float64{1, 0.8, 0.6, 0.4}

// FilterOrders are the Renyi orders of an account's filters, descending, each at least 2: chosen once, when the account is registered, by its limit
// and delta. A limit of 0, no limit, counts as AssumedLimit. There are none where delta is not between 0 and 1.
//
// A Gaussian with divergence a*rho at order a spends the limit at rho = (sqrt(ln(1/delta)+eps) - sqrt(ln(1/delta)))^2, and the order that shows it is
// 1 + sqrt(ln(1/delta)/rho) (Bun and Steinke, 1605.02065).
func FilterOrders(limit Epsilon, delta Delta) []int64 {
	if delta <= 0 || delta >= wholeDelta {
		return nil
	}
	if limit <= 0 {
		limit = AssumedLimit
	}
	eps, tail := limit.Float(), -math.Log(delta.Float())
	root := eps / (math.Sqrt(tail+eps) + math.Sqrt(tail)) // the difference of the roots, without cancellation
	best := 1 + math.Sqrt(tail)/root
	var orders []int64
	for _, factor := range orderFactors {
		orders = append(orders, max(2, int64(math.Round(min(best*factor, float64(maxOrder))))))
	}
	return slices.Compact(orders) // they descend already
}
