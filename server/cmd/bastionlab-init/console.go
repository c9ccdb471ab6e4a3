package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kernelFiles are the file systems that the kernel makes of itself.
var kernelFiles = []struct {
	kind, at string
	flags    uintptr
}{
	{"proc", "/proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"sysfs", "/sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"devtmpfs", "/dev", unix.MS_NOSUID | unix.MS_NOEXEC},
}

// openConsole mounts the kernel's file systems and says everything from here on to the console, from which nothing is read.
func openConsole() error {
	for _, each := range kernelFiles {
		if err := unix.Mount(each.kind, each.at, each.kind, each.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", each.at, err)
		}
	}
	for descriptor, path := range []string{"/dev/null", "/dev/console", "/dev/console"} {
		file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		if err := unix.Dup3(int(file.Fd()), descriptor, 0); err != nil {
			return fmt.Errorf("use %s: %w", path, err)
		}
	}
	return nil
}

// closeKeyboard takes from whoever holds the console, which is the host, the keys that make a kernel dump what it knows or restart.
// SECURITY: the console is read by the host and written by it.
func closeKeyboard() error {
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		return fmt.Errorf("take the console's restart key: %w", err)
	}
	return set("kernel/sysrq", "0")
}

// closeKernel is done when all modules are in: from here on the kernel stays what was measured, and tells programs nothing of itself.
// SECURITY: neither can be undone without a restart, which is measured again.
func closeKernel() error {
	for _, setting := range [][2]string{{"kernel/modules_disabled", "1"}, {"kernel/kexec_load_disabled", "1"}, {"kernel/dmesg_restrict", "1"},
		{"kernel/kptr_restrict", "2"}, {"kernel/yama/ptrace_scope", "3"}} {
		if err := set(setting[0], setting[1]); err != nil {
			return err
		}
	}
	return nil
}

func set(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}
