package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is what the ledger asks of the operating system; tests make each call fail, or be the last before a crash.
type disk interface {
	// open opens the ledger's file for reading and appending, held against other processes. Without create, a missing file is
	// fs.ErrNotExist.
	open(path string, create bool) (file, error)
	syncDir(path string) error
	// makeDir makes a folder, durably; one that is there is no error.
	makeDir(path string) error
	// rename moves a file to a name that no other has. A missing one is fs.ErrNotExist.
	rename(from, to string) error
}

type file interface {
	io.ReadWriteCloser // writes append
	io.ReaderAt
	Truncate(size int64) error
	Sync() error
}

type osDisk struct{}

func (osDisk) open(path string, create bool) (file, error) {
	flags := os.O_RDWR | os.O_APPEND
	if create {
		flags |= os.O_CREATE
	}
	opened, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := unix.Flock(int(opened.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		opened.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("open ledger: another process has it open")
		}
		return nil, fmt.Errorf("lock ledger: %w", err)
	}
	return opened, nil
}

func (d osDisk) makeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make folder of ledgers: %w", err)
	}
	return d.syncDir(filepath.Dir(path))
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder of ledger: %w", err)
	}
	if err := dir.Sync(); err != nil {
		dir.Close()
		return fmt.Errorf("sync folder of ledger: %w", err)
	}
	return dir.Close()
}

// openFile opens the ledger's file, and makes it only where no record was ever acknowledged.
func openFile(disk disk, dir string, acknowledged int64) (file, error) {
	path := filepath.Join(dir, FileName)
	opened, err := disk.open(path, false)
	if err == nil {
		return opened, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if acknowledged > 0 {
		return nil, &IntegrityError{Record: 0, Reason: fmt.Sprintf("the file %s is missing, and %d records were acknowledged", FileName, acknowledged)}
	}
	if opened, err = disk.open(path, true); err != nil {
		return nil, err
	}
	// The name must be as durable as what will be written under it.
	if err := disk.syncDir(dir); err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}
