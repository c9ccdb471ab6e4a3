package trainer

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"math"
	"slices"
	"testing"
)

// standardDeviations is how far a count may lie from a binomial's mean: a chance of 2e-9 per comparison.
const standardDeviations = 6

func TestASlotIsSampledIffItsDrawIsBelowTheThreshold(t *testing.T) {
	const threshold = 1 << 40
	draws := []uint64{0, threshold - 1, threshold, threshold + 1, math.MaxUint64, 5}
	var stream bytes.Buffer
	for _, draw := range draws {
		if err := binary.Write(&stream, binary.LittleEndian, draw); err != nil {
			t.Fatal(err)
		}
	}
	got, err := newSampler(&stream, threshold, false, int64(len(draws))).sample(nil)
	if want := []int64{0, 1, 5}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v; want %v", got, err, want)
	}
	if _, err := newSampler(&stream, threshold, false, 1).sample(nil); err == nil {
		t.Fatal("a dry source is no error")
	}
}

func TestIncludeAllTakesEverySlotAndNoRandomness(t *testing.T) {
	got, err := newSampler(nil, 0, true, 4).sample(nil)
	if err != nil || !slices.Equal(got, []int64{0, 1, 2, 3}) {
		t.Fatalf("got %v, %v", got, err)
	}
}

// The counts per step, per slot, and of pairs must be those of independent draws. The number of slots needs several chunks of the
// sampler's buffer and leaves a part of one.
func TestSamplesAreIndependentAndHaveTheirRate(t *testing.T) {
	for _, q := range []float64{0.002, 0.1, 0.5, 0.97} {
		const slots, steps = 2*samplerBufferBytes/drawBytes + 77, 120
		sampler := newSampler(rand.Reader, uint64(q*math.Exp2(64)), false, slots)
		perSlot := make([]int, slots)
		neighbours, repeats, total := 0, 0, 0
		var sample []int64
		before := make([]bool, slots)
		for range steps {
			var err error
			if sample, err = sampler.sample(sample[:0]); err != nil {
				t.Fatal(err)
			}
			if !slices.IsSorted(sample) || len(slices.Compact(slices.Clone(sample))) != len(sample) {
				t.Fatal("a slot occurs twice in one step")
			}
			near(t, "size of a step", len(sample), slots, q)
			now := make([]bool, slots)
			for _, slot := range sample {
				perSlot[slot]++
				now[slot] = true
				if slot > 0 && now[slot-1] {
					neighbours++
				}
				if before[slot] {
					repeats++
				}
			}
			total += len(sample)
			before = now
		}
		near(t, "all inclusions", total, slots*steps, q)
		near(t, "both of two neighbours", neighbours, (slots-1)*steps, q*q)
		near(t, "a slot in two steps running", repeats, slots*(steps-1), q*q)
		// Sum over slots of squared deviations: chi-squared with `slots` degrees of freedom.
		chi := 0.0
		for _, count := range perSlot {
			deviation := float64(count) - q*steps
			chi += deviation * deviation / (q * (1 - q) * steps)
		}
		if spread := math.Sqrt(2*slots) * math.Sqrt(1+1/(2*q*(1-q)*steps)); math.Abs(chi-slots) > standardDeviations*spread {
			t.Errorf("q %v: slots are not alike: chi-squared %.0f with %d degrees of freedom", q, chi, slots)
		}
	}
}

func near(t *testing.T, what string, got, draws int, rate float64) {
	t.Helper()
	mean := float64(draws) * rate
	// The second term covers the weak dependence of overlapping pairs.
	if deviation := math.Sqrt(mean*(1-rate)) * math.Sqrt(1+2*rate); math.Abs(float64(got)-mean) > standardDeviations*deviation {
		t.Errorf("q %v: %s: %d, expected %.0f with a deviation of %.1f", rate, what, got, mean, deviation)
	}
}

func TestPassesFollowFromTheSampledSlotsAlone(t *testing.T) {
	for _, test := range []struct {
		name     string
		sample   []int64
		passSize int64
		records  int64
		least    int64
		want     [][]int64
	}{
		{"no slot, no pass", nil, 4, 10, 0, nil},
		{"one pass", []int64{0, 3}, 4, 10, 0, [][]int64{{0, 3}}},
		{"a full pass", []int64{0, 1, 2, 3}, 4, 10, 0, [][]int64{{0, 1, 2, 3}}},
		{"a rest", []int64{0, 1, 2, 3, 4}, 4, 10, 0, [][]int64{{0, 1, 2, 3}, {4}}},
		{"in the order of the sample", []int64{4, 0, 2}, 2, 10, 0, [][]int64{{4, 0}, {2}}},
		{"empty slots take part", []int64{1, 9, 10, 11, 12}, 3, 10, 0, [][]int64{{1, 9, -1}, {-1, -1}}},
		{"as many passes with one record", []int64{1, 9, 10, 11, 12}, 3, 1, 0, [][]int64{{-1, -1, -1}, {-1, -1}}},
		{"one at a time", []int64{2, 5}, 1, 3, 0, [][]int64{{2}, {-1}}},
		{"in constant time", []int64{2, 5}, 1, 3, 4, [][]int64{{2}, {-1}, {-1}, {-1}}},
		{"in constant time, of nothing", nil, 1, 3, 2, [][]int64{{-1}, {-1}}},
		{"more than constant time has", []int64{0, 1, 2}, 1, 3, 2, [][]int64{{0}, {1}, {2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := passes(slices.Clone(test.sample), test.passSize, test.records, test.least)
			if !slices.EqualFunc(got, test.want, slices.Equal) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestEveryOrderOfASampleIsAsProbable(t *testing.T) {
	const draws = 48_000
	seen := map[[4]int64]int{}
	for range draws {
		sample := []int64{2, 3, 5, 7}
		if err := shuffle(sample, rand.Reader); err != nil {
			t.Fatal(err)
		}
		seen[[4]int64(sample)]++
	}
	if len(seen) != 24 {
		t.Fatalf("%d of 24 orders", len(seen))
	}
	for order, times := range seen {
		if deviation := math.Sqrt(draws / 24); math.Abs(float64(times)-draws/24) > standardDeviations*deviation {
			t.Errorf("%v: %d times of %d", order, times, draws)
		}
	}
	for _, short := range [][]int64{nil, {4}} {
		if err := shuffle(short, nil); err != nil {
			t.Error(err)
		}
	}
	if err := shuffle([]int64{1, 2}, bytes.NewReader(nil)); err == nil {
		t.Error("shuffled without random numbers")
	}
}
