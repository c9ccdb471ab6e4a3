package training

import (
	"context"
	"errors"
	"testing"
	"time"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/accounting"
	"github.com/bastionlab/bastionlab/server/internal/ledger"
	"github.com/bastionlab/bastionlab/server/internal/planning"
)

// joinsFirst joins two accounts between the moment when a run is priced and the moment when it is charged, as an owner's upload may.
type joinsFirst struct {
	*ledger.Ledger
	join func() error
}

func (j *joinsFirst) Reserve(dataset, run, scientist string, price ledger.Price) error {
	if err := j.join(); err != nil {
		return err
	}
	return j.Ledger.Reserve(dataset, run, scientist, price)
}

// A run is priced at the orders of its account. If the account is joined to an older one before it is charged, the amounts are of other orders
// than those of the account that they are charged to: a run of eps 1 is admitted under a limit of 0.3.
func TestARunPricedAtTheOrdersOfAnAccountThatWasJoinedSinceIsNotCharged(t *testing.T) {
	j := &joinsFirst{}
	w := open(t, t.TempDir(), func(l *ledger.Ledger) Budget { j.Ledger = l; return j })
	first, second := w.upload(0.3), w.upload(4)
	j.join = func() error {
		return j.Ledger.JoinAccounts(ledger.Dataset{
			ID: "again", Owner: owner, Limit: 4e9, Delta: accounting.DefaultDelta(declared), Declared: declared, BlobHMAC: make([]byte, 32),
		}, []string{first, second}, planning.Recomputed)
	}
	m := w.insertModel(scientist, second)
	if _, err := w.Start(t.Context(), scientist, &bastionlabv1.StartTrainingRequest{Request: request(m, second, 1)}); err != nil {
		return // refused: as it should be
	}
	account, err := w.ledger.Account(second)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := planning.Recomputed(account.Entries[0].Charge, account.Orders)
	t.Errorf("the account with limit %s and orders %v took a run of eps %s; charged %v, which is drawn at these orders: %v (%v)",
		account.Limit, account.Orders, account.Entries[0].Epsilon, account.Renyi, whole, err)
	if err := w.ledger.DataGiven(second, account.Entries[0].Run); err == nil {
		t.Error("and it was given its data")
	}
}

// The row after an epoch may be in the database although writing it was told to have failed, because a person cancelled in that moment (see
// internal/storage/review5_test.go). What the charge was settled to must cover what the next start shows.
func TestACancelDuringTheWriteOfAStateThenACrashShowsNoMoreThanWasCharged(t *testing.T) {
	var w *world
	var left string
	books := &crashing{after: "settle", crash: func() { left = w.killed() }}
	w = open(t, t.TempDir(), func(l *ledger.Ledger) Budget { books.Ledger = l; return books })
	w.serve()
	d := w.upload(60)
	r := withLosses(w.insertModel(scientist, d), d)
	r.NbEpochs, *r.Epsilon = 3, 0.5
	for i := range 40 {
		at := make(chan struct{})
		w.script(func(ctx context.Context, tr *fakeTrainer) error {
			err := tr.keep(ctx, 0, firstState)
			tr.tellLoss(8, 1, 0.1)
			err = errors.Join(err, tr.keep(ctx, 8, secondState))
			tr.tellLoss(16, 2, 0.2)
			close(at)
			return errors.Join(err, tr.keep(ctx, 16, "SAMPLED 1"), func() error { <-ctx.Done(); return ctx.Err() }())
		})
		run := w.start(scientist, r).GetId()
		<-at
		time.Sleep(time.Duration(i%20) * 500 * time.Microsecond)
		if _, err := w.Cancel(t.Context(), scientist, run); err != nil {
			t.Fatal(err)
		}
		w.wait(run)

		again := open(t, left, nil)
		if err := again.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		told, err := again.Get(t.Context(), scientist, run)
		if err != nil {
			t.Fatal(err)
		}
		account, err := again.ledger.Account(d)
		if err != nil {
			t.Fatal(err)
		}
		entry := account.Entries[len(account.Entries)-1]
		epochs := len(told.GetHistory().GetEpochs())
		covers, err := planning.Drawn(entry.Charge, int64(8*epochs))
		if err != nil {
			t.Fatal(err)
		}
		if covers[0] > entry.Renyi[0] {
			t.Fatalf("cancelled at try %d: %d epochs of losses are shown, which draw %d, and the charge was settled to %d", i, epochs, covers[0], entry.Renyi[0])
		}
		again.closeOnce()
	}
}

// Who may run on a dataset sees what is spent on its account, and that there are other datasets on it; of the runs on these, nothing.
func TestABudgetTellsAStrangerNothingOfRunsOnOtherDatasets(t *testing.T) {
	w := newWorld(t)
	first := w.upload(6)
	w.uploads-- // the same records again
	second := w.upload(6)
	w.wait(w.start(scientist, request(w.insertModel(scientist, first), first, 1)).GetId())
	w.start(stranger, request(w.insertModel(stranger, second), second, 1))
	for user, want := range map[string]int{owner: 2, scientist: 2, stranger: 1} {
		budget, err := w.datasets.Budget(t.Context(), user, second)
		if err != nil || len(budget.GetRuns()) != want || (len(budget.GetDatasets()) > 0) != (user == owner) {
			t.Errorf("%s is told %v, %v", user, budget, err)
		}
	}
}
