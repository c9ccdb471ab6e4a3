package accounting_test

import (
	"math"
	"math/big"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
)

func TestInclusionThreshold(t *testing.T) {
	for _, q := range []float64{45.0 / 4459, 0.1, 0.5, 1.0 / 3, 1e-9, 5e-324, math.Nextafter(1, 0)} {
		threshold, all := accounting.InclusionThreshold(q)
		exact := new(big.Float).SetPrec(2000).SetMantExp(big.NewFloat(q).SetPrec(2000), 64)
		floor, _ := exact.Int(nil)
		if all || floor.Cmp(new(big.Int).SetUint64(threshold)) != 0 {
			t.Errorf("q %v: threshold %d, all %v; want %v", q, threshold, all, floor)
		}
	}
	if _, all := accounting.InclusionThreshold(1); !all {
		t.Error("q = 1 leaves records out")
	}
	for _, q := range []float64{0, -0.5, 1.5, math.NaN(), math.Inf(1)} {
		if threshold, all := accounting.InclusionThreshold(q); all || threshold != 0 {
			t.Errorf("q %v is no rate and includes records", q)
		}
	}
}
