package accounting

import (
	"math/big"
	"strconv"
)

// decimalUnits returns floor(d * 10^digits), where d is the shortest decimal that reads back as v: the number that a person wrote.
//
// The decimal is meant, not the binary value: the float written 0.1 is a little more, that written 0.7 a little less than the decimal, and
// a limit of 0.7 must be 700000000 units, not 699999999. What is cut off is always below one unit, and the float nearest to
// the result never exceeds v, since v is the float nearest to d.
func decimalUnits(v float64, digits int) *big.Int {
	exact, ok := new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64))
	if !ok {
		return new(big.Int) // NaN and infinities: callers refuse zero
	}
	exact.Mul(exact, new(big.Rat).SetInt(tenTo(digits)))
	return new(big.Int).Quo(exact.Num(), exact.Denom())
}

// nearestFloat is the float closest to units * 10^-digits.
func nearestFloat(units int64, digits int) float64 {
	v, _ := new(big.Rat).SetFrac(big.NewInt(units), tenTo(digits)).Float64()
	return v
}

func decimalString(units int64, digits int) string {
	text := new(big.Rat).SetFrac(big.NewInt(units), tenTo(digits)).FloatString(digits)
	end := len(text)
	for text[end-1] == '0' {
		end--
	}
	if text[end-1] == '.' {
		end-- // 6.000000000 reads 6
	}
	return text[:end]
}

func tenTo(exponent int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(exponent)), nil)
}
