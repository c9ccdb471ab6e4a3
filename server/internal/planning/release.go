package planning

import (
	"math"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// The ways in which a step's sum leaves; docs/release.md has their proofs.
const (
	// ReleaseCertified makes passes of many records: one record moves the sum by at most C (1 + eta), and the noise is scaled to that.
	ReleaseCertified = "certified"
	// ReleaseExact makes passes of one record, whose contribution is measured on the grid itself: at most C. Slower.
	ReleaseExact = "exact"
	// ReleasePlain has neither clipping nor grid nor noise: training on a dataset without a limit, without eps.
	ReleasePlain = "plain"
)

// PRIVACY: these are the engine's, and a test compares them: see server/engine/src/blocks.h and release.cpp.
const (
	roundingShare  = 0x1p-6  // what rounding within blocks may add to one record's influence, in clipping norms
	gridShare      = 0x1p-14 // the most that rounding to the grid may add
	mostForms      = 4       // roundings to the grid of one coordinate by one record
	remainderShare = 0x1p-18 // float64, underflow: far below all others

	largestDeviation = 0x1p46 // of the noise, in units of the grid
	largestSum       = 0x1p62 // of a step, likewise
	// samplerShare is what the noise's sampler may add to eps, as long as deviation * sqrt(coordinates * steps) is below largestSampled.
	samplerShare   = 1e-9
	largestSampled = 0x1p59
	mostPassSize   = 4096
)

// release is how a plan's sums leave.
type release struct {
	mode         string
	gridExponent int     // the grid's width is C 2^-gridExponent
	gridError    float64 // what the grid may change of one record's contribution, in C
	eta          float64
}

// releaseOf is the release that was asked for, for that many trainable numbers. The grid is the coarsest that keeps its share.
func releaseOf(mode string, parameters int64) release {
	coordinates := math.Sqrt(float64(max(parameters, 1)) + 1) // and the loss
	found := release{mode: mode}
	for found.gridError = math.Inf(1); found.gridError > gridShare; {
		found.gridExponent++
		found.gridError = mostForms * coordinates * math.Ldexp(1, -found.gridExponent)
	}
	if mode != ReleaseExact {
		found.mode = ReleaseCertified
		found.eta = roundingShare + found.gridError + remainderShare
	}
	return found
}

// largestPass is how many records a pass may hold so that no number leaves the grid's range, for parameters of any type.
func (r release) largestPass() int64 {
	if r.mode == ReleaseExact {
		return 1
	}
	return int64(min(mostPassSize, math.Ldexp(1, 40-r.gridExponent)))
}

// check refuses what does not fit into the integers of a sum.
func (r release) check(noiseMultiplier float64, slots, steps, parameters int64) error {
	deviation := noiseMultiplier * (1 + r.eta) * math.Ldexp(1, r.gridExponent)
	// Every record at its largest, and noise of sixteen deviations, which 128 bits do not reach.
	sum := float64(slots)*math.Ldexp(1, r.gridExponent+1) + 16*deviation
	sampled := deviation * math.Sqrt(float64(parameters+1)*float64(steps))
	if deviation > largestDeviation || sum > largestSum || sampled > largestSampled {
		return refusal.New(refusal.InvalidArgument, "ask for a larger eps, or train fewer parameters",
			"the noise of a run at this eps does not fit into the integers that sums are released in")
	}
	return nil
}
