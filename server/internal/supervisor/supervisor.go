// Package supervisor is the server's side of the seam: it starts trainer processes, talks to them, and sees to their end.
//
// Invariants: a process gets a socket, /dev/null and a pipe for its last words, an environment from a list, and dies with the server;
// it is reaped whatever happens. It is believed only after its sandbox was looked at from outside and found no weaker than at the
// first start. An output is looked at when the process that could write to it has ended. Before it was given records, its faults become
// refusals from a fixed list; afterwards everything that can go wrong is ErrTrainingFailed, one text.
//
// Non-goals: it does not decide who may train, what a run costs or when it may start, judges no program, and keeps no state about runs.
// It links neither cgo nor libtorch.
package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
)

// What trainers compute on. Each has a program of its own.
const (
	CPU  = program.CPU
	CUDA = "cuda"
)

// Config is how trainers are started.
type Config struct {
	Path             string        // the trainer's executable
	CUDAPath         string        // that of the trainer that computes on a GPU; empty: none
	Threads          int           // for libtorch; 0: one per processor
	MemoryLimitBytes int64         // private memory of one trainer; 0: no limit
	StallWindow      time.Duration // without a sign of life for so long, a trainer is killed; 0: ten minutes
	Log              *slog.Logger

	// Failed hears of every trainer that failed before it had records, as the log does; nil: nobody.
	Failed func(task, reason string)
}

const (
	// DefaultStallWindow leaves room for one pass of a large model on a slow machine.
	DefaultStallWindow = 10 * time.Minute

	// terminateGrace is between the polite signal and the other one.
	terminateGrace = 2 * time.Second
	// exitGrace is how long a trainer may take to end after its last frame.
	exitGrace = 10 * time.Second
)

// Launcher starts trainers.
type Launcher struct {
	config Config
	begin  func(launch) (*process, error) // start, unless a test plays the process

	mu        sync.Mutex
	baselines map[string]*baseline // by device: what the first trainer was found to have; none before
}

// New checks the configuration. It starts nothing.
func New(config Config) (*Launcher, error) {
	var problems []error
	var err error
	if config.Path, err = executable(config.Path); err != nil {
		problems = append(problems, fmt.Errorf("trainer: %w", err))
	}
	if config.CUDAPath != "" {
		if config.CUDAPath, err = executable(config.CUDAPath); err != nil {
			problems = append(problems, fmt.Errorf("trainer for the GPU: %w", err))
		}
	}
	if config.Threads < 0 || config.MemoryLimitBytes < 0 || config.StallWindow < 0 {
		problems = append(problems, errors.New("trainer: threads, memory limit and stall window cannot be negative"))
	}
	if config.Log == nil {
		problems = append(problems, errors.New("trainer: no log"))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if config.Threads == 0 {
		config.Threads = runtime.NumCPU()
	}
	if config.StallWindow == 0 {
		config.StallWindow = DefaultStallWindow
	}
	l := &Launcher{config: config, baselines: map[string]*baseline{}}
	l.begin = l.start
	return l, nil
}

// executable is the path of a program from the root directory, in which trainers start.
func executable(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s is no program", path)
	}
	return path, nil
}

// program is the executable that computes on a device.
func (l *Launcher) program(device string) (string, error) {
	switch {
	case device == CPU:
		return l.config.Path, nil
	case device == CUDA && l.config.CUDAPath != "":
		return l.config.CUDAPath, nil
	}
	return "", fmt.Errorf("this server has no trainer that computes on %q", plain(device))
}

// deviceOf is the device of settings, which name none where it is the CPU.
func deviceOf(settings *trainerv1.Settings) string {
	if device := settings.GetDevice(); device != "" {
		return device
	}
	return CPU
}
