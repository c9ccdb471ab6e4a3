package training

import "time"

const (
	// progressParts is into how many parts a run's progress is told.
	progressParts = 50
	// progressInterval is the least time between two tellings.
	progressInterval = time.Second
)

// coarse turns a trainer's step counter into what people see.
//
// PRIVACY: how long one step takes depends on how many records it sampled, so steps are told in parts of the whole and not more
// often than once in an interval. The counter comes from a process that holds records: only a count that grows within the plan is taken from
// it, and epochs are counted here.
type coarse struct {
	steps     int64
	epochEnds []int64
	interval  time.Duration

	told   int64
	toldAt time.Time
}

// tell returns the steps and epochs to show at now, and whether they are new.
func (c *coarse) tell(stepsDone int64, now time.Time) (steps, epochs int64, changed bool) {
	part := max(1, (c.steps+progressParts-1)/progressParts)
	steps = min(stepsDone, c.steps)
	if steps < c.steps {
		steps -= steps % part
	}
	if steps <= c.told || now.Sub(c.toldAt) < c.interval {
		return 0, 0, false
	}
	c.told, c.toldAt = steps, now
	return steps, epochsIn(steps, c.epochEnds), true
}

func epochsIn(steps int64, epochEnds []int64) (epochs int64) {
	for _, end := range epochEnds {
		if end <= steps {
			epochs++
		}
	}
	return epochs
}
