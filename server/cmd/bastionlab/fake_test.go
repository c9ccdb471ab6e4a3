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
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
	"github.com/bastionlab/bastionlab/server/internal/training"
)

// fakeTrainers stands for sandboxed processes: it takes any archive in, and trains at once, or when it is let go.
type fakeTrainers struct {
	mu     sync.Mutex
	intake func(done *trainerv1.IntakeDone) error
	train  func(ctx context.Context, records []byte, progress func(*trainerv1.Progress)) error
	// prepared fails the preparation of a run where it is not nil.
	prepared error
}

var fakeParameters = []*bastionlabv1.ParameterReport{
	{Name: "head.weight", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{3, 4}, Trainable: true, Measurement: "linear"},
}

func (f *fakeTrainers) start(context.Context, settings, *slog.Logger, bool) (trainers, error) {
	return f, nil
}

func (f *fakeTrainers) set(change func(*fakeTrainers)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeTrainers) now() (intake func(*trainerv1.IntakeDone) error, train func(context.Context, []byte, func(*trainerv1.Progress)) error, prepared error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.intake, f.train, f.prepared
}

func (f *fakeTrainers) Intake(_ context.Context, program *trainerv1.Program, archive *os.File) (*trainerv1.IntakeDone, error) {
	content, err := io.ReadAll(archive)
	if err != nil || int64(len(content)) != program.GetPayloadBytes() {
		return nil, errors.New("the archive is not the one that was announced")
	}
	done := &trainerv1.IntakeDone{Program: program, Report: &bastionlabv1.CapabilityReport{
		Operators:     []*bastionlabv1.OperatorUse{{Name: "aten::linear", Count: 1}},
		Parameters:    fakeParameters,
		Inputs:        program.GetSchema().GetInputs(),
		Outputs:       []*bastionlabv1.TensorSpec{{Name: "output", Dtype: bastionlabv1.DType_DTYPE_F32, Shape: []int64{1, 3}}},
		ProgramSha256: program.GetPayloadSha256(),
	}}
	if intake, _, _ := f.now(); intake != nil {
		if err := intake(done); err != nil {
			return nil, err
		}
	}
	return done, nil
}

func (f *fakeTrainers) Prepare(ctx context.Context, _ *trainerv1.Train, _, _ *os.File) (training.Trainer, error) {
	if _, _, prepared := f.now(); prepared != nil {
		return nil, prepared
	}
	return fakeTrainer{f}, ctx.Err()
}

type fakeTrainer struct{ trainers *fakeTrainers }

func (fakeTrainer) Ended() <-chan struct{} { return nil }
func (fakeTrainer) Close() error           { return nil }

func (t fakeTrainer) Run(ctx context.Context, _ *trainerv1.Data, records, output *os.File, progress func(*trainerv1.Progress)) (*trainerv1.Finished, error) {
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
