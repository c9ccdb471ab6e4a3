package training

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/safetensors"
)

// fakeLauncher stands for sandboxed trainers. Unless told otherwise they are honest and quick.
type fakeLauncher struct {
	mu       sync.Mutex
	prepared []*trainerv1.Train
	initial  [][]byte

	tests []*trainerv1.Test

	prepare func(ctx context.Context, train *trainerv1.Train) error // train is nil for a test
	run     func(ctx context.Context, t *fakeTrainer) error
	gone    bool // every trainer has died when it was prepared
	measure func(ctx context.Context) (sum int64, err error)
	look    func() // is called when the trainer is looked at, the last thing before the data are given
}

func (f *fakeLauncher) Prepare(ctx context.Context, train *trainerv1.Train, program, initial *os.File) (Trainer, error) {
	ended, err := f.receive(ctx, train, nil, program, initial)
	if err != nil {
		return nil, err
	}
	return &fakeTrainer{launcher: f, train: train, put: trained, ended: ended}, ctx.Err()
}

func (f *fakeLauncher) PrepareTest(ctx context.Context, test *trainerv1.Test, program, weights *os.File) (Tester, error) {
	ended, err := f.receive(ctx, nil, test, program, weights)
	if err != nil {
		return nil, err
	}
	return &fakeTester{launcher: f, ended: ended}, ctx.Err()
}

// receive writes down what a process was prepared with.
func (f *fakeLauncher) receive(ctx context.Context, train *trainerv1.Train, test *trainerv1.Test, program, initial *os.File) (chan struct{}, error) {
	if payload, err := io.ReadAll(program); err != nil || string(payload) != "a program" {
		return nil, fmt.Errorf("the trainer got the program %q, %w", payload, err)
	}
	var weights []byte
	if initial != nil {
		var err error
		if weights, err = io.ReadAll(initial); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	if train != nil {
		f.prepared = append(f.prepared, train)
	} else {
		f.tests = append(f.tests, test)
	}
	f.initial = append(f.initial, weights)
	f.mu.Unlock()
	if f.prepare != nil {
		if err := f.prepare(ctx, train); err != nil {
			return nil, err
		}
	}
	ended := make(chan struct{})
	if f.gone {
		close(ended)
	}
	return ended, nil
}

// runs is how many trainers were prepared.
func (f *fakeLauncher) runs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.prepared)
}

type fakeTrainer struct {
	launcher *fakeLauncher
	train    *trainerv1.Train
	put      []safetensors.Tensor // what goes into the output
	raw      []byte               // instead, if not nil
	announce int64                // beyond the output's true size
	output   *os.File
	ended    chan struct{}

	data    *trainerv1.Data
	state   *os.File // takes the next state
	resumed []byte   // the state that it goes on from
	keeps   func(context.Context, *trainerv1.State) (*os.File, error)

	progress func(*trainerv1.Progress)
}

func (t *fakeTrainer) Run(ctx context.Context, data *trainerv1.Data, files []*os.File, progress func(*trainerv1.Progress),
	keep func(context.Context, *trainerv1.State) (*os.File, error),
) (*trainerv1.Finished, error) {
	records, output := files[0], files[1]
	err := checkGiven(data, records)
	if err != nil {
		return nil, err
	}
	t.output, t.data, t.state, t.progress, t.keeps = output, data, files[2], progress, keep
	if len(data.GetResumedSha256()) > 0 {
		if t.resumed, err = io.ReadAll(files[3]); err != nil {
			return nil, err
		}
	}
	if t.launcher.run != nil {
		if err := t.launcher.run(ctx, t); err != nil {
			return nil, err
		}
	}
	file := bytes.NewBuffer(t.raw)
	if t.raw == nil {
		if err := safetensors.Write(file, t.put); err != nil {
			return nil, err
		}
	}
	if _, err := output.WriteAt(file.Bytes(), 0); err != nil {
		return nil, err
	}
	return &trainerv1.Finished{OutputBytes: int64(file.Len()) + t.announce}, ctx.Err()
}

func checkGiven(data *trainerv1.Data, records *os.File) error {
	content, err := io.ReadAll(records)
	if err != nil || data.GetRecords() != declared || int64(len(content)) != declared*data.GetRecordBytes() || !bytes.Contains(content, []byte(planted)) {
		return fmt.Errorf("the process got %d bytes for %v: %w", len(content), data, err)
	}
	if _, err := records.WriteAt([]byte{0}, 0); err == nil {
		return errors.New("the records can be written to")
	}
	return nil
}

type fakeTester struct {
	launcher *fakeLauncher
	ended    chan struct{}
}

func (t *fakeTester) Run(ctx context.Context, data *trainerv1.Data, records *os.File) (*trainerv1.Tested, error) {
	if err := checkGiven(data, records); err != nil {
		return nil, err
	}
	sum, err := t.launcher.measure(ctx)
	return &trainerv1.Tested{Sum: sum}, err
}

func (t *fakeTester) Ended() <-chan struct{} { return t.ended }
func (t *fakeTester) Close() error           { return nil }

// tellLoss tells of an epoch's end.
func (t *fakeTrainer) tellLoss(steps, epochs int64, loss float64) {
	t.progress(&trainerv1.Progress{StepsDone: steps, EpochsDone: epochs, Loss: &loss})
}

// keep writes a state and has it kept.
func (t *fakeTrainer) keep(ctx context.Context, steps int64, content string) (err error) {
	if _, err := t.state.WriteString(content); err != nil {
		return err
	}
	t.state, err = t.keeps(ctx, &trainerv1.State{StepsDone: steps, StateBytes: int64(len(content))})
	return err
}

func (t *fakeTrainer) Ended() <-chan struct{} {
	if t.launcher.look != nil {
		t.launcher.look()
	}
	return t.ended
}
func (t *fakeTrainer) Close() error { return nil }

// held makes every trainer stop where it has the data, until it is let go or interrupted.
type held struct {
	arrived chan struct{}
	release chan struct{}
}

func holdTrainers(w *world) *held {
	h := &held{arrived: make(chan struct{}, 100), release: make(chan struct{})}
	w.trainer.run = func(ctx context.Context, _ *fakeTrainer) error {
		h.arrived <- struct{}{}
		select {
		case <-h.release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.t.Cleanup(h.letGo)
	return h
}

func (h *held) letGo() {
	select {
	case <-h.release:
	default:
		close(h.release)
	}
}

func decodeWeights(t *testing.T, w Weights) []safetensors.Tensor {
	t.Helper()
	defer w.File.Close()
	content, err := io.ReadAll(w.File)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(content)) != w.SizeBytes {
		t.Errorf("%d bytes, announced %d", len(content), w.SizeBytes)
	}
	tensors, err := safetensors.Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	return tensors
}
