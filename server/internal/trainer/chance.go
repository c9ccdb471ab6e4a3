//go:build !replay

package trainer

// noiseStddev is the standard deviation of the noise on a step's sum.
func noiseStddev(multiplier, clippingNorm float64) float64 { return multiplier * clippingNorm }

// includesAll says whether every slot takes part in every step.
func includesAll(asked bool) bool { return asked }
