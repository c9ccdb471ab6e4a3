package training

import (
	"context"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
)

func withLosses(modelID, datasetID string) *bastionlabv1.TrainingRequest {
	r := request(modelID, datasetID, 2)
	r.Metrics = true
	return r
}

func TestLossesAreKeptWithTheRun(t *testing.T) {
	w := newWorld(t)
	w.trainer.run = func(_ context.Context, t *fakeTrainer) error {
		t.progress(&trainerv1.Progress{StepsDone: 8, EpochsDone: 1, Loss: proto.Float64(0.75)})
		t.progress(&trainerv1.Progress{StepsDone: 12, EpochsDone: 1})
		t.progress(&trainerv1.Progress{StepsDone: 16, EpochsDone: 2, Loss: proto.Float64(-0.5)})
		return nil
	}
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
	w.trainer.run = func(_ context.Context, t *fakeTrainer) error {
		t.progress(&trainerv1.Progress{StepsDone: 8, EpochsDone: 1, Loss: proto.Float64(0.75)})
		return errors.New("it dies")
	}
	d := w.upload(6)
	run := w.wait(w.start(scientist, withLosses(w.insertModel(scientist, d), d)).GetId())
	expectRun(t, run, failed, failureWithData, spentTwoOfSix)
	if epochs := run.GetHistory().GetEpochs(); len(epochs) != 1 || epochs[0].GetLoss() != 0.75 {
		t.Errorf("history %v", epochs)
	}
}

// PRIVACY: a loss that came with every epoch's end would show the time of each more exactly than the coarse steps do.
func TestALossIsNotSeenBeforeTheStepsItBelongsTo(t *testing.T) {
	w := newWorld(t)
	step, seen := make(chan *trainerv1.Progress), make(chan struct{})
	w.trainer.run = func(_ context.Context, t *fakeTrainer) error {
		for progress := range step {
			t.progress(progress)
			seen <- struct{}{}
		}
		return nil
	}
	d := w.upload(6)
	r := withLosses(w.insertModel(scientist, d), d)
	r.NbEpochs = 100 // 800 steps, told in parts of 16
	run := w.start(scientist, r).GetId()
	epochsSeen := func() int {
		found, err := w.Get(t.Context(), scientist, run)
		if err != nil {
			t.Fatal(err)
		}
		return len(found.GetHistory().GetEpochs())
	}
	for epoch := int64(1); epoch <= 4; epoch++ {
		step <- &trainerv1.Progress{StepsDone: 8 * epoch, EpochsDone: epoch, Loss: proto.Float64(1)}
		<-seen
		if got, want := epochsSeen(), int(epoch/2*2); got != want {
			t.Errorf("after epoch %d: the losses of %d are seen, want %d", epoch, got, want)
		}
	}
	close(step)
	w.wait(run)
	if got := epochsSeen(); got != 4 {
		t.Errorf("in the end %d losses are seen", got)
	}
}
