package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"
)

// fileSystem is what writing a blob asks of the operating system; tests make each call fail.
type fileSystem interface {
	create(path string) (blobFile, error) // must not exist; mode 0600
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error
	room(path string) (free, total uint64, err error) // bytes; total is 0 where the file system does not say
}

type blobFile interface {
	io.WriteCloser
	Sync() error
}

type osFiles struct{}

func (osFiles) create(path string) (blobFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateMode)
}

func (osFiles) rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) remove(path string) error { return os.Remove(path) }

// syncDir makes names durable: a synced file whose name was not synced can be gone after a power cut.
func (osFiles) syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := dir.Sync(); err != nil {
		dir.Close()
		return fmt.Errorf("sync folder: %w", err)
	}
	return dir.Close()
}

// outOfSpace turns an error that means a full disk (or full memory, for a memfd) into a refusal that says so, and leaves every other as
// it is.
func outOfSpace(err error) error {
	var database *sqlite.Error
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.ENOMEM) ||
		// The second: there was no room for the index of its log.
		(errors.As(err, &database) && (database.Code()&0xff == sqlitecode.SQLITE_FULL || database.Code() == sqlitecode.SQLITE_IOERR_SHMSIZE))
	if !full {
		return err
	}
	return fmt.Errorf("%w (%w)", refusal.New(refusal.Unavailable, "ask the server's operator to make room, then try again",
		"the server has no room left to store this, and kept nothing of it"), err)
}
