package accounting

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What is promised is promised jointly: nothing is admitted whose joint plan, fixed in advance and so the cheapest there is, costs more.
func TestNothingIsAdmittedBeyondTheJointPlan(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	admitted, more := 0, 0
	for range 40 {
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
	if admitted < 200 || more < 20 {
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
