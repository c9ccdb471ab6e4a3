package accounting_test

import (
	"testing"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

// busy is by how much a machine that does other things may be slower than the figures that are asked for.
const busy = 6

var usualPlans = []struct {
	name string
	accounting.Steps
	eps, delta float64
}{
	{"walk-through", accounting.Steps{SampleRate: 45.0 / 4459, NoiseMultiplier: 0.7, Count: 199}, 2, 1.666666666666e-6},
	{"small batches", accounting.Steps{SampleRate: 256.0 / 60000, NoiseMultiplier: 1.1, Count: 14062}, 2.4, 1e-5},
	{"rare and many", accounting.Steps{SampleRate: 0.001, NoiseMultiplier: 0.8, Count: 10000}, 1, 1e-6},
	{"large batches", accounting.Steps{SampleRate: 0.04, NoiseMultiplier: 1.5, Count: 2250}, 8, 1e-5},
	{"rarest and most", accounting.Steps{SampleRate: 1e-4, NoiseMultiplier: 0.6, Count: 100000}, 0.5, 1e-8},
	{"full batch", accounting.Steps{SampleRate: 1, NoiseMultiplier: 4, Count: 1}, 1, 1e-5},
}

func TestUsualPlansTakeLittleTime(t *testing.T) {
	for _, c := range usualPlans {
		began := time.Now()
		if _, err := accounting.EpsilonOf([]accounting.Steps{c.Steps}, c.delta); err != nil {
			t.Fatal(err)
		}
		evaluated := time.Since(began)
		if _, err := accounting.NoiseFor(c.SampleRate, c.Count, c.eps, c.delta); err != nil {
			t.Fatal(err)
		}
		calibrated := time.Since(began) - evaluated
		t.Logf("%s: evaluated in %v, calibrated in %v", c.name, evaluated.Round(time.Millisecond), calibrated.Round(time.Millisecond))
		if evaluated > busy*150*time.Millisecond {
			t.Errorf("%s: evaluated in %v, 150 ms are asked for", c.name, evaluated)
		}
		if calibrated > busy*time.Second {
			t.Errorf("%s: calibrated in %v, a second is asked for", c.name, calibrated)
		}
	}
}
