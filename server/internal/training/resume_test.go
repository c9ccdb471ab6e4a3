package training

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// killedAt runs a run up to a stage and returns the data directory as kill -9 would leave it there, with the run.
func killedAt(t *testing.T, dir, stage string) (left, run string) {
	t.Helper()
	w := open(t, dir, nil)
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	w.script(func(ctx context.Context, ft *fakeTrainer) error {
		if len(ft.resumed) == 0 {
			if err := diesAt(stage)(ctx, ft); err != nil && !errors.Is(err, errDies) {
				return err
			}
		}
		close(arrived)
		<-release
		return ctx.Err()
	})
	stop := w.serve()
	rows, err := w.store.UnfinishedRuns(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		d := w.upload(6)
		run = w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	} else {
		run = rows[0].ID
	}
	<-arrived
	left = w.killed()
	close(release)
	stop()
	w.closeOnce()
	return left, run
}

// reopened is the next server on a directory.
func reopened(t *testing.T, dir string) *world {
	t.Helper()
	w := open(t, dir, nil)
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAKilledServersRunGoesOnFromItsLastState(t *testing.T) {
	for stage, state := range stages {
		t.Run(stage, func(t *testing.T) {
			left, run := killedAt(t, t.TempDir(), stage)
			w := reopened(t, left)
			if seen := w.get(run); seen.GetStatus() != queued {
				t.Fatalf("it is %v", seen)
			}
			a := w.script(trains)
			w.serve()
			expectRun(t, w.wait(run), completed, "", spentTwoOfSix)
			made := a.made()
			if len(made) != 1 || string(made[0].resumed) != state {
				t.Errorf("%d attempts, the first goes on from %q, want %q", len(made), made[0].resumed, state)
			}
			if count := w.asOwner(run).GetInterruptions(); count != 1 {
				t.Errorf("%d interruptions", count)
			}
			w.expectSpent(w.onlyDataset(), 2)
			w.expectNoStates()
		})
	}
}

func (w *world) onlyDataset() string {
	w.t.Helper()
	found, err := w.store.Datasets(w.t.Context())
	if err != nil || len(found) != 1 {
		w.t.Fatalf("datasets %v, %v", found, err)
	}
	return found[0].ID
}

// PRIVACY: whoever runs the machine must not get more repetitions by killing the server than by killing the trainer.
func TestServersThatAreKilledCountLikeTrainersThatDie(t *testing.T) {
	left, run := killedAt(t, t.TempDir(), "in the first epoch")
	left, _ = killedAt(t, left, "in the first epoch")
	w := reopened(t, left)
	a := w.script(trains)
	w.serve()
	if seen := w.asOwner(run); seen.GetStatus() != waiting || !seen.GetDecides() || seen.GetInterruptions() != 2 {
		t.Fatalf("it is %v", seen)
	}
	// That it waits outlives the next server too, and is no interruption.
	again := reopened(t, w.killed())
	if seen := again.asOwner(run); seen.GetStatus() != waiting || seen.GetInterruptions() != 2 {
		t.Fatalf("it is %v", seen)
	}
	if len(a.made()) != 0 {
		t.Error("it was attempted unasked")
	}
	a = again.script(trains)
	again.serve()
	again.approve(run)
	expectRun(t, again.wait(run), completed, "", spentTwoOfSix)
	if made := a.made(); len(made) != 1 || string(made[0].resumed) != firstState {
		t.Errorf("%d attempts", len(made))
	}
}

// An approval that was given is not lost, and is not worth two attempts.
func TestAnApprovedRunThatNeverBeganBeginsAtTheNextStart(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	stop := w.serve()
	d := w.upload(6)
	w.script(diesAt("in the first epoch"), dies)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	w.waitForOwner(run)
	stop()
	w = reopened(t, w.killed())
	w.approve(run) // this server does not serve
	w = reopened(t, w.killed())
	if seen := w.asOwner(run); seen.GetStatus() != queued || seen.GetInterruptions() != 2 {
		t.Fatalf("it is %v", seen)
	}
	a := w.script(dies, trains)
	w.serve()
	w.waitForOwner(run)
	if made := len(a.made()); made != 1 {
		t.Errorf("%d attempts", made)
	}
}

// scriptUntilStopped has the next attempt keep its first state and then compute until it is told to end; arrived is closed in between.
func (w *world) scriptUntilStopped() (arrived <-chan struct{}) {
	kept := make(chan struct{})
	w.script(func(ctx context.Context, ft *fakeTrainer) error {
		err := ft.keep(ctx, 0, firstState)
		close(kept)
		<-ctx.Done()
		return errors.Join(err, ctx.Err())
	})
	return kept
}

func TestAServerThatStopsLeavesItsRunToTheNext(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	stop := w.serve()
	d := w.upload(6)
	arrived := w.scriptUntilStopped()
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	<-arrived
	stop()
	w.expectSpent(d, 2)
	again := reopened(t, w.killed())
	a := again.script(trains)
	again.serve()
	expectRun(t, again.wait(run), completed, "", spentTwoOfSix)
	if made := a.made(); len(made) != 1 || string(made[0].resumed) != firstState {
		t.Errorf("%d attempts", len(made))
	}
}

// Its operator may have left --cuda out: that costs no attempt, and none of the interruptions that the dataset has.
func TestARunWaitsForAServerThatOffersItsDevice(t *testing.T) {
	w := open(t, t.TempDir(), nil)
	w.Devices = []string{"cuda"}
	stop := w.serve()
	arrived := w.scriptUntilStopped()
	d := w.permitted(&bastionlabv1.Permissions{Gpu: true})
	run := w.start(scientist, onCUDA(w.insertModel(scientist, d), d)).GetId()
	<-arrived
	stop()
	without := reopened(t, w.killed())
	without.serve()
	_, err := without.Approve(t.Context(), owner, run)
	expectRefusal(t, err, refusal.Unavailable, "computes on cuda")
	if seen := without.asOwner(run); seen.GetStatus() != waiting || seen.GetInterruptions() != 1 || without.trainer.runs() != 0 {
		t.Errorf("it is %v", seen)
	}
	with := open(t, without.killed(), nil)
	with.Devices = []string{"cuda"}
	if err := with.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := with.script(trains)
	with.serve()
	expectRun(t, with.wait(run), completed, "", spentTwoOfSix)
	if made := a.made(); len(made) != 1 || string(made[0].resumed) != firstState {
		t.Errorf("%d attempts", len(made))
	}
}

func TestARunThatCannotBeGoneOnWithEnds(t *testing.T) {
	for name, spoil := range map[string]func(w *world, run string) error{
		"its dataset is gone": func(w *world, _ string) error {
			found, err := w.store.Datasets(w.t.Context())
			if err != nil {
				return err
			}
			return w.store.DeleteDataset(w.t.Context(), found[0].ID)
		},
		"it is of the release before": func(w *world, run string) error { return w.sql("UPDATE runs SET train = x''") },
	} {
		t.Run(name, func(t *testing.T) {
			left, run := killedAt(t, t.TempDir(), "in the first epoch")
			spoiler := open(t, left, nil)
			if err := spoil(spoiler, run); err != nil {
				t.Fatal(err)
			}
			spoiler.closeOnce()
			w := reopened(t, left)
			expectRun(t, w.get(run), failed, failureWithData, spentTwoOfSix)
			if open := w.ledger.Unsettled(); len(open) != 0 {
				t.Errorf("unsettled: %v", open)
			}
			w.expectNoStates()
		})
	}
}

func TestStatesThatNoRunHasAreRemoved(t *testing.T) {
	left, run := killedAt(t, t.TempDir(), "in the first epoch")
	w := open(t, left, nil)
	orphan := run + "a9s0"
	blob, err := w.store.CreateBlob(stateKind, orphan)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := blob.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ids, err := w.store.BlobIDs(stateKind); err != nil || len(ids) != 1 || ids[0] != run+"a1s0" {
		t.Errorf("left: %v, %v", ids, err)
	}
}

// A state that cannot be written is no state: the epoch does not begin, and the run goes on from the one before when there is room again.
func TestADiskThatIsFullWhenAStateIsWritten(t *testing.T) {
	for name, fill := range map[string]func(w *world) (release func()){
		"no room for the state": func(w *world) func() {
			folder := filepath.Join(w.dir, "blobs", stateKind)
			if err := os.Rename(folder, folder+"s"); err != nil {
				w.t.Fatal(err)
			}
			if err := os.WriteFile(folder, nil, 0o600); err != nil {
				w.t.Fatal(err)
			}
			return func() {
				if err := errors.Join(os.Remove(folder), os.Rename(folder+"s", folder)); err != nil {
					w.t.Fatal(err)
				}
			}
		},
		"no room for the row": func(w *world) func() { return w.jam() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			var release func()
			began := false
			a := w.script(func(ctx context.Context, ft *fakeTrainer) error {
				if err := ft.keep(ctx, 0, firstState); err != nil {
					return err
				}
				release = fill(w)
				err := ft.keep(ctx, 8, secondState)
				began = err == nil
				return errors.Join(err, errDies)
			}, dies, trains)
			run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
			told := w.waitForOwner(run)
			if began || told.GetStepsDone() != 0 || told.GetSpent() != spentTwoOfSix {
				t.Errorf("the epoch began: %t; its author reads %v", began, told)
			}
			release()
			w.approve(run)
			ended := w.rest(run)
			for ended.GetStatus() == waiting { // where the second attempt was not even begun, it is the one that was approved
				w.approve(run)
				ended = w.rest(run)
			}
			expectRun(t, ended, completed, "", spentTwoOfSix)
			made := a.made()
			if last := made[len(made)-1]; string(last.resumed) != firstState {
				t.Errorf("it went on from %q", last.resumed)
			}
			w.expectSpent(d, 2)
		})
	}
}

// sql changes the database as nobody may.
func (w *world) sql(statement string) error {
	w.t.Helper()
	db, err := openRaw(w.dir)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(w.t.Context(), statement)
	return err
}

func TestARunsNameBindsItsSettings(t *testing.T) {
	names := map[string]bool{}
	for _, row := range []storage.RunRow{{ID: "a", Train: []byte("x")}, {ID: "b", Train: []byte("x")}, {ID: "a", Train: []byte("y")}} {
		names[string(nameOf(row))] = true
	}
	if len(names) != 3 {
		t.Errorf("%d names of three", len(names))
	}
}
