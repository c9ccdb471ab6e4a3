package accounting

import (
	"math"
	"math/rand/v2"
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

func TestFilterOrders(t *testing.T) {
	for _, c := range []struct {
		limit Epsilon
		delta float64
		want  []int64
	}{
		{one, 1e-6, []int64{29, 23, 17, 12}},
		{6 * one, 1e-5, []int64{5, 4, 3, 2}},
		{10 * one, 1e-5, []int64{4, 3, 2}},
		{0, 1e-5, []int64{4, 3, 2}}, // as if the limit were 10
		{-5, 1e-5, []int64{4, 3, 2}},
		{1e15, 1e-5, []int64{2}},
		{1, 1e-18, []int64{82893063349, 66314450679, 49735838010, 33157225340}},
		{one, 0, nil},
		{one, -1, nil},
	} {
		if got := FilterOrders(c.limit, Delta(math.Round(c.delta*1e18))); !slices.Equal(got, c.want) {
			t.Errorf("limit %v delta %v: %v, want %v", c.limit, c.delta, got, c.want)
		}
	}
	if got := FilterOrders(one, math.MaxInt64); got != nil {
		t.Errorf("delta above 1: %v", got)
	}
}

// What is promised is promised jointly: nothing is admitted whose joint plan, fixed in advance and so the cheapest there is, costs more.
func TestNothingIsAdmittedBeyondTheJointPlan(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	admitted, more := 0, 0
	for range 60 {
		f := filterOf(Epsilon(1e9*math.Exp(random.Float64()*4-1.5)), []Delta{1e13, 1e12, 1e10}[random.IntN(3)])
		kinds, epsilons := make([]Steps, 3), make([]Epsilon, 3)
		for i := range kinds {
			kinds[i], epsilons[i] = randomRun(t, random, f)
		}
		var joint []Steps
		total := nothing(f)
		for range 60 {
			i := random.IntN(len(kinds))
			costs, _ := RenyiOf(kinds[i:i+1], f.Orders)
			next := total.Plus(Cost{epsilons[i], f.Delta.Share(epsilons[i], f.Limit), costs})
			if !f.Admits(next) {
				continue
			}
			total, joint = next, append(joint, kinds[i])
			admitted++
		}
		if len(joint) == 0 {
			continue
		}
		if total.Epsilon > f.Limit {
			more++
		}
		if eps, err := EpsilonOf(joint, f.Delta.Float()); err != nil || eps > f.Limit.Float() {
			t.Errorf("limit %v delta %v: admitted %v, which costs %v (%v)", f.Limit, f.Delta, joint, eps, err)
		}
		if spent := f.Spent(total); spent <= 0 || spent > f.Limit || spent > total.Epsilon {
			t.Errorf("limit %v: %v spent of %v", f.Limit, spent, total.Epsilon)
		}
	}
	if admitted < 200 || more < 30 {
		t.Errorf("%d runs admitted, %d histories beyond the sum of their epsilons", admitted, more)
	}
}

// randomRun costs between a fiftieth and a third of the limit.
func randomRun(t *testing.T, random *rand.Rand, f Filter) (Steps, Epsilon) {
	t.Helper()
	steps := Steps{math.Pow(10, -3*random.Float64()), 0, int64(1 + random.IntN(2000))}
	eps := Epsilon(float64(f.Limit) * (0.02 + 0.3*random.Float64()))
	share := f.Delta.Share(eps, f.Limit).Float()
	search := noiseSearch{sampleRate: steps.SampleRate, steps: steps.Count, eps: eps.Float(), delta: share, slack: roughSlack, width: roughWidth}
	if err := search.run(gradeOf(guessNoise(steps.SampleRate, steps.Count, eps.Float(), share)), 2000); err != nil {
		t.Fatal(err)
	}
	steps.NoiseMultiplier = noiseOf(search.enough)
	return steps, eps
}

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
			if eps > limit.Float() || eps < limit.Float()-3e-3/(a-1)-1e-9 {
				t.Errorf("limit %v order %d: the bound converts to %v", limit, order, eps)
			}
		}
	}
}

func TestThreeRunsOfTwoFitUnderSix(t *testing.T) {
	for _, steps := range []Steps{{0.01, 0, 1000}, {1e-4, 0, 30}, {1, 0, 1}, {0.3, 0, 20}} {
		f := filterOf(6*one, 1e12)
		share := f.Delta.Share(2*one, f.Limit)
		found, err := Calibrate(steps.SampleRate, steps.Count, 2, share.Float())
		if err != nil {
			t.Fatal(err)
		}
		steps.NoiseMultiplier = found.NoiseMultiplier
		total := nothing(f)
		for i := range 3 {
			costs, _ := RenyiOf([]Steps{steps}, f.Orders)
			total = total.Plus(Cost{2 * one, share, costs})
			if !f.Admits(total) || f.Spent(total) > f.Limit {
				t.Errorf("%v: run %d is not admitted at %v", steps, i+1, f.Spent(total))
			}
		}
	}
}

func TestSpent(t *testing.T) {
	f := filterOf(6*one, 1e12)
	run := costOf(t, f, []Steps{{0.01, 1.4147, 1000}}, 1e11)
	total := nothing(f)
	if spent := f.Spent(total); spent != 0 {
		t.Errorf("%v spent of nothing", spent)
	}
	last := Epsilon(0)
	for i := range 12 {
		total = total.Plus(run)
		spent := f.Spent(total)
		if spent <= last || (spent <= f.Limit) != f.Admits(total) {
			t.Errorf("after %d runs %v spent, %v before; admitted: %v", i+1, spent, last, f.Admits(total))
		}
		last = spent
	}
	if last >= total.Epsilon {
		t.Errorf("%v spent, the plain sum is %v", last, total.Epsilon)
	}
	unfit := Cost{one, f.Delta/2 + 1, slices.Repeat([]Renyi{MaxRenyi}, len(f.Orders))}
	if spent := f.Spent(unfit); spent != math.MaxInt64 {
		t.Errorf("%v spent where no filter has a bound", spent)
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
}

func TestNoiseLeft(t *testing.T) {
	f := filterOf(6*one, 1e12)
	run := costOf(t, f, []Steps{{0.01, 1.4147, 1000}}, 1e11)
	total := nothing(f)
	for range 4 {
		total = total.Plus(run)
		for _, steps := range []Steps{{0.01, 0, 1000}, {1, 0, 1}, {1e-4, 0, 30000}} {
			const extra = 1000
			noise, ok := f.NoiseLeft(total, steps.SampleRate, steps.Count, extra)
			if !ok {
				t.Fatalf("%v: none", steps)
			}
			admitted := func(noise float64) bool {
				steps.NoiseMultiplier = noise
				costs, _ := RenyiOf([]Steps{steps}, f.Orders)
				besides := Cost{math.MaxInt64, 0, slices.Repeat([]Renyi{extra}, len(f.Orders))}
				return f.Admits(total.Plus(Cost{0, 0, costs}).Plus(besides))
			}
			grade := gradeOf(noise)
			for noiseOf(grade) < noise {
				grade++
			}
			for noiseOf(grade) > noise {
				grade--
			}
			if noiseOf(grade) != noise || !admitted(noise) || admitted(noiseOf(grade-1)) {
				t.Errorf("%v: noise %v: admitted %v, one grade less %v", steps, noise, admitted(noise), admitted(noiseOf(grade-1)))
			}
		}
	}
}

func TestNoNoiseLeft(t *testing.T) {
	f := filterOf(one, 1e12)
	zero := nothing(f)
	for name, c := range map[string]struct {
		f     Filter
		spent Cost
		q     float64
		steps int64
		extra Renyi
	}{
		"rate":            {f, zero, math.NaN(), 10, 0},
		"steps":           {f, zero, 0.1, 0, 0},
		"full":            {f, Cost{0, 0, slices.Repeat([]Renyi{1e12}, len(f.Orders))}, 0.1, 10, 0},
		"saturated":       {f, Cost{0, 0, slices.Repeat([]Renyi{MaxRenyi}, len(f.Orders))}, 0.1, 10, 0},
		"never computed":  {f, Cost{}, 0.1, 10, 0},
		"extra":           {f, zero, 0.1, 10, MaxRenyi},
		"extra negative":  {f, zero, 0.1, 10, -1},
		"no orders":       {Filter{one, 1e12, nil}, Cost{}, 0.1, 10, 0},
		"no limit":        {Filter{0, 1e12, f.Orders}, zero, 0.1, 10, 0},
		"limit too small": {Filter{1000, 1e12, f.Orders}, zero, 0.1, 10, 0},
	} {
		if noise, ok := c.f.NoiseLeft(c.spent, c.q, c.steps, c.extra); ok {
			t.Errorf("%s: noise %v", name, noise)
		}
	}
	if noise, ok := filterOf(1000*one, 1e12).NoiseLeft(Cost{Renyi: make([]Renyi, 4)}, 1e-9, 1, 0); !ok || noise > 1 {
		t.Errorf("hardly anything is sampled under a huge limit: noise %v, %v", noise, ok)
	}
}
