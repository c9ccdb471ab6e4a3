package sandbox

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The attempts that the standard library has no plain call for.

func errnoOf(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// fork copies the process. The copy ends at once: it must run nothing of Go, whose other threads it lacks.
//
//go:norace
func fork(int) error {
	child, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && child == 0 {
		for {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	if errno == 0 {
		_, _ = unix.Wait4(int(child), nil, 0, nil)
	}
	return errnoOf(errno)
}

// execute replaces the process if it can.
func execute(int) error {
	path, err := unix.BytePtrFromString("/bin/true")
	if err != nil {
		return err
	}
	arguments := []*byte{path, nil}
	_, _, errno := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&arguments[0])),
		uintptr(unsafe.Pointer(&arguments[1])))
	return errnoOf(errno)
}

// setUpRing: operations on a ring bypass a filter of system calls.
func setUpRing(int) error {
	var parameters [120]byte // struct io_uring_params
	fd, _, errno := syscall.RawSyscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&parameters)), 0)
	if errno == 0 {
		unix.Close(int(fd))
	}
	return errnoOf(errno)
}

// marker lies at the same address in every process of one executable.
var marker = [8]byte{'m', 'a', 'r', 'k', 'e', 'r'}

func readMemoryOf(pid int) error {
	var got [len(marker)]byte
	local := []unix.Iovec{{Base: &got[0]}}
	local[0].SetLen(len(got))
	remote := []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&marker)), Len: len(marker)}}
	_, err := unix.ProcessVMReadv(pid, local, remote, 0)
	return err
}
