package accounting_test

import (
	"math"
	"math/big"
	"strconv"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func TestNewEpsilonReadsDecimals(t *testing.T) {
	cases := []struct {
		v    float64
		want accounting.Epsilon
		text string
	}{
		{2.0, 2_000_000_000, "2"},
		{6.0, 6_000_000_000, "6"},
		{0.1, 100_000_000, "0.1"}, // the float is above the decimal
		{0.7, 700_000_000, "0.7"}, // and here below: what was written counts
		{0.3, 300_000_000, "0.3"},
		{0.1 + 0.2, 300_000_000, "0.3"}, // 0.30000000000000004, rounded down
		{1.0 / 3, 333_333_333, "0.333333333"},
		{1.9999999999, 1_999_999_999, "1.999999999"},
		{1e-9, 1, "0.000000001"},
		{1e6, 1_000_000_000_000_000, "1000000"},
		{10, 10_000_000_000, "10"},
	}
	for _, c := range cases {
		got, err := accounting.NewEpsilon(c.v)
		if err != nil || got != c.want || got.String() != c.text {
			t.Errorf("NewEpsilon(%v) = %d %q, %v; want %d %q", c.v, got, got.String(), err, c.want, c.text)
		}
	}
}

func TestNewEpsilonRefuses(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), -1, 1e6 + 1, 9.99e-10, 5e-324, math.MaxFloat64} {
		if e, err := accounting.NewEpsilon(v); refusal.KindOf(err) != refusal.InvalidArgument {
			t.Errorf("NewEpsilon(%v) = %d, %v; want a refusal", v, e, err)
		}
	}
}

// exactly is the shortest decimal of v, times 10^digits.
func exactly(v float64, digits int64) *big.Rat {
	r, _ := new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64))
	return r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(digits), nil)))
}

func FuzzNewEpsilon(f *testing.F) {
	for _, v := range []float64{2, 0.1, 6, 0.7, math.NaN(), 1e-9, 1e6, 0.30000000000000004} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v float64) {
		e, err := accounting.NewEpsilon(v)
		if err != nil {
			if v >= 1e-9 && v <= 1e6 {
				t.Fatalf("refused %v: %v", v, err)
			}
			return
		}
		if e <= 0 || e.Float() > v {
			t.Fatalf("NewEpsilon(%v) = %d, which is %v", v, e, e.Float())
		}
		lost := new(big.Rat).Sub(exactly(v, 9), new(big.Rat).SetInt64(int64(e)))
		if lost.Sign() < 0 || lost.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("NewEpsilon(%v) = %d loses %v units", v, e, lost)
		}
		if again, err := accounting.NewEpsilon(e.Float()); err != nil || again != e {
			t.Fatalf("%d reads back as %d, %v", e, again, err)
		}
	})
}
