//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"github.com/bastionlab/bastionlab/server/internal/storage"
	"github.com/bastionlab/bastionlab/server/internal/supervisor"
)

// whole is the server's own way, with a process for each archive.
type whole struct {
	launcher  *supervisor.Launcher
	operators program.Table
}

func newWhole(trainer string, window time.Duration, operators program.Table) (*whole, error) {
	launcher, err := supervisor.New(supervisor.Config{
		Path: trainer, Threads: 1, MemoryLimitBytes: childMemoryBytes, StallWindow: window, Log: slog.New(slog.DiscardHandler),
	})
	return &whole{launcher, operators}, err
}

// takeIn returns the program that an archive is, or why it is none.
func (w *whole) takeIn(sample archivefuzz.Sample) (payload []byte, err error) {
	archive, err := sealed(sample.Archive)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	output, err := storage.NewMemfd("fuzz")
	if err != nil {
		return nil, err
	}
	defer output.Close()
	if _, err := w.launcher.Intake(context.Background(), intakeOf(sample), archive, output); err != nil {
		return nil, err
	}
	if err := storage.SealMemfd(output); err != nil {
		return nil, err
	}
	if payload, err = io.ReadAll(output); err != nil {
		return nil, err
	}
	canonical, err := program.Scan(bytes.NewReader(payload), int64(len(payload)))
	if err != nil {
		return nil, err
	}
	return payload, canonical.Judge(w.operators, sample.Schema, sample.Loss)
}

// train goes through a run of a few steps.
func (w *whole) train(sample archivefuzz.Sample, payload []byte) error {
	r := rand.New(rand.NewPCG(1, 2))
	file, err := sealed(payload)
	if err != nil {
		return err
	}
	defer file.Close()
	trainer, err := w.launcher.Prepare(context.Background(), trainOf(sample, payload, r), file, nil)
	if err != nil {
		return err
	}
	defer trainer.Close()
	content := recordsOf(sample.Schema, r)
	records, err := sealed(content)
	if err != nil {
		return err
	}
	defer records.Close()
	output, err := storage.NewMemfd("fuzz")
	if err != nil {
		return err
	}
	defer output.Close()
	state, err := storage.NewMemfd("fuzz")
	if err != nil {
		return err
	}
	defer state.Close()
	keep := func(context.Context, *trainerv1.State) (*os.File, error) { return nil, nil } // of the one epoch that there is
	_, err = trainer.Run(context.Background(), dataOf(content), []*os.File{records, output, state}, nil, keep)
	return err
}

// throughSupervisor gives an archive the server's own way, and compares.
func (f *fuzzer) throughSupervisor(sample archivefuzz.Sample, expected inspection) {
	f.journal.count("through the supervisor")
	payload, err := f.whole.takeIn(sample)
	var refused *refusal.Error
	switch {
	case err != nil && !errors.As(err, &refused):
		f.journal.defect("the supervisor's answer has no kind: "+err.Error(), sample, "")
	case expected.stage == diedInIntake:
		f.afterDeath(sample, err)
	case (err == nil) != expected.admitted():
		if expected.stage != hungInIntake {
			f.journal.observe(fmt.Sprintf("differs: %s, and through the supervisor %v", expected.stage, err), sample, "")
		}
	case err == nil && sha256.Sum256(payload) != sha256.Sum256(expected.payload):
		f.journal.defect("one archive is two programs", sample, "")
	case err == nil:
		f.trainThrough(sample, payload)
	}
	f.looksTheSame(sample)
}

func (f *fuzzer) trainThrough(sample archivefuzz.Sample, payload []byte) {
	f.journal.count("trained through the supervisor")
	var refused *refusal.Error
	switch err := f.whole.train(sample, payload); {
	case err == nil:
	case err == supervisor.ErrTrainingFailed:
		f.journal.defect("a run with records failed", sample, "")
	case !errors.As(err, &refused):
		f.journal.defect("the supervisor's answer has no kind: "+err.Error(), sample, "")
	default:
		f.journal.observe("through the supervisor, admitted and not prepared", sample, err.Error())
	}
}

// afterDeath: what kills the process that reads it is refused in fixed words, and the next archive is read.
func (f *fuzzer) afterDeath(sample archivefuzz.Sample, err error) {
	switch {
	case err == nil:
		f.journal.observe("ended a process that had read others, and is admitted by itself", sample, "")
	case strings.HasPrefix(err.Error(), "judging the model ended the process that did it"):
		f.journal.count("a death is the fixed refusal")
	default:
		f.journal.observe("ended a process that had read others, and is refused by itself: "+firstLine(err.Error()), sample, "")
	}
	if payload, err := f.whole.takeIn(*f.honest); err != nil {
		f.journal.defect("after a death an honest model is refused: "+err.Error(), sample, "")
	} else if err := f.whole.train(*f.honest, payload); err != nil {
		f.journal.defect("after a death an honest model is not trained: "+err.Error(), sample, "")
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line[:min(len(line), 100)]
}

// looksTheSame: nothing is left of what the supervisor started.
func (f *fuzzer) looksTheSame(sample archivefuzz.Sample) {
	f.child.stop() // it has descriptors and a process of its own
	now, err := look()
	if err != nil {
		f.journal.defect("cannot look: "+err.Error(), sample, "")
		return
	}
	if f.journal.ground == nil {
		f.journal.ground = &now
	}
	for attempt := 0; now.goroutines > f.journal.ground.goroutines && attempt < 20; attempt++ {
		time.Sleep(50 * time.Millisecond) // some are on their way out
		now, _ = look()
	}
	if now.descriptors > f.journal.ground.descriptors || now.goroutines > f.journal.ground.goroutines || now.children > 0 {
		f.journal.defect(fmt.Sprintf("left behind: %+v, at first %+v", now, *f.journal.ground), sample, "")
	}
	f.journal.mostBytes = max(f.journal.mostBytes, now.residentBytes)
	if now.residentBytes > maxResidentBytes {
		f.journal.defect(fmt.Sprintf("the server's side holds %d bytes", now.residentBytes), sample, "")
		f.journal.summary(f.mutator.Pool())
		os.Exit(1)
	}
}
