package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is a program of the image that runs as the server's user, without any capability to gain others.
type process struct {
	name string
	pid  int
}

func start(arguments []string) (process, error) {
	command := exec.Command(program, arguments...)
	command.Dir = "/"
	command.Env = []string{"PATH=/usr/bin", "HOME=" + dataDir, "TMPDIR=/tmp"}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: serverID, Gid: serverID}}
	if err := command.Start(); err != nil {
		return process{}, fmt.Errorf("start the server: %w", err)
	}
	return process{"bastionlab " + arguments[0], command.Process.Pid}, nil
}

// ended says whether a process is no more; it is not to be waited for then.
func (p process) ended() bool {
	pid, err := unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
	return pid == p.pid || err != nil
}

// stop asks a process to end in order.
func (p process) stop() error {
	if err := unix.Kill(p.pid, unix.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return p.wait()
}

// wait waits for a process's end. The first process of a machine also inherits those whose parents ended; they are let go here.
func (p process) wait() error {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for %s: %w", p.name, err)
		}
		if pid != p.pid {
			continue
		}
		if !status.Exited() || status.ExitStatus() != 0 {
			return fmt.Errorf("%s ended with status %d, signal %d", p.name, status.ExitStatus(), status.Signal())
		}
		return nil
	}
}
