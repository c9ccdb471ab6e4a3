// Package sandbox closes a trainer process, looks at what holds, and tries to break out.
//
// A trainer reads a stranger's model with libtorch, which was never written to withstand one. Five layers stand between what may
// happen there and everything else. Package confined applies the first four before the process has a second thread; Close adds
// the last, seccomp, when libtorch has started and before any of the model is read:
//
//	no-new-privs  nothing that is executed gains rights
//	capabilities  none, not even where the server runs as root
//	rlimits       no core file; bounded memory, output and descriptors
//	landlock      no file, no TCP, no signal to others
//	seccomp       a list of system calls; no file can be opened, no socket made, no process started
//
// A sixth, namespaces, is the server's to give: see package supervisor.
//
// A trainer that computes on a GPU (build tag cuda) is a program of its own, with the same layers. They let its driver start: device files
// and libraries can be opened until seccomp closes, and more descriptors held; afterwards ioctl passes on the descriptors of device files
// that are held by then, and on no other. What is behind those files, the driver in the kernel and the GPU, no layer covers.
//
// Invariant: Layers says what was seen to be in force, never what was asked for.
//
// Non-goals: the layers do not keep records from the code that trains on them; what leaves the process is judged by the server.
package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of the layers.
const (
	NoNewPrivs   = "no-new-privs"
	Capabilities = "capabilities"
	Rlimits      = "rlimits"
	Landlock     = "landlock"
	Seccomp      = "seccomp"
)

// Layer is one defence as it was found.
type Layer struct {
	Name   string
	Active bool
	Detail string
}

// LandlockState is what the constructor met; see package confined.
type LandlockState struct {
	ABI int
	Err error
}

// Close installs the system call filter on all threads and returns every layer as found. From here on no file can be opened.
func Close(landlock LandlockState) []Layer {
	// What is looked up in /proc must be looked up before.
	layers := []Layer{noNewPrivs(), capabilities(), rlimits(), landlockLayer(landlock)}
	return append(layers, seccompLayer())
}

func noNewPrivs() Layer {
	return everyThread(NoNewPrivs, "NoNewPrivs", "1")
}

func capabilities() Layer {
	layer := everyThread(Capabilities, "CapPrm", "0000000000000000")
	if effective := everyThread(Capabilities, "CapEff", "0000000000000000"); layer.Active {
		return effective
	}
	return layer
}

// everyThread looks at one field of /proc/self/task/*/status: a thread that was made too early shows here.
func everyThread(name, field, want string) Layer {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return Layer{name, false, "cannot be seen: " + err.Error()}
	}
	for _, entry := range entries {
		status, err := os.ReadFile("/proc/self/task/" + entry.Name() + "/status")
		if err != nil {
			continue // the thread has ended
		}
		if got := statusField(string(status), field); got != want {
			return Layer{name, false, fmt.Sprintf("a thread has %s %q", field, got)}
		}
	}
	return Layer{name, true, fmt.Sprintf("on all of %d threads", len(entries))}
}

func statusField(status, field string) string {
	for line := range strings.Lines(status) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func rlimits() Layer {
	var core, output, files, memory unix.Rlimit
	for resource, limit := range map[int]*unix.Rlimit{
		unix.RLIMIT_CORE: &core, unix.RLIMIT_FSIZE: &output, unix.RLIMIT_NOFILE: &files, unix.RLIMIT_DATA: &memory,
	} {
		if err := unix.Getrlimit(resource, limit); err != nil {
			return Layer{Rlimits, false, "cannot be seen: " + err.Error()}
		}
	}
	detail := fmt.Sprintf("core %s, output %s, descriptors %s, memory %s",
		bytesText(core.Max), bytesText(output.Max), bytesText(files.Max), bytesText(memory.Max))
	return Layer{Rlimits, core.Max == 0 && output.Max != unix.RLIM_INFINITY && files.Max <= maxDescriptors, detail}
}

func bytesText(limit uint64) string {
	if limit == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return fmt.Sprint(limit)
}

// landlockLayer tries what Landlock denies, on whatever thread this is: what the constructor did must have reached it.
func landlockLayer(state LandlockState) Layer {
	if state.ABI == 0 {
		return Layer{Landlock, false, fmt.Sprintf("the kernel has none: %v", state.Err)}
	}
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	if err != unix.EACCES {
		return Layer{Landlock, false, fmt.Sprintf("/ opens: %v; set up: %v", err, state.Err)}
	}
	return Layer{Landlock, true, fmt.Sprintf("version %d: %s", state.ABI, landlockScope(state.ABI))}
}

func landlockScope(abi int) string {
	scope := "files"
	if abi >= 4 {
		scope += ", TCP"
	}
	if abi >= 6 {
		scope += ", signals, abstract sockets"
	}
	return scope
}

// witnesses are threads that exist before the filter and are asked afterwards whether they have it.
const witnesses = 2

// seccompLayer closes the system calls and has other threads try one.
func seccompLayer() Layer {
	locked, closed, tried := make(chan struct{}, witnesses), make(chan struct{}), make(chan error, witnesses)
	for range witnesses {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			locked <- struct{}{}
			<-closed
			fd, err := unix.Open("/proc/self/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				unix.Close(fd)
			}
			tried <- err
		}()
	}
	for range witnesses {
		<-locked
	}
	held, err := closeSystemCalls()
	close(closed)
	layer := Layer{Seccomp, err == nil, "on all threads"}
	if held > 0 {
		layer.Detail += fmt.Sprintf("; ioctl on %d descriptors of the GPU", held)
	}
	if err != nil {
		layer.Detail = err.Error()
	}
	for range witnesses {
		if seen := <-tried; seen != unix.EPERM && layer.Active {
			layer = Layer{Seccomp, false, fmt.Sprintf("on a thread a file still opens: %v", seen)}
		}
	}
	return layer
}
