package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A ledger says when it is full for a moment, and when it takes nothing more.
func TestFiguresTellABrokenLedger(t *testing.T) {
	l, disk, _ := newLedger(t)
	var heard []error
	l.journal.observe = func(took time.Duration, err error) { heard = append(heard, err) }
	openAccount(t, l, 6.0)
	if f := l.Figures(); f != (Figures{Accounts: 1}) {
		t.Errorf("a sound ledger tells %+v", f)
	}
	disk.failAt = disk.calls + 1
	if err := charge(l, "a", 1e9); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("charged: %v", err)
	}
	if f := l.Figures(); !f.Broken {
		t.Errorf("a broken ledger tells %+v", f)
	}
	if len(heard) != 2 || heard[0] != nil || !errors.Is(heard[1], errFault) {
		t.Errorf("heard %v", heard)
	}
}

func TestFiguresCountFrozenAccounts(t *testing.T) {
	l, _, _ := newLedger(t)
	openAccount(t, l, 6.0)
	for _, a := range l.books.accounts {
		a.Frozen = "for a reason"
	}
	if f := l.Figures(); f.Frozen != 1 || f.Accounts != 1 {
		t.Errorf("it tells %+v", f)
	}
}
