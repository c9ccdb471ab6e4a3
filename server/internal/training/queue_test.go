package training

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func (w *world) get(id string) *bastionlabv1.Run {
	w.t.Helper()
	run, err := w.Get(w.t.Context(), scientist, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

func TestOneRunTrainsAtATimeInOrder(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	h := holdTrainers(w)
	first, second := w.start(scientist, request(m, d, 1)), w.start(scientist, request(m, d, 1))
	<-h.arrived
	if a, b := w.get(first.GetId()).GetStatus(), w.get(second.GetId()).GetStatus(); a != running || b != queued || w.trainer.runs() != 1 {
		t.Errorf("they are %s and %s, %d trainers", a, b, w.trainer.runs())
	}
	h.letGo()
	expectRun(t, w.wait(first.GetId()), completed, "", "eps 1 of the limit 6")
	expectRun(t, w.wait(second.GetId()), completed, "", "eps 1 of the limit 6")
}

func TestSeveralMayTrainAtOnce(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	w.Concurrent = 3
	w.serve()
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	h := holdTrainers(w)
	for range 3 {
		w.start(scientist, request(m, d, 1))
	}
	for range 3 {
		select {
		case <-h.arrived:
		case <-time.After(10 * time.Second):
			t.Fatal("fewer than three train")
		}
	}
}

func TestCancelWhileQueuedCostsNothing(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	h := holdTrainers(w)
	w.start(scientist, request(m, d, 2))
	<-h.arrived
	waiting := w.start(scientist, request(m, d, 3))
	w.expectSpent(d, 5)
	run, err := w.Cancel(t.Context(), scientist, waiting.GetId())
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, run, cancelled, "", refusal.Nothing)
	w.expectSpent(d, 2)
	h.letGo()
	if w.trainer.runs() != 1 {
		t.Errorf("%d trainers", w.trainer.runs())
	}
}

func TestCancelWhilePreparingCostsNothing(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	preparing := make(chan struct{})
	w.trainer.prepare = func(ctx context.Context, _ *trainerv1.Train) error {
		close(preparing)
		<-ctx.Done()
		return ctx.Err()
	}
	started := w.start(scientist, request(w.insertModel(scientist, d), d, 2))
	<-preparing
	run, err := w.Cancel(t.Context(), scientist, started.GetId())
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, run, cancelled, "", refusal.Nothing)
	w.expectSpent(d, 0)
}

func TestCancelWithTheDataStaysCharged(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	h := holdTrainers(w)
	started := w.start(scientist, request(w.insertModel(scientist, d), d, 2))
	<-h.arrived
	run, err := w.Cancel(t.Context(), scientist, started.GetId())
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, run, cancelled, "", spentTwoOfSix)
	w.expectSpent(d, 2)
	_, err = w.Weights(t.Context(), scientist, run.GetId())
	expectRefusal(t, err, refusal.InvalidArgument, "only a completed run")
	again, err := w.Cancel(t.Context(), scientist, run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, again, cancelled, "", spentTwoOfSix)
}

func TestACompletedRunStaysCompleted(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	after, err := w.Cancel(t.Context(), scientist, run.GetId())
	if err != nil {
		t.Fatal(err)
	}
	expectRun(t, after, completed, "", spentTwoOfSix)
}

func TestAStoppingServerReleasesWhatIsQueuedAndLeavesWhatHasTheData(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	stop := w.serve()
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	h := holdTrainers(w)
	first, second := w.start(scientist, request(m, d, 2)), w.start(scientist, request(m, d, 2))
	<-h.arrived
	stop()
	if left := w.get(first.GetId()); left.GetStatus() != running || left.GetEndedUnixMs() != 0 {
		t.Errorf("the next start finds %v", left)
	}
	expectRun(t, w.get(second.GetId()), failed, failureStopped, refusal.Nothing)
	w.expectSpent(d, 2)
	_, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 1)})
	expectRefusal(t, err, refusal.Unavailable, "stopping")
	w.expectSpent(d, 2)
}

func TestDeletingADatasetEndsTheRunsOnIt(t *testing.T) {
	w := newWorld(t)
	d, other := w.upload(6), w.upload(6)
	m := w.insertModel(scientist, d)
	h := holdTrainers(w)
	first, second, elsewhere := w.start(scientist, request(m, d, 2)), w.start(scientist, request(m, d, 2)), w.start(scientist, request(m, other, 2))
	<-h.arrived
	if err := w.datasets.Delete(t.Context(), owner, d); err != nil {
		t.Fatal(err)
	}
	w.DatasetDeleted(t.Context(), d)
	expectRun(t, w.get(second.GetId()), failed, failureDatasetDeleted, refusal.Nothing) // at once: it need not wait for its turn
	expectRun(t, w.wait(first.GetId()), failed, failureWithData, spentTwoOfSix)
	h.letGo()
	expectRun(t, w.wait(elsewhere.GetId()), completed, "", spentTwoOfSix)
	w.expectSpent(d, 2) // the account of a deleted dataset stays
	_, err := w.Plan(t.Context(), scientist, request(m, d, 2))
	expectRefusal(t, err, refusal.NotFound, "dataset")
}

func TestAFullQueueChargesNothing(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	w.MaxQueued = 2
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	for range 2 {
		w.start(scientist, request(m, d, 1))
	}
	_, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 1)})
	expectRefusal(t, err, refusal.Unavailable, "2 runs are queued")
	w.expectSpent(d, 2)
	w.serve()
}

// Sixteen clients want the last of the budget at once: exactly one gets it.
func TestRaceForTheLastOfTheBudget(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	holdTrainers(w)
	w.start(scientist, request(m, d, 4))
	plan, err := w.Plan(t.Context(), scientist, request(m, d, 2))
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 16)
	var clients sync.WaitGroup
	gate := make(chan struct{})
	for i := range errs {
		clients.Go(func() {
			<-gate
			_, errs[i] = w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 2), Charge: plan.GetCharge(), Name: fmt.Sprint(i)})
		})
	}
	close(gate)
	clients.Wait()
	won := 0
	for _, err := range errs {
		var refused *refusal.Error
		switch {
		case err == nil:
			won++
		case !errors.As(err, &refused) || refused.Kind != refusal.BudgetExceeded || refused.Budget == nil:
			t.Errorf("a loser reads %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d got it", won)
	}
	w.expectSpent(d, 6)
}

// A server that stops at the last moment before the data are given gives them not, and gives the charge back.
func TestAStopAtTheLastMomentCostsNothing(t *testing.T) {
	for range 10 { // without the last look it is a race
		w := open(t, t.TempDir(), nil)
		serving, stop := context.WithCancel(t.Context())
		w.trainer.look = stop
		d := w.upload(6)
		run := w.start(scientist, request(w.insertModel(scientist, d), d, 2))
		w.Serve(serving)
		row := w.written(run.GetId())
		if statusOf(row) != failed || row.Failure != failureStopped || row.Spent != refusal.Nothing {
			t.Errorf("the run is written as %+v", row)
		}
		w.expectSpent(d, 0)
		w.closeOnce()
	}
}
