//go:build !replay

package trainer

import "math"

// noiseStddev is the standard deviation of the noise on a step's sum.
func noiseStddev(multiplier, sensitivity float64) float64 {
	return math.Nextafter(multiplier*sensitivity, math.Inf(1))
}

// includesAll says whether every slot takes part in every step.
func includesAll(asked bool) bool { return asked }
