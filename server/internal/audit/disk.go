package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"
)

// FileName is the first file of a log; those after it are "audit.2.jsonl" and so on.
const FileName = "audit.jsonl"

func nameOf(number int) string {
	if number == 1 {
		return FileName
	}
	return fmt.Sprintf("audit.%d.jsonl", number)
}

var laterName = regexp.MustCompile(`^audit\.([1-9][0-9]{0,8})\.jsonl$`)

// disk is what the log asks of the operating system; tests make each call fail, or be the last before a crash.
type disk interface {
	names(dir string) ([]string, error)
	open(path string, create bool) (file, error) // writes append
	read(path string) (readable, error)
	syncDir(path string) error
}

type readable interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

type file interface {
	readable
	io.Writer
	Truncate(size int64) error
	Sync() error
	Reserve(from, bytes int64) error // makes sure of room, and leaves the size as it is
}

type osDisk struct{}

func (osDisk) names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for the audit log: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

func (osDisk) open(path string, create bool) (file, error) {
	flags := os.O_RDWR | os.O_APPEND
	if create {
		flags |= os.O_CREATE
	}
	opened, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return osFile{opened}, nil
}

func (osDisk) read(path string) (readable, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return osFile{opened}, nil
}

func (osDisk) syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder of audit log: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Reserve does nothing on a file system that cannot: a full disk shows in the write then.
func (f osFile) Reserve(from, bytes int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, from, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// files says how many files there are, and refuses a log of which one is missing.
func files(on disk, dir string) (count int, err error) {
	names, err := on.names(dir)
	if err != nil {
		return 0, err
	}
	found := map[int]bool{}
	for _, name := range names {
		number := 1
		if name != FileName {
			match := laterName.FindStringSubmatch(name)
			if match == nil {
				continue
			}
			number, _ = strconv.Atoi(match[1]) // at most nine digits
			if number == 1 {
				continue
			}
		}
		found[number] = true
		count = max(count, number)
	}
	for number := 1; number <= count; number++ {
		if !found[number] {
			return 0, &IntegrityError{File: nameOf(number), Reason: fmt.Sprintf("it is missing, and there is %s", nameOf(count))}
		}
	}
	return count, nil
}

// begin opens a new file, whose name is durable then.
func begin(on disk, dir string, number int) (file, error) {
	opened, err := on.open(filepath.Join(dir, nameOf(number)), true)
	if err != nil {
		return nil, err
	}
	if err := on.syncDir(dir); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}
