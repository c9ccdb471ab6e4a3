package planning

import (
	"math"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

func TestStepsAreCountedOnDecimals(t *testing.T) {
	for _, c := range []struct {
		declared int64
		epochs   float64
		batch    int64
		want     int64
	}{
		{4459, 2, 45, 199}, {4459, 2, 4459, 2}, {4459, 2, 1, 8918}, {30, 0.1, 1, 3}, {30, 0.1, 2, 2}, {10, 0.7, 7, 1}, {10, 0.7, 1, 7},
		{3, 1.0 / 3, 1, 1}, {5, 1e-9, 5, 1}, {60000, 3, 256, 704},
	} {
		r := Request{Declared: c.declared, Epochs: c.epochs}
		got, err := r.scheduleOf(c.batch)
		if err != nil || got.steps != c.want || got.sampleRate != float64(c.batch)/float64(c.declared) {
			t.Errorf("%v epochs of %d in batches of %d: %+v, %v; want %d steps", c.epochs, c.declared, c.batch, got, err, c.want)
		}
	}
}

func TestRaisedIsExact(t *testing.T) {
	for _, c := range []struct {
		steps int64
		k     int
		want  int64
	}{{100, 0, 100}, {100, 1, 142}, {100, 2, 200}, {100, 3, 283}, {7, 1, 10}, {1, 1, 2}, {1, 2, 2}, {1, 61, 1518500250}, {100, 200, math.MaxInt64}} {
		if got := raised(c.steps, c.k); got != c.want {
			t.Errorf("ceil(%d * 2^(%d/2)) = %d, want %d", c.steps, c.k, got, c.want)
		}
	}
}

// The rule as product.md words it, with a full calibration of every candidate, is the oracle of the search that evaluates each once.
func TestTheChosenBatchIsTheLastThatKeepsTheSignal(t *testing.T) {
	for _, c := range []struct {
		declared, maxBatch int64
		epochs, eps, delta float64
	}{
		{4459, 4, 2, 2, 1.666666666666e-6}, {4459, 4, 20, 0.5, 1e-6}, {4459, 4, 1, 6, 5e-6}, {1000, 4, 2, 2, 1e-5}, {120, 16, 3, 1, 1e-4},
		{50000, 64, 10, 4, 1e-7}, {9, 4, 1, 1, 1e-3}, {1, 1, 1, 1, 1e-2}, {60000, 1, 1, 0.01, 1e-7},
	} {
		r := Request{Declared: c.declared, Epochs: c.epochs, MaxBatchSize: c.maxBatch}
		got, err := r.schedule(c.eps, c.delta)
		if err != nil {
			t.Fatal(err)
		}
		starting := min(int64(100), int64(math.Ceil(c.epochs*float64(c.declared)/float64(c.maxBatch))))
		var want schedule
		first := 0.0
		for k := range 60 {
			steps := int64(math.Ceil(float64(starting)*math.Pow(2, float64(k)/2) - 1e-9))
			next, err := r.candidate(steps)
			if err != nil {
				t.Fatal(err)
			}
			sigma, err := accounting.NoiseFor(next.sampleRate, next.steps, c.eps, c.delta)
			if err != nil {
				t.Fatal(err)
			}
			ratio := next.sampleRate * math.Sqrt(float64(next.steps)) / sigma
			if k == 0 {
				first = ratio
			}
			if ratio >= 0.8*first {
				want = next
			}
			if next.batchSize == 1 || ratio < 0.5*first {
				break
			}
		}
		if got != want {
			t.Errorf("%+v: chose %+v, want %+v", c, got, want)
		}
	}
}
