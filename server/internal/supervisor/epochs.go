package supervisor

import (
	"context"
	"os"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/trainer/schedule"
)

// Keep makes a state durable that a trainer has written into the last file it was given, and returns the file for the next one; nil after
// the last.
type Keep = func(ctx context.Context, state *trainerv1.State) (next *os.File, err error)

// epochs follows how far a run is: what a trainer may say next.
type epochs struct {
	schedule schedule.Schedule
	last     *trainerv1.Progress // that it told
	current  schedule.Epoch      // whose state was kept; none yet: of no steps
}

// newEpochs begins a run, or goes on with the epoch whose state an earlier attempt left.
func newEpochs(plan schedule.Schedule, resumes bool, stepsDone int64) (*epochs, error) {
	e := &epochs{schedule: plan, last: &trainerv1.Progress{}}
	if !resumes {
		return e, nil
	}
	var ok bool
	if e.current, ok = plan.EpochFrom(stepsDone); !ok {
		return nil, errRubbish
	}
	if told := plan.After(stepsDone); told != nil {
		e.last = told
	}
	return e, nil
}

// progressed says whether next is what is told next.
// PRIVACY: a trainer that was taken over must not be able to write records into its progress, and none goes beyond the epoch whose state is
// durable: what it did there could not be repeated with the same samples.
func (e *epochs) progressed(next *trainerv1.Progress) bool {
	if !e.schedule.Follows(e.last, next) || next.GetStepsDone() > e.current.End {
		return false
	}
	e.last = next
	return true
}

// begins returns the epoch that a state is the beginning of. The one before must have ended.
func (e *epochs) begins(state *trainerv1.State) (schedule.Epoch, bool) {
	if state.GetStepsDone() != e.current.End || e.last.GetStepsDone() != e.current.End {
		return schedule.Epoch{}, false
	}
	return e.schedule.EpochFrom(state.GetStepsDone())
}

// ended says whether all steps are done.
func (e *epochs) ended() bool {
	return e.current.End == e.schedule.Steps() && e.last.GetStepsDone() == e.current.End
}

// keep has a state kept and tells the trainer so.
func (t *Trainer) keep(ctx context.Context, state *trainerv1.State, e *epochs, keep Keep) error {
	epoch, ok := e.begins(state)
	if !ok {
		return errRubbish
	}
	next, err := keep(ctx, state)
	if err != nil {
		return err
	}
	var files []*os.File
	if next != nil {
		files = append(files, next)
	}
	e.current = epoch
	kept := &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_StateKept{StateKept: &trainerv1.StateKept{}}}
	return t.session.send(ctx, t.launcher.config.StallWindow, kept, files...)
}
