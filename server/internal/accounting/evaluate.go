package accounting

import "math"

// Method names how a figure was computed.
type Method string

const (
	// PLD is the privacy loss distribution: tight to a few parts in ten thousand.
	PLD Method = "pld"
	// RDP is the Renyi bound: safe, and coarser by 5% to several times.
	RDP Method = "rdp"
)

// Bound is an epsilon that a plan does not exceed.
type Bound struct {
	Epsilon float64
	Method  Method
}

// EpsilonOf is the epsilon of a plan at delta: never below the true one.
func EpsilonOf(plan []Steps, delta float64) (float64, error) {
	bound, err := Evaluate(plan, delta)
	return bound.Epsilon, err
}

// Evaluate is EpsilonOf, and says by which method.
func Evaluate(plan []Steps, delta float64) (Bound, error) {
	plan, err := canonical(plan)
	if err != nil {
		return Bound{}, err
	}
	if err := checkDelta(delta); err != nil {
		return Bound{}, err
	}
	return evaluate(plan, delta, 1)
}

// evaluate takes a canonical plan. slack above 1 makes it faster and the bound coarser, never unsafe.
func evaluate(plan []Steps, delta, slack float64) (Bound, error) {
	// PRIVACY: both directions count. No plan of this mechanism is known for which addition costs more (hundreds of random ones were
	// searched), but that it cannot is not proved. So removal goes first, and a bound for addition need only be fine enough to lie below it.
	removed, ok := epsilonInDirection(plan, delta, removal, 0, slack)
	if !ok {
		return renyiBound(plan, delta)
	}
	if mostAdded(plan) <= removed {
		return Bound{removed, PLD}, nil
	}
	added, ok := epsilonInDirection(plan, delta, addition, removed, slack)
	if !ok {
		return renyiBound(plan, delta)
	}
	return Bound{max(removed, added), PLD}, nil
}

// mostAdded is what addition costs at most, whatever delta: its loss in one step is always below -ln(1-q).
func mostAdded(plan []Steps) float64 {
	most := 0.0
	for _, steps := range plan {
		most -= float64(steps.Count) * math.Log1p(-steps.SampleRate)
	}
	return most
}
