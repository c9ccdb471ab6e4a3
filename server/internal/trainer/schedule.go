package trainer

import (
	"sort"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// marksPerEpoch is how often progress is told.
// PRIVACY: a step's duration may depend on its records; over a twentieth of an epoch much of that averages out. The rest is documented.
const marksPerEpoch = 20

// schedule knows after which steps progress is told.
type schedule struct{ epochEnds []int64 }

// after returns the progress to tell when step (counted from 1) is done, nil where none is told.
func (s schedule) after(step int64) *trainerv1.Progress {
	epoch := sort.Search(len(s.epochEnds), func(i int) bool { return s.epochEnds[i] >= step })
	if epoch == len(s.epochEnds) {
		return nil
	}
	begin, end := int64(0), s.epochEnds[epoch]
	if epoch > 0 {
		begin = s.epochEnds[epoch-1]
	}
	done, length := step-begin, end-begin
	switch {
	case step == end:
		return &trainerv1.Progress{StepsDone: step, EpochsDone: s.endedBy(step)}
	case done*marksPerEpoch/length > (done-1)*marksPerEpoch/length:
		return &trainerv1.Progress{StepsDone: step, EpochsDone: int64(epoch)}
	}
	return nil
}

// endedBy counts the epochs that have ended with step: several may where a step is longer than an epoch.
func (s schedule) endedBy(step int64) int64 {
	return int64(sort.Search(len(s.epochEnds), func(i int) bool { return s.epochEnds[i] > step }))
}
