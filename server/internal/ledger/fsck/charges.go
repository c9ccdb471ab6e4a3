package fsck

import (
	"fmt"

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
	Loss     Bound   `json:"pld_epsilon"` // by the privacy loss distribution
	Renyi    Bound   `json:"rdp_epsilon"` // by Renyi divergence
	Released bool    `json:"released,omitempty"`
	Device   string  `json:"device,omitempty"` // what the run computes on; empty: the CPU
}

type charged struct {
	record int64
	book   *book
	run    *run
}

// recompute prices every charge anew, from the steps that were authorised.
func (c *checker) recompute() {
	known := map[string]answer{}
	for _, each := range c.charges {
		c.at = each.record
		if !each.run.m.Infinite {
			c.reprice(each, known)
		} else if charge, err := decode(each.run.m.Charge); err != nil || charge.GetPrivate() {
			c.finds(each.run.m.Account, "charge", "run %s is written as one without noise, and was authorised otherwise", each.run.m.Run)
		} else {
			c.judgeDevice(each.run.m, charge)
		}
	}
	for _, j := range c.joinings {
		c.at = j.record
		c.recomputeJoining(j)
	}
}

func (c *checker) reprice(each charged, known map[string]answer) {
	m := each.run.m
	charge, err := decode(m.Charge)
	if err != nil {
		c.finds(m.Account, "charge", "run %s: what was authorised cannot be read", m.Run)
		return
	}
	plan := stepsOf(charge)
	c.agree(m, charge, each.book.orders)
	key := fmt.Sprint(plan, m.RunDelta, each.book.orders)
	found, ok := known[key]
	if !ok {
		if found, err = ask(plan, m.RunDelta.Float(), each.book.orders); err != nil {
			c.finds(m.Account, "charge", "run %s: no accountant takes its steps", m.Run)
			return
		}
		known[key] = found
	}
	c.report.Charges = append(c.report.Charges, Charge{
		Record: each.record, Account: m.Account, Run: m.Run, Charged: m.Epsilon.Float(), Loss: Bound(found.loss), Renyi: Bound(found.renyi), Released: each.run.outcome == released,
		Device: charge.GetDevice(),
	})
	c.judge(m, charge.GetAccountant(), found)
	c.judgeRenyi(m, found, each.book.orders)
}

// agree holds what is written against what was authorised.
func (c *checker) agree(m receipt.Body, charge *bastionlabv1.Charge, orders []int64) {
	same := charge.GetPrivate() && charge.GetDatasetId() == m.Dataset && charge.GetEpsilonNano() == int64(m.Epsilon) && charge.GetDeltaAtto() == int64(m.RunDelta)
	same = same && len(charge.GetRenyi()) == len(m.Renyi) && len(m.Renyi) == len(orders) && len(charge.GetSteps()) > 0
	for i := 0; same && i < len(m.Renyi); i++ {
		same = charge.GetRenyi()[i].GetPico() == int64(m.Renyi[i]) && charge.GetRenyi()[i].GetOrder() == orders[i]
	}
	if !same {
		c.finds(m.Account, "charge", "run %s is charged another price than was authorised", m.Run)
	}
	c.judgeDevice(m, charge)
}

// judgeDevice finds a charge that verifiers of its receipt refuse: the CPU has no name in it, and there is one other.
func (c *checker) judgeDevice(m receipt.Body, charge *bastionlabv1.Charge) {
	if device := charge.GetDevice(); device != "" && device != "cuda" {
		c.finds(m.Account, "charge", "run %s was authorised on a device that is not documented", m.Run)
	}
}

// judge compares a price with what the two accountants find. Both bounds are above the truth, so a price must not be below the one that
// it was made by, and the loss distribution's, which is the tighter, must not be above the other.
func (c *checker) judge(m receipt.Body, accountant string, found answer) {
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
		// The one that makes prices knows orders between integers too, which very large prices need.
		if least := min(found.cost, found.renyi); least > paid*(1+1e-9) {
			c.finds(m.Account, "charge", "run %s is charged %v, its steps cost %v", m.Run, paid, least)
		}
	default:
		c.finds(m.Account, "charge", "run %s names no accountant of this release", m.Run)
	}
}

// tolerance is how far two accountants may differ where they should not.
const tolerance = 5e-3

// judgeRenyi holds what a run draws on the counting filters against its price made anew, and that against the loss distribution, which the
// ledger's price does not use.
func (c *checker) judgeRenyi(m receipt.Body, found answer, orders []int64) {
	for i, order := range orders {
		if i >= len(m.Renyi) || m.Renyi[i] >= accounting.MaxRenyi {
			continue // the first was found in agree
		}
		if charged := float64(m.Renyi[i]); charged < float64(found.drawn[i])*(1-1e-9) {
			c.finds(m.Account, "charge", "run %s is charged %v at order %d, its steps draw %v", m.Run, charged*renyiUnit, order, float64(found.drawn[i])*renyiUnit)
		}
		if drawn := float64(found.drawn[i]) * renyiUnit; found.moments[i]*(1-tolerance) > drawn+1e-9 {
			c.finds(m.Account, "accountants", "run %s draws %v at order %d by the loss distribution, by the sum only %v", m.Run, found.moments[i], order, drawn)
		}
	}
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
