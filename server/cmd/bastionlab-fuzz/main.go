//go:build linux

// Command bastionlab-fuzz feeds hostile archives to what a scientist's upload meets: the check of the archive's outside, the sandboxed
// intake, the server's judgement of the program that comes of it, and, where it was admitted, a short training on odd records. tools/fuzz.sh
// builds and starts it; it is part of no release.
//
// Most archives are read by one trainer process after the other (a trainer built with the tag fuzz, in the same sandbox), for libtorch
// takes long to start; every so often, and whenever such a process dies, the same archive goes through the supervisor and the released
// trainer. Nothing but a trainer may die, and the next archive must find everything as it was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
	"github.com/bastionlab/bastionlab/server/internal/program"
)

type settings struct {
	seeds, findings   string
	trainer, repeater string
	duration, window  time.Duration
	wholeEvery        int
	replay            bool
	first             uint64
}

func main() {
	var s settings
	flag.StringVar(&s.seeds, "seeds", "", "directory of NAME.pt with NAME.json, and signatures.txt")
	flag.StringVar(&s.findings, "findings", "", "directory for what was found; made if it is not there")
	flag.StringVar(&s.trainer, "trainer", "", "the released trainer")
	flag.StringVar(&s.repeater, "repeater", "", "the trainer built with the tag fuzz")
	flag.DurationVar(&s.duration, "duration", time.Minute, "how long")
	flag.DurationVar(&s.window, "window", 30*time.Second, "a trainer that computes for so long without an answer is taken to hang")
	flag.IntVar(&s.wholeEvery, "whole-every", 50, "every so many archives go through the supervisor as well")
	flag.Uint64Var(&s.first, "first", uint64(time.Now().UnixNano()), "number of the first mutant; the same number makes the same mutants of the same pool")
	flag.BoolVar(&s.replay, "replay", false, "change nothing: send every seed the whole way, and say what came of it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := run(ctx, s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bastionlab-fuzz:", err)
		os.Exit(2)
	}
	if found > 0 {
		os.Exit(1)
	}
}

// run returns how many defects were found.
func run(ctx context.Context, s settings) (int, error) {
	samples, err := archivefuzz.Load(s.seeds)
	if err != nil {
		return 0, err
	}
	signatures, err := os.ReadFile(filepath.Join(s.seeds, "signatures.txt"))
	if err != nil {
		return 0, err
	}
	operators, err := program.Operators()
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(s.findings, 0o700); err != nil {
		return 0, err
	}
	journal := newJournal(s.findings, s.first)
	repeater, err := filepath.Abs(s.repeater) // it starts in the root directory
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(repeater); err != nil {
		return 0, err
	}
	whole, err := newWhole(s.trainer, 10*s.window, operators)
	if err != nil {
		return 0, err
	}
	f := &fuzzer{
		settings: s, mutator: archivefuzz.NewMutator(samples, string(signatures)), operators: operators, journal: journal, whole: whole,
		child: &child{path: repeater, window: s.window}, seen: map[string]bool{},
	}
	defer f.child.stop()
	fmt.Printf("first %d, %d seeds\n", s.first, len(samples))
	// What honest models do is the ground that mutants are seen against; one of them is the proof that the next archive is read.
	for _, sample := range samples {
		if s.replay || ctx.Err() != nil {
			break
		}
		if result := f.inspect(sample); result.admitted() && f.honest == nil {
			f.honest = &sample
		}
	}
	if f.honest == nil && !s.replay {
		return 0, errors.New("none of the seeds is admitted")
	}
	if s.replay {
		f.replay(samples)
		return f.journal.defects(), nil
	}
	f.journal.restart()
	ctx, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	for number := s.first; ctx.Err() == nil; number++ {
		f.one(number)
	}
	f.journal.summary(f.mutator.Pool())
	return f.journal.defects(), f.journal.keepTaken(f.mutator.Taken())
}
