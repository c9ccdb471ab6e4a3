package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/bastionlab/bastionlab/server/internal/refusal"
)

// script are movements that a server makes, in order.
var script = []struct {
	name string
	move func(*Ledger) error
}{
	{"account", func(l *Ledger) error { return opened(l, "d", "owner", 6e9, testDelta, testDeclared) }},
	{"charge a", func(l *Ledger) error { return reserve(l, "d", "a", 2e9, 1e12) }},
	{"data a", func(l *Ledger) error { return l.DataGiven("d", "a") }},
	{"charge b", func(l *Ledger) error { return reserve(l, "d", "b", 2e9, 1e12) }},
	{"release b", func(l *Ledger) error { return l.Release("d", "b") }},
	{"limit", func(l *Ledger) error { return l.LowerLimit("d", 5e9) }},
	{"settle a", func(l *Ledger) error { return l.Settle("d", "a", OutcomeCompleted) }},
	{"charge c", func(l *Ledger) error { return reserve(l, "d", "c", 3e9, 1e12) }},
}

// play makes the script's movements from a fresh ledger until one fails, and returns how many were acknowledged.
func play(disk *memoryDisk, mark *memoryMark) (l *Ledger, acknowledged int, err error) {
	if l, err = openOn(disk, mark); err != nil {
		return nil, 0, err
	}
	for i, movement := range script {
		if err := movement.move(l); err != nil {
			return l, i, err
		}
	}
	return l, len(script), nil
}

// states are the accounts as they are after the script's first 0, 1, 2, ... movements.
func states(t *testing.T) []*Account {
	t.Helper()
	l, _, _ := newLedger(t)
	found := []*Account{nil}
	for _, movement := range script {
		must(t, movement.move(l))
		a := accountOf(t, l)
		found = append(found, &a)
	}
	return found
}

func callsOfScript(t *testing.T) int {
	t.Helper()
	disk := &memoryDisk{}
	if _, n, err := play(disk, &memoryMark{disk: disk}); n != len(script) || err != nil {
		t.Fatal(n, err)
	}
	return disk.calls
}

// The machine goes off at every call the ledger makes - opening, writing, syncing, acknowledging - with every amount of what was not
// synced on the disk. Afterwards every acknowledged movement is there, at most the one under way is there too, and nothing else.
func TestWhateverCallIsTheLastBeforeACrashNothingAcknowledgedIsLost(t *testing.T) {
	total, states := callsOfScript(t), states(t)
	for crashAt := 1; crashAt <= total+1; crashAt++ {
		disk := &memoryDisk{crashAt: crashAt}
		mark := &memoryMark{disk: disk}
		_, acknowledged, _ := play(disk, mark)
		for kept := 0; kept <= len(disk.content)-disk.synced; kept++ {
			found, foundMark := disk.afterCrash(kept), *mark
			foundMark.disk = nil
			l, err := openOn(found, &foundMark)
			if err != nil {
				t.Fatalf("off at call %d, %d bytes kept: %v", crashAt, kept, err)
			}
			wantOneOf(t, fmt.Sprintf("off at call %d, %d bytes kept", crashAt, kept), l, states, acknowledged)
		}
	}
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
			if a, err := l.Account("d"); err == nil && !reflect.DeepEqual(&a, states[acknowledged]) {
				t.Errorf("%s: what is shown is not what was acknowledged: %+v", what, a)
			}
		}
		again, err := openOn(disk, mark)
		if err != nil {
			t.Fatalf("%s: reopened: %v", what, err)
		}
		wantOneOf(t, what, again, states, acknowledged)
	}
}

// wantOneOf wants the account as it is after n movements, or after n+1.
func wantOneOf(t *testing.T, what string, l *Ledger, states []*Account, n int) {
	t.Helper()
	var got *Account
	if a, err := l.Account("d"); err == nil {
		got = &a
	}
	if reflect.DeepEqual(got, states[n]) || (n < len(script) && reflect.DeepEqual(got, states[n+1])) {
		if got != nil { // and it goes on
			must(t, opened(l, "next", "owner", 0, testDelta, testDeclared))
		}
		return
	}
	t.Fatalf("%s: %d movements were acknowledged, and the account is %+v", what, n, got)
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
