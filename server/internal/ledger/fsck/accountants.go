package fsck

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Bound is an epsilon that steps do not exceed. Infinite: none was found, which JSON has no number for.
type Bound float64

// MarshalJSON writes null where no bound was found.
func (b Bound) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(b), 1) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(b))
}

// answer is what the accountants say of a plan at a delta and at some orders.
type answer struct {
	cost    float64 // never below the true one: by the loss distribution where it has a grid for the plan, else by Renyi divergence
	loss    float64 // the same, infinite where the loss distribution has no grid
	renyi   float64
	drawn   []accounting.Renyi // at each order
	moments []float64          // the same from the loss distribution; NaN where it has none
}

const renyiUnit = 1e-12

// ask asks both accountants.
func ask(plan []accounting.Steps, delta float64, at []int64) (answer, error) {
	bound, err := accounting.Evaluate(plan, delta)
	if err != nil {
		return answer{}, err
	}
	found := answer{cost: bound.Epsilon, loss: bound.Epsilon}
	if bound.Method != accounting.PLD {
		found.loss = math.Inf(1)
	}
	if found.drawn, err = accounting.RenyiOf(plan, at); err != nil {
		return answer{}, err
	}
	for _, order := range at {
		found.moments = append(found.moments, byDistribution(plan, order))
	}
	found.renyi, err = byRenyi(plan, delta)
	return found, err
}

// byRenyi is the least of the bounds that the orders give.
func byRenyi(plan []accounting.Steps, delta float64) (float64, error) {
	best := math.Inf(1)
	for _, order := range orders() {
		drawn, err := accounting.RenyiOf(plan, []int64{order})
		if err != nil {
			return 0, err
		}
		if drawn[0] < accounting.MaxRenyi {
			// Canonne, Kamath and Steinke, 2004.00010, Prop. 12.
			a := float64(order)
			best = min(best, float64(drawn[0])*renyiUnit+math.Log1p(-1/a)-(math.Log(delta)+math.Log(a))/(a-1))
		}
	}
	return max(best, 0), nil
}

// byDistribution is a plan's divergence from the loss distribution, or NaN where that has no grid for it.
func byDistribution(plan []accounting.Steps, order int64) float64 {
	drawn := 0.0
	for _, steps := range plan {
		moment, ok := accounting.RenyiByDistribution(steps.SampleRate, steps.NoiseMultiplier, order)
		if !ok {
			return math.NaN()
		}
		drawn += float64(steps.Count) * moment / float64(order-1)
	}
	return drawn
}

func orders() []int64 {
	var all []int64
	for order := int64(2); order <= 64; order++ {
		all = append(all, order)
	}
	for order := int64(80); order <= 4096; order = order * 5 / 4 {
		all = append(all, order)
	}
	return slices.Clip(all)
}
