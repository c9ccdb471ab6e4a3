package accounting

import "math"

// InclusionThreshold turns a sample rate into integers: a record is in the batch if a uniform 64-bit number is below threshold. all
// says that the rate is 1 and every record is in.
//
// PRIVACY: threshold is floor(q*2^64), so that the rate that is sampled never exceeds the one that is priced. What is no rate of
// (0, 1] includes nothing.
func InclusionThreshold(sampleRate float64) (threshold uint64, all bool) {
	switch {
	case sampleRate == 1:
		return math.MaxUint64, true
	case sampleRate > 0 && sampleRate < 1:
		// Scaling by a power of two is exact, and below 2^64 so is the cut to an integer.
		return uint64(math.Ldexp(sampleRate, 64)), false
	default:
		return 0, false
	}
}
