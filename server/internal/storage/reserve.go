package storage

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// Blobs leave the last of the disk to the database and the ledger, whose records are small: a server that cannot write a charge can
// train nobody's model, while one that takes no more uploads still can. It is a 64th of a small file system.
const (
	reserveBytes = 64 << 20
	reserveShare = 64
)

// leaveReserve refuses to write more where that would go into the reserve. The error is the one of a full disk.
func leaveReserve(files fileSystem, path string, more int) error {
	free, total, err := files.room(path)
	if err != nil {
		return err
	}
	if total == 0 { // a file system that does not say
		return nil
	}
	if reserve := min(reserveBytes, total/reserveShare); free < reserve+uint64(more) {
		return fmt.Errorf("%d bytes are free, of which %d are kept: %w", free, reserve, syscall.ENOSPC)
	}
	return nil
}

func (osFiles) room(path string) (free, total uint64, err error) {
	var found syscall.Statfs_t
	if err := syscall.Statfs(path, &found); err != nil {
		return 0, 0, fmt.Errorf("ask for free space: %w", err)
	}
	return found.Bavail * uint64(found.Bsize), found.Blocks * uint64(found.Bsize), nil
}

// FreeRoom is what is free on the data directory's disk and how large that is, in bytes; zeros where the file system does not say.
func (s *Store) FreeRoom() (free, total uint64, err error) {
	return s.files.room(filepath.Clean(s.dir))
}
