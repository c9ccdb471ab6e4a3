package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Attempt is one thing that a hostile model would try, and what became of it.
type Attempt struct {
	Call   string
	Denied bool
	Detail string
}

// attempts in their order. Each returns the error of the call that matters, nil if it did what a break-out needs. execve is last:
// where it succeeds there is no process left to tell of it, and the reader of the report finds none.
var attempts = []struct {
	call string
	try  func(parent int) error
}{
	{"open", openForReading},
	{"open-write", openForWriting},
	{"open-parent-memory", openMemoryOf},
	{"socket", func(int) error { return socket(unix.AF_INET, unix.SOCK_STREAM) }},
	{"socket-unix", func(int) error { return socket(unix.AF_UNIX, unix.SOCK_STREAM) }},
	{"connect", connect},
	{"bind", bind},
	{"io_uring_setup", setUpRing},
	{"process_vm_readv", readMemoryOf},
	{"kill", func(parent int) error { return unix.Kill(parent, 0) }},
	{"fork", fork},
	{"ptrace", unix.PtraceSeize},
	{"execve", execute},
}

// Probe tries all of it. parent is the process identifier of the server as the host counts it.
func Probe(parent int) []Attempt {
	var made []Attempt
	ProbeEach(parent, func(attempt Attempt) { made = append(made, attempt) })
	return made
}

// ProbeEach tells of each attempt as soon as it is made, so that one that ends the process hides none before it.
func ProbeEach(parent int, tell func(Attempt)) {
	for _, attempt := range attempts {
		tell(judge(attempt.call, attempt.try(parent)))
	}
}

// judge takes for denied only what a rule denies. Anything else - no such file, nobody listening - might succeed elsewhere.
func judge(call string, err error) Attempt {
	switch err {
	case nil:
		return Attempt{call, false, "succeeded"}
	case unix.EPERM, unix.EACCES:
		return Attempt{call, true, unix.ErrnoName(err.(unix.Errno))}
	}
	return Attempt{call, false, fmt.Sprintf("not denied: %v", err)}
}

func opened(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func openForReading(int) error {
	return opened(unix.Open("/etc/passwd", unix.O_RDONLY|unix.O_CLOEXEC, 0))
}

func openForWriting(int) error {
	return opened(unix.Open("/tmp", unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600))
}

func openMemoryOf(pid int) error {
	return opened(unix.Open(fmt.Sprintf("/proc/%d/mem", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0))
}

func socket(family, kind int) error {
	return opened(unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0))
}

// connect by UDP: it needs nobody who listens. Without a socket the call itself must still be denied.
func connect(int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
	} else {
		fd = -1
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}})
}

func bind(int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
	} else {
		fd = -1
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}
