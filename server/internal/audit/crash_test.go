package audit

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// play makes changes and looks on a disk until something fails, and says how many changes were acknowledged.
func play(disk *memoryDisk, mark *memoryMark) (acknowledged int, err error) {
	l, err := openOn(disk, mark, 700)
	if err != nil {
		return 0, err
	}
	for i := range 6 {
		_ = l.Record(looked(bob, other), false)
		if failed := change(l, deleted(alice, dataset)); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		if acknowledged++; i == 2 {
			l.mark() // as at a beat; the writer is idle now
		}
	}
	return acknowledged, errors.Join(err, l.Close())
}

func changesIn(t *testing.T, l *Log) (changes int) {
	for _, line := range all(t, l) {
		if line.User == alice {
			changes++
		}
	}
	return changes
}

// The machine goes off at every call, with so much of what was not synced on the disk: every change that was acknowledged is there, at most the
// one under way is there too, and the log opens.
func TestWhateverCallIsTheLastBeforeACrashNothingAcknowledgedIsLost(t *testing.T) {
	whole := newDisk()
	if n, err := play(whole, &memoryMark{disk: whole}); n != 6 || err != nil {
		t.Fatal(n, err)
	}
	for crashAt := 1; crashAt <= whole.calls+1; crashAt++ {
		for _, kept := range []int{0, 1, 100, 350, 351, 352, 500, 10_000} {
			disk := newDisk()
			disk.crashAt = crashAt
			mark := &memoryMark{disk: disk}
			acknowledged, _ := play(disk, mark)
			mark.disk = nil
			what := fmt.Sprintf("off at call %d, %d bytes kept", crashAt, kept)
			after := disk.afterCrash(kept)
			l, err := openOn(after, mark, 700)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := changesIn(t, l); got < acknowledged || got > acknowledged+1 {
				t.Errorf("%s: %d changes, %d acknowledged", what, got, acknowledged)
			}
			must(t, change(l, deleted(alice, dataset)), l.Close())
			if _, err := check(after, "data", Remembered{mark.lines, mark.head, "the server"}); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// Every call fails once, as on a full disk or a broken one. A change is acknowledged only if it is there after a crash right then; on a full
// disk the log goes on, and after any other failure it takes nothing more.
func TestWhateverCallFailsNothingUnwrittenIsAcknowledged(t *testing.T) {
	whole := newDisk()
	if _, err := play(whole, &memoryMark{disk: whole}); err != nil {
		t.Fatal(err)
	}
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC, syscall.EDQUOT} {
		for failAt := 1; failAt <= whole.calls; failAt++ {
			what := fmt.Sprintf("%v at call %d", errno, failAt)
			disk := newDisk()
			disk.failAt, disk.err = failAt, errno
			mark := &memoryMark{disk: disk}
			acknowledged, err := play(disk, mark)
			if err != nil && !errors.Is(err, errno) {
				t.Errorf("%s: %v", what, err)
			}
			mark.disk = nil
			after := disk.afterCrash(0)
			l, err := openOn(after, mark, 700)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := changesIn(t, l); got < acknowledged {
				t.Errorf("%s: %d changes, %d acknowledged", what, got, acknowledged)
			}
			must(t, l.Close())
		}
	}
}

// After a failure that is no full disk what the disk holds is not known: nothing more is written, and changes are refused beforehand.
func TestABrokenDiskEndsAllWriting(t *testing.T) {
	for name, call := range map[string]int{"write": 2, "sync": 3} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk()
			l := mustOpen(t, disk, &memoryMark{}, fileBytes)
			disk.mu.Lock()
			disk.failAt, disk.err = disk.calls+call, syscall.EIO
			disk.mu.Unlock()
			if err := change(l, deleted(alice, dataset)); refusal.KindOf(err) != refusal.Unavailable || !errors.Is(err, syscall.EIO) {
				t.Errorf("got %v", err)
			}
			if f := l.Figures(); !f.Broken {
				t.Errorf("it tells %+v", f)
			}
			length := len(disk.content(1))
			if _, err := l.Begin(alice); refusal.KindOf(err) != refusal.Unavailable {
				t.Errorf("the next change is begun: %v", err)
			}
			if err := l.Record(deleted(alice, dataset), true); refusal.KindOf(err) != refusal.Unavailable {
				t.Errorf("the next change is taken: %v", err)
			}
			if len(disk.content(1)) != length {
				t.Error("something more was written")
			}
			if l.Close() == nil {
				t.Error("closing says nothing")
			}
		})
	}
}

// A full disk refuses a change before it does anything; one that was begun finds the room that it was promised, whatever else is written.
func TestAFullDiskRefusesChangesBeforeTheyDoAnything(t *testing.T) {
	disk := newDisk()
	l := mustOpen(t, disk, &memoryMark{}, fileBytes)
	free := func(bytes int64) {
		disk.mu.Lock()
		defer disk.mu.Unlock()
		disk.free = bytes
	}
	var ends []func()
	for range 3 {
		end, err := l.Begin(alice)
		must(t, err)
		ends = append(ends, end)
	}
	free(0)
	for range 500 { // more than what was reserved
		must(t, l.Record(looked(bob, other), false))
	}
	var begun error
	for range 200 {
		end, err := l.Begin(alice)
		if begun = err; err != nil {
			break
		}
		ends = append(ends, end)
	}
	if refusal.KindOf(begun) != refusal.Unavailable || !errors.Is(begun, syscall.ENOSPC) {
		t.Fatalf("a change is begun on a full disk: %v", begun)
	}
	for i, end := range ends {
		if err := l.Record(deleted(alice, dataset), true); err != nil {
			t.Errorf("change %d of %d that were begun: %v", i, len(ends), err)
		}
		end()
	}
	free(1 << 30)
	must(t, change(l, deleted(alice, dataset)))
	must(t, l.Close())
	lines := 0
	summary := ""
	l = mustOpen(t, disk, &memoryMark{}, fileBytes)
	for _, line := range all(t, l) {
		if lines++; line.Action == Summary && line.User == bob {
			summary = line.Reason
		}
	}
	if want := fmt.Sprintf("%d more", 500+len(ends)+1+1-lines); summary != want {
		t.Errorf("what was left out is %q, want %q", summary, want)
	}
}

// Where the file system cannot promise room, a full disk shows in the write. What was written of the line is cut off again, and later ones
// are taken.
func TestALineThatFoundNoRoomIsCutOff(t *testing.T) {
	disk := newDisk()
	l := mustOpen(t, disk, &memoryMark{}, fileBytes)
	must(t, change(l, deleted(alice, dataset)))
	disk.mu.Lock()
	disk.failAt, disk.err = disk.calls+1, errFull // the write: room for it is reserved already
	disk.mu.Unlock()
	if err := change(l, deleted(bob, dataset)); refusal.KindOf(err) != refusal.Unavailable || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	must(t, change(l, deleted(alice, other)), l.Close())
	report, err := check(disk, "data")
	if err != nil || report.Lines != 2 || report.Torn != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}
