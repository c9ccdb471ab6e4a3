package planning_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

func TestTheGridIsAsFineAsItsShareAndNoFiner(t *testing.T) {
	for _, trainable := range []int64{0, 1, 100, 7_000, 66_955_010, 1 << 34} {
		r := walkThrough()
		r.Trainable, r.BatchSize = trainable, pointer(int64(45))
		plan := mustPrice(t, r)
		width := math.Ldexp(1, -plan.GridExponent)
		if got := 4 * math.Sqrt(float64(max(trainable, 1))+1) * width; got != plan.GridError || got > 1e-4 || 2*got <= 0x1p-14 {
			t.Errorf("%d numbers: a grid of 2^-%d changes up to %v, the plan says %v", trainable, plan.GridExponent, got, plan.GridError)
		}
		if plan.Eta < 0x1p-6+plan.GridError || plan.Eta > 0.05 {
			t.Errorf("%d numbers: eta %v", trainable, plan.Eta)
		}
	}
}

func TestAnExactReleaseHasNoEtaAndPassesOfOneRecord(t *testing.T) {
	r := walkThrough()
	r.Trainable, r.Release = 66_955_010, "exact"
	plan := mustPrice(t, r)
	if plan.ReleaseMode != "exact" || plan.Eta != 0 || plan.MaxBatchSize != 1 || plan.GridExponent != 29 {
		t.Errorf("plan %+v", plan)
	}
}

func TestAPassNeverLeavesTheGridsRange(t *testing.T) {
	r := walkThrough()
	r.Trainable, r.MaxBatchSize = 66_955_010, 4459
	if plan := mustPrice(t, r); plan.MaxBatchSize != 1<<11 {
		t.Errorf("passes of %d records", plan.MaxBatchSize)
	}
	r.Epsilon, r.Limit, r.DatasetDelta, r.MaxBatchSize, r.Declared = nil, 0, 0, 1<<20, 1<<20
	if plan := mustPrice(t, r); plan.MaxBatchSize != 4096 {
		t.Errorf("without noise: passes of %d records", plan.MaxBatchSize)
	}
}

// The engine holds contributions to these numbers, and the noise is scaled by them.
func TestTheConstantsAreTheEngines(t *testing.T) {
	for _, c := range []struct {
		file, name string
		want       float64
	}{
		{"blocks.h", "kRoundingShare", 0x1p-6}, {"blocks.h", "kMostForms", 4}, {"release.cpp", "kGridShare", 0x1p-14},
		{"release.cpp", "kMaxPassSize", 4096}, {"gaussian.h", "kLargestDeviation", 0x1p46}, {"grid.h", "kLargestRounded", 0x1p50},
		{"release.cpp", "kLossShare", 0.05},
	} {
		source, err := os.ReadFile("../../engine/src/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(fmt.Sprintf(`constexpr \w+ %s = ([^;]+);`, c.name)).FindSubmatch(source)
		if found == nil {
			t.Fatalf("%s does not define %s", c.file, c.name)
		}
		if got, err := strconv.ParseFloat(string(found[1]), 64); err != nil || got != c.want {
			t.Errorf("%s in %s is %s, want %v", c.name, c.file, found[1], c.want)
		}
	}
}
