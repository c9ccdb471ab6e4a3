package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"golang.org/x/sys/unix"
)

// prepareDirectory makes the data directory, for its owner only. A directory that is already there must be empty or a data directory:
// narrowing the mode of somebody's home or of a shared folder would harm others.
func prepareDirectory(dir string) error {
	if err := os.MkdirAll(dir, privateDirMode); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return notOurs(dir, fmt.Errorf("read data directory: %w", err))
	}
	ours, empty := false, true
	for _, entry := range entries {
		ours = ours || entry.Name() == lockFile
		empty = empty && entry.Name() == lostAndFound
	}
	if !ours && !empty {
		return refusal.New(refusal.InvalidArgument, "choose an empty or a new directory",
			"%s holds files of something else and is no data directory", dir)
	}
	// SECURITY: names, schemas and the ledger are readable by whoever reads the directory.
	if err := os.Chmod(dir, privateDirMode); err != nil {
		return notOurs(dir, fmt.Errorf("restrict data directory to its owner: %w", err))
	}
	return nil
}

// notOurs says whose a directory is that this user may not use. With a container, it is often the host's root who made it.
func notOurs(dir string, cause error) error {
	found, err := os.Stat(dir)
	if err != nil || !errors.Is(cause, fs.ErrPermission) {
		return cause
	}
	owner, ok := found.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return cause
	}
	return refusal.New(refusal.Unavailable, fmt.Sprintf("give it to the server: chown -R %d:%d, and of a container by its name on the host; or name another with --data-dir", os.Geteuid(), os.Getegid()),
		"the data directory %s belongs to user %d, and the server runs as user %d", dir, owner.Uid, os.Geteuid())
}

func makeFolder(path string) error {
	err := os.Mkdir(path, privateDirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return outOfSpace(fmt.Errorf("make folder: %w", err))
	}
	return osFiles{}.syncDir(filepath.Dir(path))
}

// lockDirectory takes the directory for this process. The lock is the kernel's and ends with the process, however that ends; the number
// in the file only tells a person whom to look for.
func lockDirectory(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, privateMode)
	if err != nil {
		return nil, fmt.Errorf("open lock of data directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32))
		lock.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
		return nil, refusal.New(refusal.Unavailable, "stop that server, or choose another data directory",
			"the data directory %s is in use by another server%s", dir, holderText(string(holder)))
	}
	if err := writeHolder(lock); err != nil {
		lock.Close()
		return nil, outOfSpace(fmt.Errorf("write lock of data directory: %w", err))
	}
	return lock, nil
}

func writeHolder(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func holderText(content string) string {
	pid, err := strconv.Atoi(strings.TrimSpace(content))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
