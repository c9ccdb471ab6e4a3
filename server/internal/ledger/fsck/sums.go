package fsck

import (
	"math"
	"math/big"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// sums are exact, however large.
type sums struct {
	epsilon, delta *big.Int
	renyi          []*big.Int
	infinite       int // runs without noise
}

func newSums(orders int) *sums {
	s := &sums{epsilon: new(big.Int), delta: new(big.Int)}
	for range orders {
		s.renyi = append(s.renyi, new(big.Int))
	}
	return s
}

// add counts a run, or with a sign of -1 takes it out again.
func (s *sums) add(r *run, sign int64) {
	addTo(s.epsilon, sign, int64(r.m.Epsilon))
	addTo(s.delta, sign, int64(r.m.RunDelta))
	s.draw(r.renyi, sign)
	if r.m.Infinite {
		s.infinite += int(sign)
	}
}

func (s *sums) draw(renyi []accounting.Renyi, sign int64) {
	for i := range min(len(renyi), len(s.renyi)) {
		addTo(s.renyi[i], sign, int64(renyi[i]))
	}
}

func addTo(sum *big.Int, sign, v int64) {
	sum.Add(sum, new(big.Int).Mul(big.NewInt(sign), big.NewInt(v)))
}

// admitted says whether a filter of the account takes the sums.
func (s *sums) admitted(b *book) bool {
	cost := accounting.Cost{Epsilon: accounting.Epsilon(capped(s.epsilon)), Delta: accounting.Delta(capped(s.delta))}
	for _, drawn := range s.renyi {
		cost.Renyi = append(cost.Renyi, min(accounting.Renyi(capped(drawn)), accounting.MaxRenyi))
	}
	return accounting.Filter{Limit: b.limit, Delta: b.delta, Orders: b.orders}.Admits(cost)
}

// capped is the integer, or the largest one that the file can hold.
func capped(v *big.Int) int64 {
	if v.IsInt64() {
		return v.Int64()
	}
	return math.MaxInt64
}
