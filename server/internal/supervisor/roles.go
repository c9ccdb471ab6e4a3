package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
)

// Report is what a trainer's sandbox is worth.
type Report struct {
	Layers       []*trainerv1.SandboxLayer
	Attempts     []*trainerv1.ProbeAttempt
	TorchVersion string
}

// What must be found for a sandbox to be whole. A report that leaves one out is as bad as one that denies it.
var (
	requiredLayers   = []string{"no-new-privs", "capabilities", "rlimits", "landlock", "seccomp", Namespaces}
	requiredAttempts = []string{"open", "socket", "connect", "execve", "ptrace", "fork", "kill"}
)

// Missing names the layers that are not in force and the attempts to break out that were not denied.
func (r Report) Missing() []string {
	var missing []string
	inForce, tried := map[string]bool{}, map[string]bool{}
	for _, layer := range r.Layers {
		inForce[layer.GetName()] = layer.GetActive()
	}
	for _, name := range requiredLayers {
		if !inForce[name] {
			missing = append(missing, name)
		}
	}
	for _, attempt := range r.Attempts {
		tried[attempt.GetCall()] = true
		if !attempt.GetDenied() {
			missing = append(missing, "denial of "+plain(attempt.GetCall()))
		}
	}
	for _, call := range requiredAttempts {
		if !tried[call] {
			missing = append(missing, "attempt at "+call)
		}
	}
	return missing
}

// Probe starts a trainer of the device that tries to break out, and reports what held. An execve that succeeds leaves no report: that is an
// error.
func (l *Launcher) Probe(ctx context.Context, device string) (Report, error) {
	p, hello, err := l.open(ctx, "probe", device, 0)
	if err != nil {
		return Report{}, fmt.Errorf("probe the sandbox: %w", err)
	}
	defer p.close()
	frame, err := p.receive(ctx, l.config.StallWindow)
	if err != nil {
		return Report{}, fmt.Errorf("probe the sandbox: %w", p.because(err))
	}
	if fault := frame.GetFault(); fault != nil {
		return Report{}, fmt.Errorf("probe the sandbox: %w: %s", &faulted{fault}, plain(fault.GetReason()))
	}
	done := frame.GetProbeDone()
	if done == nil {
		return Report{}, fmt.Errorf("probe the sandbox: %w", errRubbish)
	}
	return Report{Layers: hello.GetLayers(), Attempts: done.GetAttempts(), TorchVersion: plain(hello.GetTorchVersion())}, nil
}

// intakeAllowance is what a program may have beyond twice its archive: the graph, and the constants that the author's code computes from
// nothing, such as masks and positions. Twice, because the code may also make a constant of each tensor: transposed, or of another type.
const intakeAllowance = 256 << 20

// Intake has an archive turned into a canonical program by a process that never sees data. The program lies in output, and is judged by
// nobody yet. Errors are refusals, unless ctx has ended.
func (l *Launcher) Intake(ctx context.Context, request *trainerv1.Intake, archive, output *os.File) (*trainerv1.IntakeDone, error) {
	p, _, err := l.open(ctx, "intake", CPU, 2*request.GetArchiveBytes()+intakeAllowance)
	if err != nil {
		return nil, l.refuse(ctx, judging, err)
	}
	defer p.close()
	frame, err := p.ask(ctx, l.config.StallWindow, &trainerv1.ToTrainer{Frame: &trainerv1.ToTrainer_Intake{Intake: request}}, archive, output)
	if err != nil {
		return nil, l.refuse(ctx, judging, err)
	}
	done := frame.GetIntakeDone()
	if done == nil {
		return nil, l.refuse(ctx, judging, errRubbish)
	}
	// SECURITY: the output is looked at when nobody can write to it any more.
	p.finish()
	if !holds(output, done.GetProgramBytes()) {
		return nil, l.refuse(ctx, judging, errRubbish)
	}
	return done, nil
}

// session is a process in conversation.
type session struct {
	*process
	log   *slog.Logger
	words *tail // nil in a role that gets records
}

// open starts a process and waits until it has said what its sandbox is.
func (l *Launcher) open(ctx context.Context, role, device string, outputBytes int64) (*session, *trainerv1.Hello, error) {
	what := launch{role: role, device: device, outputBytes: outputBytes}
	s := &session{log: l.config.Log.With("role", role)}
	if role != "train" && role != "test" {
		s.words = &tail{}
		what.lastWords = s.words
	}
	// PRIVACY: what a process with records writes to standard error goes to /dev/null.
	p, err := l.begin(what)
	if err != nil {
		return nil, nil, err
	}
	s.process = p
	hello, err := l.hello(ctx, p, device)
	if err != nil {
		s.close()
		return nil, nil, s.because(err)
	}
	return s, hello, nil
}

// ask sends a request and returns the answer; a fault is an error.
func (s *session) ask(ctx context.Context, window time.Duration, request *trainerv1.ToTrainer, files ...*os.File) (*trainerv1.FromTrainer, error) {
	if err := s.send(ctx, window, request, files...); err != nil {
		return nil, err
	}
	frame, err := s.receive(ctx, window)
	if err != nil {
		return nil, err
	}
	if fault := frame.GetFault(); fault != nil {
		return nil, &faulted{fault}
	}
	return frame, nil
}

// because adds to an error why the process ended, where it said so: for who runs the machine, in a role that gets no records.
func (s *session) because(err error) error {
	if s.words == nil || !errors.Is(err, errDied) {
		return err
	}
	s.stop()
	words := plain(s.words.String())
	if words == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, words)
}

// close ends the process, if it has not ended, and leaves its last words in the log.
func (s *session) close() {
	ended := s.stop()
	if s.words == nil {
		return
	}
	if words := s.words.String(); words != "" {
		s.log.Debug("trainer ended", "exit", ended.String(), "stderr", words)
	}
}
