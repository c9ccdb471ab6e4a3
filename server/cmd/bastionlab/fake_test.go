package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// fakeTrainers stands for sandboxed processes: it makes the same program of any archive, and trains at once, or when it is let go.
type fakeTrainers struct {
	mu     sync.Mutex
	intake func(made *unrolled) error
	train  func(ctx context.Context, records []byte, progress func(*trainerv1.Progress)) error
	// prepared fails the preparation of a run where it is not nil.
	prepared error
	missing  []string // of the sandbox
}

// unrolled is what the fake intake writes, and what it says about it.
type unrolled struct {
	program.Canonical
	report *bastionlabv1.CapabilityReport
	behind []byte // the program, in the output
}

func unroll(request *trainerv1.Intake) *unrolled {
	value := func(number int64) *trainerv1.Operand {
		return &trainerv1.Operand{Kind: &trainerv1.Operand_Value{Value: number}}
	}
	return &unrolled{
		Canonical: program.Canonical{
			Graph: &trainerv1.Graph{
				Schema: request.GetSchema(), Loss: request.GetLoss(), Output: 2, OutputName: "output",
				Parameters: []*trainerv1.Parameter{{Name: "head.weight", Trainable: true}},
				Steps:      []*trainerv1.Step{{Operator: "aten::linear", Layer: "head", Operands: []*trainerv1.Operand{value(0), value(1)}, Results: 1}},
			},
			Tensors: []safetensors.Tensor{{DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{3, 4}, Data: make([]byte, 48)}},
		},
		report: &bastionlabv1.CapabilityReport{
			Parameters: []*bastionlabv1.ParameterReport{{Name: "head.weight", Measurement: "linear"}},
			Outputs:    []*bastionlabv1.TensorSpec{{Name: "output", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1, 3}}},
		},
	}
}

func (f *fakeTrainers) start(context.Context, settings, *slog.Logger, bool, func(string, string)) (trainers, error) {
	return f, nil
}

func (f *fakeTrainers) set(change func(*fakeTrainers)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeTrainers) now() (intake func(*unrolled) error, train func(context.Context, []byte, func(*trainerv1.Progress)) error, prepared error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.intake, f.train, f.prepared
}

func (f *fakeTrainers) Missing() []string { return f.missing }

func (f *fakeTrainers) Intake(_ context.Context, request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
	content, err := io.ReadAll(archive)
	if err != nil || int64(len(content)) != request.GetArchiveBytes() {
		return nil, errors.New("the archive is not the one that was announced")
	}
	made := unroll(request)
	if intake, _, _ := f.now(); intake != nil {
		if err := intake(made); err != nil {
			return nil, err
		}
	}
	var file bytes.Buffer
	if err := program.Write(&file, made.Graph, made.Tensors); err != nil {
		return nil, err
	}
	file.Write(made.behind)
	_, err = output.WriteAt(file.Bytes(), 0)
	return &trainerv1.IntakeDone{ProgramBytes: int64(file.Len()), Report: made.report}, err
}

func (f *fakeTrainers) Prepare(ctx context.Context, _ *trainerv1.Train, _, _ *os.File) (training.Trainer, error) {
	if _, _, prepared := f.now(); prepared != nil {
		return nil, prepared
	}
	return fakeTrainer{f}, ctx.Err()
}

func (f *fakeTrainers) PrepareTest(context.Context, *trainerv1.Test, *os.File, *os.File) (training.Tester, error) {
	return nil, errors.New("no tests here")
}

type fakeTrainer struct{ trainers *fakeTrainers }

func (fakeTrainer) Ended() <-chan struct{} { return nil }
func (fakeTrainer) Close() error           { return nil }

func (t fakeTrainer) Run(ctx context.Context, _ *trainerv1.Data, files []*os.File, progress func(*trainerv1.Progress),
	_ func(context.Context, *trainerv1.State) (*os.File, error),
) (*trainerv1.Finished, error) {
	records, output := files[0], files[1]
	content, err := io.ReadAll(records)
	if err != nil {
		return nil, err
	}
	if _, train, _ := t.trainers.now(); train != nil {
		if err := train(ctx, content, progress); err != nil {
			return nil, err
		}
	}
	var file bytes.Buffer
	weights := []safetensors.Tensor{{Name: "head.weight", DType: bastionlabv1.DType_DTYPE_F32, Shape: []int64{3, 4}, Data: make([]byte, 48)}}
	if err := safetensors.Write(&file, weights); err != nil {
		return nil, err
	}
	if _, err := output.WriteAt(file.Bytes(), 0); err != nil {
		return nil, err
	}
	return &trainerv1.Finished{OutputBytes: int64(file.Len())}, ctx.Err()
}

// hold makes trainers stop where they have the data. The returned channel tells of each that arrived there.
func (f *fakeTrainers) hold() (arrived chan struct{}, letGo func()) {
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	f.set(func(f *fakeTrainers) {
		f.train = func(ctx context.Context, _ []byte, _ func(*trainerv1.Progress)) error {
			arrived <- struct{}{}
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return refusal.New(refusal.TrainingFailed, "", "interrupted")
			}
		}
	})
	return arrived, sync.OnceFunc(func() { close(release) })
}
