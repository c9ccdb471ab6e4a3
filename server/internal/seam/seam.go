// Package seam carries frames between the server and one trainer process: a 4-byte big-endian length, one protobuf message, and the
// file descriptors that the message announces.
//
// Invariants: a frame holds 1 byte to 1 MiB; a descriptor travels with the first byte of its frame; what arrives is close-on-exec
// from its first moment; a frame with more or fewer descriptors than its message announces is an error, and all of them are
// closed. After any error but a deadline between two frames the stream is out of step and good for nothing but Close.
//
// Non-goals: no multiplexing, no request identifiers, no reconnecting: a seam lives as long as its process. Neither side trusts
// the other's lengths; what a well-formed message means is judged by its reader.
package seam

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

const (
	// MaxFrameBytes bounds a message. Everything larger travels as a descriptor.
	MaxFrameBytes = 1 << 20
	// MaxDescriptors bounds what travels with one frame.
	MaxDescriptors = 4

	headerBytes = 4
)

// What can be wrong with a frame. A stream that ends between two frames is io.EOF.
var (
	ErrLength      = errors.New("frame length out of bounds")
	ErrTruncated   = errors.New("stream ended within a frame")
	ErrMalformed   = errors.New("frame holds no message of the protocol")
	ErrDescriptors = errors.New("frame carries other descriptors than it announces")
)

// announcer is what a message implements that descriptors may travel with.
type announcer interface{ GetFds() uint32 }

// Conn is one end. One goroutine may send while another receives; no more than one of each.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
}

// NewConn takes over a connected stream socket in non-blocking mode: in blocking mode a deadline would end no wait.
func NewConn(socket *os.File) (*Conn, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("seam: %w", err)
	}
	return &Conn{file: socket, raw: raw}, nil
}

// Inherited opens the end that a process was started with.
func Inherited(fd int) (*Conn, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, fmt.Errorf("seam: descriptor %d: %w", fd, err)
	}
	if kind != unix.SOCK_STREAM {
		return nil, fmt.Errorf("seam: descriptor %d is no stream socket", fd)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("seam: descriptor %d: %w", fd, err)
	}
	unix.CloseOnExec(fd)
	return NewConn(os.NewFile(uintptr(fd), "seam"))
}

// Pair makes both ends. The second is for a child process (exec.Cmd.ExtraFiles), and the caller closes it once the child has it.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("seam: %w", err)
	}
	far := os.NewFile(uintptr(fds[1]), "seam")
	conn, err := NewConn(os.NewFile(uintptr(fds[0]), "seam"))
	if err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), far.Close())
	}
	return conn, far, nil
}

// SetDeadline bounds sends and receives, those under way included; the zero time lifts it.
func (c *Conn) SetDeadline(t time.Time) error { return c.file.SetDeadline(t) }

// Close ends the seam: the other side reads io.EOF.
func (c *Conn) Close() error { return c.file.Close() }

// Send writes one frame. The descriptors stay the caller's; their number is what the message announces.
func (c *Conn) Send(message proto.Message, files ...*os.File) error {
	if announced(message) != len(files) || len(files) > MaxDescriptors {
		return fmt.Errorf("send: %w", ErrDescriptors)
	}
	frame, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, headerBytes), message)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	size := len(frame) - headerBytes
	if size < 1 || size > MaxFrameBytes {
		return fmt.Errorf("send: %w: %d bytes", ErrLength, size)
	}
	binary.BigEndian.PutUint32(frame, uint32(size))
	if len(files) > 0 {
		sent, err := c.sendWithDescriptors(frame, files)
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if frame = frame[sent:]; len(frame) == 0 {
			return nil // not even a write of nothing: it fails where the other side has read the frame and gone
		}
	}
	// A plain write, so that a trainer's sandbox need not admit sendmsg: it has no descriptor to give.
	if _, err := c.file.Write(frame); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Receive reads one frame into message and returns the descriptors that came with it, which are the caller's to close.
func (c *Conn) Receive(message proto.Message) ([]*os.File, error) {
	var arrived descriptors
	if err := c.receive(message, &arrived); err != nil {
		arrived.close()
		return nil, err
	}
	return arrived.files(), nil
}

func (c *Conn) receive(message proto.Message, arrived *descriptors) error {
	var header [headerBytes]byte
	if err := c.fill(header[:], arrived); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	// SECURITY: the length is the other side's word: it is bounded before a byte is allocated for it.
	size := binary.BigEndian.Uint32(header[:])
	if size < 1 || size > MaxFrameBytes {
		return fmt.Errorf("receive: %w: %d bytes", ErrLength, size)
	}
	frame := make([]byte, size)
	if err := c.fill(frame, arrived); err != nil {
		if errors.Is(err, io.EOF) {
			err = ErrTruncated
		}
		return fmt.Errorf("receive: %w", err)
	}
	if err := proto.Unmarshal(frame, message); err != nil {
		return fmt.Errorf("receive: %w", ErrMalformed)
	}
	if announced(message) != len(*arrived) {
		return fmt.Errorf("receive: %w", ErrDescriptors)
	}
	return nil
}

// fill reads exactly len(p) bytes; io.EOF means that the stream ended before the first of them.
func (c *Conn) fill(p []byte, arrived *descriptors) error {
	for got := 0; got < len(p); {
		n, err := c.read(p[got:], arrived)
		if err != nil {
			return err
		}
		if n == 0 {
			if got == 0 {
				return io.EOF
			}
			return ErrTruncated
		}
		got += n
	}
	return nil
}

func announced(message proto.Message) int {
	if m, ok := message.(announcer); ok {
		return int(m.GetFds())
	}
	return 0
}
