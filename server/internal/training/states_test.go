package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

// statePath is where the one state lies.
func (w *world) statePath() string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.dir, "blobs", stateKind, "*.age"))
	if err != nil || len(found) != 1 {
		w.t.Fatalf("states %v, %v", found, err)
	}
	return found[0]
}

// A state that was torn, changed or exchanged is given to no trainer. Nothing is charged twice, and nothing leaves.
func TestAStateThatIsNotTheRunsOwnIsGivenToNobody(t *testing.T) {
	for name, spoil := range map[string]func(w *world, path string) error{
		"cut": func(_ *world, path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()-1)
		},
		"empty": func(_ *world, path string) error { return os.Truncate(path, 0) },
		"gone":  func(_ *world, path string) error { return os.Remove(path) },
		"changed": func(_ *world, path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content[len(content)-1] ^= 1
			return os.WriteFile(path, content, 0o600)
		},
		"another run's": func(w *world, path string) error {
			blob, err := w.store.CreateBlob(stateKind, strings.Repeat("0", 32)+"a1s0")
			if err != nil {
				return err
			}
			if _, err := blob.Write([]byte(firstState)); err != nil {
				return err
			}
			if _, _, err := blob.Commit(); err != nil {
				return err
			}
			return os.Rename(filepath.Join(filepath.Dir(path), strings.Repeat("0", 32)+"a1s0.age"), path)
		},
		"of another content": func(w *world, path string) error {
			id := strings.TrimSuffix(filepath.Base(path), ".age")
			if err := w.store.DeleteBlob(stateKind, id); err != nil {
				return err
			}
			blob, err := w.store.CreateBlob(stateKind, id)
			if err != nil {
				return err
			}
			if _, err := blob.Write([]byte(secondState)); err != nil {
				return err
			}
			_, _, err = blob.Commit()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			a := w.script(diesAt("in the first epoch"), dies, trains)
			run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
			w.waitForOwner(run)
			if err := spoil(w, w.statePath()); err != nil {
				t.Fatal(err)
			}
			w.approve(run)
			w.waitForOwner(run)
			if made := len(a.made()); made != 2 {
				t.Errorf("attempt %d was given %q", made, a.made()[2].resumed)
			}
			w.expectSpent(d, 2)
			if _, err := w.Deny(t.Context(), owner, run, ""); err != nil {
				t.Fatal(err)
			}
			expectRun(t, w.wait(run), failed, failureDenied, spentTwoOfSix)
			w.expectNoStates()
		})
	}
}

// What a trainer announces is kept as it was at that moment, or not at all.
func TestAStateIsTakenAsItIsAnnouncedOrNotAtAll(t *testing.T) {
	for name, announce := range map[string]func(ctx context.Context, t *fakeTrainer) error{
		"longer than it is":  func(ctx context.Context, t *fakeTrainer) error { return t.announces(ctx, 0, 1) },
		"shorter than it is": func(ctx context.Context, t *fakeTrainer) error { return t.announces(ctx, 0, -1) },
		"in an epoch's midst": func(ctx context.Context, t *fakeTrainer) error {
			return t.announces(ctx, 3, 0)
		},
		"after the end": func(ctx context.Context, t *fakeTrainer) error { return t.announces(ctx, 16, 0) },
		"of nothing":    func(ctx context.Context, t *fakeTrainer) error { return t.keep(ctx, 0, "") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.upload(6)
			var err error
			w.script(func(ctx context.Context, t *fakeTrainer) error { err = announce(ctx, t); return errDies })
			run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
			w.waitForOwner(run)
			if err == nil {
				t.Error("it was kept")
			}
			w.expectNoStates()
		})
	}
}

func (t *fakeTrainer) announces(ctx context.Context, steps, beyond int64) error {
	if _, err := t.state.WriteString(firstState); err != nil {
		return err
	}
	_, err := t.keeps(ctx, &trainerv1.State{StepsDone: steps, StateBytes: int64(len(firstState)) + beyond})
	return err
}

func TestAKeptStateCannotBeChangedAnyMore(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	changed := errors.New("not tried")
	w.script(func(ctx context.Context, t *fakeTrainer) error {
		file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", t.state.Fd()), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := t.keep(ctx, 0, firstState); err != nil {
			return err
		}
		_, changed = file.WriteAt([]byte{0}, 0)
		return trainsOn(ctx, t)
	})
	expectRun(t, w.wait(w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()), completed, "", spentTwoOfSix)
	if changed == nil {
		t.Error("it could be written to after it was announced")
	}
}

func trainsOn(ctx context.Context, t *fakeTrainer) error { return t.keep(ctx, 8, secondState) }

// PRIVACY: a state tells which records were sampled. It goes when they go, also where somebody copied its file.
func TestAStateIsUnderItsDatasetsKey(t *testing.T) {
	w := newWorld(t)
	d := w.upload(6)
	w.script(diesAt("in the first epoch"), dies, trains)
	run := w.start(scientist, request(w.insertModel(scientist, d), d, 2)).GetId()
	w.waitForOwner(run)
	id := strings.TrimSuffix(filepath.Base(w.statePath()), ".age")
	var wrong *storage.BlobError
	if _, err := w.store.OpenBlob(stateKind, id); !errors.As(err, &wrong) || wrong.Fault != storage.BlobWrongKey {
		t.Errorf("the server's key opens it: %v", err)
	}
	if file, err := w.store.OpenDatasetBlob(t.Context(), d, stateKind, id); err != nil {
		t.Error(err)
	} else {
		file.Close()
	}
}
