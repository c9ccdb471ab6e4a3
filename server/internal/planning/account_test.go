package planning_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// filtered is the walk-through's run on an account with counting filters, with a batch size so that every run has the same shape.
func filtered() planning.Request {
	r := walkThrough()
	r.Orders = accounting.FilterOrders(r.Limit, r.DatasetDelta)
	r.SpentRenyi = make([]accounting.Renyi, len(r.Orders))
	r.BatchSize = pointer(int64(45))
	return r
}

// charged is the account after a plan was paid.
func charged(a planning.Account, p planning.Plan) planning.Account {
	a.Spent, a.SpentDelta, a.SpentRenyi = a.Spent+p.Epsilon, a.SpentDelta+p.Delta, slices.Clone(a.SpentRenyi)
	for i := range a.SpentRenyi {
		a.SpentRenyi[i] += p.Renyi[i]
	}
	return a
}

// Runs of 1.0 under a limit of 6.0: six by their sum, and more by a filter that counts better, none of them beyond the limit as one plan.
func TestMoreRunsFitThanTheirEpsAddUpTo(t *testing.T) {
	r := filtered()
	r.Epsilon = pointer(1.0)
	var all []accounting.Steps
	var last planning.Plan
	for {
		plan, err := planning.Price(r)
		if err != nil {
			refused, ok := err.(*refusal.Error)
			if !ok || refused.Kind != refusal.BudgetExceeded {
				t.Fatal(err)
			}
			// What is said to fit does.
			next := r
			obtainable := r.Account.Obtainable(last, nil)
			if obtainable > 0 {
				next.Epsilon = pointer(obtainable.Float())
				if !strings.Contains(refused.Next, "with batch_size=45 and the same nb_epochs, a run of eps "+obtainable.String()) {
					t.Errorf("said %q, obtainable is %s", refused.Next, obtainable)
				}
				mustPrice(t, next)
			}
			break
		}
		last = plan
		r.Account = charged(r.Account, plan)
		all = append(all, accounting.Steps{SampleRate: plan.SampleRate, NoiseMultiplier: plan.NoiseMultiplier, Count: plan.Steps})
	}
	joint, err := accounting.EpsilonOf(all, r.DatasetDelta.Float())
	if err != nil || len(all) < 12 || joint > 6 || joint < 4.5 {
		t.Errorf("%d runs of 1.0 cost %v together, %v", len(all), joint, err)
	}
}

func TestWhatIsObtainableIsObtained(t *testing.T) {
	for name, c := range map[string]struct {
		spend []float64
		batch int64
	}{
		"nothing spent":            {nil, 45},
		"most spent":               {[]float64{4, 1.5}, 45},
		"all spent by its sum":     {[]float64{2, 2, 2}, 45},
		"large batches":            {[]float64{3, 3}, 2000},
		"single records":           {[]float64{3, 3}, 1},
		"everything in every step": {[]float64{6}, 4459},
	} {
		t.Run(name, func(t *testing.T) {
			r := filtered()
			r.BatchSize = &c.batch
			var plan planning.Plan
			for _, eps := range c.spend {
				r.Epsilon = &eps
				plan = mustPrice(t, r)
				r.Account = charged(r.Account, plan)
			}
			if len(c.spend) == 0 {
				plan = mustPrice(t, r)
			}
			obtainable := r.Account.Obtainable(plan, nil)
			remaining := accounting.Remaining(r.Limit, r.Spent, r.DatasetDelta, r.SpentDelta)
			if obtainable < remaining || obtainable > r.Limit {
				t.Errorf("obtainable %s, the sum leaves %s of %s", obtainable, remaining, r.Limit)
			}
			if obtainable < planning.MinEpsilon {
				return
			}
			r.Epsilon = pointer(obtainable.Float())
			mustPrice(t, r)
			// It is no more than a little below what can be had.
			if more := 1.02 * obtainable.Float(); more < r.Limit.Float() {
				r.Epsilon = &more
				if _, err := planning.Price(r); err == nil && obtainable > remaining {
					t.Errorf("%v is taken, and %s was said to be obtainable", more, obtainable)
				}
			}
		})
	}
}

// What the run draws on the filters is part of the price that is shown, authorised and written.
func TestTheChargeHoldsWhatIsDrawnOnTheFilters(t *testing.T) {
	plan := mustPrice(t, filtered())
	encoded, err := planning.Charge(plan, "d", []byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	var charge bastionlabv1.Charge
	if err := proto.Unmarshal(encoded, &charge); err != nil {
		t.Fatal(err)
	}
	exact, err := accounting.RenyiOf([]accounting.Steps{{SampleRate: plan.SampleRate, NoiseMultiplier: plan.NoiseMultiplier, Count: plan.Steps}}, plan.Orders)
	if err != nil || len(charge.GetRenyi()) != len(plan.Orders) {
		t.Fatalf("%d costs, %v", len(charge.GetRenyi()), err)
	}
	for i, cost := range charge.GetRenyi() {
		// The noise's sampler may add 1e-9 to eps, and so to a divergence.
		if cost.GetOrder() != plan.Orders[i] || cost.GetPico() != int64(exact[i])+1000 || accounting.Renyi(cost.GetPico()) != plan.Renyi[i] {
			t.Errorf("order %d: %d, exactly %d", cost.GetOrder(), cost.GetPico(), exact[i])
		}
	}
	if again, err := planning.Recomputed(encoded, plan.Orders); err != nil || !slices.Equal(again, plan.Renyi) {
		t.Errorf("recomputed %v, %v", again, err)
	}
}

func TestAPartOfARunIsDrawnByItsSteps(t *testing.T) {
	plan := mustPrice(t, filtered())
	encoded, err := planning.Charge(plan, "d", nil)
	if err != nil {
		t.Fatal(err)
	}
	before := make([]accounting.Renyi, len(plan.Orders))
	for _, steps := range []int64{0, 1, plan.Steps / 2, plan.Steps - 1, plan.Steps, plan.Steps + 1} {
		drawn, err := planning.Drawn(encoded, steps)
		if err != nil {
			t.Fatal(err)
		}
		for i := range drawn {
			// Never less than the steps cost with the sampler's share whole, and never more than was charged.
			if wanted := float64(plan.Renyi[i]-1000)*float64(min(steps, plan.Steps))/float64(plan.Steps) + 1000; float64(drawn[i]) < wanted-1 || drawn[i] > plan.Renyi[i] || drawn[i] < before[i] {
				t.Errorf("%d of %d steps draw %d of %d, at least %v", steps, plan.Steps, drawn[i], plan.Renyi[i], wanted)
			}
		}
		before = drawn
	}
	if _, err := planning.Drawn([]byte("rubbish"), 1); err == nil {
		t.Error("rubbish was read")
	}
}

// What the owner allows one scientist bounds every figure that this scientist is told.
func TestAScientistsAllowanceBoundsThePlan(t *testing.T) {
	r := filtered()
	r.Own = &planning.Allowance{Limit: 1_500_000_000, Spent: 500_000_000}
	r.Epsilon = pointer(0.75)
	plan := mustPrice(t, r)
	if plan.RemainingAfter != 250_000_000 || r.Account.Obtainable(plan, nil) != 1_000_000_000 {
		t.Errorf("remaining after it %s, obtainable %s", plan.RemainingAfter, r.Account.Obtainable(plan, nil))
	}
	r.Epsilon = pointer(1.001)
	_, err := planning.Price(r)
	refused, ok := err.(*refusal.Error)
	if !ok || refused.Kind != refusal.BudgetExceeded || refused.Budget.LimitNano != 15e8 || refused.Budget.RemainingNano != 1e9 || !strings.Contains(refused.What, "set for you") {
		t.Errorf("refused: %v", err)
	}
}
