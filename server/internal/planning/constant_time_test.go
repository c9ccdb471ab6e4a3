package planning_test

import (
	"math"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// binomialTail is P[X > k], summed term by term.
func binomialTail(n int64, q float64, k int64) (tail float64) {
	for i := k + 1; i <= n; i++ {
		choose, _ := math.Lgamma(float64(n + 1))
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		tail += math.Exp(choose - a - b + float64(i)*math.Log(q) + float64(n-i)*math.Log1p(-q))
	}
	return tail
}

func TestAConstantNumberOfPassesIsEnoughButForOneStepInATrillion(t *testing.T) {
	for _, c := range []struct{ declared, batch int64 }{{4459, 45}, {100, 1}, {1000, 500}, {60_000, 256}, {3, 1}} {
		r := walkThrough()
		r.Declared, r.DatasetDelta, r.BatchSize, r.ConstantTime = c.declared, 1e10, pointer(c.batch), true
		plan := mustPrice(t, r)
		if plan.ReleaseMode != planning.ReleaseExact || plan.MaxBatchSize != 1 {
			t.Errorf("%v: %s in passes of %d", c, plan.ReleaseMode, plan.MaxBatchSize)
		}
		tail := binomialTail(c.declared, plan.SampleRate, plan.PassesPerStep)
		fewer := binomialTail(c.declared, plan.SampleRate, plan.PassesPerStep*9/10-2)
		if plan.PassesPerStep > c.declared || tail > 1e-12 || (plan.PassesPerStep < c.declared && fewer < 1e-12) {
			t.Errorf("%v: %d passes, of which more are needed with probability %v (a tenth fewer: %v)", c, plan.PassesPerStep, tail, fewer)
		}
	}
}

func TestWithoutConstantTimeThereAreAsManyPassesAsASampleNeeds(t *testing.T) {
	if plan := mustPrice(t, walkThrough()); plan.PassesPerStep != 0 {
		t.Errorf("%d passes", plan.PassesPerStep)
	}
}

func TestConstantTimeNeedsWhatItCanKeep(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*planning.Request)
		says   string
	}{
		"certified":     {func(r *planning.Request) { r.Release = "certified" }, `release="exact"`},
		"without noise": {func(r *planning.Request) { r.Limit, r.Epsilon = 0, nil }, "constant_time=False"},
	} {
		r := walkThrough()
		r.ConstantTime = true
		c.change(&r)
		if _, err := planning.Price(r); refusal.KindOf(err) != refusal.InvalidArgument || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
