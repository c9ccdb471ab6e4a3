package sandbox

import (
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// What a trainer may ask of the kernel once libtorch has started. Everything else fails with EPERM, which a library's fallback
// can deal with; killing would turn an unexpected but harmless call into a lost, charged run.
var allowed = []string{
	// Memory (see conditions for mmap). mprotect may make pages executable: oneDNN compiles its kernels when it meets their shapes.
	"brk", "madvise", "mprotect", "mremap", "munmap",

	// Threads that exist, and those that libgomp and the Go runtime still make (see conditions for clone).
	"exit", "exit_group", "futex", "getpid", "gettid", "restart_syscall", "rseq", "sched_getaffinity", "sched_yield", "set_robust_list",

	// Signals to itself: Go preempts goroutines with them.
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",

	"clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep",

	// Descriptors that are held already; none can be opened. No lseek: the position of a memfd is shared with every run that has it.
	"close", "epoll_ctl", "epoll_pwait", "fstat", "pread64", "pwrite64", "read", "write", "writev",

	"getrandom",
}

// seamDescriptor is the only socket that a trainer has.
const seamDescriptor = 3

// What every thread shares with the others. A process, a namespace, or a thread that shares less, differs in a bit.
const sharedByThreads = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM

// threadFlags is how the C library makes a thread; goThreadFlags how the Go runtime does where it has no C library.
const threadFlags = sharedByThreads | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID

func equals(argument uint32, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
}

// lacks: no bit of the value is set.
func lacks(argument uint32, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.BitsNotSet, Value: value}
}

// conditions lists the calls that are harmless with some arguments only. Each line is one way to pass.
func conditions(pid int) []seccomp.NameWithConditions {
	when := func(name string, all ...seccomp.Condition) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: all}
	}
	return []seccomp.NameWithConditions{
		// SECURITY: shared memory of no file is not counted by RLIMIT_DATA, so that the bound on memory would not hold. Shared mappings of
		// the files that are held stay, and anonymous memory that is private.
		when("mmap", lacks(3, unix.MAP_SHARED)),
		when("mmap", lacks(3, unix.MAP_ANONYMOUS)),
		when("clone", equals(0, threadFlags)),
		when("clone", equals(0, goThreadFlags)),
		// SECURITY: signals reach this process only; kill, tkill and rt_sigqueueinfo stay out.
		when("tgkill", equals(0, uint64(pid))),
		// SECURITY: descriptors come in over the seam and from nowhere else; none can be sent, so sendmsg stays out.
		when("recvmsg", equals(0, seamDescriptor)),
		when("fcntl", equals(1, unix.F_GETFL)),
		when("fcntl", equals(1, unix.F_GETFD)),
		when("fcntl", equals(1, unix.F_GET_SEALS)),
		when("prctl", equals(0, unix.PR_SET_NAME)),
		when("prctl", equals(0, unix.PR_SET_VMA)), // names of mappings, for whoever reads /proc
		when("prctl", equals(0, unix.PR_GET_SECCOMP)),
	}
}

// policy is the list for the process of this number, which holds these descriptors of a GPU's device files.
func policy(pid int, gpus []int) seccomp.Policy {
	names, some := slices.Concat(allowed, architecture), conditions(pid)
	if len(gpus) > 0 {
		names = slices.Concat(names, cudaCalls, cudaArchitecture)
		some = append(some, cudaConditions(gpus)...)
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno, // EPERM
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: names, NamesWithCondtions: some},
			// The flags of clone3 lie in memory, where a filter cannot look. Told that there is no such call, the C library uses clone.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
		},
	}
}
