package accounting_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// TestFilterRatio holds what adaptive composition costs over the cheapest valid figure there is, that of the joint plan fixed in advance. It logs the
// table of vectors/accounting/filter_ratio.csv and docs/composition.md:
//
//	go test -v -run TestFilterRatio ./internal/accounting
func TestFilterRatio(t *testing.T) {
	rows := vectors(t, "filter_ratio.csv")
	if len(rows) != 12 {
		t.Fatalf("%d rows, want 12", len(rows))
	}
	for _, r := range rows {
		run := accounting.Steps{SampleRate: r.number("q"), NoiseMultiplier: r.number("sigma"), Count: int64(r.number("steps"))}
		runs := int64(r.number("runs"))
		delta, err := accounting.NewDelta(r.number("delta"))
		if err != nil {
			t.Fatal(err)
		}
		whole := run
		whole.Count *= runs
		joint := mustEvaluate(t, delta.Float(), whole).Epsilon
		share := delta / 2 / accounting.Delta(runs)
		eps := accounting.Epsilon(math.Ceil(1e9 * mustEvaluate(t, share.Float(), run).Epsilon))
		limit := leastLimit(t, run, runs, delta, accounting.Cost{Epsilon: eps, Delta: share}, joint)
		ratio := limit / joint
		t.Logf("%v,%v,%d,%d,%v,%.4f,%.3f,%.4f sum %.3f", run.SampleRate, run.NoiseMultiplier, run.Count, runs, delta, joint, limit, ratio, float64(runs)*eps.Float())
		if want := r.number("ratio"); ratio > want+0.005 || ratio < want-0.05 {
			t.Errorf("%d of %v: %.4f times the joint plan, the file says %.4f", runs, run, ratio, want)
		}
		if usual := (accounting.Steps{SampleRate: 0.01, NoiseMultiplier: 1.4147, Count: 1000}); run == usual && ratio > 1.21 {
			t.Errorf("%d of %v: %.4f times the joint plan, more than 1.21", runs, run, ratio)
		}
	}
}

// leastLimit is the least limit, to 1e-3, under which all of so many equal runs are admitted, each of which costs basic and its moments.
func leastLimit(t *testing.T, run accounting.Steps, runs int64, delta accounting.Delta, basic accounting.Cost, joint float64) float64 {
	t.Helper()
	for thousandths := int64(joint * 1000); thousandths < int64(100*joint*1000+1000); thousandths++ {
		limit := accounting.Epsilon(thousandths * 1e6)
		f := accounting.Filter{Limit: limit, Delta: delta, Orders: accounting.FilterOrders(limit, delta)}
		costs, err := accounting.RenyiOf([]accounting.Steps{run}, f.Orders)
		if err != nil {
			t.Fatal(err)
		}
		basic.Renyi = costs
		total := accounting.Cost{Renyi: make([]accounting.Renyi, len(f.Orders))}
		for range runs {
			total = total.Plus(basic)
		}
		if f.Admits(total) { // then so are all of its beginnings, which cost less
			return limit.Float()
		}
	}
	t.Fatal(fmt.Errorf("%d of %v: no limit", runs, run))
	return 0
}
