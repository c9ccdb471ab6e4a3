package accounting_test

import (
	"math"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func mustEvaluate(t *testing.T, delta float64, plan ...accounting.Steps) accounting.Bound {
	t.Helper()
	bound, err := accounting.Evaluate(plan, delta)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func TestOrderOfStepsDoesNotChangeABit(t *testing.T) {
	a := accounting.Steps{SampleRate: 0.01, NoiseMultiplier: 1, Count: 300}
	b := accounting.Steps{SampleRate: 0.02, NoiseMultiplier: 1.5, Count: 100}
	c := accounting.Steps{SampleRate: 0.01, NoiseMultiplier: 2, Count: 50}
	half := accounting.Steps{SampleRate: 0.01, NoiseMultiplier: 1, Count: 150}
	want := mustEvaluate(t, 1e-6, a, b, c)
	for _, plan := range [][]accounting.Steps{{c, b, a}, {b, a, c}, {half, b, c, half}} {
		if got := mustEvaluate(t, 1e-6, plan...); got != want {
			t.Errorf("%v: %v, want %v", plan, got, want)
		}
	}
}

func TestEpsilonGrowsWithWhatCostsMore(t *testing.T) {
	for _, base := range []accounting.Steps{{SampleRate: 0.001, NoiseMultiplier: 0.6, Count: 2000}, {SampleRate: 0.02, NoiseMultiplier: 1, Count: 500}, {SampleRate: 0.3, NoiseMultiplier: 6, Count: 200}, {SampleRate: 1, NoiseMultiplier: 20, Count: 50}} {
		const delta = 1e-6
		eps := mustEvaluate(t, delta, base).Epsilon
		less, rarer, fewer := base, base, base
		less.NoiseMultiplier *= 1.02
		rarer.SampleRate *= 0.98
		fewer.Count = fewer.Count * 96 / 100
		for name, cheaper := range map[string]accounting.Steps{"more noise": less, "rarer": rarer, "fewer steps": fewer} {
			if got := mustEvaluate(t, delta, cheaper).Epsilon; !(got < eps) {
				t.Errorf("%v: %s costs %v, not less than %v", base, name, got, eps)
			}
		}
		if got := mustEvaluate(t, 1.1*delta, base).Epsilon; !(got < eps) {
			t.Errorf("%v: a larger delta leaves eps at %v, %v before", base, got, eps)
		}
		if got := mustEvaluate(t, delta, base, accounting.Steps{SampleRate: 0.001, NoiseMultiplier: 3, Count: 1000}).Epsilon; !(got > eps) {
			t.Errorf("%v: further steps cost nothing: %v, %v before", base, got, eps)
		}
	}
}

func TestCoarserBoundWhereTheDistributionGivesOut(t *testing.T) {
	plans := map[string]accounting.Steps{
		"hardly any noise": {SampleRate: 1, NoiseMultiplier: 0.01, Count: 1},
		"sampled":          {SampleRate: 0.01, NoiseMultiplier: 0.02, Count: 10},
		"very many steps":  {SampleRate: 1e-6, NoiseMultiplier: 2, Count: 1e12},
		"huge noise":       {SampleRate: 1, NoiseMultiplier: 1e12, Count: 1e12},
	}
	for name, steps := range plans {
		bound := mustEvaluate(t, 1e-6, steps)
		if bound.Method != accounting.RDP {
			t.Errorf("%s: by %s, want rdp", name, bound.Method)
		}
		if steps.SampleRate == 1 {
			mu := math.Sqrt(float64(steps.Count)) / steps.NoiseMultiplier
			// Below the true one never; mu^2/2 is the mean loss, and a few deviations more suffice.
			if bound.Epsilon < mu*mu/2 && mu > 1 || bound.Epsilon > mu*mu/2+6*mu+1e-3 {
				t.Errorf("%s: eps %v for mu %v", name, bound.Epsilon, mu)
			}
		}
	}
}

func TestRefusedPlans(t *testing.T) {
	good := accounting.Steps{SampleRate: 0.01, NoiseMultiplier: 1, Count: 100}
	with := func(change func(*accounting.Steps)) []accounting.Steps {
		s := good
		change(&s)
		return []accounting.Steps{good, s}
	}
	type steps = accounting.Steps
	cases := map[string]struct {
		plan  []accounting.Steps
		delta float64
	}{
		"empty":              {nil, 1e-5},
		"rate zero":          {with(func(s *steps) { s.SampleRate = 0 }), 1e-5},
		"rate negative":      {with(func(s *steps) { s.SampleRate = -0.1 }), 1e-5},
		"rate above one":     {with(func(s *steps) { s.SampleRate = 1.0000001 }), 1e-5},
		"rate not a number":  {with(func(s *steps) { s.SampleRate = math.NaN() }), 1e-5},
		"noise zero":         {with(func(s *steps) { s.NoiseMultiplier = 0 }), 1e-5},
		"noise negative":     {with(func(s *steps) { s.NoiseMultiplier = -1 }), 1e-5},
		"noise infinite":     {with(func(s *steps) { s.NoiseMultiplier = math.Inf(1) }), 1e-5},
		"noise not a number": {with(func(s *steps) { s.NoiseMultiplier = math.NaN() }), 1e-5},
		"noise negligible":   {with(func(s *steps) { s.NoiseMultiplier = 1e-200 }), 1e-5},
		"no steps":           {with(func(s *steps) { s.Count = 0 }), 1e-5},
		"negative steps":     {with(func(s *steps) { s.Count = -5 }), 1e-5},
		"too many steps":     {with(func(s *steps) { s.Count = math.MaxInt64 }), 1e-5},
		"delta zero":         {with(func(*steps) {}), 0},
		"delta one":          {with(func(*steps) {}), 1},
		"delta negative":     {with(func(*steps) {}), -1e-5},
		"delta not a number": {with(func(*steps) {}), math.NaN()},
	}
	for name, c := range cases {
		if eps, err := accounting.EpsilonOf(c.plan, c.delta); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%s: eps %v, %v; want a refusal", name, eps, err)
		}
	}
}

func TestRefusedTargets(t *testing.T) {
	cases := map[string]struct {
		q          float64
		steps      int64
		eps, delta float64
	}{
		"eps not a number": {0.01, 10, math.NaN(), 1e-5},
		"eps infinite":     {0.01, 10, math.Inf(1), 1e-5},
		"eps zero":         {0.01, 10, 0, 1e-5},
		"eps negative":     {0.01, 10, -2, 1e-5},
		"eps too large":    {0.01, 10, 1e7, 1e-5},
		"rate":             {1.5, 10, 1, 1e-5},
		"steps":            {0.01, 0, 1, 1e-5},
		"delta":            {0.01, 10, 1, math.NaN()},
	}
	for name, c := range cases {
		if sigma, err := accounting.NoiseFor(c.q, c.steps, c.eps, c.delta); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("%s: noise %v, %v; want a refusal", name, sigma, err)
		}
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add(0.01, 1.0, int64(1000), 1e-5)
	f.Add(1.0, 0.05, int64(1), 1e-12)
	f.Add(1e-9, 30.0, int64(1e9), 0.5)
	f.Fuzz(func(t *testing.T, q, sigma float64, count int64, delta float64) {
		bound, err := accounting.Evaluate([]accounting.Steps{{SampleRate: q, NoiseMultiplier: sigma, Count: count}}, delta)
		if err != nil {
			if refusal.KindOf(err) != refusal.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if !(bound.Epsilon >= 0) || math.IsInf(bound.Epsilon, 0) {
			t.Fatalf("eps %v", bound.Epsilon)
		}
		// One step in closed form is a lower bound for any number of steps.
		if q < 1 && q > 1e-6 && sigma > 0.05 && sigma < 1e3 && delta > 1e-15 {
			if exact := inverse(func(eps float64) float64 { return hockeyStick(q, sigma, eps) }, delta); bound.Epsilon < exact*(1-1e-9) {
				t.Fatalf("eps %v of %d steps is below the true %v of one", bound.Epsilon, count, exact)
			}
		}
	})
}
