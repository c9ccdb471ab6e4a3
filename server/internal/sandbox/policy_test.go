//go:build linux

package sandbox

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// insideArgument makes the test binary close its own system calls and print what a table of calls then answers; insideWithGPU, as a trainer
// does that holds a GPU's device file.
const (
	insideArgument = "inside-the-filter"
	insideWithGPU  = "inside-the-filter-with-a-gpu"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == insideArgument {
		os.Exit(inside(calls, func() error {
			if layer := seccompLayer(); !layer.Active {
				return fmt.Errorf("%+v", layer)
			}
			return nil
		}))
	}
	if len(os.Args) == 2 && os.Args[1] == insideWithGPU {
		os.Exit(inside(append(calls, callsWithGPU...), func() error { return install(policy(os.Getpid(), []int{gpuDescriptor})) }))
	}
	os.Exit(m.Run())
}

type judged struct {
	name string
	want error
	call func() error
}

// calls that pass or fail by their arguments, and a few that no list of names would show to be missing.
var calls = []judged{
	{"a process by clone", unix.EPERM, func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) }},
	{"a thread in a namespace of its own", unix.EPERM, func() error { return raw(unix.SYS_CLONE, threadFlags|unix.CLONE_NEWUSER) }},
	{"clone3", unix.ENOSYS, func() error { return raw(unix.SYS_CLONE3, 0, 0) }},
	{"a signal to a thread of this process", nil, func() error { return unix.Tgkill(os.Getpid(), unix.Gettid(), 0) }},
	{"a signal to a thread of another process", unix.EPERM, func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) }},
	{"a signal to this process", unix.EPERM, func() error { return unix.Kill(os.Getpid(), 0) }},
	{"receiving on another socket than the seam", unix.EPERM, func() error { return raw(unix.SYS_RECVMSG, 2, 0, 0) }},
	{"receiving on the seam", unix.EFAULT, func() error { return raw(unix.SYS_RECVMSG, seamDescriptor, 0, 0) }},
	{"sending descriptors", unix.EPERM, func() error { return raw(unix.SYS_SENDMSG, seamDescriptor, 0, 0) }},
	{"reading a descriptor's flags", nil, func() error { return raw(unix.SYS_FCNTL, 2, unix.F_GETFL) }},
	{"signals from a descriptor", unix.EPERM, func() error { return raw(unix.SYS_FCNTL, 2, unix.F_SETOWN, 1) }},
	{"a thread's name", nil, func() error {
		return unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&[]byte("x\x00")[0])), 0, 0, 0)
	}},
	{"becoming dumpable again", unix.EPERM, func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	{"outliving the server", unix.EPERM, func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) }},
	{"memory that is private", nil, func() error { return anonymous(unix.MAP_PRIVATE) }},
	{"shared memory of no file", unix.EPERM, func() error { return anonymous(unix.MAP_SHARED) }},
	{"shared memory of no file, validated", unix.EPERM, func() error { return anonymous(unix.MAP_SHARED_VALIDATE) }},
	{"a shared mapping of a file that is held", nil, func() error {
		return mapping(unix.MAP_SHARED, heldDescriptor)
	}},
	{"a memfd", unix.EPERM, func() error { _, err := unix.MemfdCreate("x", 0); return err }},
	{"a pipe", unix.EPERM, func() error { return unix.Pipe2(make([]int, 2), 0) }},
	{"another limit", unix.EPERM, func() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }},
	{"another filter", unix.EPERM, func() error { return raw(unix.SYS_SECCOMP, 0, 0, 0) }},
	{"facts about a file", unix.EPERM, func() error { return unix.Fstatat(unix.AT_FDCWD, "/", &unix.Stat_t{}, 0) }},
	{"a namespace", unix.EPERM, func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
	{"a mount", unix.EPERM, func() error { return unix.Mount("none", "/", "tmpfs", 0, "") }},
	{"control of a device that is held", unix.EPERM, func() error { return raw(unix.SYS_IOCTL, otherDescriptor, unix.TIOCGWINSZ, 0) }},
	{"control of a memfd", unix.EPERM, func() error { return raw(unix.SYS_IOCTL, heldDescriptor, unix.TIOCGWINSZ, 0) }},
	{"control of the seam", unix.EPERM, func() error { return raw(unix.SYS_IOCTL, seamDescriptor, unix.SIOCGIFCONF, 0) }},
	{"a kernel program", unix.EPERM, func() error { return raw(unix.SYS_BPF, 0, 0, 0) }},
	{"page faults by hand", unix.EPERM, func() error { return raw(unix.SYS_USERFAULTFD, 0) }},
	{"the x32 numbering", unix.ENOSYS, x32},
}

// callsWithGPU pass where one descriptor is a GPU's.
var callsWithGPU = []judged{
	{"control of the GPU", unix.ENOTTY, func() error { return raw(unix.SYS_IOCTL, gpuDescriptor, unix.TIOCGWINSZ, 0) }},
	{"control of a descriptor with the same lower half", unix.EPERM, func() error { return raw(unix.SYS_IOCTL, 1<<32|gpuDescriptor, unix.TIOCGWINSZ, 0) }},
	{"waiting for the GPU", unix.EINVAL, func() error { return raw(unix.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&unix.Timespec{Nsec: -1}))) }},
	{"opening the GPU again", unix.EPERM, func() error { _, err := unix.Open("/dev/zero", unix.O_RDWR, 0); return err }},
}

const (
	heldDescriptor  = 4 // a memfd that was there before the system calls were closed
	gpuDescriptor   = 5 // a device that stands for a GPU
	otherDescriptor = 6 // another device
)

func anonymous(flags int) error { return mapping(flags|unix.MAP_ANONYMOUS, -1) }

func mapping(flags, fd int) error {
	const bytes = 4096
	at, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, bytes, unix.PROT_READ, uintptr(flags), uintptr(fd), 0)
	if errno == 0 {
		return raw(unix.SYS_MUNMAP, at, bytes)
	}
	return errnoOf(errno)
}

func raw(number uintptr, arguments ...uintptr) error {
	var a [4]uintptr
	copy(a[:], arguments)
	_, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], 0, 0)
	return errnoOf(errno)
}

// inside gives descriptor 3 a socket and others what they stand for, closes, and prints what went otherwise than wanted.
func inside(calls []judged, closeCalls func() error) int {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil || unix.Dup3(pair[0], seamDescriptor, 0) != nil {
		fmt.Println("no socket:", err)
		return 1
	}
	held, err := unix.MemfdCreate("held", 0)
	if err != nil || unix.Ftruncate(held, 4096) != nil || unix.Dup3(held, heldDescriptor, 0) != nil {
		fmt.Println("no memfd:", err)
		return 1
	}
	for descriptor, path := range map[int]string{gpuDescriptor: "/dev/zero", otherDescriptor: "/dev/full"} {
		device, err := unix.Open(path, unix.O_RDWR, 0)
		if err != nil || (device != descriptor && unix.Dup3(device, descriptor, 0) != nil) {
			fmt.Println("no device:", err)
			return 1
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := closeCalls(); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, test := range calls {
		if got := test.call(); !errors.Is(got, test.want) {
			fmt.Printf("%s: %v, want %v\n", test.name, got, test.want)
		}
	}
	return 0
}

func TestCallsAreJudgedByTheirArguments(t *testing.T) {
	for _, argument := range []string{insideArgument, insideWithGPU} {
		t.Run(argument, func(t *testing.T) {
			output, err := exec.Command(os.Args[0], argument).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			for line := range strings.Lines(string(output)) {
				t.Error(strings.TrimSpace(line))
			}
		})
	}
}

// The filter of a trainer without a GPU is instruction for instruction the one that was there before trainers with one were.
func TestWithoutGPUTheFilterIsWhatItWas(t *testing.T) {
	if filterDigest == "" {
		t.Skip("nobody has taken down what the filter was on this architecture")
	}
	if got := digest(t, nil); got != filterDigest {
		t.Errorf("the filter of process 1 has the digest %s, before it was %s", got, filterDigest)
	}
	if digest(t, []int{gpuDescriptor}) == filterDigest {
		t.Error("the digest does not tell a filter with a GPU from one without")
	}
}

func digest(t *testing.T, gpus []int) string {
	t.Helper()
	list := policy(1, gpus)
	instructions, err := list.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, raw)))
}

// As many descriptors as a trainer may hold fit into one filter.
func TestTheFilterHoldsEveryDescriptorOfTheGPU(t *testing.T) {
	var all []int
	for descriptor := range maxCUDADescriptors {
		all = append(all, descriptor)
	}
	list := policy(1, all)
	instructions, err := list.Assemble()
	if err != nil {
		t.Fatal(err)
	}
	if got := len(instructions); got > 4096 {
		t.Errorf("%d instructions, and the kernel takes 4096", got)
	}
}

func TestOnlyFilesOfTheGPUMayBeControlled(t *testing.T) {
	for path, want := range map[string]bool{
		"/dev/nvidiactl": true, "/dev/nvidia-uvm": true, "/dev/nvidia0": true, "/dev/nvidia15": true,
		"/dev/nvidia": false, "/dev/nvidia-uvm-tools": false, "/dev/nvidia-modeset": false, "/dev/nvidia0 (deleted)": false,
		"/dev/tty": false, "/memfd:nvidia0": false, "socket:[1]": false, "/tmp/dev/nvidia0": false, "/dev/nvidia0/x": false,
	} {
		if got := isGPU(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

func TestDescriptorsAreFoundByTheirPaths(t *testing.T) {
	file, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	found, err := descriptorsOf(func(path string) bool { return path == "/dev/zero" })
	if err != nil || len(found) != 1 || found[0] != int(file.Fd()) {
		t.Errorf("%v, %v", found, err)
	}
}
