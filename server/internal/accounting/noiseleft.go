package accounting

// NoiseLeft is the least noise multiplier, of five significant digits and rounded up, with which so many steps of that sample rate are still admitted by a
// counting filter after spent. extra is added to their cost at each order, for what a run costs besides. false: no noise up to the highest
// is enough, or there are no such steps.
func (f Filter) NoiseLeft(spent Cost, sampleRate float64, steps int64, extra Renyi) (noise float64, ok bool) {
	if checkSampleRate(sampleRate) != nil || checkCount(steps) != nil {
		return 0, false
	}
	admitted := func(grade int64) bool {
		run := Steps{sampleRate, noiseOf(grade), steps}
		for i, order := range f.Orders {
			// A filter that is full already need not be computed.
			left := spent.renyi(i).plus(extra)
			if f.countingAdmits(i, left) && f.countingAdmits(i, left.plus(run.renyi(order))) {
				return true
			}
		}
		return false
	}
	below, enough := int64(lowestGrade-1), int64(highestGrade)
	if !admitted(enough) {
		return 0, false
	}
	for enough-below > 1 {
		// PRIVACY: only a grade that was itself admitted is ever the answer.
		if middle := below + (enough-below)/2; admitted(middle) {
			enough = middle
		} else {
			below = middle
		}
	}
	return noiseOf(enough), true
}
