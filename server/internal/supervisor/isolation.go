package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	trainerv1 "github.com/bastionlab/bastionlab/server/api/bastionlab/trainer/v1"
	"golang.org/x/sys/unix"
)

// Namespaces is the name of the layer that the server gives and the trainer cannot report.
const Namespaces = "namespaces"

// isolation is how much of its own world a process starts with.
type isolation uintptr

// allNamespaces: own users (so that nothing else needs privilege), network without interfaces, processes, and the rest.
const allNamespaces isolation = unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNS

// namespaceLinks are the namespaces that keep a process apart, by their names below /proc/PID/ns. That of users is only the means to have
// the others without privilege: a server that runs as root has them without it.
var namespaceLinks = []string{"net", "pid", "ipc", "uts", "mnt"}

// insideID is who a trainer is in its own namespace: not root, so that executing it leaves it without capabilities even there.
const insideID = 65534

func (i isolation) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Setpgid: true,
		// SECURITY: the kernel kills the trainer with the server. It watches the thread that started it: see process.start.
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: uintptr(i),
	}
	if i&unix.CLONE_NEWUSER != 0 {
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: insideID, HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: insideID, HostID: os.Getgid(), Size: 1}}
	}
	return attributes
}

// refusedByHost says whether a process could not be started because the host grants no namespaces.
func refusedByHost(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EUSERS)
}

// namespacesOf looks whether the process lives in namespaces that are not the server's.
func namespacesOf(pid int) *trainerv1.SandboxLayer {
	var shared []string
	for _, name := range namespaceLinks {
		if !ownNamespace(pid, name) {
			shared = append(shared, name)
		}
	}
	layer := &trainerv1.SandboxLayer{Name: Namespaces, Active: len(shared) == 0, Detail: "own " + strings.Join(namespaceLinks, ", ")}
	if !layer.Active {
		layer.Detail = "shared with the server: " + strings.Join(shared, ", ")
	}
	return layer
}

// ownNamespace says no where it cannot see.
func ownNamespace(pid int, name string) bool {
	here, err := os.Readlink("/proc/self/ns/" + name)
	if err != nil {
		return false
	}
	there, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	return err == nil && there != here
}
