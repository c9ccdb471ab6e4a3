//go:build linux

package supervisor

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// keepAll keeps every state of a run of two epochs of two steps.
func keepAll(t *testing.T) Keep {
	return func(_ context.Context, state *trainerv1.State) (*os.File, error) {
		if state.GetStepsDone() >= 2 {
			return nil, nil
		}
		return openFile(t, ""), nil
	}
}

// runOn runs a trainer on files of no meaning.
func runOn(t *testing.T, ctx context.Context, trainer *Trainer, data *trainerv1.Data, progress func(*trainerv1.Progress)) (*trainerv1.Finished, error) {
	t.Helper()
	return trainer.Run(ctx, data, []*os.File{openFile(t, "r"), openFile(t, ""), openFile(t, "")}, progress, keepAll(t))
}

func prepared(t *testing.T, behaviour string) *Trainer {
	t.Helper()
	l, _ := launcher(t, behaviour)
	trainer, err := l.Prepare(soon(t), train(), openFile(t, "archive"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	return trainer
}

func TestStatesAreKeptBetweenTheEpochs(t *testing.T) {
	trainer := prepared(t, "trains")
	defer trainer.Close()
	var heard []int64 // steps; states are negative
	keep := func(ctx context.Context, state *trainerv1.State) (*os.File, error) {
		heard = append(heard, -1-state.GetStepsDone())
		return keepAll(t)(ctx, state)
	}
	progress := func(p *trainerv1.Progress) { heard = append(heard, p.GetStepsDone()) }
	_, err := trainer.Run(soon(t), &trainerv1.Data{}, []*os.File{openFile(t, "r"), openFile(t, ""), openFile(t, "")}, progress, keep)
	if err != nil || !slices.Equal(heard, []int64{-1, 1, 2, -3, 3, 4}) {
		t.Errorf("heard %v, %v", heard, err)
	}
}

func TestAStateThatCannotBeKeptEndsTheTrainer(t *testing.T) {
	trainer := prepared(t, "trains")
	defer trainer.Close()
	told := 0
	keep := func(context.Context, *trainerv1.State) (*os.File, error) { return nil, errors.New("the disk is full") }
	_, err := trainer.Run(soon(t), &trainerv1.Data{}, []*os.File{openFile(t, "r"), openFile(t, ""), openFile(t, "")}, func(*trainerv1.Progress) { told++ }, keep)
	if err != ErrTrainingFailed || told > 0 {
		t.Errorf("got %v, told %d times", err, told)
	}
	select {
	case <-trainer.Ended():
	default:
		t.Error("the process still runs")
	}
}

func TestAnAttemptGoesOnWithAnEpoch(t *testing.T) {
	for name, test := range map[string]struct {
		steps int64
		fine  bool
	}{"where one begins": {2, true}, "in its midst": {3, false}, "after the last": {4, false}} {
		t.Run(name, func(t *testing.T) {
			trainer := prepared(t, "goes-on")
			defer trainer.Close()
			var told []int64
			data := &trainerv1.Data{ResumedSha256: []byte{1}, ResumedSteps: test.steps}
			files := []*os.File{openFile(t, "r"), openFile(t, ""), openFile(t, ""), openFile(t, "state")}
			_, err := trainer.Run(soon(t), data, files, func(p *trainerv1.Progress) { told = append(told, p.GetStepsDone()) }, keepAll(t))
			if test.fine != (err == nil) || test.fine && !slices.Equal(told, []int64{3, 4}) {
				t.Errorf("got %v, told %v", err, told)
			}
		})
	}
}

// epochBehaviours are of trainers with data.
var epochBehaviours = map[string]func(*actor){
	// The steps of an epoch come after its state, and nothing comes between.
	"trains-without-a-state": func(a *actor) { a.prepared(); a.data(); a.progress(1, 0); hang() },
	"goes-beyond-its-state": func(a *actor) {
		a.prepared()
		a.data()
		a.begins(0)
		a.progress(1, 0)
		a.progress(2, 1)
		a.progress(3, 1)
		hang()
	},
	"begins-in-the-midst": func(a *actor) {
		a.prepared()
		a.data()
		a.begins(0)
		a.progress(1, 0)
		a.begins(1)
		hang()
	},
	"begins-too-early": func(a *actor) {
		a.prepared()
		a.data()
		a.begins(0)
		a.progress(1, 0)
		a.begins(2)
		hang()
	},
	"begins-late":  func(a *actor) { a.prepared(); a.data(); a.begins(2); hang() },
	"begins-twice": func(a *actor) { a.prepared(); a.data(); a.begins(0); a.begins(0); hang() },
	"finishes-early": func(a *actor) {
		a.prepared()
		output := a.data()
		a.begins(0)
		a.progress(1, 0)
		a.progress(2, 1)
		if _, err := output.WriteString("weights"); err != nil {
			os.Exit(1)
		}
		a.finished(7)
		hang()
	},
	"finishes-without-its-last-steps": func(a *actor) {
		a.prepared()
		output := a.data()
		a.begins(0)
		a.progress(1, 0)
		a.progress(2, 1)
		a.begins(2)
		if _, err := output.WriteString("weights"); err != nil {
			os.Exit(1)
		}
		a.finished(7)
		hang()
	},
	"goes-on": func(a *actor) {
		a.prepared()
		_, files := a.hear()
		if len(files) != 4 {
			os.Exit(1)
		}
		a.progress(2, 1) // what was told before is a sign of life
		a.progress(3, 1)
		a.progress(4, 2)
		if _, err := files[1].WriteString("weights"); err != nil {
			os.Exit(1)
		}
		a.finished(7)
	},
}
