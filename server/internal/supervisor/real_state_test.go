//go:build linux

package supervisor_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
)

// attempted is what one attempt at a run left.
type attempted struct {
	weights []byte
	marks   int
	states  []realState
}

type realState struct {
	steps   int64
	content []byte
}

var run = bytes.Repeat([]byte{1}, 32)

func memory(t *testing.T) *os.File {
	t.Helper()
	file, err := storage.NewMemfd("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// attemptReal gives a prepared trainer the data of a run of two epochs, and the state to go on from, if any.
func attemptReal(t *testing.T, trainer *supervisor.Trainer, m model, steps int64, from *realState) attempted {
	t.Helper()
	var records []byte
	for i := range trainedRecords {
		records = append(records, m.record(i)...)
	}
	data := &trainerv1.Data{Records: trainedRecords, RecordBytes: int64(len(records) / trainedRecords), Run: run}
	output, state := memory(t), memory(t)
	files := []*os.File{sealedCopy(t, records), output, state}
	if from != nil {
		digest := sha256.Sum256(from.content)
		data.ResumedSha256, data.ResumedBytes, data.ResumedSteps = digest[:], int64(len(from.content)), from.steps
		files = append(files, sealedCopy(t, from.content))
	}
	var made attempted
	keep := func(_ context.Context, announced *trainerv1.State) (*os.File, error) {
		if err := storage.SealMemfd(state); err != nil {
			return nil, err
		}
		content, err := io.ReadAll(state)
		if err != nil {
			return nil, err
		}
		made.states = append(made.states, realState{announced.GetStepsDone(), content})
		if announced.GetStepsDone() > 0 {
			return nil, nil
		}
		state = memory(t)
		return state, nil
	}
	finished, err := trainer.Run(t.Context(), data, files, func(*trainerv1.Progress) { made.marks++ }, keep)
	if err != nil {
		t.Fatal(err)
	}
	made.weights = make([]byte, finished.GetOutputBytes())
	if _, err := output.ReadAt(made.weights, 0); err != nil {
		t.Fatal(err)
	}
	return made
}

// part is the first tensor of a state whose name begins so.
func part(t *testing.T, state realState, name string) []byte {
	t.Helper()
	tensors, err := safetensors.Decode(state.content)
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range tensors {
		if strings.HasPrefix(tensor.Name, name) {
			return tensor.Data
		}
	}
	t.Fatalf("the state has no %s", name)
	return nil
}

// Sandbox, libtorch and all: a second process goes on from what the first one wrote, with its samples and with other noise.
func TestTheRealTrainerGoesOnFromAState(t *testing.T) {
	l, m := realTrainer(t), words(t)
	taken := mustTakeIn(t, l, m)
	const steps = 6
	prepare := func() *supervisor.Trainer {
		request := &trainerv1.Train{Program: taken.program, Settings: settings(steps)}
		request.Settings.Optimizer = &bastionlabv1.Optimizer{Kind: &bastionlabv1.Optimizer_Adamw{Adamw: &bastionlabv1.Adam{
			Lr: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Amsgrad: true,
		}}}
		trainer, err := l.Prepare(t.Context(), request, sealedCopy(t, taken.payload), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { trainer.Close() })
		return trainer
	}
	first := attemptReal(t, prepare(), m, steps, nil)
	if len(first.states) != 2 || first.states[0].steps != 0 || first.states[1].steps != steps/2 {
		t.Fatalf("%d states", len(first.states))
	}
	if bytes.Equal(part(t, first.states[0], "samples"), part(t, first.states[1], "samples")) {
		t.Error("two epochs have the same samples")
	}
	if got := part(t, first.states[1], "optimizer.step."); !slices.Equal(got, []byte{steps / 2, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("the optimizer counts %v", got)
	}
	whole := attemptReal(t, prepare(), m, steps, &first.states[0])
	if len(whole.states) != 1 || whole.states[0].steps != steps/2 || bytes.Equal(whole.states[0].content, first.states[1].content) {
		t.Error("the first epoch was not repeated under another key")
	}
	rest := attemptReal(t, prepare(), m, steps, &first.states[1])
	if len(rest.states) != 0 || rest.marks != steps/2 || bytes.Equal(rest.weights, first.weights) {
		t.Errorf("the last epoch was not repeated under another key: %d states, %d marks", len(rest.states), rest.marks)
	}
}
