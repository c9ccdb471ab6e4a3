package planning

import (
	"math"
	"sort"
)

// overlong is how probable it may be that a step samples more records than it has passes for. It then makes more of them.
const overlong = 1e-12

// passesPerStep is how many passes of one record a step makes in constant time: as many as a sample of n slots at rate q needs but with
// probability overlong.
//
// P[X >= a] <= exp(-n KL(a/n | q)) for a binomial X and a > n q (Chernoff 1952; Hoeffding 1963, theorem 1).
func passesPerStep(n int64, q float64) int64 {
	enough := func(passes int64) bool {
		a := float64(passes+1) / float64(n)
		return a > q && float64(n)*divergence(a, q) >= -math.Log(overlong)
	}
	// Among 0, 1, ..., n-1; n are always enough.
	return int64(sort.Search(int(n), func(passes int) bool { return enough(int64(passes)) }))
}

// divergence is KL(a | q) of two coins, 0 < q < a <= 1.
func divergence(a, q float64) float64 {
	d := a * math.Log(a/q)
	if a < 1 {
		d += (1 - a) * math.Log((1-a)/(1-q))
	}
	return d
}
