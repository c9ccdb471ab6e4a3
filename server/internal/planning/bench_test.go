package planning_test

import (
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/planning"
)

func BenchmarkPrice(b *testing.B) {
	for _, c := range []struct {
		name     string
		declared int64
		epochs   float64
		eps      float64
	}{{"walk-through", 4459, 2, 2}, {"images", 60000, 20, 3}, {"a million", 1_000_000, 10, 1}} {
		b.Run(c.name, func(b *testing.B) {
			r := walkThrough()
			r.Declared, r.DatasetDelta, r.Epochs, r.Epsilon = c.declared, accounting.DefaultDelta(c.declared), c.epochs, &c.eps
			for b.Loop() {
				if _, err := planning.Price(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
