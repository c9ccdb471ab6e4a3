package fsck

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

var shapes = map[string]shape{
	"usual":              usual,
	"test":               {eps: 0.5, test: true},
	"small":              {eps: 0.001, epochs: 1, batch: 100},
	"small and long":     {eps: 0.001, epochs: 500, batch: 100},
	"small test":         {eps: 0.001, test: true},
	"long":               {eps: 3, epochs: 300, batch: 45},
	"one step":           {eps: 2, epochs: 1, batch: declared},
	"single records":     {eps: 2, epochs: 1, batch: 1},
	"few records":        {eps: 2, epochs: 5, batch: 1, declared: 8},
	"nearly all":         {eps: 5.9, epochs: 10, batch: 256},
	"small delta":        {eps: 1, delta: 1e-15, epochs: 3, batch: 64},
	"smallest delta":     {eps: 1, delta: 1e-18, epochs: 3, batch: 64},
	"a million":          {eps: 1, epochs: 10, batch: 256, declared: 1_000_000},
	"large":              {eps: 100, epochs: 3, batch: 64},
	"very large":         {eps: 1e4, epochs: 3, batch: 64}, // from here on no loss distribution has a grid
	"largest":            {eps: 1e6, epochs: 3, batch: 64},
	"large test":         {eps: 1e4, test: true},
	"large, one at once": {eps: 1e4, epochs: 1, batch: 1},
}

// What a server charges is what both accountants find, whatever the run; and a hundredth less is too little.
func TestAnHonestChargeIsNoFindingAndAHundredthLessIs(t *testing.T) {
	for name, s := range shapes {
		for _, limit := range []accounting.Epsilon{6e9, 0} {
			if limit > 0 && s.eps > limit.Float() {
				continue
			}
			t.Run(name+", limit "+limit.String(), func(t *testing.T) {
				h := newHouse(t)
				h.must(h.l.OpenAccount(dataset("d", limit)))
				h.completed("d", "r", s)
				report := h.check()
				wantNone(t, report)
				if len(report.Charges) != 1 || report.Charges[0].Charged != s.eps {
					t.Errorf("charges %+v", report.Charges)
				}
				movements := movementsOf(t, h.content())
				repriced(t, &movements[1], func(p *price) { p.epsilon -= p.epsilon / 100 })
				wantCheck(t, h.forge(movements), "charge", "its steps cost")

				movements = movementsOf(t, h.content())
				if movements[1].Renyi[0] >= accounting.MaxRenyi {
					return // which no filter admits: nothing can be taken off it
				}
				repriced(t, &movements[1], func(p *price) { p.renyi[0] -= p.renyi[0] / 100 })
				if s.eps > 0.01 { // below, a hundredth is less than what the noise's sampler is charged
					wantCheck(t, h.forge(movements), "charge", "its steps draw")
				}
			})
		}
	}
}

func TestAReportIsJSONWhateverTheChargesAre(t *testing.T) {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 0)))
	h.completed("d", "r", shapes["largest"])
	encoded, err := json.Marshal(h.check())
	if err != nil || !strings.Contains(string(encoded), `"charged_epsilon":1000000,"pld_epsilon":null,"rdp_epsilon":null`) {
		t.Errorf("%s, %v", encoded, err)
	}
}

// A thousand runs of one shape are priced once.
func TestManyChargesOfOnePlanArePricedOnce(t *testing.T) {
	h := newHouse(t)
	h.must(h.l.OpenAccount(dataset("d", 0)))
	s := shapes["a million"]
	s.delta = 1e-9
	for _, run := range []string{"a", "b", "c"} {
		h.run("d", run, s)
	}
	known := map[string]answer{}
	c := &checker{books: map[string]*book{}, of: map[string]string{}}
	for _, m := range movementsOf(t, h.content()) {
		c.follow(m, nil)
	}
	for _, each := range c.charges {
		c.reprice(each, known)
	}
	if len(known) != 1 || len(c.report.Charges) != 3 {
		t.Errorf("%d prices for %d charges", len(known), len(c.report.Charges))
	}
}
