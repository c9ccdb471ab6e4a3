//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"github.com/bastionlab/bastionlab/server/internal/archivefuzz"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"github.com/bastionlab/bastionlab/server/internal/storage"
)

const (
	// childRounds: what a process mapped stays mapped, and what libtorch learnt of an archive stays learnt.
	childRounds      = 400
	childMemoryBytes = 2 << 30
	childOutputBytes = 256 << 20
)

// child is a trainer that plays role after role; it is started when it is needed and again when it has ended.
type child struct {
	path   string
	window time.Duration

	conn   *seam.Conn
	cmd    *exec.Cmd
	roles  io.WriteCloser
	words  *bytes.Buffer // read only when the process has ended
	ended  chan struct{}
	rounds int
	starts int
}

func (c *child) start() error {
	conn, far, err := seam.Pair()
	if err != nil {
		return err
	}
	defer far.Close()
	c.words = &bytes.Buffer{}
	c.cmd = exec.CommandContext(context.Background(), c.path, "intake", strconv.Itoa(childMemoryBytes), strconv.Itoa(childOutputBytes), "1", strconv.Itoa(os.Getpid()))
	c.cmd.Env, c.cmd.Dir = []string{"OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=passive", "GOMAXPROCS=2"}, "/"
	c.cmd.Stderr, c.cmd.ExtraFiles, c.cmd.WaitDelay = c.words, []*os.File{far}, time.Second
	if c.roles, err = c.cmd.StdinPipe(); err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	c.conn, c.rounds, c.ended = conn, 0, make(chan struct{})
	c.starts++
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // its error is the exit status again
		close(ended)
	}(c.cmd, c.ended)
	return nil
}

func (c *child) stop() {
	if c.conn == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
	c.roles.Close()
	c.conn.Close()
	c.conn = nil
}

// begin has the process play a role, and hears its hello.
func (c *child) begin(role byte) error {
	if c.conn != nil && c.rounds >= childRounds {
		c.stop()
	}
	if c.conn == nil {
		if err := c.start(); err != nil {
			return err
		}
	}
	c.rounds++
	if _, err := c.roles.Write([]byte{role}); err != nil {
		return err
	}
	frame, err := c.receive()
	if err != nil {
		return err
	}
	if frame.GetHello() == nil {
		return errors.New("no hello")
	}
	return nil
}

// receive waits for a frame until the process has computed for longer than the window, or has slept for ten times as long: on a busy machine
// time on the wall says nothing.
func (c *child) receive() (*trainerv1.FromTrainer, error) {
	if err := c.conn.SetDeadline(time.Now().Add(10 * c.window)); err != nil {
		return nil, err
	}
	heard := make(chan struct{})
	defer close(heard)
	go func(conn *seam.Conn, pid int, before time.Duration) {
		for {
			select {
			case <-heard:
				return
			case <-time.After(lookEvery):
			}
			if computed(pid)-before > c.window {
				_ = conn.SetDeadline(time.Unix(1, 0)) // the process is given up
				return
			}
		}
	}(c.conn, c.cmd.Process.Pid, computed(c.cmd.Process.Pid))
	var frame trainerv1.FromTrainer
	_, err := c.conn.Receive(&frame)
	return &frame, err
}

const (
	lookEvery      = 2 * time.Second
	ticksPerSecond = 100 // of /proc/PID/stat, on every Linux
)

// computed is the time that a process has had on processors.
func computed(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// pid (name) state, eleven more, and the ticks in user and in system mode.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// ending is how a conversation went wrong.
type ending struct {
	hung   bool
	how    string // "signal: segmentation fault"
	words  string // the last
	killed bool   // by something else than the end of the conversation
}

// ended looks how a process that answers no more ended, and ends it.
func (c *child) endedBy(err error) ending {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.stop()
		return ending{hung: true, how: "hung", words: tail(c.words.String())}
	}
	if c.conn == nil { // it did not start
		return ending{how: err.Error()}
	}
	select {
	case <-c.ended:
	case <-time.After(5 * time.Second):
		c.stop()
		return ending{how: "spoke out of turn: " + err.Error(), words: tail(c.words.String())}
	}
	how := c.cmd.ProcessState.String()
	c.stop()
	return ending{killed: true, how: how, words: tail(c.words.String())}
}

const maxWords = 3000

// traceBegins are how Go begins to tell how it died; what follows is long, and its end says nothing.
var traceBegins = []string{"SIGSEGV:", "SIGABRT:", "SIGBUS:", "SIGFPE:", "SIGILL:", "SIGTRAP:", "SIGSYS:", "fatal error:", "panic:"}

func tail(text string) string {
	for _, begin := range traceBegins {
		if at := strings.Index(text, begin); at >= 0 {
			return text[at:min(len(text), at+maxWords)]
		}
	}
	return text[max(0, len(text)-maxWords):]
}

func sealed(content []byte) (*os.File, error) {
	file, err := storage.NewMemfd("fuzz")
	if err != nil {
		return nil, err
	}
	if _, err = file.Write(content); err == nil {
		err = storage.SealMemfd(file)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func intakeOf(sample archivefuzz.Sample) *trainerv1.Intake {
	digest := sha256.Sum256(sample.Archive)
	return &trainerv1.Intake{ArchiveSha256: digest[:], ArchiveBytes: int64(len(sample.Archive)), Schema: sample.Schema, Loss: sample.Loss}
}

// intake has one archive read.
func (c *child) intake(sample archivefuzz.Sample) inspection {
	result, err := c.tryIntake(sample)
	if err == nil {
		return result
	}
	end := c.endedBy(err)
	switch {
	case end.hung:
		return inspection{stage: hungInIntake, words: end.words}
	case end.killed:
		return inspection{stage: diedInIntake, reason: end.how, words: end.words}
	}
	return inspection{stage: brokeProtocol, reason: end.how, words: end.words}
}

func (c *child) tryIntake(sample archivefuzz.Sample) (inspection, error) {
	archive, err := sealed(sample.Archive)
	if err != nil {
		return inspection{}, err
	}
	defer archive.Close()
	output, err := storage.NewMemfd("fuzz")
	if err != nil {
		return inspection{}, err
	}
	defer output.Close()
	if err := c.begin('i'); err != nil {
		return inspection{}, err
	}
	if err := c.conn.Send(&trainerv1.ToTrainer{Fds: 2, Frame: &trainerv1.ToTrainer_Intake{Intake: intakeOf(sample)}}, archive, output); err != nil {
		return inspection{}, err
	}
	frame, err := c.receive()
	if err != nil {
		return inspection{}, err
	}
	if fault := frame.GetFault(); fault != nil {
		return inspection{
			stage: refusedByIntake, reason: fmt.Sprintf("%v %s", fault.GetCode(), fault.GetReason()), operator: fault.GetOperator(),
			internal: fault.GetCode() == trainerv1.Fault_CODE_INTERNAL,
		}, nil
	}
	done := frame.GetIntakeDone()
	if done == nil {
		return inspection{}, fmt.Errorf("expected an answer, got %v", frame)
	}
	payload, err := io.ReadAll(io.NewSectionReader(output, 0, childOutputBytes))
	if err != nil || int64(len(payload)) != done.GetProgramBytes() {
		return inspection{}, fmt.Errorf("%d bytes announced, %d written, %w", done.GetProgramBytes(), len(payload), err)
	}
	return inspection{stage: answered, payload: payload, report: done.GetReport()}, nil
}
