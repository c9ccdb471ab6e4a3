package fsck

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/receipt"
)

// Charge is a run's price, and what both accountants say of it.
type Charge struct {
	Record   int64   `json:"record"`
	Account  string  `json:"account"`
	Run      string  `json:"run"`
	Charged  float64 `json:"charged_epsilon"`
	Loss     float64 `json:"pld_epsilon"` // by the privacy loss distribution
	Renyi    float64 `json:"rdp_epsilon"` // by Renyi divergence
	Released bool    `json:"released,omitempty"`
}

type charged struct {
	record int64
	book   *book
	run    *run
}

// joining is what joined accounts brought along, and the charges that it must cover.
type joining struct {
	record  int64
	account string
	orders  []int64
	drawn   []accounting.Renyi
	charges [][]byte
}

// both are the accountants' answers for a plan.
type both struct{ loss, renyi float64 }

// recompute prices every charge anew, from the steps that were authorised.
func (c *checker) recompute() {
	known := map[string]both{}
	for _, each := range c.charges {
		c.at = each.record
		if !each.run.m.Infinite {
			c.reprice(each, known)
		} else if charge, err := decode(each.run.m.Charge); err != nil || charge.GetPrivate() {
			c.finds(each.run.m.Account, "charge", "run %s is written as one without noise, and was authorised otherwise", each.run.m.Run)
		}
	}
	for _, j := range c.joinings {
		c.at = j.record
		c.recomputeJoining(j)
	}
}

func (c *checker) reprice(each charged, known map[string]both) {
	m := each.run.m
	charge, err := decode(m.Charge)
	if err != nil {
		c.finds(m.Account, "charge", "run %s: what was authorised cannot be read", m.Run)
		return
	}
	plan := stepsOf(charge)
	c.agree(m, charge)
	key := fmt.Sprint(plan, m.RunDelta)
	found, ok := known[key]
	if !ok {
		if found, err = evaluate(plan, m.RunDelta.Float()); err != nil {
			c.finds(m.Account, "charge", "run %s: no accountant takes its steps", m.Run)
			return
		}
		known[key] = found
	}
	c.report.Charges = append(c.report.Charges, Charge{
		Record: each.record, Account: m.Account, Run: m.Run, Charged: m.Epsilon.Float(), Loss: found.loss, Renyi: found.renyi, Released: each.run.outcome == "released",
	})
	c.judge(m, charge.GetAccountant(), found)
	c.judgeRenyi(m, plan, each.book.orders)
}

// agree holds what is written against what was authorised.
func (c *checker) agree(m receipt.Body, charge *bastionlabv1.Charge) {
	same := charge.GetPrivate() && charge.GetDatasetId() == m.Dataset && charge.GetEpsilonNano() == int64(m.Epsilon) && charge.GetDeltaAtto() == int64(m.RunDelta) && len(charge.GetRenyi()) == len(m.Renyi)
	for i := 0; same && i < len(m.Renyi); i++ {
		same = charge.GetRenyi()[i].GetPico() == int64(m.Renyi[i])
	}
	if !same {
		c.finds(m.Account, "charge", "run %s is charged another price than was authorised", m.Run)
	}
}

// judge compares a price with what the two accountants find. Both bounds are above the truth, so a price must not be below the one that
// it was made by, and the loss distribution's, which is the tighter, must not be above the other.
func (c *checker) judge(m receipt.Body, accountant string, found both) {
	paid := m.Epsilon.Float()
	switch accountant {
	case string(accounting.PLD):
		if found.loss > paid {
			c.finds(m.Account, "charge", "run %s is charged %v, its steps cost %v", m.Run, paid, found.loss)
		}
		if found.renyi < found.loss*(1-tolerance) {
			c.finds(m.Account, "accountants", "run %s: the loss distribution says %v, the Renyi divergence only %v", m.Run, found.loss, found.renyi)
		}
	case string(accounting.RDP):
		if found.renyi > paid*(1+1e-9) {
			c.finds(m.Account, "charge", "run %s is charged %v, its steps cost %v", m.Run, paid, found.renyi)
		}
	default:
		c.finds(m.Account, "charge", "run %s names no accountant of this release", m.Run)
	}
}

// tolerance is how far two accountants may differ where they should not.
const tolerance = 5e-3

// judgeRenyi recomputes what a run draws on the counting filters from the loss distribution, which the ledger's price does not use.
func (c *checker) judgeRenyi(m receipt.Body, plan []accounting.Steps, orders []int64) {
	for i, order := range orders {
		if i >= len(m.Renyi) || m.Renyi[i] >= accounting.MaxRenyi {
			continue
		}
		drawn, sure := 0.0, true
		for _, steps := range plan {
			moment, ok := accounting.RenyiByDistribution(steps.SampleRate, steps.NoiseMultiplier, order)
			drawn += float64(steps.Count) * moment / float64(order-1) // a divergence is a moment over order-1
			sure = sure && ok
		}
		if sure && drawn*(1-2*tolerance) > float64(m.Renyi[i])*1e-12 {
			c.finds(m.Account, "accountants", "run %s draws %v at order %d by the loss distribution, and was charged %v", m.Run, drawn, order, float64(m.Renyi[i])*1e-12)
		}
	}
}

func (c *checker) recomputeJoining(j joining) {
	for i, order := range j.orders {
		total := 0.0
		for _, encoded := range j.charges {
			charge, err := decode(encoded)
			if err != nil {
				total = math.Inf(1)
				continue
			}
			drawn, err := accounting.RenyiOf(stepsOf(charge), []int64{order})
			if charge.GetPrivate() && err == nil {
				total += float64(drawn[0])
			}
		}
		if len(j.charges) > 0 && (i >= len(j.drawn) || (total*(1-1e-9) > float64(j.drawn[i]) && j.drawn[i] < accounting.MaxRenyi)) {
			c.finds(j.account, "join", "what joined accounts draw at order %d is more than was carried over", order)
		}
	}
}

// evaluate asks both accountants.
func evaluate(plan []accounting.Steps, delta float64) (both, error) {
	loss, err := accounting.EpsilonOf(plan, delta)
	if err != nil {
		return both{}, err
	}
	best := math.Inf(1)
	for _, order := range orders() {
		drawn, err := accounting.RenyiOf(plan, []int64{order})
		if err != nil {
			return both{}, err
		}
		if drawn[0] < accounting.MaxRenyi {
			// Canonne, Kamath and Steinke, 2004.00010, Prop. 12.
			a := float64(order)
			best = min(best, float64(drawn[0])*1e-12+math.Log1p(-1/a)-(math.Log(delta)+math.Log(a))/(a-1))
		}
	}
	return both{loss, max(best, 0)}, nil
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

func decode(encoded []byte) (*bastionlabv1.Charge, error) {
	charge := &bastionlabv1.Charge{}
	return charge, proto.Unmarshal(encoded, charge)
}

func stepsOf(charge *bastionlabv1.Charge) []accounting.Steps {
	var plan []accounting.Steps
	for _, steps := range charge.GetSteps() {
		plan = append(plan, accounting.Steps{SampleRate: steps.GetSampleRate(), NoiseMultiplier: steps.GetNoiseMultiplier(), Count: steps.GetCount()})
	}
	return plan
}
