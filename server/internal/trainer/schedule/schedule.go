// Package schedule says after which steps of a run progress is told. Trainer and server both compute it: the trainer to know when to
// speak, the server to believe nothing else.
package schedule

import (
	"math"
	"sort"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"google.golang.org/protobuf/proto"
)

// marksPerEpoch is how often progress is told.
// PRIVACY: a step's duration may depend on its records; over a twentieth of an epoch much of that averages out. The rest is documented.
const marksPerEpoch = 20

// Schedule belongs to one run.
type Schedule struct {
	epochEnds []int64
	losses    bool // the loss of every epoch is told at its end
}

// New takes the step counts at which epochs end, in order, and whether their losses are told.
func New(epochEnds []int64, losses bool) Schedule { return Schedule{epochEnds, losses} }

// Of is the schedule of a run under these settings.
func Of(settings *trainerv1.Settings) Schedule {
	return New(settings.GetEpochEnds(), settings.GetLossBound() > 0)
}

// TellsLosses says whether an epoch's end comes with a loss.
func (s Schedule) TellsLosses() bool { return s.losses }

// EndsEpoch says whether an epoch ends with step.
func (s Schedule) EndsEpoch(step int64) bool { return s.endedBy(step) > s.endedBy(step-1) }

// StepsOfEpoch is how many steps the loss that is told with step is the mean of.
func (s Schedule) StepsOfEpoch(step int64) int64 {
	before := int64(0)
	for _, end := range s.epochEnds {
		if end < step {
			before = end
		}
	}
	return step - before
}

// After returns the progress to tell when step (counted from 1) is done, nil where none is told.
func (s Schedule) After(step int64) *trainerv1.Progress {
	epoch := sort.Search(len(s.epochEnds), func(i int) bool { return s.epochEnds[i] >= step })
	if epoch == len(s.epochEnds) || step < 1 {
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
	case marks(done, length) > marks(done-1, length):
		return &trainerv1.Progress{StepsDone: step, EpochsDone: int64(epoch)}
	}
	return nil
}

// marks counts those that lie at or before done of length steps. The quotient comes first, so that no product overflows.
func marks(done, length int64) int64 {
	return done/length*marksPerEpoch + done%length*marksPerEpoch/length
}

// endedBy counts the epochs that have ended with step: several may where a step is longer than an epoch.
func (s Schedule) endedBy(step int64) int64 {
	return int64(sort.Search(len(s.epochEnds), func(i int) bool { return s.epochEnds[i] > step }))
}

// Follows says whether next is what a trainer tells after last: the same again, as a sign of life, or the next mark.
func (s Schedule) Follows(last, next *trainerv1.Progress) bool {
	if proto.Equal(last, next) {
		return true
	}
	told := s.After(next.GetStepsDone())
	if told == nil {
		return false
	}
	// The loss is the one number that is not known beforehand.
	if s.losses && s.EndsEpoch(next.GetStepsDone()) {
		told.Loss = next.Loss
		if next.Loss == nil || math.IsNaN(next.GetLoss()) || math.IsInf(next.GetLoss(), 0) {
			return false
		}
	}
	if !proto.Equal(told, next) {
		return false
	}
	for step := last.GetStepsDone() + 1; step < next.GetStepsDone(); step++ {
		if s.After(step) != nil {
			return false // one was left out
		}
	}
	return last.GetStepsDone() < next.GetStepsDone()
}
