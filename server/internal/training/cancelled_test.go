package training

import (
	"context"
	"errors"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/planning"
)

// Where composition counts steps, a run that a person ended draws what its released epochs took. A model must not be able to make that so: what
// was interrupted stays in full, and so does what showed nothing but its pace.
func TestACancelledRunIsSettledToTheEndOfItsLastReleasedEpoch(t *testing.T) {
	holds := func(arrived chan struct{}, before func(context.Context, *fakeTrainer) error) func(context.Context, *fakeTrainer) error {
		return func(ctx context.Context, t *fakeTrainer) error {
			err := before(ctx, t)
			arrived <- struct{}{}
			<-ctx.Done()
			return errors.Join(err, ctx.Err())
		}
	}
	oneEpoch := func(ctx context.Context, t *fakeTrainer) error {
		return errors.Join(t.keep(ctx, 0, firstState), t.keep(ctx, 8, secondState))
	}
	for name, test := range map[string]struct {
		parts func(arrived chan struct{}) []func(context.Context, *fakeTrainer) error
		part  bool
	}{
		"in the second epoch": {func(arrived chan struct{}) []func(context.Context, *fakeTrainer) error {
			return []func(context.Context, *fakeTrainer) error{holds(arrived, oneEpoch)}
		}, true},
		"in the first epoch": {func(arrived chan struct{}) []func(context.Context, *fakeTrainer) error {
			return []func(context.Context, *fakeTrainer) error{holds(arrived, diesAt("before its first state"))}
		}, false},
		"in the second epoch, at a second attempt": {func(arrived chan struct{}) []func(context.Context, *fakeTrainer) error {
			return []func(context.Context, *fakeTrainer) error{diesAt("in the second epoch"), holds(arrived, func(context.Context, *fakeTrainer) error { return nil })}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			arrived := make(chan struct{}, 1)
			w.script(test.parts(arrived)...)
			run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
			<-arrived
			if _, err := w.Cancel(t.Context(), scientist, run); err != nil {
				t.Fatal(err)
			}
			expectRun(t, w.wait(run), cancelled, "", spentTwoOfSix)
			w.expectSpent(d, 2)
			account, err := w.ledger.Account(d)
			if err != nil {
				t.Fatal(err)
			}
			whole, err := planning.Recomputed(account.Entries[0].Charge, account.Orders)
			if err != nil {
				t.Fatal(err)
			}
			for i, drawn := range account.Renyi {
				// 8 of 16 steps, and what the sampler may add in full.
				if want := (whole[i]-1000+1)/2 + 1000; test.part && drawn != want || !test.part && drawn != whole[i] {
					t.Errorf("order %d: drawn %d of %d", account.Orders[i], drawn, whole[i])
				}
			}
		})
	}
}
