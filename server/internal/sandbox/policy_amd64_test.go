package sandbox

import "golang.org/x/sys/unix"

// x32 is a second numbering of the same calls, which a filter that compares numbers would let by.
func x32() error { return raw(0x40000000|unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0) }
