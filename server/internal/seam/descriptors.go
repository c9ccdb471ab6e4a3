package seam

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// descriptors are received and not yet handed on.
type descriptors []int

func (d *descriptors) close() {
	for _, fd := range *d {
		unix.Close(fd)
	}
	*d = nil
}

func (d *descriptors) files() []*os.File {
	if len(*d) == 0 {
		return nil
	}
	files := make([]*os.File, len(*d))
	for i, fd := range *d {
		files[i] = os.NewFile(uintptr(fd), "received")
	}
	*d = nil
	return files
}

// read does one recvmsg; what descriptors it brought are added to arrived whatever else goes wrong, so that none is lost.
func (c *Conn) read(p []byte, arrived *descriptors) (int, error) {
	var (
		n, control, flags int
		failure           error
	)
	// One more than allowed, so that a surplus is seen as such.
	ancillary := make([]byte, unix.CmsgSpace(4*(MaxDescriptors+1)))
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			// SECURITY: close-on-exec within the call: no window in which another goroutine's child could inherit it.
			n, control, flags, _, failure = unix.Recvmsg(int(fd), p, ancillary, unix.MSG_CMSG_CLOEXEC)
			if failure != unix.EINTR {
				return failure != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return 0, err
	}
	if failure != nil {
		return 0, os.NewSyscallError("recvmsg", failure)
	}
	if err := arrived.add(ancillary[:control]); err != nil {
		return 0, err
	}
	if flags&unix.MSG_CTRUNC != 0 || len(*arrived) > MaxDescriptors {
		return 0, fmt.Errorf("%w: more than %d", ErrDescriptors, MaxDescriptors)
	}
	return n, nil
}

// add takes the descriptors out of control messages. Anything else among them is an error.
func (d *descriptors) add(control []byte) error {
	if len(control) == 0 {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrDescriptors, err)
	}
	strange := false
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			strange = true
			continue
		}
		*d = append(*d, fds...)
	}
	if strange {
		return fmt.Errorf("%w: a control message without descriptors", ErrDescriptors)
	}
	return nil
}

// sendWithDescriptors does the one sendmsg that the descriptors travel with and returns how many bytes of the frame went along.
func (c *Conn) sendWithDescriptors(frame []byte, files []*os.File) (int, error) {
	var (
		sent    int
		failure error
	)
	fds := make([]int, len(files))
	for i, file := range files {
		raw, err := file.SyscallConn()
		if err != nil {
			return 0, err
		}
		// Not Fd: it would put the file into blocking mode. The number stays valid while the caller holds the file.
		if err := raw.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return 0, err
		}
	}
	rights := unix.UnixRights(fds...)
	err := c.raw.Write(func(fd uintptr) bool {
		for {
			sent, failure = unix.SendmsgN(int(fd), frame, rights, nil, unix.MSG_NOSIGNAL)
			if failure != unix.EINTR {
				return failure != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return 0, err
	}
	if failure != nil {
		return 0, os.NewSyscallError("sendmsg", failure)
	}
	return sent, nil
}
