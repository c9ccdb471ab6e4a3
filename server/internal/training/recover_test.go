package training

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// killed is the data directory as kill -9 at this moment would leave it.
func (w *world) killed() string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(w.dir)); err != nil {
		w.t.Fatal(err)
	}
	for _, secret := range []string{".", "keys", "blobs"} {
		if err := os.Chmod(filepath.Join(dir, secret), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			err = os.Chmod(path, 0o600)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// crashing copies the data directory just before or just after one movement of the ledger.
type crashing struct {
	*ledger.Ledger
	before, after string
	crash         func()
}

func (c *crashing) around(movement string, do func() error) error {
	if c.before == movement {
		c.crash()
	}
	err := do()
	if c.after == movement {
		c.crash()
	}
	return err
}

func (c *crashing) DataGiven(dataset, run string) error {
	return c.around("data", func() error { return c.Ledger.DataGiven(dataset, run) })
}

func (c *crashing) Release(dataset, run string) error {
	return c.around("release", func() error { return c.Ledger.Release(dataset, run) })
}

func (c *crashing) Settle(dataset, run, outcome string) error {
	return c.around("settle", func() error { return c.Ledger.Settle(dataset, run, outcome) })
}

func (c *crashing) SettleCancelled(dataset, run string, drawn []accounting.Renyi) error {
	return c.around("settle", func() error { return c.Ledger.SettleCancelled(dataset, run, drawn) })
}

func TestAServerThatDiedAtAnyPointLeavesTheTruth(t *testing.T) {
	const two = 2
	fails := func(context.Context, *trainerv1.Train) error {
		return refusal.New(refusal.TrainingFailed, "", "it cannot be prepared")
	}
	for name, test := range map[string]struct {
		before, after string
		prepare       func(context.Context, *trainerv1.Train) error
		status        bastionlabv1.RunStatus
		failure       string
		spent         float64
	}{
		"before the data are given":    {before: "data", status: failed, failure: failureStopped, spent: 0},
		"after the data were given":    {after: "data", status: completed, spent: two},
		"before it is released":        {before: "release", prepare: fails, status: failed, failure: failureStopped, spent: 0},
		"after it was released":        {after: "release", prepare: fails, status: failed, failure: failureStopped, spent: 0},
		"before a success is settled":  {before: "settle", status: completed, spent: two},
		"after a success was settled":  {after: "settle", status: completed, spent: two},
		"nothing happened to it, ever": {status: completed, spent: two},
	} {
		t.Run(name, func(t *testing.T) {
			var w *world
			var left string
			books := &crashing{before: test.before, after: test.after, crash: func() { left = w.killed() }}
			w = open(t, t.TempDir(), func(l *ledger.Ledger) Budget { books.Ledger = l; return books })
			w.trainer.prepare = test.prepare
			w.serve()
			d := w.upload(6)
			m := w.insertModel(scientist, d)
			run := w.start(scientist, request(m, d, two))
			w.wait(run.GetId())
			if left == "" {
				left = w.killed()
			}

			again := open(t, left, nil)
			if err := again.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			spent := spentTwoOfSix
			if test.spent == 0 {
				spent = refusal.Nothing
			}
			again.serve()
			expectRun(t, again.wait(run.GetId()), test.status, test.failure, spent)
			again.expectSpent(d, test.spent)
			if open := again.ledger.Unsettled(); len(open) != 0 {
				t.Errorf("the ledger still has %v open", open)
			}
			weights, err := again.Weights(t.Context(), scientist, run.GetId())
			if (err == nil) != (test.status == completed) {
				t.Errorf("weights: %v", err)
			}
			if err == nil {
				decodeWeights(t, weights)
			}
			expectRun(t, again.wait(again.start(scientist, request(m, d, 1)).GetId()), completed, "", "eps 1 of the limit 6")
		})
	}
}

func TestQueuedRunsOfADeadServerAreReleased(t *testing.T) {
	w := open(t, t.TempDir(), nil) // it never serves
	d := w.upload(6)
	m := w.insertModel(scientist, d)
	first, second := w.start(scientist, request(m, d, 2)), w.start(scientist, request(m, d, 2))
	w.expectSpent(d, 4)
	again := open(t, w.killed(), nil)
	if err := again.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{first.GetId(), second.GetId()} {
		found, err := again.Get(t.Context(), scientist, run)
		if err != nil {
			t.Fatal(err)
		}
		expectRun(t, found, failed, failureStopped, refusal.Nothing)
	}
	again.expectSpent(d, 0)
}

func TestAChargeWithoutARunIsReleased(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	d := w.upload(6)
	w.reserve(d, "r")
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expectSpent(d, 0)
}

func TestWeightsThatNoRunHasAreRemoved(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	blob, err := w.store.CreateBlob(weightsKind, "0123")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := blob.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids, err := w.store.BlobIDs(weightsKind); len(ids) != 0 || err != nil {
		t.Errorf("left: %v, %v", ids, err)
	}
}
