package sandbox

import "golang.org/x/sys/unix"

// architecture lists calls that have a name of their own here.
var architecture = []string{"epoll_wait"}

// cudaArchitecture is the same, of what a GPU's driver calls.
var cudaArchitecture = []string{"poll"}

const goThreadFlags = sharedByThreads | unix.CLONE_SETTLS
