package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rootSpec is the root file system as the measured command line names it: how many blocks it has, and the root of the hash tree over them.
// SECURITY: everything that opens it stands there. Nothing that describes the disk is read from the disk, which is the host's.
type rootSpec struct {
	blocks uint64
	hash   string
}

const (
	rootWord   = "bastionlab.root="
	rootDisk   = "/dev/vda"
	blockBytes = 4096
	// maxBlocks is 1 TiB; an image has one thousandth of it.
	maxBlocks = 1 << 28
	diskWait  = 10 * time.Second
)

var rootForm = regexp.MustCompile(`^([1-9][0-9]{0,9}):([0-9a-f]{64})$`)

// parseRoot finds the one word of a command line that names the root.
func parseRoot(line string) (rootSpec, error) {
	var found []string
	for _, word := range strings.Fields(line) {
		if value, ok := strings.CutPrefix(word, rootWord); ok {
			found = append(found, value)
		}
	}
	if len(found) != 1 {
		return rootSpec{}, fmt.Errorf("the command line has %s %d times, and once is right", rootWord, len(found))
	}
	parts := rootForm.FindStringSubmatch(found[0])
	if parts == nil {
		return rootSpec{}, fmt.Errorf("%s%s is no number of blocks with a root hash", rootWord, found[0])
	}
	blocks, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil || blocks > maxBlocks {
		return rootSpec{}, fmt.Errorf("a root of %s blocks is too large", parts[1])
	}
	return rootSpec{blocks, parts[2]}, nil
}

// table is the target's line for dm-verity: version, disk of the data, disk of the hashes, the sizes of their blocks, how many of data, where
// the hashes begin, the algorithm, the root, no salt, and that a block which is not what it was ends the machine.
func (r rootSpec) table() string {
	return fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s - 1 panic_on_corruption", rootDisk, rootDisk, blockBytes, blockBytes, r.blocks, r.blocks, r.hash)
}

// openRoot makes the verified root this process's, with places to write that lie in memory.
func openRoot(spec rootSpec) error {
	if err := waitFor(rootDisk); err != nil {
		return err
	}
	device, err := openVerity(spec)
	if err != nil {
		return err
	}
	if err := unix.Mount(device, "/root", "squashfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, each := range kernelFiles {
		if err := unix.Mount(each.at, "/root"+each.at, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", each.at, err)
		}
	}
	if err := errors.Join(unix.Chdir("/root"), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("change to the root: %w", err)
	}
	data := fmt.Sprintf("mode=0700,uid=%d,gid=%d,size=50%%", serverID, serverID)
	for at, options := range map[string]string{dataDir: data, "/tmp": "mode=1777,size=5%", "/run": "mode=0755,size=5%"} {
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
			return fmt.Errorf("mount %s: %w", at, err)
		}
	}
	return nil
}

func waitFor(path string) error {
	for deadline := time.Now().Add(diskWait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return fmt.Errorf("there is no %s", path)
}
