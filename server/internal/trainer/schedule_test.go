package trainer

import "testing"

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
			plan := schedule{test.ends}
			steps := test.ends[len(test.ends)-1]
			marks, epochs := 0, int64(0)
			for step := int64(1); step <= steps; step++ {
				progress := plan.after(step)
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
				if progress := plan.after(end); progress.GetEpochsDone() < int64(e+1) {
					t.Errorf("epoch %d ends at step %d, told: %v", e+1, end, progress)
				}
			}
			if plan.after(steps+1) != nil {
				t.Error("progress after the last step")
			}
		})
	}
}
