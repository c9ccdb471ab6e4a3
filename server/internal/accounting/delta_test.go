package accounting_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestNewDeltaReadsDecimals(t *testing.T) {
	for v, want := range map[float64]accounting.Delta{1e-5: 1e13, 0.1: 1e17, 1e-18: 1, 1.9e-18: 1, 1e-6: 1e12, 3e-7: 3e11, 1.0 / 3: 333333333333333300} {
		if got, err := accounting.NewDelta(v); err != nil || got != want {
			t.Errorf("NewDelta(%v) = %d, %v; want %d", v, got, err, want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), 0, -1e-5, 1, 2, 9e-19} {
		if d, err := accounting.NewDelta(v); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("NewDelta(%v) = %d, %v; want a refusal", v, d, err)
		}
	}
	if text := accounting.Delta(1e13).String(); text != "1e-05" {
		t.Errorf("1e-5 shows as %q", text)
	}
}

func TestDefaultDelta(t *testing.T) {
	for declared, want := range map[int64]accounting.Delta{1: 1e17, 10: 1e16, 11: 1e15, 4459: 1e13, 9999: 1e13, 10000: 1e13, 10001: 1e12, 1e6: 1e11, 1e17: 1, 1e17 + 1: 0, 0: 0, -3: 0} {
		got := accounting.DefaultDelta(declared)
		if got != want {
			t.Errorf("DefaultDelta(%d) = %d, want %d", declared, got, want)
		}
		if got > 0 && accounting.CheckDelta(got, declared) != nil {
			t.Errorf("DefaultDelta(%d) is itself refused", declared)
		}
	}
}

func TestCheckDelta(t *testing.T) {
	for _, c := range []struct {
		delta    accounting.Delta
		declared int64
		ok       bool
	}{{1e13, 4459, true}, {1e14, 10000, false}, {1e14 - 1, 10000, true}, {1e17, 9, true}, {1e17, 10, false}, {0, 10, false}, {1e13, 0, false}} {
		if err := accounting.CheckDelta(c.delta, c.declared); (err == nil) != c.ok {
			t.Errorf("CheckDelta(%d, %d) = %v", c.delta, c.declared, err)
		}
	}
}

func TestShareIsExact(t *testing.T) {
	cases := []struct {
		delta      accounting.Delta
		eps, limit accounting.Epsilon
		want       accounting.Delta
	}{
		{1e13, 2e9, 6e9, 1666666666666},
		{1e13, 6e9, 6e9, 5e12},
		{3, 6e9, 6e9, 1},
		{1e18 - 1, 1e15, 1e15, 499999999999999999},
		{1e13, 0, 6e9, 0}, {1e13, -1, 6e9, 0}, {1e13, 7e9, 6e9, 0}, {0, 1, 1, 0}, {1e13, 1, 0, 0},
	}
	for _, c := range cases {
		if got := c.delta.Share(c.eps, c.limit); got != c.want {
			t.Errorf("Share(%d of %d) of %d = %d, want %d", c.eps, c.limit, c.delta, got, c.want)
		}
	}
}

// Whatever runs a limit admits, also while it is lowered, their shares never add up to more than half of delta.
func TestSharesNeverExceedHalfOfDelta(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		delta := accounting.Delta(1 + random.Int64N(1e18-1))
		limit := accounting.Epsilon(1 + random.Int64N(1e15))
		spent, sum := accounting.Epsilon(0), new(big.Int)
		for range 1 + random.IntN(40) {
			if random.IntN(4) == 0 && limit > spent+1 {
				limit = spent + 1 + accounting.Epsilon(random.Int64N(int64(limit-spent)))
			}
			rest := int64(limit - spent)
			if rest <= 0 {
				break
			}
			eps := accounting.Epsilon(1 + random.Int64N(rest))
			if random.IntN(3) == 0 {
				eps = accounting.Epsilon(rest)
			}
			spent += eps
			sum.Add(sum, big.NewInt(int64(delta.Share(eps, limit))))
		}
		if twice := new(big.Int).Lsh(sum, 1); twice.Cmp(big.NewInt(int64(delta))) > 0 {
			t.Fatalf("shares of delta %d add up to %v", delta, sum)
		}
	}
}

func FuzzNewDelta(f *testing.F) {
	for _, v := range []float64{1e-5, 0.1, 1e-18, 0.9999999999999999, math.NaN()} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v float64) {
		d, err := accounting.NewDelta(v)
		if err != nil {
			if v >= 1e-18 && v < 1 {
				t.Fatalf("refused %v: %v", v, err)
			}
			return
		}
		if d <= 0 || d.Float() > v {
			t.Fatalf("NewDelta(%v) = %d, which is %v", v, d, d.Float())
		}
	})
}
