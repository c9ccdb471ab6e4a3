package planning

import (
	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// Account is a budget as it stands.
type Account struct {
	Limit        accounting.Epsilon // 0: none
	DatasetDelta accounting.Delta   // 0 on a dataset without a limit: DefaultDelta(declared)
	Orders       []int64            // of its counting filters
	Spent        accounting.Epsilon // sums over what is charged
	SpentDelta   accounting.Delta
	SpentRenyi   []accounting.Renyi
	Infinite     bool       // training without noise has been charged to it
	Own          *Allowance // nil: the scientist may spend what all may
}

// Allowance is what the owner allows a scientist, of the sum of eps of their runs.
type Allowance struct{ Limit, Spent accounting.Epsilon }

func (o Allowance) left() accounting.Epsilon { return max(o.Limit-o.Spent, 0) }

func (a Account) filter() accounting.Filter {
	return accounting.Filter{Limit: a.Limit, Delta: a.DatasetDelta, Orders: a.Orders}
}

func (a Account) spent() accounting.Cost {
	return accounting.Cost{Epsilon: a.Spent, Delta: a.SpentDelta, Renyi: a.SpentRenyi}
}

// spentAtMost is what is told of it: the ledger says the same.
func (a Account) spentAtMost() accounting.Epsilon { return min(a.Spent, a.filter().Spent(a.spent())) }

// samplerRenyi is samplerShare at every order.
// PRIVACY: what the noise's sampler may add to a run's eps, it may add to its divergence; docs/composition.md.
const samplerRenyi = accounting.Renyi(samplerShare * 1e12)

// admit prices the plan at the account's orders, and refuses it where no filter takes it. docs/composition.md has the proof that what one of
// them takes stays within the limit.
func (p *Plan) admit(a Account, by Accountant) error {
	drawn, err := drawnBy(p.charged(), a.Orders)
	if err != nil {
		return err
	}
	p.Orders, p.Renyi = a.Orders, drawn
	if a.Limit == 0 || (!a.Infinite && a.filter().Admits(a.spent().Plus(p.cost()))) {
		return nil
	}
	return a.refuse(*p, a.Obtainable(*p, by))
}

func (p *Plan) charged() []accounting.Steps {
	return []accounting.Steps{{SampleRate: p.SampleRate, NoiseMultiplier: p.NoiseMultiplier, Count: p.Steps}}
}

func (p *Plan) cost() accounting.Cost {
	return accounting.Cost{Epsilon: p.Epsilon, Delta: p.Delta, Renyi: p.Renyi}
}

// obtainableSlack is what the noise for an eps may lie below what another computation of the same finds.
const obtainableSlack = 2e-3

// Obtainable is the largest eps, as far as is known, that a run with the steps and the sample rate of the plan is sure to get now: by the sum of eps, which
// any run gets (accounting.Remaining), or by the counting filter that leaves most. On a dataset without a limit it is 0.
func (a Account) Obtainable(p Plan, by Accountant) accounting.Epsilon {
	if a.Limit == 0 || a.Infinite || !p.Private {
		return 0
	}
	return a.within(a.obtainable(p, by))
}

// within holds an eps to what the owner leaves to the scientist.
func (a Account) within(eps accounting.Epsilon) accounting.Epsilon {
	if a.Own != nil {
		return min(eps, a.Own.left())
	}
	return eps
}

func (a Account) obtainable(p Plan, by Accountant) accounting.Epsilon {
	sure := a.remaining()
	noise, ok := a.filter().NoiseLeft(a.spent(), p.SampleRate, p.Steps, samplerRenyi)
	if !ok {
		return sure
	}
	steps := []accounting.Steps{{SampleRate: p.SampleRate, NoiseMultiplier: noise, Count: p.Steps}}
	// The run's delta depends on its eps, and its eps on its delta: from the largest delta on, each turn raises eps a little.
	found := a.Limit
	for range 4 {
		share := a.DatasetDelta.Share(found, a.Limit)
		eps, err := orComputed(by).EpsilonOf(steps, share.Float())
		if err != nil || share == 0 {
			return sure
		}
		if eps >= a.Limit.Float() {
			return a.Limit
		}
		if found, err = accounting.NewEpsilon(eps * (1 - obtainableSlack)); err != nil {
			return sure
		}
	}
	return max(found, sure)
}
