package accounting

import (
	"math"
	"slices"
	"testing"
)

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
