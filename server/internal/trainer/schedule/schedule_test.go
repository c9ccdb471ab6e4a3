package schedule

import (
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

func TestProgressIsCoarse(t *testing.T) {
	for _, test := range []struct {
		name      string
		ends      []int64
		wantMarks int
	}{
		{"fewer steps than marks", []int64{3}, 3},
		{"as many", []int64{20}, 20},
		{"one epoch of many steps", []int64{1000}, 20},
		{"the walk-through", []int64{100, 199}, 40},
		{"a last epoch that is cut", []int64{100, 150}, 40},
		{"a step that ends two epochs", []int64{5, 5, 10}, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := New(test.ends, false)
			steps := test.ends[len(test.ends)-1]
			marks, epochs := 0, int64(0)
			for step := int64(1); step <= steps; step++ {
				progress := plan.After(step)
				if progress == nil {
					continue
				}
				marks++
				if progress.GetStepsDone() != step || progress.GetEpochsDone() < epochs {
					t.Fatalf("step %d: %v after %d epochs", step, progress, epochs)
				}
				epochs = progress.GetEpochsDone()
			}
			if marks != test.wantMarks || epochs != int64(len(test.ends)) {
				t.Errorf("%d marks and %d epochs, want %d and %d", marks, epochs, test.wantMarks, len(test.ends))
			}
			for e, end := range test.ends {
				if progress := plan.After(end); progress.GetEpochsDone() < int64(e+1) {
					t.Errorf("epoch %d ends at step %d, told: %v", e+1, end, progress)
				}
			}
			if plan.After(steps+1) != nil {
				t.Error("progress after the last step")
			}
		})
	}
}

// PRIVACY: a trainer that was taken over could write records into its progress; only what both sides expect passes.
func TestOnlyTheNextMarkFollows(t *testing.T) {
	plan := New([]int64{100, 200}, false)
	at := func(steps, epochs int64) *trainerv1.Progress {
		return &trainerv1.Progress{StepsDone: steps, EpochsDone: epochs}
	}
	for _, test := range []struct {
		name       string
		last, next *trainerv1.Progress
		want       bool
	}{
		{"the first mark", at(0, 0), at(5, 0), true},
		{"a sign of life before it", at(0, 0), at(0, 0), true},
		{"the same again", at(5, 0), at(5, 0), true},
		{"the next", at(5, 0), at(10, 0), true},
		{"the end of an epoch", at(95, 0), at(100, 1), true},
		{"the end of the run", at(195, 1), at(200, 2), true},
		{"no mark", at(5, 0), at(7, 0), false},
		{"a mark left out", at(5, 0), at(15, 0), false},
		{"backwards", at(10, 0), at(5, 0), false},
		{"another count of epochs", at(5, 0), at(10, 1), false},
		{"beyond the end", at(200, 2), at(205, 2), false},
		{"negative", at(0, 0), at(-5, 0), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := plan.Follows(test.last, test.next); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
