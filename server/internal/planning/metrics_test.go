package planning_test

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/planning"
)

func TestTheBoundOfALossIsPublicAndStandsInTheCharge(t *testing.T) {
	for _, test := range []struct {
		loss    string
		classes int64
		bound   float64
	}{
		{"cross_entropy", 2, 2 * math.Ln2},
		{"cross_entropy", 30522, 2 * math.Log(30522)},
		{"bce_with_logits", 0, 2},
		{"l1", 0, 10},
		{"l2", 7, 10},
		{"mse", 0, 10},
	} {
		r := walkThrough()
		r.Metrics, r.Loss, r.Classes = true, test.loss, test.classes
		plan := mustPrice(t, r)
		encoded, err := planning.Charge(plan, "d", nil)
		charge := &bastionlabv1.Charge{}
		if err != nil || proto.Unmarshal(encoded, charge) != nil {
			t.Fatal(err)
		}
		if plan.LossBound != test.bound || charge.GetLossBound() != test.bound {
			t.Errorf("%s of %d classes: %v, charged %v, want %v", test.loss, test.classes, plan.LossBound, charge.GetLossBound(), test.bound)
		}
		// Losses are a part of what is clipped to the same norm, so they change neither noise nor price.
		r.Metrics = false
		without := mustPrice(t, r)
		if without.LossBound != 0 || without.NoiseMultiplier != plan.NoiseMultiplier || without.Epsilon != plan.Epsilon {
			t.Errorf("without losses %+v", without)
		}
	}
}

func TestTheStandardErrorOfAnEpochsLoss(t *testing.T) {
	// A step's sum of losses has noise of sigma (1 + eta) in units of C, in which a loss of B has the length sqrt(0.05).
	plan := planning.Plan{NoiseMultiplier: 0.8, LossBound: 4, BatchSize: 20, Eta: 0.5}
	perStep := 0.8 * 1.5 * 4 / math.Sqrt(0.05) / 20
	for steps, want := range map[int64]float64{1: perStep, 100: perStep / 10} {
		if got := plan.LossError(steps); math.Abs(got-want) > 1e-15 {
			t.Errorf("%d steps: %v, want %v", steps, got, want)
		}
	}
}
