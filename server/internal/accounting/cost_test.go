package accounting

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTotalsDoNotDependOnTheOrderOfRuns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	runs := make([]Cost, 30)
	for i := range runs {
		runs[i] = Cost{Epsilon(random.Int64N(1e12)), Delta(random.Int64N(1e15)), []Renyi{Renyi(random.Int64N(1e17)), Renyi(random.Int64N(1e15))}}
	}
	sum := func() Cost {
		total := Cost{Renyi: make([]Renyi, 2)}
		for _, run := range runs {
			total = total.Plus(run)
		}
		return total
	}
	want := sum()
	if want.Renyi[0] != MaxRenyi || want.Renyi[1] >= MaxRenyi {
		t.Fatalf("%v: the first is to saturate, the second not", want)
	}
	for range 20 {
		random.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
		if got := sum(); got.Epsilon != want.Epsilon || got.Delta != want.Delta || !slices.Equal(got.Renyi, want.Renyi) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
}

func TestPlus(t *testing.T) {
	a := Cost{1, 2, []Renyi{3, 4}}
	sum := a.Plus(Cost{10, 20, []Renyi{30, 40}})
	if sum.Epsilon != 11 || sum.Delta != 22 || !slices.Equal(sum.Renyi, []Renyi{33, 44}) || !slices.Equal(a.Renyi, []Renyi{3, 4}) {
		t.Errorf("%v of %v", sum, a)
	}
	for name, c := range map[string]struct {
		a, b Cost
		want Cost
	}{
		"missing":          {a, Cost{1, 1, []Renyi{1}}, Cost{2, 3, []Renyi{4, MaxRenyi}}},
		"none":             {Cost{}, a, Cost{1, 2, []Renyi{MaxRenyi, MaxRenyi}}},
		"largest":          {Cost{math.MaxInt64, math.MaxInt64, []Renyi{MaxRenyi}}, Cost{1, 1, []Renyi{1}}, Cost{math.MaxInt64, math.MaxInt64, []Renyi{MaxRenyi}}},
		"beyond":           {Cost{0, 0, []Renyi{math.MaxInt64}}, Cost{0, 0, []Renyi{math.MaxInt64}}, Cost{0, 0, []Renyi{MaxRenyi}}},
		"just below":       {Cost{0, 0, []Renyi{MaxRenyi - 1}}, Cost{0, 0, []Renyi{MaxRenyi - 1}}, Cost{0, 0, []Renyi{MaxRenyi}}},
		"negative":         {Cost{-1, 0, []Renyi{5}}, Cost{5, -1, []Renyi{-1}}, Cost{math.MaxInt64, math.MaxInt64, []Renyi{MaxRenyi}}},
		"nothing to order": {Cost{1, 1, nil}, Cost{1, 1, nil}, Cost{2, 2, nil}},
	} {
		if got := c.a.Plus(c.b); got.Epsilon != c.want.Epsilon || got.Delta != c.want.Delta || !slices.Equal(got.Renyi, c.want.Renyi) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
