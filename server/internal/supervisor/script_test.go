//go:build linux

package supervisor

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	bastionlabv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/v1"
	"github.com/bastionlab/bastionlab/server/internal/seam"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// script is what a trainer that was taken over does, as bytes that a fuzzer changes: one act after the other, each a byte and what it
// needs. Where the bytes end, the trainer does.
type script []byte

// What an act's first byte means, modulo their number.
const (
	actRaw      = iota // bytes as they come
	actFrame           // bytes with their length before them
	actHello           // a good one, with layers that it may not have
	actTook            // IntakeDone
	actPrepared        // Prepared
	actProgress        // Progress
	actFinished        // Finished
	actFault           // Fault
	actProbed          // ProbeDone
	actHear            // wait for a frame and keep its descriptors
	actWrite           // write to the output
	actResize          // make it shorter or longer
	actSeal            // make it unchangeable
	actGive            // bytes with descriptors beside them
	actWait            // some milliseconds
	actHang            // until it is killed
	actHangUp          // close the conversation and go on
	actLength          // a length and nothing behind it
	actState           // State
	acts
)

// player goes through a script on a socket of its own.
type player struct {
	rest    script
	socket  *os.File
	conn    *seam.Conn
	output  *os.File
	state   *os.File
	stopped <-chan struct{} // nil: only the kernel stops it
}

func (p *player) play() {
	for len(p.rest) > 0 && !p.isStopped() {
		if !p.act(int(p.byte()) % acts) {
			return
		}
	}
}

func (p *player) isStopped() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// act says whether there is a next one.
func (p *player) act(kind int) bool {
	switch kind {
	case actRaw:
		return p.write(p.bytes())
	case actFrame:
		content := p.bytes()
		return p.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...))
	case actLength:
		return p.write(binary.BigEndian.AppendUint32(nil, uint32(p.number())))
	case actGive:
		return p.give(p.bytes(), int(p.byte())%7)
	case actHear:
		return p.hear()
	case actWrite:
		content, at := p.bytes(), p.number()
		if p.output != nil {
			_, _ = p.output.WriteAt(content, max(0, min(at, 1<<40)))
		}
	case actResize:
		if size := p.number(); p.output != nil {
			_ = p.output.Truncate(size)
		}
	case actSeal:
		if p.output != nil {
			_, _ = unix.FcntlInt(p.output.Fd(), unix.F_ADD_SEALS, int(p.byte()))
		}
	case actWait:
		return p.wait(time.Duration(p.byte()%8) * time.Millisecond)
	case actHang:
		return p.wait(time.Hour)
	case actHangUp:
		p.socket.Close()
	default:
		return p.tell(p.frame(kind))
	}
	return true
}

func (p *player) frame(kind int) *trainerv1.FromTrainer {
	switch kind {
	case actHello:
		hello := &trainerv1.Hello{Abi: supportedABI, TorchVersion: "taken over", Device: CPU}
		if layers := p.byte(); layers < 0x80 {
			for i, name := range append(requiredLayers, "\x1b[31m", strings.Repeat("x", 100)) {
				if layers>>(i%7)&1 == 1 {
					hello.Layers = append(hello.Layers, &trainerv1.SandboxLayer{Name: name, Active: i%3 > 0})
				}
			}
		}
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Hello{Hello: hello}}
	case actTook:
		report := &bastionlabv1.CapabilityReport{Operators: []*bastionlabv1.OperatorUse{{Name: "aten::linear", Count: p.number()}}}
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_IntakeDone{IntakeDone: &trainerv1.IntakeDone{ProgramBytes: p.number(), Report: report}}}
	case actPrepared:
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Prepared{Prepared: &trainerv1.Prepared{}}}
	case actProgress:
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Progress{Progress: &trainerv1.Progress{StepsDone: p.number(), EpochsDone: p.number()}}}
	case actFinished:
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Finished{Finished: &trainerv1.Finished{OutputBytes: p.number()}}}
	case actState:
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_State{State: &trainerv1.State{StateBytes: p.number(), StepsDone: p.number()}}}
	case actProbed:
		done := &trainerv1.ProbeDone{Attempts: []*trainerv1.ProbeAttempt{{Call: string(p.bytes()), Denied: true}}}
		return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_ProbeDone{ProbeDone: done}}
	}
	fault := &trainerv1.Fault{Code: trainerv1.Fault_Code(p.number()), Operator: "aten::as_strided", Layer: "\x1b", Reason: strings.ToValidUTF8(string(p.bytes()), "?")}
	return &trainerv1.FromTrainer{Frame: &trainerv1.FromTrainer_Fault{Fault: fault}}
}

func (p *player) tell(frame *trainerv1.FromTrainer) bool {
	content, err := proto.Marshal(frame)
	if err != nil {
		return true // a text that is none: it cannot be said in a frame
	}
	return p.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...))
}

// write fails where the server has gone.
func (p *player) write(content []byte) bool {
	if len(content) == 0 {
		return true
	}
	_, err := p.socket.Write(content)
	return err == nil
}

func (p *player) give(content []byte, count int) bool {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return false
	}
	defer null.Close()
	fds := make([]int, count)
	for i := range fds {
		fds[i] = int(null.Fd())
		if p.output != nil && i%2 == 1 {
			fds[i] = int(p.output.Fd())
		}
	}
	raw, err := p.socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Write(func(fd uintptr) bool {
		_ = unix.Sendmsg(int(fd), append(content, 0), unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return true
	})
	return err == nil
}

func (p *player) hear() bool {
	var frame trainerv1.ToTrainer
	files, err := p.conn.Receive(&frame)
	if err != nil {
		return false
	}
	for i, file := range files {
		switch {
		case i == 1: // beside an archive or records
			p.output = replaced(p.output, file)
		case i > 1 || frame.GetStateKept() != nil:
			p.state = replaced(p.state, file)
		default:
			file.Close()
		}
	}
	return true
}

func replaced(old, file *os.File) *os.File {
	if old != nil {
		old.Close()
	}
	return file
}

func (p *player) drop() {
	p.output, p.state = replaced(p.output, nil), replaced(p.state, nil)
}

func (p *player) wait(d time.Duration) bool {
	select {
	case <-p.stopped:
		return false
	case <-time.After(d):
		return true
	}
}

func (p *player) byte() byte {
	if len(p.rest) == 0 {
		return 0
	}
	first := p.rest[0]
	p.rest = p.rest[1:]
	return first
}

func (p *player) bytes() []byte {
	length := min(int(p.byte()), len(p.rest))
	taken := p.rest[:length]
	p.rest = p.rest[length:]
	return append([]byte{}, taken...)
}

// number is mostly small or at the end of what there is.
func (p *player) number() int64 {
	numbers := []int64{0, 1, 2, 3, 4, 5, 7, 8, 64, -1, math.MaxInt32, math.MaxInt64, math.MinInt64, 1 << 40}
	which := int(p.byte())
	if which < 2*len(numbers) {
		return numbers[which%len(numbers)]
	}
	var eight [8]byte
	for i := range eight {
		eight[i] = p.byte()
	}
	return int64(binary.LittleEndian.Uint64(eight[:]))
}

// playScript is what a process does that was started under the name "scripted": its script lies beside it.
func playScript(path string) int {
	rest, err := os.ReadFile(path + ".script")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	socket := os.NewFile(3, "seam")
	conn, err := seam.NewConn(socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p := &player{rest: rest, socket: socket, conn: conn}
	p.play()
	return 0
}
