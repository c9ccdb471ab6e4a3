//go:build linux && cgo

// Package confined closes the parts of a sandbox that must be closed before a process has a second thread: no new privileges, no
// capabilities, resource limits, Landlock. Importing it is what does it: a C constructor acts before main, and nothing can be asked
// for, changed or undone afterwards. Only the trainer's main package imports it.
//
// Invariant: after the constructor every later thread has all of this, whoever creates it. What could not be closed is not hidden:
// package sandbox looks at what is in force and reports it.
//
// Non-goals: seccomp is no part of it, because libtorch and the Go runtime need more while they start than afterwards.
package confined

// #include "confine.h"
import "C"

import "syscall"

// Landlock returns the version of the kernel's Landlock, 0 for none, and the error met on the way, if any.
func Landlock() (abi int, err error) {
	if C.bl_confined.landlock_errno != 0 {
		err = syscall.Errno(C.bl_confined.landlock_errno)
	}
	return int(C.bl_confined.landlock_abi), err
}
