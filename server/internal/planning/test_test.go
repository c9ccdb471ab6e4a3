package planning_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/planning"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// heldOut is a test on 1115 messages under a limit of 6.
func heldOut() planning.TestRequest {
	return planning.TestRequest{
		Account:  planning.Account{Limit: 6_000_000_000, DatasetDelta: accounting.DefaultDelta(4459)},
		Declared: 1115,
		Metric:   "accuracy", Loss: "cross_entropy", Classes: 2, Epsilon: pointer(2.0),
	}
}

func TestTheNoiseOfATestIsThatOfOneGaussianOfSensitivityOne(t *testing.T) {
	for _, eps := range []float64{0.01, 0.5, 2, 6} {
		r := heldOut()
		r.Epsilon = &eps
		plan, err := planning.PriceTest(r)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Delta != r.DatasetDelta.Share(plan.Epsilon, r.Limit) || plan.Epsilon.Float() != eps || plan.RemainingAfter != r.Limit-plan.Epsilon {
			t.Errorf("price %+v", plan)
		}
		if plan.SampleRate != 1 || plan.Steps != 1 || plan.BatchSize != 1115 || plan.MaxBatchSize != 1 || plan.ReleaseMode != "exact" || plan.GridExponent != 30 || plan.Seconds <= 0 {
			t.Errorf("plan %+v", plan)
		}
		// The analytic Gaussian mechanism (Balle and Wang 2018): delta(eps) = Phi(1/2s - eps s) - e^eps Phi(-1/2s - eps s).
		delta := func(s float64) float64 {
			phi := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
			return phi(1/(2*s)-eps*s) - math.Exp(eps)*phi(-1/(2*s)-eps*s)
		}
		if s, want := plan.NoiseMultiplier, plan.Delta.Float(); delta(s) > want || delta(0.99*s) < want {
			t.Errorf("eps %v: noise %v costs delta %v, 1%% less %v, charged is %v", eps, s, delta(s), delta(0.99*s), want)
		}
	}
}

func TestATestsChargeNamesWhatItMeasures(t *testing.T) {
	r := heldOut()
	r.Metric, r.Classes = "cross_entropy", 5
	plan, err := planning.PriceTest(r)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := planning.Charge(plan, "d", []byte{7})
	if err != nil {
		t.Fatal(err)
	}
	charge := &bastionlabv1.Charge{}
	if err := proto.Unmarshal(encoded, charge); err != nil {
		t.Fatal(err)
	}
	if charge.GetMetric() != "cross_entropy" || charge.GetLossBound() != 2*math.Log(5) || charge.GetReleaseMode() != "exact" ||
		charge.GetSteps()[0].GetCount() != 1 || charge.GetSteps()[0].GetNoiseMultiplier() != plan.NoiseMultiplier {
		t.Errorf("charge %v", charge)
	}
}

func TestATestsValue(t *testing.T) {
	for name, test := range map[string]struct {
		bound      float64
		sum        int64
		value, off float64
		declared   int64
		noise      float64
	}{
		"all right":              {0, 10 << 30, 1, 0.2, 10, 2},
		"three quarters":         {0, 3 << 29, 0.75, 1, 2, 2},
		"noise below zero":       {0, -(1 << 30), -0.1, 0.2, 10, 2},
		"a loss is scaled back":  {4, 5 << 30, 2, 0.8, 10, 2},
		"without noise it is so": {0, 1 << 30, 0.1, 0, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			plan := planning.Plan{BatchSize: test.declared, NoiseMultiplier: test.noise, LossBound: test.bound}
			if value, off := plan.TestValue(test.sum); math.Abs(value-test.value) > 1e-15 || math.Abs(off-test.off) > 1e-15 {
				t.Errorf("%v +- %v", value, off)
			}
		})
	}
}

func TestTestsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*planning.TestRequest)
		kind   refusal.Kind
		words  string
	}{
		"no eps under a limit":          {func(r *planning.TestRequest) { r.Epsilon = nil }, refusal.InvalidArgument, "give eps"},
		"an unknown metric":             {func(r *planning.TestRequest) { r.Metric = "f1" }, refusal.InvalidArgument, `there is no metric "f1"`},
		"accuracy of a regression":      {func(r *planning.TestRequest) { r.Loss = "l2" }, refusal.InvalidArgument, "tells none"},
		"a loss among unknown classes":  {func(r *planning.TestRequest) { r.Metric, r.Classes = "cross_entropy", 0 }, refusal.InvalidArgument, "two classes"},
		"a loss among one class":        {func(r *planning.TestRequest) { r.Metric, r.Classes = "cross_entropy", 1 }, refusal.InvalidArgument, "two classes"},
		"more than remains":             {func(r *planning.TestRequest) { r.Spent = 5_000_000_000 }, refusal.BudgetExceeded, "a run of eps 1 or less would fit"},
		"trained on without noise once": {func(r *planning.TestRequest) { r.Infinite = true }, refusal.BudgetExceeded, "inf is spent"},
		"no slots":                      {func(r *planning.TestRequest) { r.Declared = 0 }, refusal.InvalidArgument, "no samples"},
	} {
		t.Run(name, func(t *testing.T) {
			r := heldOut()
			test.change(&r)
			_, err := planning.PriceTest(r)
			if refusal.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestATestWithoutALimitNeedsNoEps(t *testing.T) {
	r := heldOut()
	r.Limit, r.Epsilon = 0, nil
	plan, err := planning.PriceTest(r)
	if err != nil || plan.Private || plan.NoiseMultiplier != 0 || len(plan.Warnings) != 1 || !plan.Unlimited {
		t.Errorf("plan %+v, %v", plan, err)
	}
}
