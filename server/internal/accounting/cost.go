package accounting

import "math"

// Cost is what a run, or all of them, draws on an account.
type Cost struct {
	Epsilon Epsilon
	Delta   Delta
	Renyi   []Renyi // one per order of the account's filter
}

// Plus adds two costs up in a slice of its own. PRIVACY: it saturates and never overflows, and where one of them lacks an order, which means that
// it was never computed there, the sum is MaxRenyi: so a sum starts at as many zeros as there are orders.
func (c Cost) Plus(other Cost) Cost {
	sum := Cost{Epsilon: saturated(c.Epsilon, other.Epsilon), Delta: saturated(c.Delta, other.Delta)}
	sum.Renyi = make([]Renyi, max(len(c.Renyi), len(other.Renyi)))
	for i := range sum.Renyi {
		sum.Renyi[i] = c.renyi(i).plus(other.renyi(i))
	}
	return sum
}

// renyi is the cost at the order with that index.
func (c Cost) renyi(i int) Renyi {
	if i >= len(c.Renyi) {
		return MaxRenyi
	}
	return c.Renyi[i]
}

// saturated is a+b, at most the largest integer. PRIVACY: a negative part, which there is none of, would make room.
func saturated[T Epsilon | Delta](a, b T) T {
	if a < 0 || b < 0 || a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
