package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
	"golang.org/x/sys/unix"
)

// faultyFiles does what the operating system does, but its call number failAt fails, a write after its first half.
type faultyFiles struct {
	osFiles
	calls  *[]string
	failAt int
	err    error
}

func (f faultyFiles) fails(call string) bool {
	*f.calls = append(*f.calls, call)
	return len(*f.calls) == f.failAt
}

func (f faultyFiles) create(path string) (blobFile, error) {
	if f.fails("create") {
		return nil, f.err
	}
	file, err := f.osFiles.create(path)
	return faultyFile{file, f}, err
}

func (f faultyFiles) rename(from, to string) error {
	if f.fails("rename") {
		return f.err
	}
	return f.osFiles.rename(from, to)
}

func (f faultyFiles) syncDir(path string) error {
	if f.fails("sync folder") {
		return f.err
	}
	return f.osFiles.syncDir(path)
}

type faultyFile struct {
	blobFile
	faults faultyFiles
}

func (f faultyFile) Write(content []byte) (int, error) {
	if f.faults.fails("write") {
		n, _ := f.blobFile.Write(content[:len(content)/2])
		return n, f.faults.err
	}
	return f.blobFile.Write(content)
}

func (f faultyFile) Sync() error {
	if f.faults.fails("sync") {
		return f.faults.err
	}
	return f.blobFile.Sync()
}

func (f faultyFile) Close() error {
	if f.faults.fails("close") {
		f.blobFile.Close()
		return f.faults.err
	}
	return f.blobFile.Close()
}

func tryBlob(s *Store) error {
	b, err := s.CreateBlob("dataset", "a")
	if err != nil {
		return err
	}
	for range 4 {
		if _, err := b.Write(make([]byte, 64<<10)); err != nil {
			return err
		}
	}
	_, _, err = b.Commit()
	return err
}

func TestEveryCallThatFailsLeavesNothingAndSaysWhy(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	var calls []string
	s.files = faultyFiles{calls: &calls}
	if err := tryBlob(s); err != nil {
		t.Fatal(err)
	}
	// The content is on disk before it has its name, and the name before anybody is told.
	order := strings.Join(slices.Compact(slices.Clone(calls)), ", ")
	if want := "create, write, sync, close, rename, sync folder"; order != want {
		t.Fatalf("done in the order %s, not %s", order, want)
	}
	total := len(calls)
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		for failAt := 1; failAt <= total; failAt++ {
			t.Run(fmt.Sprintf("%v at call %d", errno, failAt), func(t *testing.T) {
				if err := s.DeleteBlob("dataset", "a"); err != nil {
					t.Fatal(err)
				}
				calls = nil
				s.files = faultyFiles{calls: &calls, failAt: failAt, err: errno}
				err := tryBlob(s)
				s.files = osFiles{}
				if !errors.Is(err, errno) {
					t.Fatalf("got %v", err)
				}
				if errno == syscall.EIO {
					if refusal.KindOf(err) != refusal.Internal {
						t.Errorf("got %v, want no refusal", err)
					}
				} else {
					wantRefusal(t, err, refusal.Unavailable, "no room", "spent: nothing", "make room")
				}
				if left := names(t, filepath.Join(dir, blobFolder, "dataset")); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
				if err := tryBlob(s); err != nil {
					t.Errorf("the same name afterwards: %v", err)
				}
			})
		}
	}
}

// almostFull is a disk of a given size with so much room.
type almostFull struct {
	osFiles
	free, total uint64
}

func (f almostFull) room(string) (free, total uint64, err error) { return f.free, f.total, nil }

func TestBlobsLeaveTheLastOfTheDiskToTheLedger(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		free, total uint64
		refused     bool
	}{
		"plenty":                       {1 << 40, 2 << 40, false},
		"large disk, just enough":      {64*mib + 3, 1 << 40, false},
		"large disk, one byte too few": {64*mib + 2, 1 << 40, true},
		"small disk, just enough":      {mib + 3, 64 * mib, false},
		"small disk, one byte too few": {mib + 2, 64 * mib, true},
		"full":                         {0, 64 * mib, true},
		"it does not say":              {0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			s.files = almostFull{free: test.free, total: test.total}
			b, err := s.CreateBlob("dataset", "a")
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Write([]byte("abc"))
			if !test.refused {
				if _, _, commitErr := b.Commit(); err != nil || commitErr != nil {
					t.Errorf("%v, %v", err, commitErr)
				}
				return
			}
			wantRefusal(t, err, refusal.Unavailable, "no room", "spent: nothing", "make room")
			if left := names(t, filepath.Join(dir, blobFolder, "dataset")); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// On a real disk that fills up, where the test may mount one.
func TestAFullDiskIsAClearRefusalAndKeepsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1500k"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(t.Context(), dir, File)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.CreateBlob("dataset", "a")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = b.Write(make([]byte, 64<<10))
	}
	wantRefusal(t, err, refusal.Unavailable, "no room")
	if left := names(t, filepath.Join(dir, blobFolder, "dataset")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	// What is kept of the disk is there for charges.
	if free, total, err := (osFiles{}).room(dir); err != nil || free < total/reserveShare {
		t.Errorf("%d of %d bytes are left, %v", free, total, err)
	}
	// And so is a database that cannot grow.
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	err = nil
	for range 200 {
		if err = s.SetFact(t.Context(), "large", []byte(strings.Repeat("x", 100_000))); err != nil {
			break
		}
	}
	wantRefusal(t, err, refusal.Unavailable, "no room")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := s.SetFact(t.Context(), "small", []byte("x")); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}
