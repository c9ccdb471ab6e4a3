package training

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
)

func withLosses(modelID, datasetID string) *bastionlabv1.TrainingRequest {
	r := request(modelID, datasetID, 2)
	r.Metrics = true
	return r
}

// tellsLosses makes the epochs of a run, or what an attempt before left of them.
func tellsLosses(first, second float64) func(context.Context, *fakeTrainer) error {
	return func(ctx context.Context, t *fakeTrainer) error {
		if len(t.resumed) == 0 {
			if err := t.keep(ctx, 0, firstState); err != nil {
				return err
			}
		}
		if t.data.GetResumedSteps() < 8 {
			t.tellLoss(8, 1, first)
			if err := t.keep(ctx, 8, secondState); err != nil {
				return err
			}
		}
		t.progress(&trainerv1.Progress{StepsDone: 12, EpochsDone: 1})
		t.tellLoss(16, 2, second)
		return nil
	}
}

// losses are those of a run's history, whose epochs are 1, 2, ...
func losses(t *testing.T, run *bastionlabv1.Run) (found []float64) {
	t.Helper()
	for i, epoch := range run.GetHistory().GetEpochs() {
		if epoch.GetEpoch() != int64(i+1) || epoch.GetSteps() != 8 || epoch.GetStandardError() <= 0 {
			t.Errorf("epoch %d is %v", i+1, epoch)
		}
		found = append(found, epoch.GetLoss())
	}
	return found
}

func expectLosses(t *testing.T, run *bastionlabv1.Run, want ...float64) {
	t.Helper()
	if found := losses(t, run); !slices.Equal(found, want) {
		t.Errorf("the history of a run that is %s has the losses %v, want %v", run.GetStatus(), found, want)
	}
}

func TestLossesAreKeptWithTheRun(t *testing.T) {
	w := newWorld(t)
	w.script(tellsLosses(0.75, -0.5))
	d := w.upload(6)
	run := w.wait(w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId())
	found, err := w.Get(t.Context(), scientist, run.GetId()) // from the disk
	if err != nil {
		t.Fatal(err)
	}
	plan := found.GetPlan()
	if bound := w.trainer.prepared[0].GetSettings().GetLossBound(); bound != 2*math.Log(4) || plan.GetLossBound() != bound {
		t.Errorf("the trainer's bound is %v, the plan's %v", bound, plan.GetLossBound())
	}
	off := plan.GetNoiseMultiplier() * (1 + plan.GetEta()) * plan.GetLossBound() / math.Sqrt(0.05) / 8 / math.Sqrt(8)
	want := []*bastionlabv1.EpochMetrics{
		{Epoch: 1, Steps: 8, Loss: 0.75, StandardError: off}, {Epoch: 2, Steps: 8, Loss: -0.5, StandardError: off},
	}
	for _, told := range []*bastionlabv1.Run{run, found} {
		epochs := told.GetHistory().GetEpochs()
		if len(epochs) != 2 {
			t.Fatalf("history %v", epochs)
		}
		for i, epoch := range epochs {
			if math.Abs(epoch.GetStandardError()-off) > 1e-12 {
				t.Errorf("standard error %v, want %v", epoch.GetStandardError(), off)
			}
			epoch.StandardError = off
			if !proto.Equal(epoch, want[i]) {
				t.Errorf("epoch %v, want %v", epoch, want[i])
			}
		}
	}
}

func TestARunWithoutLossesHasNoHistory(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	if len(run.GetHistory().GetEpochs()) != 0 || w.trainer.prepared[0].GetSettings().GetLossBound() != 0 || run.GetPlan().GetLossBound() != 0 {
		t.Errorf("the run is %v", run)
	}
}

// What was released before a run failed is a part of what it was charged for.
func TestAFailedRunKeepsTheLossesThatItReleased(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	w.script(func(ctx context.Context, t *fakeTrainer) error {
		return errors.Join(tellsLosses(0.75, 4711)(ctx, t), errDies)
	})
	run := w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId()
	expectLosses(t, w.waitForOwner(run), 0.75) // both attempts told of the second epoch
	if _, err := w.Deny(t.Context(), owner, run, ""); err != nil {
		t.Fatal(err)
	}
	ended := w.wait(run)
	expectRun(t, ended, failed, failureDenied, spentTwoOfSix)
	expectLosses(t, ended, 0.75)
}

// PRIVACY: an epoch that is repeated has noise of its own. Of its losses only the one leaves whose epoch was followed by a state.
func TestALossLeavesWithTheStateAfterItsEpoch(t *testing.T) {
	dies := func(first, second float64, states ...int64) func(context.Context, *fakeTrainer) error {
		return func(ctx context.Context, t *fakeTrainer) error {
			told := map[int64]func(){8: func() { t.tellLoss(8, 1, first) }, 16: func() { t.tellLoss(16, 2, second) }}
			for _, steps := range states {
				if tell := told[steps]; tell != nil {
					tell()
				}
				if steps == 16 {
					break
				}
				if err := t.keep(ctx, steps, firstState); err != nil {
					return err
				}
			}
			return errDies
		}
	}
	const never = 4711
	for name, test := range map[string]struct {
		first func(context.Context, *fakeTrainer) error
		want  []float64
	}{
		"it dies before the state": {func(ctx context.Context, t *fakeTrainer) error {
			err := t.keep(ctx, 0, firstState)
			t.tellLoss(8, 1, never)
			return errors.Join(err, errDies)
		}, []float64{0.5, 0.25}},
		"it dies after the state":    {dies(0.75, never, 0, 8), []float64{0.75, 0.25}},
		"it dies after the last one": {dies(0.75, never, 0, 8, 16), []float64{0.75, 0.25}},
		"its weights are rubbish": {func(ctx context.Context, t *fakeTrainer) error {
			t.raw = []byte("rubbish")
			return tellsLosses(0.75, never)(ctx, t)
		}, []float64{0.75, 0.25}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			w.script(test.first, tellsLosses(0.5, 0.25))
			expectLosses(t, w.wait(w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId()), test.want...)
		})
	}
}

func TestALossThatCannotBeWrittenIsNotShown(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	var release func()
	w.script(func(ctx context.Context, ft *fakeTrainer) error {
		err := ft.keep(ctx, 0, firstState)
		release = w.jam()
		ft.tellLoss(8, 1, 4711)
		return errors.Join(err, ft.keep(ctx, 8, secondState))
	}, tellsLosses(0.5, 0.25))
	run := w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId()
	expectLosses(t, w.waitForOwner(run))
	release()
	w.approve(run)
	expectLosses(t, w.wait(run), 0.5, 0.25)
}

// The losses that were released outlive a server, each once, with the errors that the plan promised.
func TestAKilledServersRunHasTheLossesOfItsWholeLife(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	stop := w.serve()
	d := w.upload(6)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.script(func(ctx context.Context, ft *fakeTrainer) error {
		err := tellsLosses(0.75, 4711)(ctx, ft)
		close(arrived)
		<-release
		return err
	})
	run := w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId()
	<-arrived
	left := w.killed()
	close(release)
	stop()
	w = reopened(t, left)
	expectLosses(t, w.get(run), 0.75)
	w.script(tellsLosses(4711, 0.25))
	w.serve()
	ended := w.wait(run)
	expectLosses(t, ended, 0.75, 0.25)
	if epochs := ended.GetHistory().GetEpochs(); epochs[0].GetStandardError() != epochs[1].GetStandardError() {
		t.Errorf("two epochs of as many steps: %v", epochs)
	}
}

// PRIVACY: the last loss is written with the weights, and like them it is shown when the ledger has settled the run.
func TestTheLastLossLeavesWithTheEndOfTheRun(t *testing.T) {
	for name, test := range map[string]struct{ before, after string }{"before the run is settled": {before: "settle"}, "after it": {after: "settle"}} {
		t.Run(name, func(t *testing.T) {
			var dir string
			budget := &crashing{before: test.before, after: test.after}
			w := open(t, filepath.Join(t.TempDir(), "first"), func(l *ledger.Ledger) Budget {
				budget.Ledger = l
				return budget
			})
			d := w.upload(6)
			w.script(tellsLosses(0.75, 0.25))
			run := w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId()
			budget.crash = func() {
				dir = w.killed()
				expectLosses(t, w.get(run), 0.75)
			}
			stop := w.serve()
			expectLosses(t, w.wait(run), 0.75, 0.25)
			stop()
			w = reopened(t, dir)
			expectRun(t, w.get(run), completed, "", spentTwoOfSix)
			expectLosses(t, w.get(run), 0.75, 0.25)
		})
	}
}

// PRIVACY: weights that were written and then lost are made anew, and the last loss with them.
func TestALossWhoseWeightsAreLostIsForgotten(t *testing.T) {
	var dir string
	budget := &crashing{before: "settle"}
	w := open(t, filepath.Join(t.TempDir(), "first"), func(l *ledger.Ledger) Budget {
		budget.Ledger = l
		return budget
	})
	d := w.upload(6)
	w.script(tellsLosses(0.75, 4711))
	run := w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId()
	budget.crash = func() { dir = w.killed() }
	stop := w.serve()
	w.wait(run)
	stop()
	if err := os.Remove(filepath.Join(dir, "blobs", weightsKind, run+".age")); err != nil {
		t.Fatal(err)
	}
	w = reopened(t, dir)
	expectLosses(t, w.get(run), 0.75)
	w.script(tellsLosses(4711, 0.25))
	w.serve()
	expectLosses(t, w.wait(run), 0.75, 0.25)
}

// PRIVACY: a loss that came with every epoch's end would show the time of each more exactly than the coarse steps do.
func TestALossIsNotSeenBeforeTheStepsItBelongsTo(t *testing.T) {
	w := newWorld(t)
	step, seen := make(chan int64), make(chan struct{})
	w.trainer.run = func(ctx context.Context, t *fakeTrainer) error {
		if err := t.keep(ctx, 0, firstState); err != nil {
			return err
		}
		for epoch := range step {
			t.tellLoss(8*epoch, epoch, 1)
			if err := t.keep(ctx, 8*epoch, secondState); err != nil {
				return err
			}
			seen <- struct{}{}
		}
		return nil
	}
	d := w.upload(6)
	r := withLosses(w.insertModel(scientist, d), d)
	r.NbEpochs = 100 // 800 steps, told in parts of 16
	run := w.start(scientist, r).GetId()
	for epoch := 1; epoch <= 4; epoch++ {
		step <- int64(epoch)
		<-seen
		if got, want := len(losses(t, w.get(run))), epoch/2*2; got != want {
			t.Errorf("after epoch %d: the losses of %d are seen, want %d", epoch, got, want)
		}
	}
	step <- 5
	<-seen
	close(step)
	if got := len(losses(t, w.wait(run))); got != 5 {
		t.Errorf("in the end %d losses are seen", got)
	}
}
