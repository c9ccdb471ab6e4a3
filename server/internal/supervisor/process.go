package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"golang.org/x/sys/unix"
)

// What can go wrong with a process as such. What it means for a run is decided in failure.go.
var (
	errDied    = errors.New("the trainer ended")
	errStalled = errors.New("the trainer gave no sign of life")
	errRubbish = errors.New("the trainer broke the protocol")
)

// process is one trainer, from its start until it is reaped.
type process struct {
	conn   *seam.Conn
	pid    int
	signal func(os.Signal) error

	done chan struct{} // closed when reaped
	exit exit          // read only after done

	exitGrace time.Duration
}

// exit is how a process ended.
type exit struct {
	code   int
	signal syscall.Signal // 0: none
}

func (e exit) String() string {
	if e.signal != 0 {
		return "signal " + unix.SignalName(e.signal)
	}
	return "exit status " + strconv.Itoa(e.code)
}

// launch is what differs between the roles.
type launch struct {
	role        string
	device      string
	outputBytes int64
	lastWords   io.Writer // nil: to nobody
}

// startIn starts a process in namespaces of its own, as far as isolation says. It belongs to one goroutine until it is reaped.
func (l *Launcher) startIn(how isolation, what launch) (*process, error) {
	path, err := l.program(what.device)
	if err != nil {
		return nil, err
	}
	conn, far, err := seam.Pair()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: path,
		Args: []string{
			path, what.role, strconv.FormatInt(l.config.MemoryLimitBytes, 10), strconv.FormatInt(what.outputBytes, 10),
			strconv.Itoa(l.config.Threads), strconv.Itoa(os.Getpid()),
		},
		Env:         environment(l.config.Threads, what.device),
		Dir:         "/",
		Stderr:      what.lastWords,
		ExtraFiles:  []*os.File{far}, // descriptor 3
		SysProcAttr: how.attributes(),
		WaitDelay:   exitGrace,
	}
	p := &process{conn: conn, done: make(chan struct{}), exitGrace: exitGrace}
	started := make(chan error, 1)
	go func() {
		// SECURITY: Pdeathsig fires when the thread that started the process ends, so the thread stays until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		// Its error is the exit status again, or what a pipe of last words met.
		_ = cmd.Wait()
		p.exit = exitOf(cmd.ProcessState)
		close(p.done)
	}()
	err = <-started
	far.Close()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p.pid, p.signal = cmd.Process.Pid, cmd.Process.Signal
	return p, nil
}

func exitOf(state *os.ProcessState) exit {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exit{code: -1, signal: status.Signal()}
	}
	return exit{code: state.ExitCode()}
}

// start starts a process as isolated as the first one of its device was; the first one finds out what the host allows.
func (l *Launcher) start(what launch) (*process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.baselines[what.device]; first != nil {
		return l.startIn(first.isolation, what)
	}
	var failures []error
	for _, how := range []isolation{allNamespaces, allNamespaces &^ unix.CLONE_NEWUSER, 0} {
		p, err := l.startIn(how, what)
		if err == nil {
			l.baselines[what.device] = &baseline{isolation: how}
			return p, nil
		}
		failures = append(failures, err)
		if !refusedByHost(err) {
			break
		}
	}
	return nil, errors.Join(failures...)
}

// receive waits for one frame: until the window has passed, the context has ended, or the process has.
func (p *process) receive(ctx context.Context, window time.Duration) (*trainerv1.FromTrainer, error) {
	if err := p.conn.SetDeadline(time.Now().Add(window)); err != nil {
		return nil, fmt.Errorf("seam: %w", err)
	}
	// The order matters: whatever ends the context from here on also ends the wait.
	stop := context.AfterFunc(ctx, func() { p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var frame trainerv1.FromTrainer
	if _, err := p.conn.Receive(&frame); err != nil {
		return nil, p.broken(ctx, err)
	}
	return &frame, nil
}

// send gives the process one frame.
func (p *process) send(ctx context.Context, window time.Duration, frame *trainerv1.ToTrainer, files ...*os.File) error {
	if err := p.conn.SetDeadline(time.Now().Add(window)); err != nil {
		return fmt.Errorf("seam: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	frame.Fds = uint32(len(files))
	if err := p.conn.Send(frame, files...); err != nil {
		return p.broken(ctx, err)
	}
	return nil
}

// broken says what the end of a conversation means.
func (p *process) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errStalled
	case errors.Is(err, io.EOF), errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET), errors.Is(err, seam.ErrTruncated):
		return errDied
	}
	return fmt.Errorf("%w: %w", errRubbish, err)
}

// finish lets a process that has said all end by itself, then stops it.
func (p *process) finish() exit {
	select {
	case <-p.done:
	case <-time.After(p.exitGrace):
	}
	return p.stop()
}

// stop ends the process, if it has not ended, and returns how it ended. When it returns there is no process any more.
func (p *process) stop() exit {
	defer p.conn.Close()
	select {
	case <-p.done:
		return p.exit
	default:
	}
	_ = p.signal(unix.SIGTERM)
	select {
	case <-p.done:
		return p.exit
	case <-time.After(terminateGrace):
	}
	_ = p.signal(unix.SIGKILL)
	<-p.done
	return p.exit
}
