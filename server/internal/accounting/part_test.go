package accounting

import (
	"testing"
)

func TestPartOf(t *testing.T) {
	for _, c := range []struct {
		whole       Renyi
		done, steps int64
		want        Renyi
	}{
		{100, 1, 3, 34}, // rounded up
		{99, 1, 3, 33},
		{1, 1, 1e12, 1},
		{100, 0, 3, 0},
		{100, 3, 3, 100},
		{100, 4, 3, 100},
		{100, -1, 3, MaxRenyi},
		{100, 1, 0, 100},
		{0, 1, 2, 0},
		{-5, 1, 2, MaxRenyi},
		{MaxRenyi, 1, 2, MaxRenyi}, // its true value is not known
		{MaxRenyi, 0, 2, MaxRenyi},
		{MaxRenyi - 1, 999_999_999_999, 1e12, 999_999_999_999_000_000},
	} {
		if got := PartOf([]Renyi{c.whole}, c.done, c.steps)[0]; got != c.want {
			t.Errorf("%d of %d steps of %d: %d, want %d", c.done, c.steps, c.whole, got, c.want)
		}
	}
}

func TestAPartIsNeverBelowThePricedSteps(t *testing.T) {
	orders := []int64{30, 12, 2}
	for _, s := range []Steps{{0.01, 1, 1000}, {0.2, 5, 77}, {1, 90, 13}} {
		whole, _ := RenyiOf([]Steps{s}, orders)
		for _, done := range []int64{1, 5, s.Count / 2, s.Count - 1} {
			for i, part := range PartOf(whole, done, s.Count) {
				a := float64(orders[i])
				if exact := 1e12 * float64(done) * plainMoment(s, a) / (a - 1); float64(part) < exact*(1-1e-10) || float64(part) > exact*(1+1e-8)+3 {
					t.Errorf("%d of %v at order %d: %d units, want %v", done, s, orders[i], part, exact)
				}
			}
		}
	}
}
