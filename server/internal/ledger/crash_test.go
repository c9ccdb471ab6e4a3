package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

func callsOfScript(t *testing.T) int {
	t.Helper()
	disk := &memoryDisk{}
	if _, n, err := play(disk, &memoryMark{disk: disk}); n != len(script) || err != nil {
		t.Fatal(n, err)
	}
	return disk.calls
}

// The machine goes off at every call the ledger makes - opening, writing, syncing, acknowledging - with so much of what was not synced on
// the disk. Afterwards every acknowledged movement is there, at most the one under way is there too, and nothing else; and a check of the
// file finds nothing, before the next start and after it.
func TestWhateverCallIsTheLastBeforeACrashNothingAcknowledgedIsLost(t *testing.T) {
	total, states := callsOfScript(t), states(t)
	for crashAt := 1; crashAt <= total+1; crashAt++ {
		disk := &memoryDisk{crashAt: crashAt}
		mark := &memoryMark{disk: disk}
		_, acknowledged, _ := play(disk, mark)
		for _, kept := range lengths(len(disk.content)-disk.synced, crashAt) {
			what := fmt.Sprintf("off at call %d, %d bytes kept", crashAt, kept)
			found, foundMark := disk.afterCrash(kept), *mark
			foundMark.disk = nil
			ends := kept == 0 || kept == len(disk.content)-disk.synced
			if ends {
				wantSound(t, what, found, &foundMark)
			}
			l, err := openOn(found, &foundMark)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			wantOneOf(t, what, l, states, acknowledged)
			if ends {
				wantSound(t, what+", opened", found, &foundMark)
			}
		}
	}
}

// lengths are how much may be left of a write: none, all, all around where a line has a new part, and every 37th byte between, from
// another one on with each call. TestATornTailIsDroppedAndAWholeRecordIsKept has every length of one record: what decides is where the
// checksum, the signature, the body and the newline end, and not which record it is.
func lengths(whole, call int) []int {
	tried := map[int]bool{}
	for _, end := range []int{0, chainDigits, chainDigits + 1, prefixBytes - 1, prefixBytes, whole - 1, whole} {
		for _, length := range []int{end - 1, end, end + 1} {
			tried[min(max(length, 0), whole)] = true
		}
	}
	for length := call % 37; length < whole; length += 37 {
		tried[length] = true
	}
	return slices.Sorted(maps.Keys(tried))
}

// Every call fails once, as a disk does that is full or broken, and the server goes on. It takes no more movements, tries nothing again,
// and after a restart all is as it was told.
func TestWhateverCallFailsTheLedgerStopsAndNothingAcknowledgedIsLost(t *testing.T) {
	total, states := callsOfScript(t), states(t)
	for failAt := 1; failAt <= total; failAt++ {
		what := fmt.Sprintf("failing call %d", failAt)
		disk := &memoryDisk{failAt: failAt}
		mark := &memoryMark{disk: disk}
		l, acknowledged, err := play(disk, mark)
		if !errors.Is(err, errFault) {
			t.Fatalf("%s: %v", what, err)
		}
		if l != nil {
			refused := wantKind(t, err, refusal.Unavailable)
			if refused.Next == "" || refused.Spent != refusal.Nothing {
				t.Errorf("%s: said %v", what, refused)
			}
			calls, syncs := disk.calls, disk.syncs
			for _, movement := range script[acknowledged:] {
				if err := movement.move(l); err == nil {
					t.Errorf("%s: %s was acknowledged afterwards", what, movement.name)
				}
			}
			if disk.calls != calls || disk.syncs != syncs {
				t.Errorf("%s: the disk was touched afterwards", what)
			}
			if !reflect.DeepEqual(l.books, states[acknowledged]) {
				t.Errorf("%s: what is shown is not what was acknowledged: %+v", what, l.books)
			}
		}
		wantSound(t, what, disk, mark)
		again, err := openOn(disk, mark)
		if err != nil {
			t.Fatalf("%s: reopened: %v", what, err)
		}
		wantOneOf(t, what, again, states, acknowledged)
		wantSound(t, what+", opened", disk, mark)
	}
}

// wantOneOf wants the books as they are after n movements, or after n+1; and that the ledger goes on.
func wantOneOf(t *testing.T, what string, l *Ledger, states []books, n int) {
	t.Helper()
	if !reflect.DeepEqual(l.books, states[n]) && (n == len(script) || !reflect.DeepEqual(l.books, states[n+1])) {
		t.Fatalf("%s: %d movements were acknowledged, and the books are %+v", what, n, l.books)
	}
	must(t, opened(l, "next", "owner", 0, testDelta, testDeclared))
}

func TestARefusalForWantOfBudgetBreaksNothing(t *testing.T) {
	l, disk, _ := newLedger(t)
	openAccount(t, l, 6.0)
	calls := disk.calls
	wantKind(t, charge(l, "a", 7e9), refusal.BudgetExceeded)
	if disk.calls != calls {
		t.Error("a refused charge was written")
	}
	must(t, charge(l, "b", 6e9))
}

func TestTheTextOfABrokenLedgerTellsWhatToDo(t *testing.T) {
	l, disk, _ := newLedger(t)
	openAccount(t, l, 6.0)
	disk.failAt = disk.calls + 1
	err := charge(l, "a", 1e9)
	if !strings.Contains(err.Error(), "restart the server") || !strings.Contains(err.Error(), "the disk failed") {
		t.Errorf("said %v", err)
	}
}

// A full disk is no broken one: what did not fit is cut off again, and the next charge finds the ledger as it was.
func TestAFullDiskRefusesTheChargeAndBreaksNothing(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		l, disk, mark := newLedger(t)
		openAccount(t, l, 6.0)
		before := bytes.Clone(disk.content)
		disk.failAt, disk.fault = disk.calls+1, errno
		refused := wantKind(t, charge(l, "a", 1e9), refusal.Unavailable)
		if refused.Spent != refusal.Nothing || !strings.Contains(refused.Next, "make room") || !strings.Contains(refused.What, "full") {
			t.Errorf("said %v", refused)
		}
		if !bytes.Equal(disk.content, before) || disk.synced != len(before) {
			t.Errorf("%d bytes are left of %d, %d of them synced", len(disk.content), len(before), disk.synced)
		}
		if a := accountOf(t, l); a.Spent != 0 || len(a.Entries) != 0 {
			t.Errorf("account %+v", a)
		}
		must(t, charge(l, "a", 1e9))
		if a := accountOf(t, reopened(t, disk, mark)); a.Spent != 1e9 {
			t.Errorf("account %+v", a)
		}
	}
}

// Where even that fails, or where a sync says that the disk is full, what it holds is not known.
func TestAFullDiskThatCannotBeCutBackBreaksTheLedger(t *testing.T) {
	for name, calls := range map[string][]int{"in the sync": {2}, "and the cut fails": {1, 2}, "and its sync fails": {1, 3}} {
		l, disk, mark := newLedger(t)
		openAccount(t, l, 6.0)
		disk.fault, disk.failAt = syscall.ENOSPC, disk.calls+calls[0]
		if len(calls) > 1 {
			disk.failAlso = disk.calls + calls[1]
		}
		for range 2 {
			if err := charge(l, "a", 1e9); err == nil || !strings.Contains(err.Error(), "restart the server") {
				t.Errorf("%s: said %v", name, err)
			}
		}
		if a := accountOf(t, l); a.Spent != 0 {
			t.Errorf("%s: account %+v", name, a)
		}
		if a := accountOf(t, reopened(t, disk, mark)); a.Spent != 0 && a.Spent != 1e9 {
			t.Errorf("%s: after a restart %+v", name, a)
		}
	}
}
