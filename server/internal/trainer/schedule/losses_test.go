package schedule

import (
	"math"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"google.golang.org/protobuf/proto"
)

// PRIVACY: a loss passes where an epoch ends and both sides expect one, and nowhere else.
func TestALossComesWithTheEndOfAnEpochOnly(t *testing.T) {
	at := func(steps, epochs int64, loss *float64) *trainerv1.Progress {
		return &trainerv1.Progress{StepsDone: steps, EpochsDone: epochs, Loss: loss}
	}
	half := proto.Float64(0.5)
	for _, test := range []struct {
		name       string
		losses     bool
		last, next *trainerv1.Progress
		want       bool
	}{
		{"the end of an epoch", true, at(95, 0, nil), at(100, 1, half), true},
		{"it again, as a sign of life", true, at(100, 1, half), at(100, 1, half), true},
		{"below zero, for it is noised", true, at(95, 0, nil), at(100, 1, proto.Float64(-3)), true},
		{"the next mark", true, at(100, 1, half), at(105, 1, nil), true},
		{"the end without a loss", true, at(95, 0, nil), at(100, 1, nil), false},
		{"a loss within an epoch", true, at(0, 0, nil), at(5, 0, half), false},
		{"a loss with a sign of life", true, at(5, 0, nil), at(5, 0, half), false},
		{"another loss for the same epoch", true, at(100, 1, half), at(100, 1, proto.Float64(0.6)), false},
		{"no number", true, at(95, 0, nil), at(100, 1, proto.Float64(math.NaN())), false},
		{"no finite number", true, at(95, 0, nil), at(100, 1, proto.Float64(math.Inf(-1))), false},
		{"a loss in a run without", false, at(95, 0, nil), at(100, 1, half), false},
		{"a run without", false, at(95, 0, nil), at(100, 1, nil), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := New([]int64{100, 200}, test.losses).Follows(test.last, test.next); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTheStepsOfAnEpoch(t *testing.T) {
	plan := New([]int64{5, 5, 12}, true) // a step that ends two epochs
	for step, want := range map[int64]int64{5: 5, 12: 7} {
		if got := plan.StepsOfEpoch(step); !plan.EndsEpoch(step) || got != want {
			t.Errorf("step %d: %d steps, want %d", step, got, want)
		}
	}
	if plan.EndsEpoch(4) || plan.EndsEpoch(6) || plan.EndsEpoch(0) {
		t.Error("an epoch ends elsewhere")
	}
}
