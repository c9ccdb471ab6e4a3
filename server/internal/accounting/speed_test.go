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
	{"full batch", accounting.Steps{SampleRate: 1, NoiseMultiplier: 4, Count: 1}, 1, 1e-5},
}

func TestUsualPlansTakeLittleTime(t *testing.T) {
	for _, c := range usualPlans {
		inTime(t, c.name+" evaluated", 150*time.Millisecond, func() error {
			_, err := accounting.EpsilonOf([]accounting.Steps{c.Steps}, c.delta)
			return err
		})
		inTime(t, c.name+" calibrated", time.Second, func() error {
			_, err := accounting.NoiseFor(c.SampleRate, c.Count, c.eps, c.delta)
			return err
		})
	}
}

// inTime measures up to three times, since a busy machine may be much slower once.
func inTime(t *testing.T, name string, asked time.Duration, work func() error) {
	t.Helper()
	for try := range 3 {
		began := time.Now()
		if err := work(); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		t.Logf("%s in %v", name, took.Round(100*time.Microsecond))
		if took <= busy*asked {
			return
		}
		if try == 2 {
			t.Errorf("%s in %v, %v are asked for", name, took, asked)
		}
	}
}
