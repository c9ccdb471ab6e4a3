// Command bastionlab-init is the first and only program of a measured image beside the server: it opens the root file system, whose root hash is on
// the measured command line, gives the machine its address, registers the image's users and runs the server. There is no shell, no login and
// no other program to run. What fails ends the machine: half an image proves nothing.
//
// Non-goals: it keeps nothing. What the server stores lies in the guest's memory and ends with it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "bastionlab-init: this is the first program of a measured image, and is started by its kernel")
		os.Exit(2)
	}
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "bastionlab-init:", err)
	}
	unix.Sync()
	// Nothing is left to do if even this fails; the kernel panics when its first program ends.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot runs the machine until its server ends.
func boot() error {
	if err := openConsole(); err != nil {
		return err
	}
	if err := closeKeyboard(); err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	root, err := parseRoot(string(line))
	if err != nil {
		return err
	}
	if err := openRoot(root); err != nil {
		return err
	}
	if err := closeKernel(); err != nil {
		return err
	}
	renew, err := joinNetwork()
	if err != nil {
		return err
	}
	go renew()
	return runServer()
}
