//go:build linux && cgo

// Command bastionlab-trainer is started by the bastionlab server, once per model to judge and once per run, with a socket as descriptor
// 3. It reads no file and no environment of its own, and nobody starts it by hand.
//
//	bastionlab-trainer ROLE MEMORY_BYTES OUTPUT_BYTES THREADS SERVER_PID
//
// Built with the tag cuda it is bastionlab-trainer-cuda, which computes on a GPU and is confined as package sandbox says of that.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/sandbox"
	"github.com/bastionlab/bastionlab/server/internal/sandbox/confined" // its constructor has acted before main
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"github.com/bastionlab/bastionlab/server/internal/trainer"
	"github.com/bastionlab/bastionlab/server/internal/trainer/engine"
)

const seamDescriptor = 3

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bastionlab-trainer:", err)
		os.Exit(1)
	}
	// Not a return: libtorch's destructors have nothing to do here, and a crash in one would look like a failed run.
	os.Exit(0)
}

type arguments struct {
	role               trainer.Role
	outputBytes        int64
	threads, serverPID int
}

func run(args []string) error {
	given, err := parse(args)
	if err != nil {
		return err
	}
	operators, err := program.Operators()
	if err != nil {
		return err
	}
	// libtorch's modes and its pool of workers belong to a thread.
	runtime.LockOSThread()
	conn, err := seam.Inherited(seamDescriptor)
	if err != nil {
		return err
	}
	if given.role == trainer.Probe {
		engine.QuoteLibtorch()
	}
	libtorch, err := start(given.threads)
	if err != nil {
		return err
	}
	var landlock sandbox.LandlockState
	landlock.ABI, landlock.Err = confined.Landlock()
	// SECURITY: nothing has been read yet, and nothing is read before this returns.
	layers := sandbox.Close(landlock)
	process := &trainer.Process{
		Seam: conn, Engine: libtorch, Layers: layers, Operators: operators,
		OutputLimitBytes: given.outputBytes, Parent: given.serverPID,
	}
	return play(process, given.role)
}

func parse(args []string) (arguments, error) {
	if len(args) != 5 {
		return arguments{}, fmt.Errorf("expected 5 arguments, got %d", len(args))
	}
	given := arguments{role: trainer.Role(args[0])}
	var err error
	if given.outputBytes, err = strconv.ParseInt(args[2], 10, 64); err != nil {
		return arguments{}, fmt.Errorf("output bytes: %w", err)
	}
	if given.threads, err = strconv.Atoi(args[3]); err != nil {
		return arguments{}, fmt.Errorf("threads: %w", err)
	}
	if given.serverPID, err = strconv.Atoi(args[4]); err != nil {
		return arguments{}, fmt.Errorf("server: %w", err)
	}
	return given, nil
}
