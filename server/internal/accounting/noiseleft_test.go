package accounting

import (
	"math"
	"slices"
	"testing"
)

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
