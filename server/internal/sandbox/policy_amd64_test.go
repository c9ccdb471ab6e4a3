package sandbox

import "golang.org/x/sys/unix"

// x32 is a second numbering of the same calls, which a filter that compares numbers would let by.
func x32() error { return raw(0x40000000|unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0) }

// filterDigest is of the filter of process 1 before there were trainers with a GPU.
const filterDigest = "4518ddae855698be1e047fef0ccd1854771c01d3369f5a46cae5b4a2e2d88d22"
