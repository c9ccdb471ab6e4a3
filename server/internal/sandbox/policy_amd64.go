package sandbox

import "golang.org/x/sys/unix"

// architecture lists calls that have a name of their own here.
var architecture = []string{"epoll_wait"}

const goThreadFlags = sharedByThreads | unix.CLONE_SETTLS
