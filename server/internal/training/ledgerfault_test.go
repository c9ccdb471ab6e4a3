package training

import (
	"context"
	"errors"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
)

var errDisk = errors.New("input/output error")

// faulty is a ledger of which one movement fails.
type faulty struct {
	*ledger.Ledger
	fails string
}

func (f *faulty) Reserve(dataset, run, scientist string, price ledger.Price) error {
	if f.fails == "reserve" {
		return errDisk
	}
	return f.Ledger.Reserve(dataset, run, scientist, price)
}

func (f *faulty) DataGiven(dataset, run string) error {
	if f.fails == "data" {
		return errDisk
	}
	return f.Ledger.DataGiven(dataset, run)
}

func (f *faulty) Release(dataset, run string) error {
	if f.fails == "release" {
		return errDisk
	}
	return f.Ledger.Release(dataset, run)
}

func (f *faulty) Settle(dataset, run, outcome string) error {
	if f.fails == "settle" {
		return errDisk
	}
	return f.Ledger.Settle(dataset, run, outcome)
}

func (f *faulty) SettleCancelled(dataset, run string, drawn []accounting.Renyi) error {
	if f.fails == "settle" {
		return errDisk
	}
	return f.Ledger.SettleCancelled(dataset, run, drawn)
}

func faultyWorld(t *testing.T, fails string) *world {
	w := open(t, t.TempDir(), func(l *ledger.Ledger) Budget { return &faulty{l, fails} })
	w.serve()
	return w
}

func TestWithoutALedgerNothingStarts(t *testing.T) {
	w := faultyWorld(t, "reserve")
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	if _, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, d, 2)}); !errors.Is(err, errDisk) {
		t.Errorf("start: %v", err)
	}
	if runs, err := w.List(t.Context(), scientist); len(runs) != 0 || err != nil {
		t.Errorf("runs %v, %v", runs, err)
	}
}

func TestWithoutTheRecordThatTheyAreGivenTheDataAreNotGiven(t *testing.T) {
	w := faultyWorld(t, "data")
	d := w.upload(6)
	given := false
	w.trainer.run = func(_ context.Context, _ *fakeTrainer) error { given = true; return nil }
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	expectRun(t, run, failed, failureServer, spentTwoOfSix)
	if given {
		t.Error("the trainer got the records")
	}
	w.expectSpent(d, 2)
}

func TestWeightsStayWhereTheLedgerCannotSayCompleted(t *testing.T) {
	w := faultyWorld(t, "settle")
	d := w.upload(6)
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	expectRun(t, run, failed, failureWithData, spentTwoOfSix)
	if _, err := w.Weights(t.Context(), scientist, run.GetId()); err == nil {
		t.Error("the weights left")
	}
	if strings.Contains(run.String(), errDisk.Error()) {
		t.Errorf("the run is %v", run)
	}
}

func TestAChargeThatCannotBeReleasedIsToldAsSpent(t *testing.T) {
	w := faultyWorld(t, "release")
	d := w.upload(6)
	w.trainer.prepare = func(context.Context, *trainerv1.Train) error { return errors.New("it cannot be prepared") }
	run := w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId())
	expectRun(t, run, failed, failureServer, spentTwoOfSix)
	w.expectSpent(d, 2)
}
