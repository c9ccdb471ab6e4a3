package accounting_test

import (
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// BenchmarkEvaluate walks through the reference's rows; ns/op is for all 34.
func BenchmarkEvaluate(b *testing.B) {
	rows := vectors(b, "accounting_reference.csv")
	for b.Loop() {
		for _, r := range rows {
			if _, err := accounting.EpsilonOf([]accounting.Steps{r.steps()}, r.number("delta")); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkCalibrate(b *testing.B) {
	for _, c := range []struct {
		name       string
		q          float64
		steps      int64
		eps, delta float64
	}{
		{"walk-through", 45.0 / 4459, 199, 2, 1.666666666666e-6},
		{"rare and many", 0.001, 10000, 1, 1e-6},
		{"rarest and most", 1e-4, 100000, 0.5, 1e-8},
		{"full batch", 1, 1, 1, 1e-5},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := accounting.NoiseFor(c.q, c.steps, c.eps, c.delta); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
