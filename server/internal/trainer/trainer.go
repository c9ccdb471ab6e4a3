// Package trainer is what runs inside a trainer process: one role of the protocol, from the first frame to the last.
//
// The roles are intake, which turns an archive into a canonical program without any data near it; train, which builds a canonical program,
// prepares a run, is given the records and trains; test, which measures instead and gives one noised number; and probe, which makes a step on nothing, tries to break out of the sandbox and reports.
//
// Invariants: a payload is parsed only if it is sealed against change and its digest is the announced one. No archive reaches a process that
// is given records, and a program is judged by package program and by the engine before they are. The records are sampled
// anew for every step, by a secure generator, empty slots like filled ones; the samples of an epoch are durable before it begins, and an
// attempt that goes on with it has the same. Every step of a private run is noised exactly once, from a key that is drawn for this attempt
// and dies with it. Once the records were announced nothing leaves but states for the server to keep, coarse progress, the noised losses of
// epochs, the noised parameters or a test's noised sum, or one bare fault.
//
// Non-goals: prices, budgets, queues and files are the server's. What libtorch does is behind Engine; one test double stands for it.
package trainer

import (
	"errors"
	"fmt"
	"io"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/program"
	"github.com/bastionlab/bastionlab/server/internal/sandbox"
	"github.com/bastionlab/bastionlab/server/internal/seam"
)

// Role is what a process was started for.
type Role string

// The roles, as the command line has them.
const (
	Intake Role = "intake"
	Train  Role = "train"
	Test   Role = "test"
	Probe  Role = "probe"
)

// Process is one trainer process after its sandbox was closed.
type Process struct {
	Seam      *seam.Conn
	Engine    Engine
	Layers    []sandbox.Layer
	Operators program.Table // what a program may hold

	OutputLimitBytes int64 // what the process may write at most
	Parent           int   // the server's process identifier, for the probe
}

// Run plays the role. An error is what the server cannot be told over the seam.
func (p *Process) Run(role Role) error {
	if err := p.Seam.Send(p.hello()); err != nil {
		return err
	}
	switch role {
	case Intake:
		return p.answer(p.intake())
	case Train:
		return p.train()
	case Test:
		return p.test()
	case Probe:
		if err := p.trial(); err != nil {
			return p.fail(faultOf(err), err)
		}
		if err := p.Seam.Send(probed(breakOut(p.Parent))); err != nil {
			return err
		}
		// The server looks at this process from outside, for which it has to be there still: an ended one has no namespaces to see.
		return p.untilHungUp()
	}
	return fmt.Errorf("unknown role %q", role)
}

// untilHungUp waits for the server to close the conversation.
func (p *Process) untilHungUp() error {
	var frame trainerv1.ToTrainer
	if _, err := p.Seam.Receive(&frame); !errors.Is(err, io.EOF) {
		return fmt.Errorf("expected the end of the conversation: %w", err)
	}
	return nil
}

func (p *Process) hello() *trainerv1.FromTrainer {
	hello := &trainerv1.Hello{Abi: p.Engine.ABI(), TorchVersion: p.Engine.TorchVersion(), Device: p.Engine.Device()}
	for _, layer := range p.Layers {
		hello.Layers = append(hello.Layers, &trainerv1.SandboxLayer{Name: layer.Name, Active: layer.Active, Detail: layer.Detail})
	}
	return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Hello{Hello: hello}}
}

// breakOut is what a probe tries. One of the attempts starts another program in this one's place: tests, which would end there and be
// taken to have passed, put something else here.
var breakOut = sandbox.Probe

func probed(attempts []sandbox.Attempt) *trainerv1.FromTrainer {
	done := &trainerv1.ProbeDone{}
	for _, attempt := range attempts {
		done.Attempts = append(done.Attempts, &trainerv1.ProbeAttempt{Call: attempt.Call, Denied: attempt.Denied, Detail: attempt.Detail})
	}
	return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_ProbeDone{ProbeDone: done}}
}

// answer sends a role's result, or the fault that it met before it was given any data.
func (p *Process) answer(result *trainerv1.FromTrainer, err error) error {
	if err != nil {
		return p.fail(faultOf(err), err)
	}
	return p.Seam.Send(result)
}

// fail sends the fault and returns what happened, for standard error.
func (p *Process) fail(fault *trainerv1.Fault, cause error) error {
	if errors.Is(cause, io.EOF) {
		return cause // the server has gone
	}
	return errors.Join(cause, p.Seam.Send(&trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Fault{Fault: fault}}))
}
