package accounting

import "math"

// A grade counts noise multipliers of five significant digits, upwards: 1.0000, 1.0001, ..., 9.9999, 10.000, 10.001 and so on.
const (
	gradesPerDecade = 90000
	lowestGrade     = -3 * gradesPerDecade // 0.001
	highestGrade    = 15 * gradesPerDecade // 1e15
)

func noiseOf(grade int64) float64 {
	decade, offset := grade/gradesPerDecade, grade%gradesPerDecade
	if offset < 0 {
		decade, offset = decade-1, offset+gradesPerDecade
	}
	// Digits and powers of ten up to 1e22 are exact floats, so a product or quotient of two is the float nearest to the decimal.
	digits, exponent := float64(10000+offset), decade-4
	if exponent < 0 {
		return digits / math.Pow10(int(-exponent))
	}
	return digits * math.Pow10(int(exponent))
}

// gradeOf is a grade close to the noise.
func gradeOf(noise float64) int64 {
	decade := math.Floor(math.Log10(noise))
	return int64(decade)*gradesPerDecade + int64(noise/math.Pow(10, decade)*10000) - 10000
}

func clampGrade(grade int64) int64 { return min(max(grade, lowestGrade), highestGrade) }
